"""Waveform of a short run of the memory channel, and views of it, for ``make waves``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hdl.dram.channel import Channel
from model.spec.geometry import ChannelGeometry
from model.spec.scheduling import SchedulerSpec
from model.spec.slice import SliceSpec
from model.spec.timing import Command, timing_preset
from tb import timeline
from tb.column_recorder import ColumnRecorder
from tb.unit_scenario import UnitScenario
from tb.wave_view import Group, Trace, bank_names, bank_states, command_buses, port_traces
from tb.waveform import Waveform

PARAMETERS: dict[str, Any] = {
    "geometry": {"pim_banks": 2, "capacity_banks": 2, "rows": 8}, "timing": "hbm4_8000",
    "scheduler": {"starvation": 64}}
"""Nobody waits for long, so that who has waited too long fits on the screen."""

SPEC = SliceSpec(geometry=ChannelGeometry(**PARAMETERS["geometry"]),
                 timing=timing_preset(PARAMETERS["timing"]),
                 scheduler=SchedulerSpec(**PARAMETERS["scheduler"]))
TITLE = "A memory channel: row hits, a request that has waited too long, writes, a row pass"
MARGIN = 40
"""Clocks that the picture goes on behind the row pass: the refresh comes much later."""

TOP = "channel"
PORTS = ("gpu", "dma")
POOL = f"{TOP}.requests"
WRITING, URGENT = f"{TOP}.scheduler.writing", f"{TOP}.scheduler.urgent"
ROW, COLUMN = (f"{TOP}.commands__{bus}.command" for bus in ("row", "column"))


def _port(name: str) -> Group:
    window = f"{POOL}.requester_{PORTS.index(name)}"
    return Group(title=f"Port {name}", traces=(
        *port_traces(f"{TOP}.{name}", bank_names(SPEC)),
        Trace(signal=f"{window}.reads.level", title="reads that wait", form="decimal"),
        Trace(signal=f"{window}.writes.level", title="writes that wait", form="decimal"),
        Trace(signal=f"{window}.late", title="late: writes, reads", form="binary")))


def view() -> tuple[Group, ...]:
    """The groups, in the order in which a request passes through them."""
    return (
        Group(title="Clock", traces=(Trace(signal=f"{TOP}.clk", title="clock"),)),
        *(_port(name) for name in PORTS),
        Group(title="Decisions", traces=(
            Trace(signal=WRITING, title="bus is for writes"),
            Trace(signal=URGENT, title="urgent: DMA write, read, GPU write, read", form="binary"),
            Trace(signal=f"{POOL}.clear_way", title="row of the urgent request is open"),
            Trace(signal=f"{TOP}.sequencer.busy", title="PIM banks are for row passes"))),
        command_buses(SPEC, TOP, TOP), bank_states(SPEC, TOP),
        Group(title="Counted", traces=tuple(
            Trace(signal=f"{TOP}.counters__{name}", title=name.replace("_", " "))
            for name in ("row_hits", "row_misses", "row_conflicts"))))


def _lanes(waveform: Waveform) -> Iterator[timeline.Lane]:
    def wire(name: str) -> timeline.Active:
        return waveform.values(f"{TOP}.{name}") != 0

    for port in PORTS:
        taken, write = (wire(f"{port}__request__valid") & wire(f"{port}__request__ready"),
                        wire(f"{port}__request__payload.write"))
        yield (timeline.Lane(f"requests of {port.upper()}").add(taken & ~write, timeline.IN)
               .add(taken & write, timeline.OUT))
    yield (timeline.Lane("bus is for writes").add(waveform.values(WRITING) != 0, timeline.BUSY))
    yield timeline.Lane("somebody is urgent").add(waveform.values(URGENT) != 0, timeline.BUSY)
    yield from timeline.channel_lanes(waveform, SPEC, TOP, TOP)


def _draw(dump: Path, picture: Path) -> None:
    watched = [WRITING, URGENT, *timeline.channel_signals(SPEC, TOP, TOP), *(
        f"{TOP}.{port}__request__{wire}" for port in PORTS
        for wire in ("valid", "ready", "payload.write"))]
    waveform = Waveform(dump, watched, clock=f"{TOP}.clk")
    last = np.flatnonzero(waveform.values(ROW) == Command.PRE_ALL)[-1]
    timeline.draw_unit(picture, waveform, list(_lanes(waveform)), TITLE, (0, int(last) + MARGIN))


def _markers(waveform: Waveform) -> dict[str, int]:
    def first(name: str, *values: int) -> int:
        return int(np.flatnonzero(np.isin(waveform.values(name), values))[0])

    return {"first ACT": first(ROW, Command.ACT), "urgent": first(URGENT, *range(1, 16)),
            "drain": first(COLUMN, Command.WR), "row pass": first(ROW, Command.ACT_ALL),
            "refresh": first(ROW, Command.REF, Command.REF_ALL)}


SCENARIO = UnitScenario(
    top=TOP, name="dram", what="a small memory channel",
    unit=lambda: Channel(SPEC, pim_unit=ColumnRecorder), bench="tb.bench_dram_waves",
    parameters=PARAMETERS, view=view, watched=(URGENT, ROW, COLUMN), markers=_markers,
    screen_clocks=300, picture=_draw)
"""Two ports, two banks of either kind, and row passes beside them."""
