"""Whether the channel reads or writes: writes are drained in batches."""

from functools import reduce
from operator import or_

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from model.spec.errors import require_int
from model.spec.slice import SliceSpec

DWELL = 32
"""Clocks from one turn-around to one that an urgent request causes; a pair of them costs 22."""

FRESH = 64
"""Clocks for which a turn-around was lately: with HBM4 two banks can be closed one after the other,
tRTP and tRP each, and refreshed. A choice of this design."""


def before(bits: Value) -> Value:
    """For each bit whether one of a lower index, a port that goes before, is set."""
    return Cat(bits[:n].any() if n else 0 for n in range(len(bits)))


class Direction(wiring.Component):
    """Turns the data bus round as seldom as the limits of the scheduler let it.

    It reads as long as there is something to read, until a port's window of writes is nearly full,
    and then for ``read_burst`` clocks more at most. It writes until there is nothing to write,
    and when a read waits ``write_burst`` times at most, ``preempt_burst`` times if the read's port
    goes before the writes', and half of ``write_burst`` if only one bank group is left to write to,
    since that takes two clocks a write. It decides on what can be served: requests to banks that
    are held, or of a port whose responses are stalled, do not count. A decision takes effect in the
    clock after. A request that goes ahead of everything else turns the bus its way, but not within
    ``DWELL`` clocks of the last turn: if all are late, turning for each would make all of them
    later.

    Parameters
    ----------
    spec : SliceSpec
        Limits.
    ports : int
        Requesters, in order of priority.

    Members
    -------
    reads, writes : ``In(ports)``
        Ports with a read, a write, that can be served.
    full : ``In(ports)``
        Ports with so many writes that they are to be drained, or that wait for one.
    low : ``In(1)``
        No port has more writes than a drain may leave.
    narrow : ``In(1)``
        The writes that can be served are all in one bank group, which takes one every tCCDL.
    reading_late, writing_late : ``In(1)``
        A read, a write goes ahead of everything else.
    read, wrote : ``In(ports)``
        The port's request is served in this clock.
    writing : ``Out(1)``
        RD may not be issued; otherwise WR may not.
    turned : ``Out(1)``
        The bus has been turned in the last ``FRESH`` clocks.
    """

    reads: Signal
    writes: Signal
    full: Signal
    low: Signal
    narrow: Signal
    reading_late: Signal
    writing_late: Signal
    read: Signal
    wrote: Signal
    writing: Signal
    turned: Signal

    def __init__(self, spec: SliceSpec, *, ports: int) -> None:
        require_int("requesters", ports, 1, 8)
        self.limits, self.ports = spec.scheduler, ports
        super().__init__({
            "reads": In(ports), "writes": In(ports), "full": In(ports), "low": In(1),
            "narrow": In(1),
            "reading_late": In(1), "writing_late": In(1),
            "read": In(ports), "wrote": In(ports),
            "writing": Out(1), "turned": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        limits = self.limits
        has_read = Signal()         # since the bus was turned, which takes time
        m.d.sync += has_read.eq(~self.writing & (has_read | self.read.any()))
        pressed, = self._count(
            m, "pressed", limits.read_burst,
            counts=self.full.any() & (has_read | self.read.any()),
            clears=self.writing | ~self.full.any())
        held_up, half = self._count(
            m, "held_up", limits.write_burst, (limits.write_burst + 1) // 2,
            counts=self.reads.any() & self.wrote.any(),
            clears=~self.writing | ~self.reads.any())
        preempted, = self._count(
            m, "preempted", limits.preempt_burst,
            counts=(before(self.reads) & self.wrote).any(),
            clears=~self.writing | ~before(self.reads).any())
        quiet = Cat(self._quiet(m, port) for port in range(self.ports))

        to_writes, to_reads = Signal(), Signal()
        may_turn = self._dwelt(m)
        m.d.comb += [
            to_writes.eq(self.writing_late & may_turn
                         | (self.writes & quiet).any() & ~self.reads.any()
                         | self.writes.any() & pressed),
            to_reads.eq(self.reading_late & may_turn
                        | self.reads.any() & (held_up | preempted | self.low | self.narrow & half)
                        | ~self.writes.any()),
        ]
        m.d.sync += self.writing.eq(Mux(
            self.writing, ~to_reads | self.writing_late, to_writes & ~self.reading_late))
        return m

    @staticmethod
    def _count(m: Module, name: str, most: int, *fewer: int, counts: Value,
               clears: Value) -> tuple[Value, ...]:
        """For each limit, whether there were so many events since it was last cleared."""
        count = Signal(range(most + 1), name=name)
        with m.If(clears):
            m.d.sync += count.eq(0)
        with m.Elif(counts & (count != most)):
            m.d.sync += count.eq(count + 1)
        return tuple((count >= limit) | (count == limit - 1) & counts & ~clears
                     for limit in (most, *fewer))

    def _dwelt(self, m: Module) -> Value:
        """Whether the last turn-around was a while ago."""
        clocks = Signal(range(FRESH + 1))
        was_writing = Signal()
        m.d.sync += was_writing.eq(self.writing)
        with m.If(was_writing != self.writing):
            m.d.sync += clocks.eq(0)
        with m.Elif(clocks != FRESH):
            m.d.sync += clocks.eq(clocks + 1)
        m.d.comb += self.turned.eq(clocks != FRESH)
        return clocks >= DWELL

    def _quiet(self, m: Module, port: int) -> Value:
        """Whether the ports that go before have had nothing to read for a while."""
        if not port:
            return Signal(init=1, name="quiet_0")
        clocks = self.limits.quiet_clocks
        since = Signal(range(clocks + 1), name=f"quiet_for_{port}", init=clocks)
        with m.If(reduce(or_, (self.reads[n] for n in range(port)))):
            m.d.sync += since.eq(0)
        with m.Elif(since != clocks):
            m.d.sync += since.eq(since + 1)
        return since == clocks
