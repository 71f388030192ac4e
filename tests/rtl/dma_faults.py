"""Faults planted in the DMA engine, all in one build: one acts while its number is set."""

from collections.abc import Callable
from typing import Any

import pytest
from amaranth import Module
from amaranth.lib import wiring

from hdl.dma import dma_channel, engine, job_walker, mover
from hdl.dma.address_walker import AddressWalker
from hdl.dma.block_resolver import BlockResolver
from hdl.dma.completer import Completer
from hdl.dma.dma_channel import DmaChannel
from hdl.dma.engine import DmaEngine
from hdl.dma.job_walker import JobWalker
from hdl.dma.mover import Mover
from hdl.dma.qos import TokenBucket
from hdl.dma.ring_fetcher import RingFetcher
from hdl.dma.slot_pool import SlotPool
from hdl.dma.stream_path import StreamPath
from tb.dma_software import DMA, SPEC, TRANSLATOR
from tb.dma_system import DmaSystem
from tests.rtl.planted import Plant, PlantedFaults

MOVES, CONTROL, STREAMS, BLOCKS = (f"tb.bench_dma{part}" for part in (
    "", "_control", "_streams", "_blocks"))
SENSE = "what_makes_no_sense_is_refused_and_touches_nothing"


def part(name: str, port: str, value: Any) -> Plant:
    """An input of a submodule is something else."""
    def plant(_: Any, m: Module) -> None:
        target: Any = m.submodules[name]
        for step in port.split("."):
            target = getattr(target, step)
        m.d.comb += target.eq(value)
    return plant


def own(port: str, value: Callable[[Any], Any]) -> Plant:
    """An output of the unit is something else."""
    def plant(unit: Any, m: Module) -> None:
        target: Any = unit
        for step in port.split("."):
            target = getattr(target, step)
        m.d.comb += target.eq(value(unit))
    return plant


FAULTS: dict[str, tuple[type, Plant, str, str]] = {
    "a block is done before it is written": (
        DmaChannel, part("completer", "idle", ~0), BLOCKS,
        "a_block_is_visible_only_when_it_is_whole"),
    "an abort stops nothing": (
        DmaChannel, part("book", "cancel", 0), CONTROL,
        "an_abort_at_any_time_loses_nothing/slow=False"),
    "a stopped channel goes on": (
        DmaChannel, part("walker", "hold", 0), CONTROL,
        "failures_stop_the_channel_or_are_skipped"),
    "another pseudo-channel is this one": (
        DmaChannel, part("resolver", "pseudo_channel", 0), BLOCKS,
        "refusals_of_the_translator_touch_nothing"),
    "segments do not wait for older ones": (
        SlotPool, own("accept", lambda unit: unit.offer & unit.free), MOVES,
        "later_elements_see_what_earlier_ones_wrote"),
    "spoiled beats are written": (
        Mover, part("stage", "spoiled", 0), CONTROL,
        "flips_in_the_buffer_are_corrected_or_told"),
    "the rest of a failed packet stays": (
        Mover, part("side", "clear", 0), STREAMS,
        "aborted_packets_leave_the_streams_in_order"),
    "beats of the host are not counted": (
        StreamPath, own("trouble_valid", lambda _: 0), STREAMS,
        "packets_of_another_length_fail"),
    "regions lie in one bank": (
        JobWalker, part("source_walker", "walk.interleave", 0), MOVES,
        "regions_of_every_shape_arrive_whole/stall=0.0"),
    "strides are one beat too long": (
        JobWalker, part("destination_walker", "walk.stride", 9), MOVES,
        "strides_and_lists_on_either_side/stall=0.0"),
    "overlaps of regions over several banks are overlooked": (
        AddressWalker, own("flips", lambda _: 0), MOVES, SENSE),
    "overlaps behind the first row are overlooked": (
        AddressWalker, own("last_row", lambda unit: unit.first_row), MOVES, SENSE),
    "descriptors without sense are carried out": (
        JobWalker, part("decoder", "faulty", 0), CONTROL,
        "faults_of_memory_are_told_precisely/slow=False"),
    "any doorbell is believed": (
        RingFetcher, own("bad_doorbell", lambda _: 0), CONTROL,
        "a_ring_wraps_and_may_be_full/stall=0.0"),
    "records do not count for the interrupt": (
        Completer, own("completed", lambda _: 0), CONTROL,
        "interrupts_wait_for_company_but_not_for_ever"),
    "residency does not flip": (
        Completer, own("commit.payload.residency", lambda unit: unit.commit.payload.expected),
        BLOCKS, "blocks_move_between_tiers_and_their_residency_with_them/stall=0.0"),
    "lost blocks are not poisoned": (
        Completer, own("commit.payload.residency.poisoned", lambda _: 0), BLOCKS,
        "blocks_that_cannot_be_read_are_poisoned"),
    "a block is not announced": (
        BlockResolver, own("commit.payload.residency.in_flight", lambda _: 0), BLOCKS,
        "a_block_is_visible_only_when_it_is_whole"),
    "the cap is not kept": (
        TokenBucket, own("open", lambda _: 1), CONTROL, "channels_get_their_shares"),
    "priorities do not count": (
        DmaEngine, part("arbiter", "priority_1", 0), CONTROL, "channels_get_their_shares"),
    "weights do not count": (
        DmaEngine, part("arbiter", "weight_0", 1), CONTROL, "channels_get_their_shares"),
}
"""What is wrong: the unit that it is planted in, how, and the bench and test that must see it."""

PATCHED = ((engine, DmaChannel), (engine, Mover), (engine, TokenBucket), (engine, StreamPath),
           (dma_channel, RingFetcher), (dma_channel, JobWalker), (dma_channel, Completer),
           (dma_channel, BlockResolver), (mover, SlotPool), (job_walker, AddressWalker))

PLANTED = PlantedFaults([(unit, plant) for unit, plant, *_ in FAULTS.values()])


def faulty_system() -> wiring.Component:
    """A system with all of them, ready to be built while :func:`patch_units` is in force."""
    engine: Any = PLANTED.faulty(DmaEngine)
    return PLANTED.selectable(DmaSystem(SPEC, DMA, translator=TRANSLATOR, engine=engine))


def patch_units(patch: pytest.MonkeyPatch) -> None:
    """Puts the faulty units in the place of the real ones."""
    for module, unit in PATCHED:
        patch.setattr(module, unit.__name__, PLANTED.faulty(unit))
