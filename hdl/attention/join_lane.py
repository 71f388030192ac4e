"""Parts of one member on their way into the gatherer."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.descriptor_layouts import (
    FOREIGN_PART,
    JOIN_BITS,
    MEMBER_PART,
    PartKind,
    board_layout,
)
from hdl.attention.gather import slot_part_layout
from hdl.attention.join_layouts import HEAD_BITS, NEWS
from hdl.layouts import AttentionShape
from model.spec.attention_descriptor import EngineSpec, Result
from model.spec.gather import GatherSpec


class JoinLane(wiring.Component):
    """Counts heads and beats; every beat is taken at once, since its join has room for it.

    Parameters
    ----------
    gather : GatherSpec

    Members
    -------
    shape : ``In(AttentionShape(pim))``
    i : ``In(stream.Signature(MEMBER_PART))``
        Of open joins that await the member; each part in one piece.
    head, last_head, slot : ``Out``, ``In``, ``In``
        Of the beat's join: the head at hand; the last one; the slot of the head at hand.
    o : ``Out(stream.Signature(slot_part_layout(gather)))``
    news : ``Out(NEWS)``
    midst : ``Out(1)``
        A part has begun and is not at its end.
    """

    shape: data.View
    i: stream.Interface
    head: Signal
    last_head: Signal
    slot: Signal
    o: stream.Interface
    news: data.View
    midst: Signal

    def __init__(self, gather: GatherSpec) -> None:
        self.gather = gather
        super().__init__({
            "shape": In(AttentionShape(gather.pim)), "i": In(stream.Signature(MEMBER_PART)),
            "head": Out(HEAD_BITS), "last_head": In(HEAD_BITS), "slot": In(range(gather.slots)),
            "o": Out(stream.Signature(slot_part_layout(gather))), "news": Out(NEWS),
            "midst": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat = Signal(self.gather.beat_bits)
        ends = beat == 2 * (self.shape.last_chunk + 1)
        part, last = self.i.p, self.head == self.last_head
        m.d.comb += [
            self.i.ready.eq(1), self.midst.eq((beat != 0) | (self.head != 0)),
            self.o.valid.eq(self.i.valid & (part.kind == PartKind.DATA)),
            self.o.p.slot.eq(self.slot), self.o.p.last.eq(ends), self.o.p.data.eq(part.data),
            self.news.join.eq(part.join), self.news.why.eq(part.data[:8]),
            self.news.begun.eq(self.o.valid & ~self.midst),
            self.news.given.eq(self.o.valid & ends & last),
            self.news.empty.eq(self.i.valid & (part.kind == PartKind.EMPTY)),
            self.news.failed.eq(self.i.valid & (part.kind == PartKind.FAILED)),
            self.news.broken.eq(self.i.valid & (part.kind == PartKind.BROKEN)),
        ]
        with m.If(self.o.valid):
            m.d.sync += beat.eq(Mux(ends, 0, beat + 1))
            with m.If(ends):
                m.d.sync += self.head.eq(Mux(last, 0, self.head + 1))
        return m


class ForeignGate(wiring.Component):
    """Lets in what comes from outside if an open join awaits it, and drops the rest; no latency.

    A part that has begun is given up when its source says ``FAILED``, or nothing for ``patience``
    clocks: the lane is told that it is ``BROKEN``, and what is left of it is made of zeros, so that
    the gatherer, which has room for all of it, gets all of it.

    Parameters
    ----------
    engine : EngineSpec

    Members
    -------
    foreign : ``In(stream.Signature(FOREIGN_PART))``
        Ready, but for while what is left of a part is made of zeros.
    board : ``In(board_layout(engine))``
        Joins that await a foreign part.
    midst : ``In(1)``
        A part has begun: only beats of the same join may follow, or its failure.
    o : ``Out(stream.Signature(MEMBER_PART))``
    stray : ``Out(1)``
        For one clock: a beat was dropped.
    """

    foreign: stream.Interface
    board: data.View
    midst: Signal
    o: stream.Interface
    stray: Signal

    def __init__(self, engine: EngineSpec) -> None:
        self.engine = engine
        super().__init__({
            "foreign": In(stream.Signature(FOREIGN_PART)), "board": In(board_layout(engine)),
            "midst": In(1), "o": Out(stream.Signature(MEMBER_PART)), "stray": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        part: Any = self.foreign.p
        number, before = Signal(JOIN_BITS), Signal(JOIN_BITS)
        hits, enters, known = Signal(self.engine.joins), Signal(), Signal()
        given_up, late, pads = Signal(), Signal(), Signal()
        silence = Signal(range(self.engine.patience + 1))
        same, fails = number == before, part.kind == PartKind.FAILED
        m.d.comb += [
            hits.eq(Cat(entry.valid & (entry.join == part.join) & (entry.tenant == part.tenant)
                        for entry in (self.board[n] for n in range(self.engine.joins)))),
            late.eq(silence == self.engine.patience), pads.eq(self.midst & (given_up | late)),
            self.foreign.ready.eq(~pads),
            known.eq(self.foreign.valid & hits.any() & (part.kind != PartKind.BROKEN)),
            enters.eq(known & ~pads & (~self.midst | (
                same & ((part.kind == PartKind.DATA) | fails)))),
            self.stray.eq(self.foreign.valid & self.foreign.ready & ~enters),
            self.o.valid.eq(enters | pads), self.o.p.join.eq(Mux(enters, number, before)),
        ]
        with m.If(enters):
            m.d.comb += [self.o.p.kind.eq(Mux(self.midst & fails, PartKind.BROKEN, part.kind)),
                         self.o.p.data.eq(part.data)]
        with m.Elif(~given_up):
            m.d.comb += [self.o.p.kind.eq(PartKind.BROKEN), self.o.p.data.eq(Result.TIMED_OUT)]
        for n in range(self.engine.joins):
            with m.If(hits[n]):
                m.d.comb += number.eq(n)
        m.d.sync += [
            silence.eq(Mux(enters | pads | ~self.midst, 0, silence + 1)),
            given_up.eq(self.midst & (given_up | pads | (enters & fails))),
        ]
        with m.If(enters):
            m.d.sync += before.eq(number)
        return m
