# amaranth: UnusedElaboratable=no
# (one of the identical windows is converted, the others only lend their ports)
"""One requester of the memory channel: its windows and its responses."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dram.bank_table import RowEventsSignature
from hdl.dram.request_intake import RequestIntake
from hdl.dram.request_window import CandidateSignature, RequestWindow
from hdl.dram.response_queue import ResponseQueue
from hdl.dram.window_entry import STAMP_WIDTH
from hdl.layouts import BEAT_WIDTH, PortSignature
from hdl.shared import Shared
from model.spec.port import Status
from model.spec.slice import SliceSpec

READS, WRITES = 0, 1
"""Index of a requester's windows."""


def _read_window(spec: SliceSpec) -> RequestWindow:
    return RequestWindow(spec, entries=spec.scheduler.read_entries, holds_data=False)


def _write_window(spec: SliceSpec) -> RequestWindow:
    return RequestWindow(spec, entries=spec.scheduler.write_entries, holds_data=True)


class Requester(wiring.Component):
    """Takes a request a clock into the window of reads or of writes and answers it when served.

    Parameters
    ----------
    spec : SliceSpec
        Geometry, latencies and sizes of the windows.

    Members
    -------
    port : ``In(PortSignature(spec))``
        The requester.
    open, rows, events, reopened : ``In``
        State of the banks, as in :class:`~hdl.dram.bank_table.BankTable` and
        :class:`~hdl.dram.request_window.RequestWindow`.
    columns_ok, activates_ok, precharges_ok : ``In(banks)`` for each window
        For which slots it may choose a request.
    urgent : ``In(2)``
        Windows whose oldest has its bank for itself.
    candidates : ``Out(CandidateSignature(spec))`` for each window
        Their choices.
    wanted, hits, oldest : ``Out(banks)`` for each window
        What they hold.
    oldest_hits : ``Out(2)``
        Windows whose oldest request hits an open row.
    late : ``Out(2)``
        Windows whose oldest request has waited for the starvation bound.
    full, low : ``Out(1)``
        Writes are to be drained, or a request waits for one; the drain may end.
    credit : ``Out(1)``
        There is room for a response.
    missing, missing_issued : ``Out(1)``, ``In(1)``
        A request that no bank can serve is to be answered; it is, in the place of a column.
    write_data : ``Out(256)``
        The word of the write that is issued in this clock; 0 if none is.
    read_data : ``In(256)``, read_status : ``In(Status)``
        The data bus, corrected.
    reading : ``Out(1)``
        The word on it is for this port.
    """

    port: Any
    open: Signal
    rows: Any
    events: Any
    reopened: Signal
    columns_ok: Any
    activates_ok: Any
    precharges_ok: Any
    urgent: Signal
    candidates: Any
    wanted: Any
    hits: Any
    oldest: Any
    oldest_hits: Signal
    late: Signal
    full: Signal
    low: Signal
    credit: Signal
    missing: Signal
    missing_issued: Signal
    write_data: Signal
    read_data: Signal
    read_status: data.View
    reading: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        banks = len(spec.geometry.banks)
        super().__init__({
            "port": In(PortSignature(spec)),
            "open": In(banks),
            "rows": In(data.ArrayLayout(range(spec.geometry.rows), banks)),
            "events": In(RowEventsSignature(spec)), "reopened": In(banks),
            **{name: In(banks).array(2)
               for name in ("columns_ok", "activates_ok", "precharges_ok")},
            "urgent": In(2),
            "candidates": Out(CandidateSignature(spec)).array(2),
            **{name: Out(banks).array(2) for name in ("wanted", "hits", "oldest")},
            "oldest_hits": Out(2), "late": Out(2), "full": Out(1), "low": Out(1), "credit": Out(1),
            "missing": Out(1), "missing_issued": In(1),
            "write_data": Out(BEAT_WIDTH), "read_data": In(BEAT_WIDTH),
            "read_status": In(Status), "reading": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, limits = self.spec, self.spec.scheduler
        m.submodules.intake = intake = RequestIntake(spec)
        reads: Any = Shared("read_window", _read_window, spec)
        writes: Any = Shared("write_window", _write_window, spec)
        m.submodules.reads, m.submodules.writes = reads, writes
        m.submodules.responses = responses = ResponseQueue(spec)

        connect(m, intake.request, flipped(self.port.request))
        connect(m, flipped(self.port.response), responses.response)
        connect(m, intake.reads, reads.i)
        connect(m, intake.writes, writes.i)
        now = Signal(STAMP_WIDTH)
        m.d.sync += now.eq(now + 1)
        for n, window in enumerate((reads, writes)):
            self._connect_window(m, n, window, intake, now)
        read, written = (c.column_issued for c in self.candidates)
        answered = Mux(written, writes.candidate.tag, reads.candidate.tag)
        m.d.comb += [
            intake.open.eq(self.open), intake.rows.eq(self.rows),
            intake.in_reads.eq(reads.contains), intake.in_writes.eq(writes.contains),
            self.full.eq((writes.level >= limits.write_high) | intake.flush),
            self.low.eq(writes.level <= limits.write_low),
            self.oldest_hits.eq(Cat(reads.oldest_hits, writes.oldest_hits)),
            self.late.eq(Cat(reads.late, writes.late)),
            self.credit.eq(responses.credit),
            self.missing.eq(intake.missing.valid & responses.credit),
            intake.missing.ready.eq(self.missing_issued),
            self.write_data.eq(Mux(written, writes.data, 0)),

            responses.accept.eq(read | written | self.missing_issued),
            responses.missing.eq(self.missing_issued),
            responses.write.eq(Mux(self.missing_issued, intake.missing.p.write, written)),
            responses.tag.eq(Mux(self.missing_issued, intake.missing.p.tag, answered)),
            responses.read_data.eq(self.read_data),
            responses.read_status.eq(self.read_status), self.reading.eq(responses.reading),
        ]
        for part in (intake.events, reads.events, writes.events):
            m.d.comb += [getattr(part, name).eq(getattr(self.events, name))
                         for name in ("opens", "closes", "row")]
        return m

    def _connect_window(self, m: Module, n: int, window: Any, intake: RequestIntake,
                        now: Signal) -> None:
        connect(m, flipped(self.candidates[n]), window.candidate)
        m.d.comb += [
            window.now.eq(now), window.reopened.eq(self.reopened),
            window.probe.eq(intake.probe),
            window.alone.eq(self.urgent[n]),
        ]
        for name in ("columns_ok", "activates_ok", "precharges_ok"):
            m.d.comb += getattr(window, name).eq(getattr(self, name)[n])
        for name in ("wanted", "hits", "oldest"):
            m.d.comb += getattr(self, name)[n].eq(getattr(window, name))
