"""Performance counters."""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.host.axi_lite import DATA_WIDTH
from model.spec.registers import COUNTERS

DURATIONS = ("attend_cycles", "dma_cycles")
"""Counters that measure the last run of an operation."""

EVENTS = tuple(name for name in COUNTERS if name not in DURATIONS)
"""Counters that count clocks in which something happened, since reset."""


class Counters(wiring.Component):
    """Counts events since reset, and the clocks of the last attention and the last block move.

    A duration starts at 0 in the clock of the start and counts while its operation is busy; it
    keeps its value until the next start.

    Members
    -------
    events : ``In`` of one bit for each of ``EVENTS``
    start_attend, start_move, attend_busy, move_busy : ``In(1)``
    values : ``Out`` of 32 bits for each of ``COUNTERS``
    """

    events: data.View
    start_attend: Signal
    start_move: Signal
    attend_busy: Signal
    move_busy: Signal
    values: data.View

    def __init__(self) -> None:
        super().__init__({
            "events": In(data.StructLayout(dict.fromkeys(EVENTS, 1))),
            "start_attend": In(1), "start_move": In(1),
            "attend_busy": In(1), "move_busy": In(1),
            "values": Out(data.StructLayout(dict.fromkeys(COUNTERS, DATA_WIDTH))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name in EVENTS:
            with m.If(self.events[name]):
                m.d.sync += self.values[name].eq(self.values[name] + 1)
        for name, start, busy in (("attend_cycles", self.start_attend, self.attend_busy),
                                  ("dma_cycles", self.start_move, self.move_busy)):
            with m.If(busy):
                m.d.sync += self.values[name].eq(self.values[name] + 1)
            with m.Elif(start):
                m.d.sync += self.values[name].eq(0)
        return m
