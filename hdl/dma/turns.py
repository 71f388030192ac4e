"""Whether the engine reads or writes: a turn of the data bus costs tRTW or tWTR."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from model.spec.dma import DmaSpec

PATIENCE = 8
"""Clocks without anything to ask for after which the other direction goes ahead, although more of
this one is to come: about the time in which a bank opens a row."""


class Turns(wiring.Component):
    """Turns when the buffer is full, or empty, or when one direction has nothing to ask for.

    Parameters
    ----------
    dma : DmaSpec

    Members
    -------
    can_read, can_write : ``In(1)``
        Something could be asked for at once.
    more_reads, more_writes : ``In(1)``
        More of the kind is under way, and will be possible soon.
    wrote : ``In(1)``
        A write goes in this clock.
    write : ``Out(1)``
        The direction. A buffer-full of writes ends a turn that would not end by itself.
    """

    can_read: Signal
    can_write: Signal
    more_reads: Signal
    more_writes: Signal
    wrote: Signal
    write: Signal

    def __init__(self, dma: DmaSpec) -> None:
        self.dma = dma
        super().__init__({
            "can_read": In(1), "can_write": In(1), "more_reads": In(1), "more_writes": In(1),
            "wrote": In(1), "write": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        idle = Signal(range(PATIENCE + 1))
        written = Signal(range(self.dma.buffer_beats + 1))
        can, more, other, turn = (Signal(name=n) for n in ("can", "more", "other", "turn"))
        m.d.comb += [
            can.eq(Mux(self.write, self.can_write, self.can_read)),
            more.eq(Mux(self.write, self.more_writes, self.more_reads)),
            other.eq(Mux(self.write, self.can_read, self.can_write)),
            turn.eq(other & ((~can & (~more | (idle == PATIENCE)))
                             | (written == self.dma.buffer_beats))),
        ]
        with m.If(can | turn):
            m.d.sync += idle.eq(0)
        with m.Elif(idle != PATIENCE):
            m.d.sync += idle.eq(idle + 1)
        with m.If(turn):
            m.d.sync += [self.write.eq(~self.write), written.eq(0)]
        with m.Elif(self.wrote & (written != self.dma.buffer_beats)):
            m.d.sync += written.eq(written + 1)
        return m
