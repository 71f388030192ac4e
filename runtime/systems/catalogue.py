"""The compared systems by name, and what each of them is made of."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from model.spec.errors import SpecError, UserError, unknown_name
from runtime.tiers.tier import WIDE

STACKS_PER_CARD = 5
"""facts.md 1.2 and 2.2: AttAcc's simulator and vStack both have five HBM packages a card."""

COLD_FORMAT = "mxfp8"
"""KV in capacity layers when it is quantised (facts.md 9: MXFP8-E4M3 is the proposed default)."""

Addressing = Literal["static", "base_die", "host"]


@dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """How the stacks of a card are used, and by which means KV is managed.

    Attributes
    ----------
    name, title : str
        Name on the command line, and a description.
    plain, dedicated, split, uniform : int
        Stacks of a card whose both stack IDs are plain; whose both are PIM and hold KV only; with
        SID 0 PIM and SID 1 plain; whose both are PIM and hold weights, too.
    remote : int
        Further stacks, PIM throughout, in a device of its own beside each GPU; KV lives there, in
        layers as dense as plain ones (facts.md 2.2).
    base_die_dma : bool
        Whether the base die moves blocks between a stack's layers; if not, kernels of the GPU read
        and write them, and nothing else runs meanwhile (facts.md 1.2: only vStack overlaps).
    addressing : str
        Who finds the rows of a request's blocks for the PIM units: ``"base_die"``, its layered
        translation; ``"host"``, software that writes a wave table for every attention;
        ``"static"``, nobody, because the mapping is fixed.
    cold_format : str
        Format of KV in the capacity layers.
    placement, eviction, replication : str
        Policies, unless the user chooses others.
    """

    name: str
    title: str
    plain: int = 0
    dedicated: int = 0
    split: int = 0
    uniform: int = 0
    remote: int = 0
    base_die_dma: bool = False
    addressing: Addressing = "static"
    cold_format: str = WIDE
    placement: str = "topology_aware"
    eviction: str = "lru"
    replication: str = "none"

    def __post_init__(self) -> None:
        stacks = self.plain + self.dedicated + self.split + self.uniform
        if stacks != STACKS_PER_CARD:
            raise SpecError(f"system {self.name}", stacks, f"{STACKS_PER_CARD} stacks")

    @property
    def weight_stacks(self) -> int:
        """Stacks of a card that weights are read from."""
        return self.plain + self.split + self.uniform

    @property
    def pim_stacks(self) -> int:
        """Stacks with PIM units for each card."""
        return self.dedicated + self.split + self.uniform + self.remote

    @property
    def overlaps(self) -> frozenset[str]:
        """Resources whose transfers the hardware can do while a step runs."""
        engines = {"nvlink", "pcie"}
        return frozenset(engines | {"dma"} if self.base_die_dma else engines)


_TOKENSTACK: dict[str, Any] = {"split": 5, "base_die_dma": True, "addressing": "base_die"}

SYSTEMS = {s.name: s for s in (
    SystemSpec(name="gpu", title="GPU only: five plain stacks", plain=5),
    SystemSpec(name="attacc", title="AttAcc as published: a device of five PIM stacks beside each "
               "GPU, whose own five are plain", plain=5, remote=5),
    *(SystemSpec(name=f"attacc_split{n}", plain=5 - n, dedicated=n,
                 title=f"AttAcc at equal stack count: {n} of five stacks PIM")
      for n in (1, 2, 3, 4)),
    SystemSpec(name="uniform", title="uniform PIM: every layer of five stacks is PIM and holds "
               "weights, too", uniform=5),
    SystemSpec(name="tokenstack_base", title="TokenStack base: PIM and capacity layers in every "
               "stack, LRU, single copies", **_TOKENSTACK),
    SystemSpec(name="tokenstack", title="TokenStack: as its base, with aware eviction, bounded "
               "copies and quantised cold KV", cold_format=COLD_FORMAT, eviction="workload_aware",
               replication="hot_set", **_TOKENSTACK),
)}

DEFAULT_SYSTEMS = ("gpu", "attacc_split4", "tokenstack_base", "tokenstack")
"""What ``tokenstack sim`` compares if nothing else is asked for."""

WITHOUT: dict[str, dict[str, Any]] = {
    "heterogeneity": {"split": 0, "uniform": STACKS_PER_CARD, "cold_format": WIDE},
    "dma": {"base_die_dma": False},
    "translation": {"addressing": "host"},
    "quantisation": {"cold_format": WIDE},
    "placement": {"placement": "hash"},
    "eviction": {"eviction": "lru"},
    "replication": {"replication": "none"},
}
"""TokenStack's mechanisms, and what a system is without each.

Without heterogeneity there are no capacity layers: nothing to move between, nothing cold. Hash is
what vStack places by (facts.md 1.2).
"""


def ablations() -> tuple[str, ...]:
    """Names of TokenStack without each mechanism, and with each of them only."""
    return (*(f"tokenstack-no-{name}" for name in WITHOUT),
            *(f"tokenstack-only-{name}" for name in WITHOUT))


def _ablated(name: str) -> SystemSpec:
    full = SYSTEMS["tokenstack"]
    how, _, mechanism = name.removeprefix("tokenstack-").partition("-")
    if how == "no":
        return replace(full, name=name, title=f"TokenStack without {mechanism}",
                       **WITHOUT[mechanism])
    changes: dict[str, Any] = {}
    for other, change in WITHOUT.items():
        if other != mechanism:
            changes |= change
    if mechanism == "quantisation":     # needs cold layers to be quantised in
        changes |= {"split": STACKS_PER_CARD, "uniform": 0, "cold_format": COLD_FORMAT}
    return replace(full, name=name, title=f"TokenStack with {mechanism} only", **changes)


def system_by_name(name: str) -> SystemSpec:
    """The system of that name, an ablation included.

    Raises :class:`~model.spec.errors.UserError` if there is none.
    """
    if name in SYSTEMS:
        return SYSTEMS[name]
    if name in ablations():
        return _ablated(name)
    if name.startswith("tokenstack-"):
        raise unknown_name("system", name, (*SYSTEMS, *ablations()))
    raise unknown_name("system", name, SYSTEMS)


class Infeasible(UserError):
    """A model that does not fit into a system; the other systems go on."""
