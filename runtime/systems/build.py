"""Systems built for one model: tiers, rates, PIM units and ways to move blocks."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from model.spec.attention import BLOCK_TOKENS
from model.spec.errors import require_int
from model.spec.geometry import BEAT_BYTES, StackGeometry
from model.spec.timing import TimingTable
from runtime.cycle_table import CycleTable
from runtime.models import TransformerModel
from runtime.systems.catalogue import STACKS_PER_CARD, Infeasible, SystemSpec
from runtime.systems.gpu import H100, GpuRoofline, GpuSpec
from runtime.systems.pim import PimArray
from runtime.systems.profile import HOST_BYTES, PCIE_BANDWIDTH
from runtime.systems.routes import (
    Route,
    StackDma,
    dma_route,
    host_route,
    kernel_route,
    link_route,
    stored_block_bytes,
)
from runtime.tiers.tier import WIDE, Tier
from runtime.workload import PS_PER_SECOND

PIM_DENSITY_PERCENT = 50
"""A PIM layer holds half of a plain layer (facts.md 1.2)."""

USABLE_PERCENT = 99
"""Share of the capacity that is used (facts.md 1.2, 1 % spare)."""

STACKS = {
    "hbm4_8000": StackGeometry(),
    # 16 channels x 2 pseudo-channels, otherwise alike; 8 GiB a stack ID (facts.md 2.2, HBM3_8Gb_2R)
    "hbm3_5200": StackGeometry(pseudo_channels=32),
}


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
    routes : dict
        How blocks get from one tier to another, by their places in ``tiers``; (0, 0) is from one
        PIM unit to another.
    fetch : Route or None
        How prefill gets the KV of a prefix hit that the GPU cannot read in place.
    clock_ps : int
        Clock of the PIM units and the DMA.
    derived : tuple of str
        Cycles that no simulation produced, and how they were derived.
    figures : dict
        Capacities and rates in plain data, for the report.
    """

    spec: SystemSpec
    model: TransformerModel
    gpu: GpuRoofline
    tiers: tuple[Tier, ...]
    pim: PimArray | None
    routes: dict[tuple[int, int], Route]
    clock_ps: int
    fetch: Route | None = None
    derived: tuple[str, ...] = ()
    figures: dict[str, object] = field(default_factory=dict)


