"""Whether the memory channel has room for another request of the engine."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from model.spec.scheduling import SchedulerSpec


class Room(wiring.Component):
    """Counts what is unanswered, so that no request waits at the port before those behind it.

    The port takes requests in order: a write for which the channel has no room would keep reads
    from it, and the other way round. While nothing is to be written there is no such danger, and
    reads may be more than the channel's window holds, since most of them are on their way back.

    Parameters
    ----------
    limits : SchedulerSpec
        Of the channel.
    reads : int
        Reads that can be unanswered at all.

    Members
    -------
    reading, writing : ``In(1)``
        A read, a write is taken in this clock.
    read, wrote : ``In(1)``
        One was answered.
    dropped : ``In(1)``
        A write that was taken will not be done.
    for_read, for_write : ``Out(1)``
        There is room.
    crowded : ``Out(1)``
        Writes are unanswered, so that reads have to fit the channel's window.
    """

    reading: Signal
    writing: Signal
    read: Signal
    wrote: Signal
    dropped: Signal
    for_read: Signal
    for_write: Signal
    crowded: Signal

    def __init__(self, limits: SchedulerSpec, *, reads: int) -> None:
        self.limits, self.reads = limits, reads
        super().__init__({
            "reading": In(1), "writing": In(1), "read": In(1), "wrote": In(1), "dropped": In(1),
            "for_read": Out(1), "for_write": Out(1), "crowded": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        reads = Signal(range(self.reads + 1))
        writes = Signal(range(self.limits.write_entries + 1))
        m.d.sync += [
            reads.eq((reads + self.reading - self.read)[:len(reads)]),
            writes.eq((writes + self.writing - self.wrote - self.dropped)[:len(writes)]),
        ]
        m.d.comb += [
            self.for_write.eq(writes != self.limits.write_entries),
            self.crowded.eq(writes != 0),
            self.for_read.eq(~self.crowded | (reads < self.limits.read_entries)),
        ]
        return m
