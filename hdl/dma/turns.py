"""Whether the engine reads or writes: a turn of the data bus costs tRTW or tWTR."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from model.spec.dma import DmaSpec

PATIENCE = 8
"""Clocks without anything to ask for, and without an answer, after which the other direction goes
ahead, although more of this one is to come: about the time in which a bank opens a row."""


class Turns(wiring.Component):
    """Turns when the buffer is full, or empty, or when one direction has nothing to ask for.

    Beside others the channel turns when it thinks fit. While it reads for them, its window of
    writes stays full: then the engine reads too, as far as its buffer has room, and goes on
    writing as soon as the channel does.

    Parameters
    ----------
    dma : DmaSpec

    Members
    -------
    can_read, can_write : ``In(1)``
        Something could be asked for at once, and the channel has room for it.
    more_reads, more_writes : ``In(1)``
        More of the kind is under way, and will be possible soon.
    answered, acked : ``In(1)``
        A beat has been read, has been written in this clock. While its own direction is answered,
        that there is nothing to ask for is no reason to turn.
    wrote : ``In(1)``
        A write goes in this clock.
    write : ``Out(1)``
        The direction. A buffer-full of writes ends a turn that would not end by itself.
    """

    can_read: Signal
    can_write: Signal
    more_reads: Signal
    more_writes: Signal
    answered: Signal
    acked: Signal
    wrote: Signal
    write: Signal

    def __init__(self, dma: DmaSpec) -> None:
        self.dma = dma
        super().__init__({
            "can_read": In(1), "can_write": In(1), "more_reads": In(1), "more_writes": In(1),
            "answered": In(1), "acked": In(1), "wrote": In(1), "write": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        idle = Signal(range(PATIENCE + 1))
        written = Signal(range(self.dma.buffer_beats + 1))
        parked = Signal()           # writes wait for the channel, and reads go in between
        can, more, other, turn, goes = (
            Signal(name=n) for n in ("can", "more", "other", "turn", "goes"))
        m.d.comb += [
            can.eq(Mux(self.write, self.can_write, self.can_read)),
            more.eq(Mux(self.write, self.more_writes, self.more_reads)),
            other.eq(Mux(self.write, self.can_read, self.can_write)),
            goes.eq(Mux(self.write, self.acked, self.answered)),
            turn.eq(other & ((~can & (~more | (idle == PATIENCE)))
                             | (written == self.dma.buffer_beats)
                             | (~self.write & parked & self.acked))),
        ]
        with m.If(can | goes | turn):
            m.d.sync += idle.eq(0)
        with m.Elif(idle != PATIENCE):
            m.d.sync += idle.eq(idle + 1)
        with m.If(turn):
            m.d.sync += [self.write.eq(~self.write), written.eq(0),
                         parked.eq(self.write & more)]
        with m.Elif(self.wrote & (written != self.dma.buffer_beats)):
            m.d.sync += written.eq(written + 1)
        return m
