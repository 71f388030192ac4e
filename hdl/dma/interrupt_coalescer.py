"""Raises the interrupt of a channel after some completions, or some time."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from model.spec.dma import INTERRUPT_SETTINGS


class InterruptCoalescer(wiring.Component):
    """Pending one clock after the event that raises it, until it is cleared.

    Members
    -------
    count, timeout : ``In(8)``, ``In(16)``
        Completions that raise it, 0 counting as 1; clocks after the first of them, 0 for no limit.
    completed, failed : ``In(1)``
        A completion that counts; a failure, which raises it at once.
    clear : ``In(1)``
        Software has seen it. What comes in the same clock is not lost.
    pending : ``Out(1)``
    """

    count: Signal
    timeout: Signal
    completed: Signal
    failed: Signal
    clear: Signal
    pending: Signal

    def __init__(self) -> None:
        super().__init__({
            "count": In(INTERRUPT_SETTINGS["count"]), "timeout": In(INTERRUPT_SETTINGS["timeout"]),
            "completed": In(1), "failed": In(1), "clear": In(1), "pending": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        seen = Signal(len(self.count) + 1)
        clocks = Signal(len(self.timeout))
        now = Signal.like(seen)
        late = Signal()
        limit = Mux(self.count == 0, 1, self.count)
        m.d.comb += [
            now.eq((seen + self.completed)[:len(seen)]),
            late.eq((seen != 0) & (self.timeout != 0) & (clocks >= self.timeout)),
        ]
        with m.If(self.clear):
            m.d.sync += self.pending.eq(0)
        with m.If((now >= limit) | late | self.failed):
            m.d.sync += [self.pending.eq(1), seen.eq(0), clocks.eq(0)]
        with m.Else():
            m.d.sync += seen.eq(now)
            with m.If(now != 0):
                m.d.sync += clocks.eq(clocks + 1)
        return m
