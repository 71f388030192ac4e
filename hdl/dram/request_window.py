# amaranth: UnusedElaboratable=no
# (one of the identical entries is converted, the others only lend their ports)
"""The requests of one port and direction that wait for their column command, oldest first."""

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.dram.bank_table import RowEventsSignature
from hdl.dram.window_entry import (
    STAMP_WIDTH,
    WindowEntry,
    arrival_layout,
    entry_layout,
    word_layout,
)
from hdl.layouts import BEAT_WIDTH
from hdl.shared import Shared
from model.spec.port import TAG_WIDTH
from model.spec.slice import SliceSpec


class CandidateSignature(wiring.Signature):
    """What a window offers to the scheduler, and what becomes of it.

    Members
    -------
    column, activate, precharge : ``Out(1)``
        A request is chosen for RD or WR, for ACT, for PRE.
    column_word, activate_word : ``Out(word_layout(spec))``
        Its word; of PRE only ``precharge_slots``.
    tag, opened, reopened : ``Out``
        More of the request chosen for its column: its tag; a row was opened for it; another had
        been closed for that.
    first : ``Out(1)``
        That request is the oldest.
    column_issued, activate_issued : ``In(1)``
        The command is issued in this clock; with its column a request leaves.
    """

    def __init__(self, spec: SliceSpec) -> None:
        super().__init__({
            "column": Out(1), "column_word": Out(word_layout(spec)),
            "tag": Out(TAG_WIDTH), "opened": Out(1), "reopened": Out(1), "first": Out(1),
            "activate": Out(1), "activate_word": Out(word_layout(spec)),
            "precharge": Out(1), "precharge_slots": Out(len(spec.geometry.banks)),
            "column_issued": In(1), "activate_issued": In(1),
        })


def oldest_of(bits: Sequence[Value]) -> Value:
    """The lowest bit that is set, alone."""
    mask = Cat(bits)
    return mask & (~mask + 1)[:len(bits)]


def selected(chosen: Value, values: Iterable[ValueLike]) -> Value:
    """The value at the one bit that is set; 0 if none is. Several bits: all values, by OR."""
    return reduce(or_, (Mux(chosen[i], value, 0) for i, value in enumerate(values)))


