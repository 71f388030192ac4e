"""The compared systems: what each makes of the same five stacks a card."""

from collections.abc import Iterable
from dataclasses import dataclass

from model.spec.attention import BLOCK_TOKENS
from model.spec.errors import SpecError, UserError, require_int, unknown_name
from model.spec.geometry import BEAT_BYTES, StackGeometry
from model.spec.timing import TimingTable
from runtime.cycle_table import CycleTable
from runtime.gpu import H100, GpuRoofline, GpuSpec
from runtime.models import TransformerModel
from runtime.pim import PimArray, StackDma
from runtime.workload import PS_PER_SECOND

STACKS_PER_CARD = 5
"""facts.md 1.2 and 2.2: AttAcc's simulator and vStack both have five HBM packages a card."""

PIM_DENSITY_PERCENT = 50
"""A PIM layer holds half of a plain layer (facts.md 1.2)."""

USABLE_PERCENT = 99
"""Share of the capacity that is used (facts.md 1.2, 1 % spare)."""

STACKS = {
    "hbm4_8000": StackGeometry(),
    # 16 channels x 2 pseudo-channels, otherwise alike; 8 GiB a stack ID (facts.md 2.2, HBM3_8Gb_2R)
    "hbm3_5200": StackGeometry(pseudo_channels=32),
}


class Infeasible(UserError):
    """A model that does not fit into a system; the other systems go on."""


@dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """How the stacks of a card are used.

    Attributes
    ----------
    name, title : str
        Name on the command line, and a description.
    plain, dedicated, split : int
        Stacks whose both stack IDs are plain; whose both are PIM; with SID 0 PIM and SID 1 plain.
    """

    name: str
    title: str
    plain: int = 0
    dedicated: int = 0
    split: int = 0

    def __post_init__(self) -> None:
        if self.plain + self.dedicated + self.split != STACKS_PER_CARD:
            raise SpecError(f"system {self.name}", self.plain + self.dedicated + self.split,
                            f"{STACKS_PER_CARD} stacks")


SYSTEMS = {s.name: s for s in (
    SystemSpec(name="gpu", title="GPU only: five plain stacks", plain=5),
    SystemSpec(name="attacc_split4", title="AttAcc at equal stack count: four of five stacks PIM",
               plain=1, dedicated=4),
    SystemSpec(name="tokenstack_base", title="TokenStack base: PIM and capacity layers in every "
               "stack, LRU, single copies", split=5),
)}


def system_by_name(name: str) -> SystemSpec:
    """The system of that name; :class:`~model.spec.errors.UserError` if there is none."""
    if name not in SYSTEMS:
        raise unknown_name("system", name, SYSTEMS)
    return SYSTEMS[name]


@dataclass(frozen=True, kw_only=True)
class Tier:
    """A place for KV blocks. Running requests live in the first tier of a system.

    Attributes
    ----------
    name : str
    kv_blocks : int
        Capacity in KV blocks of the whole model, after weights.
    """

    name: str
    kv_blocks: int


@dataclass(frozen=True, kw_only=True)
class System:
    """A system built for one model: everything the engine asks.

    Attributes
    ----------
    spec : SystemSpec
    model : TransformerModel
    gpu : GpuRoofline
    tiers : tuple of Tier
        The first one holds the KV of running requests; the others idle blocks, in order of descent.
    pim : PimArray or None
        Where decode attention runs; None means on the GPU.
    dma : StackDma or None
        What moves blocks between tiers; needed if there are two.
    clock_ps : int
        Clock of the PIM units and the DMA.
    figures : dict
        Capacities and rates in plain data, for the report.
    """

    spec: SystemSpec
    model: TransformerModel
    gpu: GpuRoofline
    tiers: tuple[Tier, ...]
    pim: PimArray | None
    dma: StackDma | None
    clock_ps: int
    figures: dict[str, object]


