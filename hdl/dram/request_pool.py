"""All requests that wait in the memory channel, and who of them may be served."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dram.bank_table import RowEventsSignature
from hdl.dram.direction import Direction
from hdl.dram.eligibility import Eligibility
from hdl.dram.request_window import CandidateSignature
from hdl.dram.requester import READS, WRITES, Requester
from hdl.dram.timing_guard import ReadySignature
from hdl.dram.urgency import Urgency
from hdl.layouts import BEAT_WIDTH, PortSignature
from model.spec.port import Status
from model.spec.slice import SliceSpec


class RequestPool(wiring.Component):
    """Keeps the windows of every port and offers the scheduler one choice of each; no latency.

    Parameters
    ----------
    spec : SliceSpec
        Geometry, latencies and limits.
    ports : int
        Requesters, in order of priority; windows are theirs in turn, reads before writes.

    Members
    -------
    ports : ``In(PortSignature(spec))`` for each requester
        The requesters.
    open, rows, events, ready : ``In``
        State of the banks, what this clock's row command does to it, and what timing allows.
    held : ``In(banks)``
        Slots in which no row is to be opened or closed for a request.
    refreshing : ``In(banks)``
        Slots that cannot be opened for long.
    leaving : ``In(banks)``
        Those of them in which a row that was opened for a request may still be used, once.
    reserve : ``In(1)``
        No row is to be opened.
    precharged : ``In(banks)``
        Slots that are closed for a request in this clock.
    candidates : ``Out(CandidateSignature(spec))`` for each window
        Their choices.
    writing, urgent : ``Out(1)``, ``Out(windows)``
        The present direction; the window that goes first.
    clear_way : ``Out(1)``
        The row of its request is open.
    pause : ``Out(1)``
        No RD or WR in this clock.
    wanted, hits : ``Out(banks)``
        Slots of all requests, and of those whose row is open.
    resting : ``Out(banks)``
        Slots that only requests of other ports than the first want, and only such as the present
        direction keeps waiting.
    turned : ``Out(1)``
        The bus has been turned lately.
    overdue : ``Out(banks)``
        Slots of requests that have waited for the starvation bound.
    write_data : ``Out(256)``
        The word of the WR issued in this clock; 0 if none is.
    read_data : ``In(256)``, read_status : ``In(Status)``
        The data bus, corrected.
    reader : ``Out(ports)``
        The port that the word on it is for.
    row_hit, row_miss, row_conflict : ``Out(1)``
        A request is served whose row was open; for which its closed bank, a bank with another open
        row was opened.
    """

    ports: Any
    open: Signal
    rows: Any
    events: Any
    ready: Any
    held: Signal
    refreshing: Signal
    leaving: Signal
    reserve: Signal
    precharged: Signal
    candidates: Any
    writing: Signal
    urgent: Signal
    clear_way: Signal
    pause: Signal
    wanted: Signal
    hits: Signal
    resting: Signal
    turned: Signal
    overdue: Signal
    write_data: Signal
    read_data: Signal
    read_status: data.View
    reader: Signal
    row_hit: Signal
    row_miss: Signal
    row_conflict: Signal

    def __init__(self, spec: SliceSpec, *, ports: int) -> None:
        self.spec = spec
        banks = len(spec.geometry.banks)
        super().__init__({
            "ports": In(PortSignature(spec)).array(ports),
            "open": In(banks),
            "rows": In(data.ArrayLayout(range(spec.geometry.rows), banks)),
            "events": In(RowEventsSignature(spec)), "ready": In(ReadySignature(spec)),
            "held": In(banks), "refreshing": In(banks), "leaving": In(banks),
            "reserve": In(1), "precharged": In(banks),
            "candidates": Out(CandidateSignature(spec)).array(2 * ports),
            "writing": Out(1), "urgent": Out(2 * ports), "clear_way": Out(1),
            "pause": Out(1),
            "wanted": Out(banks), "hits": Out(banks), "overdue": Out(banks),
            "resting": Out(banks), "turned": Out(1),
            "write_data": Out(BEAT_WIDTH), "read_data": In(BEAT_WIDTH),
            "read_status": In(Status), "reader": Out(ports),
            "row_hit": Out(1), "row_miss": Out(1), "row_conflict": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports = len(self.ports)
        m.submodules.eligibility = eligibility = Eligibility(self.spec, ports=ports)
        m.submodules.direction = direction = Direction(self.spec, ports=ports)
        m.submodules.urgency = urgency = Urgency(
            windows=2 * ports, burst=self.spec.scheduler.urgent_burst)
        connect(m, eligibility.ready, flipped(self.ready))
        reopened = Signal.like(self.precharged)
        m.d.sync += reopened.eq(reopened & ~self.events.opens | self.precharged)
        unused = Signal.like(reopened)          # rows that were opened and had no column yet
        used = self._all(Mux(candidate.column_issued, candidate.column_word.slots, 0)
                         for candidate in self.candidates)
        m.d.sync += unused.eq(unused & ~used & ~self.events.closes | self.events.opens)
        requesters = []
        for port, outside in enumerate(self.ports):
            m.submodules[f"requester_{port}"] = requester = Requester(self.spec)
            connect(m, flipped(outside), requester.port)
            requesters.append(requester)
            self._connect_requester(m, port, requester, eligibility)
            m.d.comb += requester.reopened.eq(reopened)

        waits = Cat(requester.missing for requester in requesters)
        chosen = (waits & (~waits + 1))[:ports]
        m.d.comb += [
            self.pause.eq(waits.any()),
            Cat(requester.missing_issued for requester in requesters).eq(chosen),
            eligibility.open.eq(self.open), eligibility.held.eq(self.held),
            eligibility.no_columns.eq(self.held & ~(self.leaving & unused)),
            eligibility.reserve.eq(self.reserve), eligibility.writing.eq(self.writing),
            eligibility.urgent.eq(self.urgent),
            eligibility.credit.eq(Cat(requester.credit for requester in requesters)),
            self.writing.eq(direction.writing), self.urgent.eq(urgency.urgent),
            self.turned.eq(direction.turned),
            self.resting.eq(self.wanted & ~self._all(eligibility.wanted[:2]) & ~Mux(
                self.writing, self._all(eligibility.wanted[WRITES::2]),
                self._all(eligibility.wanted[READS::2]))),
            self.write_data.eq(self._all(r.write_data for r in requesters)),
            self.reader.eq(Cat(r.reading for r in requesters)),
            self.wanted.eq(self._all(eligibility.wanted)),
            self.hits.eq(self._all(eligibility.hits)),
            self.overdue.eq(self._all(
                Mux(r.late[side], r.oldest[side], 0) for r in requesters for side in range(2))),
        ]
        self._decide(m, requesters, direction, urgency)
        self._count(m)
        return m

    @staticmethod
    def _all(masks: Any) -> Value:
        return reduce(or_, masks)

    def _connect_requester(self, m: Module, port: int, requester: Requester,
                           eligibility: Eligibility) -> None:
        m.d.comb += [
            requester.open.eq(self.open), requester.rows.eq(self.rows),
            requester.read_data.eq(self.read_data),
            requester.read_status.eq(self.read_status),
            requester.urgent.eq(self.urgent[2 * port:2 * port + 2]),
            *(getattr(requester.events, name).eq(getattr(self.events, name))
              for name in ("opens", "closes", "row")),
        ]
        for side in (READS, WRITES):
            window = 2 * port + side
            connect(m, flipped(self.candidates[window]), requester.candidates[side])
            for name in ("columns_ok", "activates_ok", "precharges_ok"):
                m.d.comb += getattr(requester, name)[side].eq(getattr(eligibility, name)[window])
            for name in ("wanted", "hits", "oldest"):
                m.d.comb += getattr(eligibility, name)[window].eq(getattr(requester, name)[side])

    def _decide(self, m: Module, requesters: list[Requester], direction: Direction,
                urgency: Urgency) -> None:
        """Direction and urgency look at what can be served at all."""
        def servable(slots: Value, requester: Requester) -> Value:
            return (slots & ~self.held & ~self.refreshing).any() & requester.credit

        hits = Cat(r.oldest_hits for r in requesters)
        able = Cat(servable(r.oldest[side], r) for r in requesters for side in (READS, WRITES))
        issued = Cat(candidate.column_issued for candidate in self.candidates)
        first = Cat(candidate.first for candidate in self.candidates)
        m.d.comb += [
            direction.reads.eq(Cat(servable(r.wanted[READS], r) for r in requesters)),
            direction.writes.eq(Cat(servable(r.wanted[WRITES], r) for r in requesters)),
            direction.narrow.eq(self._groups(requesters) == 1),
            direction.full.eq(Cat(r.full for r in requesters)),
            direction.low.eq(Cat(r.low for r in requesters).all()),
            direction.read.eq(issued[READS::2]), direction.wrote.eq(issued[WRITES::2]),
            direction.reading_late.eq(self.urgent[READS::2].any()),
            direction.writing_late.eq(self.urgent[WRITES::2].any()),
            urgency.late.eq(Cat(r.late[side] for r in requesters
                                for side in (READS, WRITES)) & able),
            urgency.following.eq(able & hits),
            urgency.served.eq(issued & first), self.clear_way.eq((self.urgent & hits).any()),
        ]

    def _groups(self, requesters: list[Requester]) -> Value:
        """How many bank groups there are writes for that can be served."""
        slots = self._all(r.wanted[WRITES] for r in requesters) & ~self.held & ~self.refreshing
        groups: dict[int, list[int]] = {}
        for slot, bank in enumerate(self.spec.geometry.banks):
            groups.setdefault(self.spec.geometry.bank_group(bank), []).append(slot)
        return sum((Cat(slots[slot] for slot in each).any() for each in groups.values()), C(0))

    def _count(self, m: Module) -> None:
        for candidate in self.candidates:
            with m.If(candidate.column_issued):
                m.d.comb += [
                    self.row_hit.eq(~candidate.opened),
                    self.row_miss.eq(candidate.opened & ~candidate.reopened),
                    self.row_conflict.eq(candidate.opened & candidate.reopened),
                ]