def build_tiers(spec: SystemSpec, model: TransformerModel, timing: TimingTable, *,
                cards: int, host_bytes: int = HOST_BYTES) -> tuple[Tier, ...]:
    """A system's places for KV blocks; :class:`Infeasible` if the weights leave no room."""
    require_int("cards", cards, 1, 64)
    most, heads = model.heads_per_card(cards), model.kv_heads
    sid = STACKS[timing.name].sid_bytes * cards * USABLE_PERCENT

    def plain(sids: int) -> int:
        return sids * sid // 100

    def dense(sids: int) -> int:
        return sids * sid * PIM_DENSITY_PERCENT // 10_000

    if spec.uniform:
        layers, weights = "PIM layers", dense(2 * spec.uniform)
    else:
        layers, weights = "plain layers", plain(2 * spec.plain + spec.split)
    room = weights - model.weight_bytes
    if room < 0:
        raise Infeasible(
            f"{spec.name}: {model.name} does not fit: its weights need "
            f"{model.weight_bytes / 2**30:.1f} GiB, the {layers} of {cards} "
            f"{'card' if cards == 1 else 'cards'} offer {weights / 2**30:.1f} GiB")
    # Plain stacks beside dedicated ones are for weights: they have no path of their own to the KV.
    if spec.split:
        sizes = [("pim", dense(spec.split), WIDE), ("capacity", room, spec.cold_format)]
    elif spec.pim_stacks:
        sizes = [("pim", room if spec.uniform else
                  dense(2 * spec.dedicated) + plain(2 * spec.remote), WIDE)]
    else:
        sizes = [("hbm", room, WIDE)]
    # A tier is full when the card with most KV heads is.
    sizes = [(name, size * heads // (most * cards), form) for name, size, form in sizes]
    if host_bytes:
        sizes.append(("host", host_bytes, spec.cold_format))
    return tuple(Tier(name=name, kv_blocks=size // stored_block_bytes(model, kv_format),
                      kv_format=kv_format) for name, size, kv_format in sizes)


def least_cards(specs: Iterable[SystemSpec], model: TransformerModel, timing: TimingTable) -> int:
    """The fewest cards at which all systems hold the model.

    Of the numbers that divide its KV heads if there is one, or else of the powers of two; if none
    will do, the most that share its heads evenly.
    """
    chosen = list(specs)
    even = [c for c in range(1, 65) if model.kv_heads % c == 0]
    for cards in (*even, *(1 << k for k in range(7))):
        try:
            for spec in chosen:
                build_tiers(spec, model, timing, cards=cards)
        except Infeasible:
            continue
        return cards
    return even[-1]


def _routes(spec: SystemSpec, tiers: tuple[Tier, ...], gpu: GpuRoofline, dma: StackDma | None,
            clock_ps: int) -> dict[tuple[int, int], Route]:
    model = gpu.model
    wide = model.kv_block_bytes
    routes = {(0, 0): kernel_route(gpu, wide, wide)}
    for place, tier in enumerate(tiers[1:], 1):
        size = stored_block_bytes(model, tier.kv_format)
        if tier.name == "host":
            for source in range(place):
                routes[source, place] = host_route(gpu, size, PCIE_BANDWIDTH, up=False,
                                                   by_link=bool(spec.remote))
            routes[place, 0] = host_route(gpu, size, PCIE_BANDWIDTH, up=True,
                                          by_link=bool(spec.remote))
        elif dma is not None:
            routes[0, place] = dma_route(dma, "pim_to_capacity", clock_ps)
            routes[place, 0] = dma_route(dma, "capacity_to_pim", clock_ps)
        else:
            routes[0, place] = kernel_route(gpu, wide, size)
            routes[place, 0] = kernel_route(gpu, size, wide)
    return routes


def build_system(spec: SystemSpec, model: TransformerModel, timing: TimingTable,
                 table: CycleTable, *, cards: int = 1, gpu: GpuSpec = H100,
                 host_bytes: int = HOST_BYTES) -> System:
    """A system for one model; :class:`Infeasible` if the weights leave no room."""
    tiers = build_tiers(spec, model, timing, cards=cards, host_bytes=host_bytes)
    stack = STACKS[timing.name]
    stack_bandwidth = stack.pseudo_channels * BEAT_BYTES * PS_PER_SECOND // timing.clock_ps
    pim = dma = None
    if spec.pim_stacks:
        sids = 1 if spec.split else 2
        pim = PimArray(table, model, cards=cards, stacks=spec.pim_stacks,
                       units_per_stack=stack.pseudo_channels * sids)
    if spec.split and spec.base_die_dma:
        dma = StackDma(table, model, cards=cards, channels=spec.split * stack.pseudo_channels,
                       cold_format=spec.cold_format)
    weight_bandwidth = spec.weight_stacks * stack_bandwidth
    kv_bandwidth = gpu.link_bandwidth if spec.remote else (
        (spec.pim_stacks or spec.plain) * stack_bandwidth)
    roofline = GpuRoofline(
        gpu, model, cards=cards, weight_bandwidth=weight_bandwidth, kv_bandwidth=kv_bandwidth,
        card_bandwidth=STACKS_PER_CARD * stack_bandwidth,
        prefill_bandwidth=weight_bandwidth if spec.remote else kv_bandwidth)
    derived = [dma.derived] if dma and dma.derived else []
    parts = table.passes(model.head_size, model.group) if pim else (model.group,)
    if parts != (model.group,):
        derived.append(f"attention of {model.group} query heads a KV head: derived, as the cycle "
                       "table has no rows for it: the sum of attentions of "
                       f"{' and '.join(map(str, parts))}, each over all of the KV")
    if model.kv_heads % cards:
        derived.append(f"{model.kv_heads} KV heads on {cards} cards: at most "
                       f"{model.heads_per_card(cards)} a card, whose room and time are those of "
                       "all; what that leaves unused on the others stays so")
    if spec.addressing == "host":
        derived.append("wave tables written by software: derived, a burst of 32 bytes over the "
                       "GPU's memory interface for each wave of each attention")
    elif spec.addressing == "base_die" and not table.translations:
        derived.append("translation in the base die: derived, as the cycle table has no row for "
                       "it: no clocks, hidden behind the bank time at one hit a clock "
                       "(DESIGN.md 4)")
    return System(
        spec=spec, model=model, gpu=roofline, tiers=tiers, pim=pim,
        routes=_routes(spec, tiers, roofline, dma, timing.clock_ps), clock_ps=timing.clock_ps,
        fetch=link_route(roofline, model.kv_block_bytes) if spec.remote else None,
        derived=tuple(derived),
        figures={
            "cards": cards, "gpu": gpu.name,
            "weights_gib": round(model.weight_bytes / 2**30, 2),
            "tiers": [{"name": t.name, "format": t.kv_format,
                       "gib": round(t.kv_blocks * stored_block_bytes(model, t.kv_format) / 2**30,
                                    2),
                       "kv_tokens": t.kv_blocks * BLOCK_TOKENS} for t in tiers],
            "weight_bandwidth_gb_s": weight_bandwidth * cards / 1e9,
            "kv_bandwidth_gb_s": kv_bandwidth * cards / 1e9,
            "pim_units": (pim.units if pim else 0) * cards,
            "derived": derived,
        })
