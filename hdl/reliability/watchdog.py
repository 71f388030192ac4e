"""Finds requests that are not answered."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from model.spec.errors import SpecError, require_int
from model.spec.port import TAG_WIDTH


class Watchdog(wiring.Component):
    """Reports a tag that was started and not finished ``limit`` to ``limit + tags`` clocks before.

    One tag is looked at in every clock, in turn. A tag is reported once; then it is forgotten, and
    may be started again. Starting and finishing may happen in one clock, for different tags.

    Parameters
    ----------
    limit : int
        Clocks.
    tags : int
        A power of two.

    Members
    -------
    start, start_tag : ``In``
        A request goes out. Not for a tag that is under way.
    finish, finish_tag : ``In``
        Its answer has come.
    expired, expired_tag : ``Out``
        For one clock: this request is overdue.
    unexpected : ``Out(1)``
        For one clock: a finish of what is not under way (or has been reported), or a start of
        what is.
    under_way : ``Out(tags)``
    """

    start: Signal
    start_tag: Signal
    finish: Signal
    finish_tag: Signal
    expired: Signal
    expired_tag: Signal
    unexpected: Signal
    under_way: Signal

    def __init__(self, *, limit: int, tags: int = 1 << TAG_WIDTH) -> None:
        require_int("tags", tags, 2, 1 << TAG_WIDTH)
        if tags & tags - 1:
            raise SpecError("tags", tags, "a power of two")
        require_int("limit", limit, 1, 1 << 24)
        self.limit, self.tags = limit, tags
        super().__init__({
            "start": In(1), "start_tag": In(range(tags)),
            "finish": In(1), "finish_tag": In(range(tags)),
            "expired": Out(1), "expired_tag": Out(range(tags)),
            "unexpected": Out(1), "under_way": Out(tags),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The oldest is seen by limit + tags: its age never wraps
        now = Signal((self.limit + 2 * self.tags).bit_length())
        age = Signal.like(now)
        turn = Signal(range(self.tags))
        m.d.sync += [now.eq(now + 1), turn.eq(turn + 1)]
        m.submodules.starts = starts = Memory(shape=now.shape(), depth=self.tags, init=[])
        write, read = starts.write_port(), starts.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.start), write.addr.eq(self.start_tag), write.data.eq(now),
            read.addr.eq(turn), age.eq((now - read.data)[:len(now)]),
            self.expired_tag.eq(turn),
            self.expired.eq(self.under_way.bit_select(turn, 1) & (age >= self.limit)
                            & ~(self.finish & (self.finish_tag == turn))),
            self.unexpected.eq(
                (self.finish & ~self.under_way.bit_select(self.finish_tag, 1))
                | (self.start & self.under_way.bit_select(self.start_tag, 1)
                   & ~(self.finish & (self.finish_tag == self.start_tag)))),
        ]
        started, ended = (Signal(self.tags, name=name) for name in ("started", "ended"))
        m.d.comb += [
            started.eq(Mux(self.start, 1 << self.start_tag, 0)),
            ended.eq(Mux(self.finish, 1 << self.finish_tag, 0) | Mux(self.expired, 1 << turn, 0)),
        ]
        m.d.sync += self.under_way.eq(started | self.under_way & ~ended)
        return m


def watch(m: Module, watchdog: Watchdog, port: Any) -> None:
    """Connects a watchdog to a port of the memory channel (`PortSignature`), as an observer."""
    m.d.comb += [
        watchdog.start.eq(port.request.valid & port.request.ready),
        watchdog.start_tag.eq(port.request.payload.tag),
        watchdog.finish.eq(port.response.valid & port.response.ready),
        watchdog.finish_tag.eq(port.response.payload.tag),
    ]
