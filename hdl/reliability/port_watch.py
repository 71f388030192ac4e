"""Watches every access of a port of the memory channel."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.reliability.watchdog import Watchdog
from model.spec.port import TAG_WIDTH

WRITES_MAX = 1 << 10
"""Writes of one tag under way that are told apart; more than all the windows of a port hold."""


class PortWatch(wiring.Component):
    """Reports an access that is not answered within ``limit`` clocks, at most ``256`` late.

    Reads under way have a tag each. Writes may share one: of them the clock runs from the moment
    when the first was accepted, and no other is accepted while a requester waits for all of a tag,
    as those of this project do before they use it again.

    Parameters
    ----------
    limit : int
        Clocks.

    Members
    -------
    start, start_write, start_tag : ``In``
        A request is accepted.
    finish, finish_write, finish_tag : ``In``
        An answer is taken.
    expired, expired_tag : ``Out``
        For one clock: an access is overdue. Of two in a clock the tag is the read's.
    """

    start: Signal
    start_write: Signal
    start_tag: Signal
    finish: Signal
    finish_write: Signal
    finish_tag: Signal
    expired: Signal
    expired_tag: Signal

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        super().__init__({
            "start": In(1), "start_write": In(1), "start_tag": In(TAG_WIDTH),
            "finish": In(1), "finish_write": In(1), "finish_tag": In(TAG_WIDTH),
            "expired": Out(1), "expired_tag": Out(TAG_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reads = reads = Watchdog(limit=self.limit)
        m.submodules.writes = writes = Watchdog(limit=self.limit)
        m.d.comb += [
            reads.start.eq(self.start & ~self.start_write), reads.start_tag.eq(self.start_tag),
            reads.finish.eq(self.finish & ~self.finish_write),
            reads.finish_tag.eq(self.finish_tag),
            writes.start_tag.eq(self.start_tag), writes.finish_tag.eq(self.finish_tag),
            self.expired.eq(reads.expired | writes.expired),
            self.expired_tag.eq(Mux(reads.expired, reads.expired_tag, writes.expired_tag)),
        ]
        self._count(m, writes)
        return m

    def _count(self, m: Module, writes: Watchdog) -> None:
        """Only the first write of a tag starts its clock, and only the last one stops it."""
        # Counts of tags that are not under way mean nothing, so a reset need not clear them.
        m.submodules.counts = counts = Memory(
            shape=range(WRITES_MAX), depth=1 << TAG_WIDTH, init=[])
        begins, ends = self.start & self.start_write, self.finish & self.finish_write
        same = Signal()
        m.d.comb += same.eq(begins & ends & (self.start_tag == self.finish_tag))
        for event, tag, step in ((begins, self.start_tag, 1), (ends, self.finish_tag, -1)):
            read, write = counts.read_port(domain="comb"), counts.write_port()
            known = Mux(writes.under_way.bit_select(tag, 1), read.data, 0)
            m.d.comb += [read.addr.eq(tag), write.addr.eq(tag),
                         write.data.eq((known + step)[:len(write.data)]),
                         write.en.eq(event & ~(same & (known != 0)))]
            if step > 0:
                m.d.comb += writes.start.eq(event & (known == 0))
            else:
                m.d.comb += writes.finish.eq(event & (known == 1) & ~same)


def watch_port(m: Module, watch: PortWatch, port: Any) -> None:
    """Connects a watch to a port (`PortSignature`), as an observer."""
    request, response = port.request, port.response
    m.d.comb += [
        watch.start.eq(request.valid & request.ready), watch.start_write.eq(request.p.write),
        watch.start_tag.eq(request.p.tag),
        watch.finish.eq(response.valid & response.ready),
        watch.finish_write.eq(response.p.write), watch.finish_tag.eq(response.p.tag),
    ]
