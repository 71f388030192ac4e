"""The front of a requester's port: what a request is, and whether it may enter its window."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.dram.bank_table import RowEventsSignature, bank_slots
from hdl.dram.window_entry import arrival_layout, word_layout
from hdl.layouts import request_layout
from model.spec.port import TAG_WIDTH
from model.spec.slice import SliceSpec


class RequestIntake(wiring.Component):
    """Hands each request to the window of reads or of writes in the clock in which it is offered.

    It waits while its window is full, or while an older request of the port to the same word is in
    a window and one of the two is a write: so the accesses of a port to a word take effect in
    order, in whatever order the scheduler serves the windows. A request to a bank or row that does
    not exist goes to neither; it is kept until a response can be given.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.

    Members
    -------
    request : ``In(stream.Signature(request_layout(spec)))``
        The port's requests.
    open, rows : ``In``
        The banks' state, as in :class:`~hdl.dram.bank_table.BankTable`.
    events : ``In(RowEventsSignature(spec))``
        What the row command of this clock does to it.
    reads, writes : ``Out(stream.Signature(arrival_layout(spec)))``
        To the windows.
    probe : ``Out(word_layout(spec))``
        The word of the request that is offered.
    in_reads, in_writes : ``In(1)``
        Whether a window holds a request to it.
    flush : ``Out(1)``
        A request waits for a write to the same word.
    missing : ``Out(stream.Signature({"tag": 8, "write": 1}))``
        A request to a bank or row that does not exist.
    """

    request: stream.Interface
    open: Signal
    rows: Any
    events: Any
    reads: stream.Interface
    writes: stream.Interface
    probe: data.View
    in_reads: Signal
    in_writes: Signal
    flush: Signal
    missing: stream.Interface

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        banks = len(spec.geometry.banks)
        super().__init__({
            "request": In(stream.Signature(request_layout(spec))),
            "open": In(banks),
            "rows": In(data.ArrayLayout(range(spec.geometry.rows), banks)),
            "events": In(RowEventsSignature(spec)),
            "reads": Out(stream.Signature(arrival_layout(spec))),
            "writes": Out(stream.Signature(arrival_layout(spec))),
            "probe": Out(word_layout(spec)), "in_reads": In(1), "in_writes": In(1),
            "flush": Out(1),
            "missing": Out(stream.Signature(
                data.StructLayout({"tag": TAG_WIDTH, "write": 1}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, word, missing = self.request.p, self.probe, self.missing
        slots, exists, hit = Signal.like(word.slots), Signal(), Signal()
        reads_go, writes_go = Signal(), Signal()
        m.d.comb += [
            slots.eq(bank_slots(self.spec.geometry, request.bank)),
            exists.eq(slots.any() & (request.row < self.spec.geometry.rows)),
            word.slots.eq(slots), word.row.eq(request.row), word.column.eq(request.column),
            hit.eq(self._will_hit(slots)),
            self.flush.eq(self.request.valid & exists & self.in_writes),
            reads_go.eq(exists & ~request.write & ~self.in_writes),
            writes_go.eq(exists & request.write & ~self.in_writes & ~self.in_reads),
            self.reads.valid.eq(self.request.valid & reads_go),
            self.writes.valid.eq(self.request.valid & writes_go),
            self.request.ready.eq(reads_go & self.reads.ready | writes_go & self.writes.ready
                                  | ~exists & ~missing.valid),
        ]
        for window in (self.reads, self.writes):
            m.d.comb += [window.p.word.eq(word), window.p.tag.eq(request.tag),
                         window.p.hit.eq(hit)]
        m.d.comb += self.writes.p.data.eq(request.data)
        with m.If(self.request.valid & ~exists & ~missing.valid):
            m.d.sync += [missing.valid.eq(1), missing.p.tag.eq(request.tag),
                         missing.p.write.eq(request.write)]
        with m.Elif(missing.ready):
            m.d.sync += missing.valid.eq(0)
        return m

    def _will_hit(self, slots: Signal) -> Any:
        """Whether the row of the request is open after this clock's row command."""
        row, events = self.request.p.row, self.events
        open_row = reduce(or_, (Mux(slots[n], self.rows[n], 0) for n in range(len(slots))))
        return Mux((slots & events.opens).any(), row == events.row,
                   (slots & self.open & ~events.closes).any() & (row == open_row))