class RequestWindow(wiring.Component):
    """Holds requests in the order of their arrival; chooses the oldest that may for each command.

    A request can be picked in the clock after it came; one comes and one leaves a clock. Younger
    requests move up when one leaves. Words to be written stay in a memory, and the number of their
    place moves with the request.

    Parameters
    ----------
    spec : SliceSpec
        Geometry and the starvation bound.
    entries : int
        Requests that it holds.
    holds_data : bool
        Whether these are writes.

    Members
    -------
    i : ``In(stream.Signature(arrival_layout(spec)))``
        Requests; ``hit`` as the row will be in the next clock.
    now : ``In(STAMP_WIDTH)``
        Running count of clocks.
    events : ``In(RowEventsSignature(spec))``
        The row command of this clock.
    reopened : ``In(banks)``
        Slots in which a row was closed for a request since one was opened.
    columns_ok, activates_ok, precharges_ok : ``In(banks)``
        Slots for which requests may be chosen.
    alone : ``In(1)``
        Younger requests to the bank of the oldest may not.
    candidate : ``Out(CandidateSignature(spec))``
        To the scheduler.
    wanted, hits : ``Out(banks)``
        Slots of all requests, and of those whose row is open.
    oldest : ``Out(banks)``
        The slot of the oldest request.
    oldest_hits : ``Out(1)``
        Its row is open.
    late : ``Out(1)``
        It has waited for the starvation bound.
    level : ``Out``
        Requests in the window.
    data : ``Out(256)``
        With ``holds_data``: the word of the request chosen for its column.
    probe : ``In(word_layout(spec))``
        A word,
    contains : ``Out(1)``
        and whether a request to it is in the window.
    """

    i: stream.Interface
    now: Signal
    events: Any
    reopened: Signal
    columns_ok: Signal
    activates_ok: Signal
    precharges_ok: Signal
    alone: Signal
    candidate: Any
    wanted: Signal
    hits: Signal
    oldest: Signal
    oldest_hits: Signal
    late: Signal
    level: Signal
    data: Signal
    probe: Any
    contains: Signal

    def __init__(self, spec: SliceSpec, *, entries: int, holds_data: bool) -> None:
        self.spec, self.entries, self.holds_data = spec, entries, holds_data
        banks = len(spec.geometry.banks)
        super().__init__({
            "i": In(stream.Signature(arrival_layout(spec))),
            "now": In(STAMP_WIDTH),
            "events": In(RowEventsSignature(spec)), "reopened": In(banks),
            "columns_ok": In(banks), "activates_ok": In(banks), "precharges_ok": In(banks),
            "alone": In(1),
            "candidate": Out(CandidateSignature(spec)),
            "wanted": Out(banks), "hits": Out(banks), "oldest": Out(banks),
            "oldest_hits": Out(1), "late": Out(1), "level": Out(range(entries + 1)),
            "data": Out(BEAT_WIDTH),
            "probe": In(word_layout(spec)), "contains": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entries: list[Any] = []
        for n in range(self.entries):
            m.submodules[f"entry_{n}"] = entry = Shared("window_entry", WindowEntry, self.spec)
            entries.append(entry)
        valid = Signal(self.entries)
        chosen = {name: Signal(self.entries, name=f"chosen_{name}")
                  for name in ("column", "activate", "precharge")}
        for name, mask in chosen.items():
            m.d.comb += mask.eq(oldest_of([getattr(entry, name) for entry in entries]))
        self._show(m, entries, valid, chosen)

        leaves = Signal(self.entries)           # the one that leaves, and all younger ones
        stay, arrives = Signal(self.entries), Signal(self.entries)
        gone = self.candidate.column_issued
        m.d.comb += [
            leaves.eq(Mux(gone, ~(chosen["column"] - 1)[:self.entries], 0)),
            stay.eq(Mux(gone, valid >> 1, valid)),
            arrives.eq(Mux(self.i.valid & self.i.ready, ~stay & (stay << 1 | 1), 0)
                       [:self.entries]),
            self.i.ready.eq(~valid[-1]),
        ]
        m.d.sync += [
            valid.eq(stay | arrives),
            self.level.eq((self.level + arrives.any() - gone)[:len(self.level)]),
        ]
        self._connect_entries(m, entries, valid, chosen["activate"], leaves, arrives)
        if self.holds_data:
            self._keep_data(m, chosen["column"], leaves, arrives)
        return m

    def _show(self, m: Module, entries: list[Any], valid: Signal,
              chosen: dict[str, Signal]) -> None:
        candidate, oldest = self.candidate, entries[0].entry
        leaves = candidate.column_issued & candidate.first
        age = (self.now - oldest.since)[:STAMP_WIDTH]
        m.d.sync += self.late.eq(valid[0] & ~leaves & (
            self.late | (age >= self.spec.scheduler.starvation)))
        slots = [place.entry.word.slots for place in entries]
        hits = [place.entry.hit for place in entries]
        m.d.comb += [
            candidate.first.eq(chosen["column"][0]),
            self.oldest.eq(Mux(valid[0], oldest.word.slots, 0)),
            self.oldest_hits.eq(valid[0] & oldest.hit),
            self.wanted.eq(selected(valid, slots)),
            self.hits.eq(selected(valid & Cat(hits), slots)),
            self.contains.eq(Cat(place.matches for place in entries).any()),
            candidate.precharge_slots.eq(selected(chosen["precharge"], slots)),
            *(getattr(candidate, name).eq(mask.any()) for name, mask in chosen.items()),
        ]
        for name in ("column", "activate"):
            m.d.comb += getattr(candidate, f"{name}_word").as_value().eq(
                selected(chosen[name], (place.entry.word.as_value() for place in entries)))
        for name in ("tag", "opened", "reopened"):
            m.d.comb += getattr(candidate, name).eq(
                selected(chosen["column"], (getattr(place.entry, name) for place in entries)))

    def _connect_entries(self, m: Module, entries: list[Any], valid: Signal, activated: Signal,
                         leaves: Signal, arrives: Signal) -> None:
        new = Signal(entry_layout(self.spec))
        arrival = self.i.p
        m.d.comb += [new.word.eq(arrival.word), new.tag.eq(arrival.tag), new.hit.eq(arrival.hit),
                     new.since.eq(self.now)]
        for n, entry in enumerate(entries):
            younger = entries[min(n + 1, self.entries - 1)]
            m.d.comb += [
                entry.valid.eq(valid[n]),
                entry.allowed.eq(~(self.alone & (entry.entry.word.slots & self.oldest).any())
                                 if n else 1),
                entry.activated.eq(self.candidate.activate_issued & activated[n]),
                entry.younger.eq(younger.updated), entry.leaves.eq(leaves[n]),
                entry.new.eq(new), entry.arrives.eq(arrives[n]),
                *(getattr(entry, name).eq(getattr(self, name)) for name in (
                    "columns_ok", "activates_ok", "precharges_ok", "probe", "reopened")),
                *(getattr(entry.events, name).eq(getattr(self.events, name))
                  for name in ("opens", "closes", "row")),
            ]

    def _keep_data(self, m: Module, chosen: Signal, leaves: Signal, arrives: Signal) -> None:
        """Words stay where they are; the list of their places is always a permutation."""
        m.submodules.words = words = Memory(shape=BEAT_WIDTH, depth=self.entries, init=[])
        store, fetch = words.write_port(), words.read_port(domain="comb")
        places = [Signal(range(self.entries), name=f"place_{n}", init=n)
                  for n in range(self.entries)]
        moved: list[Value] = [Mux(leaves[n], places[n + 1], places[n])
                              for n in range(self.entries - 1)]
        moved.append(Mux(leaves[-1], fetch.addr, places[-1]))
        for place, value in zip(places, moved, strict=True):
            m.d.sync += place.eq(value)
        m.d.comb += [
            fetch.addr.eq(selected(chosen, places)),
            self.data.eq(fetch.data),
            store.en.eq(self.i.valid & self.i.ready),
            store.addr.eq(selected(arrives, moved)),
            store.data.eq(self.i.p.data),
        ]
