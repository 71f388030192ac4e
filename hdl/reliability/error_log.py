"""A queue of what has gone wrong."""

from functools import reduce
from operator import add
from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.reliability.layouts import TIME_WIDTH, error_layout
from model.spec.errors import require_int
from model.spec.geometry import ChannelGeometry
from model.spec.registers import ERROR_KINDS

COUNT_WIDTH = 32


class ErrorLog(wiring.Component):
    """Keeps records of errors in the order of their time, and counts all of them.

    Each source may report once a clock. A record is readable two clocks later. One that finds the
    queue full, or its source's earlier record still waiting for its turn, is counted as lost, never
    dropped in silence; its kind is counted, too. Of several in a clock the lowest source goes
    first. Counts stop at their largest value.

    Parameters
    ----------
    geometry : ChannelGeometry
    sources : int
    depth : int
        Records that are kept, at least 2.

    Members
    -------
    report_valid : ``In(sources)``
    reports : ``In`` of ``error_layout(geometry)`` for each source
    o : ``Out(stream)`` of the error and its ``time``, in clocks since reset
        The oldest record; taken when it is no longer needed.
    level : ``Out``
        Records that are kept.
    counts : ``Out`` of 32 bits for each kind
    lost : ``Out(32)``
    clear : ``In(1)``
        Counts and ``lost`` become 0; what is reported in this clock is not counted.
    """

    report_valid: Signal
    reports: Any
    o: stream.Interface
    level: Signal
    counts: data.View
    lost: Signal
    clear: Signal

    def __init__(self, geometry: ChannelGeometry, *, sources: int, depth: int = 16) -> None:
        require_int("sources", sources, 1, 16)
        require_int("depth", depth, 2, 1 << 10)
        self.sources, self.depth = sources, depth
        self.error = error_layout(geometry)
        self.record = data.StructLayout({"error": self.error, "time": TIME_WIDTH})
        super().__init__({
            "report_valid": In(sources),
            "reports": In(data.ArrayLayout(self.error, sources)),
            "o": Out(stream.Signature(self.record)), "level": Out(range(depth + 1)),
            "counts": Out(data.StructLayout(dict.fromkeys(ERROR_KINDS, COUNT_WIDTH))),
            "lost": Out(COUNT_WIDTH), "clear": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        queue: Any = SyncFIFOBuffered(width=self.record.size, depth=self.depth)
        m.submodules.queue = queue
        now, chosen = Signal(TIME_WIDTH), Signal(self.record)
        m.d.sync += now.eq(now + 1)
        waiting, leaves, dropped, taken = [], [], [], Value.cast(0)
        for n in range(self.sources):
            held, busy = Signal(self.record, name=f"held_{n}"), Signal(name=f"busy_{n}")
            goes = busy & ~taken
            with m.If(goes):
                m.d.comb += chosen.eq(held)
            with m.If(self.report_valid[n] & (~busy | goes)):
                m.d.sync += [held.error.eq(self.reports[n]), held.time.eq(now), busy.eq(1)]
            with m.Elif(goes):
                m.d.sync += busy.eq(0)
            dropped.append(self.report_valid[n] & busy & ~goes)
            waiting.append(busy)
            leaves.append(goes)
            taken = taken | busy
        some = Cat(waiting).any()
        m.d.comb += [
            queue.w_en.eq(some), queue.w_data.eq(chosen.as_value()),
            self.o.payload.as_value().eq(queue.r_data), self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready), self.level.eq(queue.level),
        ]
        self._count(m, self.lost, [*dropped, some & ~queue.w_rdy])
        for number, name in enumerate(ERROR_KINDS):
            self._count(m, self.counts[name], [
                self.report_valid[n] & (self.reports[n].kind == number)
                for n in range(self.sources)])
        return m

    def _count(self, m: Module, count: Any, events: list[Value]) -> None:
        raised = Signal(COUNT_WIDTH + 1)
        m.d.comb += raised.eq((count + reduce(add, events))[:COUNT_WIDTH + 1])
        m.d.sync += count.eq(Mux(raised[COUNT_WIDTH], (1 << COUNT_WIDTH) - 1,
                                 raised[:COUNT_WIDTH]))
        with m.If(self.clear):
            m.d.sync += count.eq(0)
