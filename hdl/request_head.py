"""One requester of the memory channel: what its oldest request needs, and its responses."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.bank_table import bank_slots
from hdl.layouts import BEAT_WIDTH, request_layout, response_layout
from model.spec.slice import SliceSpec

STARVATION_CLOCKS = 512
"""Clocks that a request waits at the head of its port before it goes ahead of everything else."""


class DemandSignature(wiring.Signature):
    """What a request needs next, and what the scheduler makes of it.

    Members
    -------
    activate, precharge, column : ``Out(1)``
        The command that is needed; at most one.
    slots : ``Out(banks)``
        The bank, one bit; 0 if nothing is requested or the bank does not exist.
    keep : ``Out(1)``
        The open row of the bank was opened for this request and is not to be closed by another.
    urgent : ``Out(1)``
        The request has waited for long.
    issued_activate, issued_precharge, issued_column : ``In(1)``
        The command is issued in this clock.
    """

    def __init__(self, spec: SliceSpec) -> None:
        super().__init__({
            "activate": Out(1), "precharge": Out(1), "column": Out(1),
            "slots": Out(len(spec.geometry.banks)), "keep": Out(1), "urgent": Out(1),
            "issued_activate": In(1), "issued_precharge": In(1), "issued_column": In(1),
        })


class RequestHead(wiring.Component):
    """Finds in every clock what the oldest request of a port needs; takes it with its column.

    A request is accepted in the clock in which its RD or WR is issued, one to a bank that does not
    exist at once. One without room for its response asks for nothing.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.

    Members
    -------
    request : ``In(stream.Signature(request_layout(spec)))``
        The port's requests.
    open, rows : ``In``
        The banks' state, as in :class:`~hdl.bank_table.BankTable`.
    held : ``In(banks)``
        Slots that are not to be used now.
    credit : ``In(1)``
        There is room for a response.
    demand : ``Out(DemandSignature(spec))``
        To the scheduler.
    accept, missing : ``Out(1)``
        A request is taken in this clock; it is one to a bank that does not exist.
    row_hit, row_miss, row_conflict : ``Out(1)``
        A request is taken that found its row open; its bank closed; another row open.
    """

    request: stream.Interface
    open: Signal
    rows: Any
    held: Signal
    credit: Signal
    demand: Any
    accept: Signal
    missing: Signal
    row_hit: Signal
    row_miss: Signal
    row_conflict: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        banks = len(spec.geometry.banks)
        super().__init__({
            "request": In(stream.Signature(request_layout(spec))),
            "open": In(banks),
            "rows": In(data.ArrayLayout(range(spec.geometry.rows), banks)),
            "held": In(banks), "credit": In(1),
            "demand": Out(DemandSignature(spec)),
            "accept": Out(1), "missing": Out(1),
            "row_hit": Out(1), "row_miss": Out(1), "row_conflict": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, demand, request = self.spec.geometry, self.demand, self.request.p
        slots, exists, active = Signal(len(self.open)), Signal(), Signal()
        m.d.comb += [
            slots.eq(bank_slots(geometry, request.bank)),
            exists.eq(slots.any() & (request.row < geometry.rows)),
            active.eq(self.request.valid & self.credit & exists),
            self.missing.eq(self.request.valid & self.credit & ~exists),
            demand.slots.eq(Mux(active, slots, 0)),
        ]

        open_row = reduce(or_, (Mux(slots[i], self.rows[i], 0) for i in range(len(self.open))))
        usable, is_open, hit = Signal(), Signal(), Signal()
        opened, closed = Signal(), Signal()          # for the request at the head
        m.d.comb += [
            usable.eq(active & ~(slots & self.held).any()),
            is_open.eq((slots & self.open).any()),
            hit.eq(open_row == request.row),
            demand.activate.eq(usable & ~is_open),
            demand.precharge.eq(usable & is_open & ~hit),
            demand.column.eq(usable & is_open & hit),
            demand.keep.eq(active & opened),
        ]

        waited = Signal(range(STARVATION_CLOCKS + 1))
        m.d.comb += demand.urgent.eq(active & (waited == STARVATION_CLOCKS))
        with m.If(demand.issued_activate):
            m.d.sync += opened.eq(1)
        with m.If(demand.issued_precharge):
            m.d.sync += closed.eq(1)
        with m.If(demand.issued_column):
            m.d.sync += [opened.eq(0), closed.eq(0), waited.eq(0)]
        with m.Elif(active & ~demand.urgent):
            m.d.sync += waited.eq(waited + 1)

        m.d.comb += [
            self.accept.eq(demand.issued_column | self.missing),
            self.request.ready.eq(self.accept),
            self.row_hit.eq(demand.issued_column & ~opened & ~closed),
            self.row_miss.eq(demand.issued_column & opened & ~closed),
            self.row_conflict.eq(demand.issued_column & closed),
        ]
        return m


class ResponseQueue(wiring.Component):
    """Answers accepted requests in order, ``read_latency`` + 1 clocks later unless stalled.

    Every answer takes that long, also a write's, whose data have reached the array by then; so
    answers need no sorting. One answer a clock is sustained.

    Parameters
    ----------
    spec : SliceSpec
        Latencies.

    Members
    -------
    accept, write, missing : ``In(1)``
        A request is accepted in this clock; its kind.
    credit : ``Out(1)``
        A request may be accepted: there will be room for its answer.
    read_data : ``In(256)``
        The data bus.
    response : ``Out(stream.Signature(response_layout()))``
        The port's responses.
    """

    accept: Signal
    write: Signal
    missing: Signal
    credit: Signal
    read_data: Signal
    response: stream.Interface

    def __init__(self, spec: SliceSpec) -> None:
        self.latency = spec.timing.read_latency
        # accept -> data -> queue -> taken -> credit: so many are under way at one a clock
        self.depth = self.latency + 2
        super().__init__({
            "accept": In(1), "write": In(1), "missing": In(1), "credit": Out(1),
            "read_data": In(BEAT_WIDTH),
            "response": Out(stream.Signature(response_layout())),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = response_layout()
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=self.depth)

        room = Signal(range(self.depth + 1), init=self.depth)
        taken = self.response.valid & self.response.ready
        m.d.comb += self.credit.eq(room != 0)
        with m.If(self.accept & ~taken):
            m.d.sync += room.eq(room - 1)
        with m.Elif(taken & ~self.accept):
            m.d.sync += room.eq(room + 1)

        flight = [Signal(self.latency, name=f"flight_{name}")
                  for name in ("valid", "write", "error")]
        for bits, now in zip(flight, (self.accept, self.accept & self.write,
                                      self.accept & self.missing), strict=True):
            m.d.sync += bits.eq((bits << 1 | now)[:self.latency])
        arrived, write, error = (bits[-1] for bits in flight)

        answer = Signal(layout)
        m.d.comb += [
            answer.write.eq(write),
            answer.error.eq(error),
            answer.data.eq(Mux(arrived & ~write & ~error, self.read_data, 0)),
            queue.w_en.eq(arrived),
            queue.w_data.eq(answer.as_value()),
            self.response.payload.as_value().eq(queue.r_data),
            self.response.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.response.ready),
        ]
        return m
