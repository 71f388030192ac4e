"""Reads consecutive beats from memory, several at a time, and hands them out in order."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.in_order import InOrder
from hdl.dma.layouts import PLACE_LAYOUT, spot_layout
from hdl.dma.region import line_place
from hdl.layouts import BEAT_WIDTH
from model.spec.port import Status
from model.spec.slice import SliceSpec

COUNT_BITS = 9
"""Bits of a number of beats: sixteen heads of sixteen beats."""


class MemoryReads(wiring.Signature):
    """Reads of beats that are told apart by the slots into which they go.

    Members
    -------
    fetch, slot : ``Out(stream.Signature(spot))``, ``Out``
        A read; its slot is to come back with the answer.
    fetched, fetched_slot, status, content : ``In``
        For one clock: an answer; they come in any order.
    """

    def __init__(self, spec: SliceSpec, *, depth: int) -> None:
        super().__init__({
            "fetch": Out(stream.Signature(spot_layout(spec))), "slot": Out(range(depth)),
            "fetched": In(1), "fetched_slot": In(range(depth)), "status": In(Status),
            "content": In(BEAT_WIDTH)})


class BeatReader(wiring.Component):
    """One region at a time, which begins anywhere in a row.

    If not all of it exists, nothing is read, and as many zeros are handed out. A beat that cannot
    be read is 0.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    depth : int
        Beats that are asked for before the first one is taken, a power of two.

    Members
    -------
    start, place, beats : ``In``
        A region of at least one beat; only without ``waiting``. What is left of the one before is
        forgotten.
    stop : ``In(1)``
        Nothing more is read.
    memory : ``Out(MemoryReads(spec, depth=depth))``
    o : ``Out(stream.Signature(256))``
        The beats.
    waiting : ``Out(1)``
        Answers are outstanding.
    asked : ``Out(1)``
        The last beat has been asked for.
    bad, why : ``Out(1)``, ``Out(Status)``
        For one clock: something could not be read.
    """

    start: Signal
    place: data.View
    beats: Signal
    stop: Signal
    memory: Any
    o: stream.Interface
    waiting: Signal
    asked: Signal
    bad: Signal
    why: Signal

    def __init__(self, spec: SliceSpec, *, depth: int) -> None:
        self.spec, self.depth = spec, depth
        super().__init__({
            "start": In(1), "place": In(PLACE_LAYOUT), "beats": In(COUNT_BITS), "stop": In(1),
            "memory": Out(MemoryReads(spec, depth=depth)),
            "o": Out(stream.Signature(BEAT_WIDTH)), "waiting": Out(1), "asked": Out(1),
            "bad": Out(1), "why": Out(Status),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        order = InOrder(data.StructLayout({"data": BEAT_WIDTH}), depth=self.depth)
        m.submodules.order = order
        first = Signal(PLACE_LAYOUT)
        beat, unread, zeros = (Signal(COUNT_BITS, name=name)
                               for name in ("beat", "unread", "zeros"))
        offered = Signal()              # a read that was shown stays
        where, _ = line_place(self.spec.geometry, first, beat)
        _, exists = line_place(self.spec.geometry, self.place, (self.beats - 1)[:COUNT_BITS])
        memory, fetch = self.memory, self.memory.fetch
        asks, wrong = fetch.valid & fetch.ready, Signal()
        m.d.comb += [
            fetch.valid.eq((unread != 0) & order.room & (offered | ~self.stop)),
            *(fetch.p[name].eq(value) for name, value in where.items()),
            order.ask.eq(asks), memory.slot.eq(order.slot), order.clear.eq(self.start),
            wrong.eq(memory.fetched & (memory.status != Status.OK)),
            order.answered.eq(memory.fetched), order.answered_slot.eq(memory.fetched_slot),
            order.answer.data.eq(Mux(wrong, 0, memory.content)),
            self.o.valid.eq(order.o.valid | (zeros != 0)),
            self.o.payload.eq(Mux(zeros != 0, 0, order.o.p.data)),
            order.o.ready.eq(self.o.ready & (zeros == 0)),
            self.waiting.eq(order.waiting | offered), self.asked.eq(unread == 0),
            self.bad.eq(wrong | (self.start & ~exists)),
            self.why.eq(Mux(wrong, memory.status, Status.NO_SUCH_BANK)),
        ]
        m.d.sync += offered.eq(fetch.valid & ~fetch.ready)
        with m.If(asks):
            m.d.sync += [beat.eq(beat + 1), unread.eq(unread - 1)]
        with m.If((zeros != 0) & self.o.ready):
            m.d.sync += zeros.eq(zeros - 1)
        with m.If(self.start):
            m.d.sync += [first.eq(self.place), beat.eq(0),
                         unread.eq(Mux(exists, self.beats, 0)),
                         zeros.eq(Mux(exists, 0, self.beats))]
        return m
