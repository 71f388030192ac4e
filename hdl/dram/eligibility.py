"""Which requests the scheduler may serve, and which rows it may open and close for them."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from amaranth import C, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.dram.timing_guard import ReadySignature
from model.spec.slice import SliceSpec


class Eligibility(wiring.Component):
    """Gives each window the slots for which it may choose a request; no latency.

    Columns: those of the present direction whose row is open. Rows may also be opened ahead, for
    requests of the other direction only in banks that nobody of the present one wants. A row with
    hits is closed for a request only if these hits are of ports that come after it; those are not
    served any more then, since each would put off the PRE by tRTP or tWR. What a port wants whose
    responses are stalled keeps nobody. An urgent request has its bank for itself, open or not.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    ports : int
        Requesters, in order of priority; windows are theirs in turn, reads before writes.

    Members
    -------
    ready : ``In(ReadySignature(spec))``
        What timing allows.
    open : ``In(banks)``
        Slots with an open row.
    held, no_columns : ``In(banks)``
        Slots in which no row is to be opened or closed for a request; in which none is to be used.
    reserve : ``In(1)``
        No row is to be opened.
    writing : ``In(1)``
        The present direction.
    credit : ``In(ports)``
        Ports with room for a response.
    urgent : ``In(windows)``
        The window whose oldest request goes first.
    wanted, hits, oldest : ``In(banks)`` for each window
        What they hold.
    columns_ok, activates_ok, precharges_ok : ``Out(banks)`` for each window
        For which slots they may choose.
    """

    ready: Any
    open: Signal
    held: Signal
    no_columns: Signal
    reserve: Signal
    writing: Signal
    credit: Signal
    urgent: Signal
    wanted: Any
    hits: Any
    oldest: Any
    columns_ok: Any
    activates_ok: Any
    precharges_ok: Any

    def __init__(self, spec: SliceSpec, *, ports: int) -> None:
        banks, self.ports = len(spec.geometry.banks), ports
        masks = ("wanted", "hits", "oldest"), ("columns_ok", "activates_ok", "precharges_ok")
        super().__init__({
            "ready": In(ReadySignature(spec)),
            "open": In(banks), "held": In(banks), "no_columns": In(banks),
            "reserve": In(1), "writing": In(1),
            "credit": In(ports), "urgent": In(2 * ports),
            **{name: In(banks).array(2 * ports) for name in masks[0]},
            **{name: Out(banks).array(2 * ports) for name in masks[1]},
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        windows = range(2 * self.ports)
        banks = len(self.open)
        usable, busy, own = Signal(banks), Signal(banks), Signal(banks)
        m.d.comb += [
            usable.eq(~self.held),
            busy.eq(Mux(self.writing, self._any(self.wanted, windows[1::2]),
                        self._any(self.wanted, windows[0::2]))),
            own.eq(reduce(or_, (Mux(self.urgent[n], self.oldest[n], 0) for n in windows))),
        ]
        for n in windows:
            port, writes = divmod(n, 2)
            present = Signal()
            first, others, mine, kept, contested = (Signal(banks) for _ in range(5))
            earlier = range(writes, n + 1, 2)           # its own direction, ports up to this one
            m.d.comb += [
                present.eq(self.writing if writes else ~self.writing),
                first.eq(Mux(self.urgent[n], self.oldest[n], 0)),
                others.eq((own | Mux(present, 0, busy)) & ~first),
                mine.eq(Mux(self.credit[port], usable & ~others, 0)),
                kept.eq(self._union(Mux(self.credit[e // 2], self.hits[e], 0)
                                    for e in earlier) & ~first),
                contested.eq(self._union(
                    Mux(self.credit[e // 2], self.wanted[e] & ~self.hits[e], 0)
                    for e in earlier[:-1]) & ~first),
                self.columns_ok[n].eq(Mux(
                    present & self.credit[port],
                    (self.ready.wr if writes else self.ready.rd) & ~self.no_columns & ~others
                    & ~contested, 0)),
                self.activates_ok[n].eq(Mux(
                    self.reserve, 0, self.ready.act & ~self.open & mine)),
                self.precharges_ok[n].eq(self.ready.pre & self.open & mine & ~kept),
            ]
        return m

    def _union(self, masks: Iterable[Value]) -> Value:
        return reduce(or_, masks, C(0, len(self.held)))

    @staticmethod
    def _any(masks: Any, which: range) -> Value:
        return reduce(or_, (masks[n] for n in which))
