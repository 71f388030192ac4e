"""One place of a request window."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.dram.bank_table import RowEventsSignature
from hdl.layouts import BEAT_WIDTH
from model.spec.port import TAG_WIDTH
from model.spec.slice import SliceSpec

STAMP_WIDTH = 14
"""Bits of the clock by which requests age; more than twice the longest starvation bound."""


def word_layout(spec: SliceSpec) -> data.StructLayout:
    """Which 32 bytes: the bank as one bit a slot."""
    g = spec.geometry
    return data.StructLayout({
        "slots": len(g.banks), "row": range(g.rows), "column": range(g.columns)})


def entry_layout(spec: SliceSpec) -> data.StructLayout:
    """What a window keeps of a request."""
    return data.StructLayout({
        "word": word_layout(spec),
        "tag": TAG_WIDTH,
        "hit": 1,               # the row is open
        "opened": 1,            # it was opened for this request
        "reopened": 1,          # and another row had been closed for it
        "since": STAMP_WIDTH,   # when it came
    })


def arrival_layout(spec: SliceSpec) -> data.StructLayout:
    """What a window is given of a request."""
    return data.StructLayout({
        "word": word_layout(spec), "tag": TAG_WIDTH, "hit": 1, "data": BEAT_WIDTH})


class WindowEntry(wiring.Component):
    """Keeps a request, follows its row, and says which command it needs; no latency.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.

    Members
    -------
    valid, allowed : ``In(1)``
        There is a request here; it may be chosen.
    columns_ok, activates_ok, precharges_ok : ``In(banks)``
        Slots for which requests may be chosen.
    column, activate, precharge : ``Out(1)``
        It may be chosen for that command.
    probe, matches : ``In(word_layout(spec))``, ``Out(1)``
        Whether it is a request to that word.
    events, reopened : ``In``
        What the row command of this clock does; slots in which a row was closed for a request.
    activated : ``In(1)``
        That command is the ACT for which this request was chosen.
    entry, updated : ``Out(entry_layout(spec))``
        The request now, and as it will be in the next clock.
    younger, leaves : ``In(entry_layout(spec))``, ``In(1)``
        The request that moves up into this place.
    new, arrives : ``In(entry_layout(spec))``, ``In(1)``
        The request that comes into this place from outside; it goes before the other.
    """

    valid: Signal
    allowed: Signal
    columns_ok: Signal
    activates_ok: Signal
    precharges_ok: Signal
    column: Signal
    activate: Signal
    precharge: Signal
    probe: Any
    matches: Signal
    events: Any
    reopened: Signal
    activated: Signal
    entry: Any
    updated: Any
    younger: Any
    leaves: Signal
    new: Any
    arrives: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        banks, layout = len(spec.geometry.banks), entry_layout(spec)
        super().__init__({
            "valid": In(1), "allowed": In(1),
            "columns_ok": In(banks), "activates_ok": In(banks), "precharges_ok": In(banks),
            "column": Out(1), "activate": Out(1), "precharge": Out(1),
            "probe": In(word_layout(spec)), "matches": Out(1),
            "events": In(RowEventsSignature(spec)), "reopened": In(banks), "activated": In(1),
            "entry": Out(layout), "updated": Out(layout),
            "younger": In(layout), "leaves": In(1), "new": In(layout), "arrives": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        updated, events = self.updated, self.events
        entry: Any = Signal(entry_layout(self.spec), reset_less=True)   # `valid` says what counts
        slots = entry.word.slots
        allowed = self.valid & self.allowed
        m.d.comb += [
            self.column.eq(allowed & entry.hit & (slots & self.columns_ok).any()),
            self.activate.eq(allowed & (slots & self.activates_ok).any()),
            self.precharge.eq(allowed & ~entry.hit & (slots & self.precharges_ok).any()),
            self.matches.eq(self.valid & (entry.word == self.probe)),
            self.entry.eq(entry), updated.eq(entry),
            updated.hit.eq(Mux((slots & events.opens).any(), entry.word.row == events.row,
                               entry.hit & ~(slots & events.closes).any())),
        ]
        with m.If(self.activated):
            m.d.comb += [updated.opened.eq(1),
                         updated.reopened.eq((slots & self.reopened).any())]
        with m.If(self.arrives):
            m.d.sync += entry.eq(self.new)
        with m.Elif(self.leaves):
            m.d.sync += entry.eq(self.younger)
        with m.Else():
            m.d.sync += entry.eq(updated)
        return m
