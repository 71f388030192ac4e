"""Waveform of a short run of the DMA engine, and views of it, for ``make waves``."""

from hdl.dma import block_resolver, completer, job_walker, slot_pool
from model.spec.dma import Result
from tb.dma_software import DMA, SPEC, TRANSLATOR
from tb.dma_system import DmaSystem
from tb.unit_scenario import UnitScenario, enum_names
from tb.wave_view import Group, Trace, bank_names, port_traces
from tb.waveform import Waveform, intervals

TOP = "dma"
ENGINE = f"{TOP}.engine"
MOVER = f"{ENGINE}.mover"

WALKS = enum_names("walks", job_walker.WalkState, blank=("IDLE",))
ENDS = enum_names("ends", completer.EndState, blank=("LOOK",))
QUESTIONS = enum_names("questions", block_resolver.AskState, blank=("IDLE",))
SLOTS = enum_names("slots", slot_pool.State, blank=("FREE",))
RESULTS = enum_names("results", Result, blank=("DONE",))


def _channel(number: int) -> Group:
    unit = f"{ENGINE}.channel_{number}"
    return Group(title=f"Channel {number}", traces=(
        Trace(signal=f"{unit}.fetcher.waiting", title="fetches"),
        Trace(signal=f"{unit}.walker.begun", title="begun", form="decimal"),
        Trace(signal=f"{unit}.walker.state", title="walker", form="decimal", names=WALKS),
        Trace(signal=f"{unit}.resolver.state", title="translator asked", form="decimal",
              names=QUESTIONS),
        Trace(signal=f"{unit}.offer", title="offers a segment"),
        Trace(signal=f"{unit}.accept", title="... which is taken"),
        Trace(signal=f"{unit}.completer.state", title="completer", form="decimal", names=ENDS),
        Trace(signal=f"{unit}.completer.outcome.result", title="result", form="decimal",
              names=RESULTS),
        Trace(signal=f"{unit}.completer.head", title="done", form="decimal"),
        Trace(signal=f"{ENGINE}.interrupt_{number}.pending", title="interrupt")))


def view() -> tuple[Group, ...]:
    """The groups, in the order in which a descriptor passes through them."""
    return (
        Group(title="Software", traces=(
            Trace(signal=f"{TOP}.clk", title="clock"),
            Trace(signal=f"{TOP}.doorbell", title="doorbell", form="binary"),
            Trace(signal=f"{TOP}.pending", title="interrupts", form="binary"))),
        *(_channel(number) for number in range(DMA.channels)),
        Group(title="Buffer", traces=tuple(
            Trace(signal=f"{MOVER}.pool.state_{slot}", title=f"slot {slot}", form="decimal",
                  names=SLOTS) for slot in range(DMA.slots))),
        Group(title="Mover", traces=(
            Trace(signal=f"{MOVER}.turns.write", title="writing"),
            Trace(signal=f"{MOVER}.reads.held", title="rows being read", form="binary"),
            Trace(signal=f"{MOVER}.writes.held", title="rows being written", form="binary"))),
        Group(title="Memory", traces=port_traces(f"{TOP}.port", bank_names(SPEC))))


def _markers(waveform: Waveform) -> dict[str, int]:
    writing = intervals(waveform.values(f"{MOVER}.turns.write") != 0)
    return {"first writes": writing[0][0], "last turn": writing[-1][1]}


SCENARIO = UnitScenario(
    top=TOP, what="a small DMA engine",
    unit=lambda: DmaSystem(SPEC, DMA, translator=TRANSLATOR),
    bench="tb.bench_dma_waves", parameters={"fault": 0}, view=view,
    watched=(f"{MOVER}.turns.write",), markers=_markers, screen_clocks=400)
"""A block that is promoted by its id, and a plain move of another channel."""