def build_tiers(spec: SystemSpec, model: TransformerModel, timing: TimingTable, *,
                cards: int) -> tuple[Tier, ...]:
    """A system's places for KV blocks; :class:`Infeasible` if the weights leave no room."""
    require_int("cards", cards, 1, 64)
    if model.kv_heads % cards:
        raise SpecError("cards", cards, f"a divisor of the {model.kv_heads} KV heads "
                        f"of {model.name}")
    stack = STACKS[timing.name]
    plain_bytes = (2 * spec.plain + spec.split) * stack.sid_bytes * cards * USABLE_PERCENT // 100
    pim_bytes = ((2 * spec.dedicated + spec.split) * stack.sid_bytes * cards
                 * PIM_DENSITY_PERCENT * USABLE_PERCENT // 10_000)
    room = plain_bytes - model.weight_bytes
    if room < 0:
        raise Infeasible(
            f"{spec.name}: {model.name} does not fit: its weights need "
            f"{model.weight_bytes / 2**30:.1f} GiB, the plain layers of {cards} "
            f"{'card' if cards == 1 else 'cards'} offer {plain_bytes / 2**30:.1f} GiB")
    # The dedicated system's plain stack is for weights: it has no path of its own to the others.
    sizes = (("hbm", room),) if spec.plain == STACKS_PER_CARD else (
        (("pim", pim_bytes), ("capacity", room)) if spec.split else (("pim", pim_bytes),))
    return tuple(Tier(name=name, kv_blocks=size // model.kv_block_bytes) for name, size in sizes)


def least_cards(specs: Iterable[SystemSpec], model: TransformerModel, timing: TimingTable) -> int:
    """The fewest cards at which all systems hold the model; if none, the most that share it."""
    chosen = list(specs)
    for cards in range(1, model.kv_heads + 1):
        if model.kv_heads % cards == 0:
            try:
                for spec in chosen:
                    build_tiers(spec, model, timing, cards=cards)
            except Infeasible:
                continue
            return cards
    return model.kv_heads


def build_system(spec: SystemSpec, model: TransformerModel, timing: TimingTable,
                 table: CycleTable, *, cards: int = 1, gpu: GpuSpec = H100) -> System:
    """A system for one model; :class:`Infeasible` if the weights leave no room."""
    tiers = build_tiers(spec, model, timing, cards=cards)
    stack = STACKS[timing.name]
    stack_bandwidth = stack.pseudo_channels * BEAT_BYTES * PS_PER_SECOND // timing.clock_ps
    with_plain = spec.plain + spec.split
    with_pim = spec.dedicated + spec.split
    pim = dma = None
    if with_pim:
        per_stack = stack.pseudo_channels * (2 if spec.dedicated else 1)
        pim = PimArray(table, model, cards=cards, units=with_pim * per_stack,
                       units_per_stack=per_stack)
    if spec.split:
        dma = StackDma(table, model, cards=cards, channels=spec.split * stack.pseudo_channels)
    kv_stacks = with_pim or with_plain
    roofline = GpuRoofline(gpu, model, cards=cards, weight_bandwidth=with_plain * stack_bandwidth,
                           kv_bandwidth=kv_stacks * stack_bandwidth,
                           card_bandwidth=STACKS_PER_CARD * stack_bandwidth)
    return System(
        spec=spec, model=model, gpu=roofline, tiers=tiers, pim=pim, dma=dma,
        clock_ps=timing.clock_ps,
        figures={
            "cards": cards, "gpu": gpu.name,
            "weights_gib": round(model.weight_bytes / 2**30, 2),
            "tiers": [{"name": t.name, "gib": round(t.kv_blocks * model.kv_block_bytes / 2**30, 2),
                       "kv_tokens": t.kv_blocks * BLOCK_TOKENS} for t in tiers],
            "weight_bandwidth_gb_s": with_plain * stack_bandwidth * cards / 1e9,
            "kv_bandwidth_gb_s": kv_stacks * stack_bandwidth * cards / 1e9,
            "pim_units": (pim.units if pim else 0) * cards,
        })
