"""Asks the translator where the copies of a block lie, and announces its move."""

import enum

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.dma.layouts import BLOCK_LAYOUT, PLACE_LAYOUT
from hdl.dma.region import software_place
from hdl.translator.layouts import (
    block_id_layout,
    commit_layout,
    committed_layout,
    lookup_layout,
    residency_layout,
    translation_layout,
)
from model.spec.dma import Convert, Result
from model.spec.mx import StoredFormat
from model.spec.translation import Access, Fault, Tier, TranslatorSpec

SETTLEMENT = data.StructLayout({
    "found": 1,                         # the copy to be read was found
    "wanted": 1,                        # the residency word has to be changed at the end
    "announced": 1,                     # ... and to be changed back if the move fails
    "id": block_id_layout(),
    "expected": residency_layout(),     # during the move
    "moved": residency_layout(),        # after it
    "before": residency_layout(),       # it
})
"""What the translator is to be told when the move of a block is over."""

RESIDENCY_CHANGED = 0xFF
"""Detail of a result: the residency word was not what it had been."""


class AskState(enum.Enum):
    """What is asked, or waited for."""

    IDLE = 0
    ASK_SOURCE = 1
    SOURCE = 2
    ANNOUNCE = 3
    ANNOUNCED = 4
    ASK_DESTINATION = 5
    DESTINATION = 6
    DONE = 7


class BlockResolver(wiring.Component):
    """Two lookups and one commit at most, one after another; their latency and a clock each.

    The copy to be read is looked up first. Then the block is marked as in flight, unless it is,
    and the place to be filled is looked up. A block whose destination alone is the translator's
    must have been marked by software.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    start : ``In(1)``
    question, reads, fills : ``In(BLOCK_LAYOUT)``, ``In(1)``, ``In(1)``
        Which block, and which of its copies are wanted: the source, the destination.
    convert, format : ``In``
        What the move does to the data.
    pseudo_channel : ``In(8)``
        Of this engine: a place elsewhere is refused.
    tag : ``In(8)``
        For the translator.
    lookup, commit : ``Out(stream)``
    translation, committed : ``In(stream)``
        The translator's port. Every answer is taken at once.
    done : ``Out(1)``
        The answer is here until the next start.
    result, detail : ``Out(Result)``, ``Out(8)``
    source, destination : ``Out(PLACE_LAYOUT)``
    settlement : ``Out(SETTLEMENT)``
    """

    start: Signal
    question: data.View
    reads: Signal
    fills: Signal
    convert: Signal
    format: Signal
    pseudo_channel: Signal
    tag: Signal
    lookup: stream.Interface
    commit: stream.Interface
    translation: stream.Interface
    committed: stream.Interface
    done: Signal
    result: Signal
    detail: Signal
    source: data.View
    destination: data.View
    settlement: data.View

    def __init__(self, spec: TranslatorSpec) -> None:
        self.spec = spec
        super().__init__({
            "start": In(1), "question": In(BLOCK_LAYOUT), "reads": In(1), "fills": In(1),
            "convert": In(4), "format": In(4), "pseudo_channel": In(8), "tag": In(8),
            "lookup": Out(stream.Signature(lookup_layout())),
            "commit": Out(stream.Signature(commit_layout())),
            "translation": In(stream.Signature(translation_layout(spec))),
            "committed": In(stream.Signature(committed_layout())),
            "done": Out(1), "result": Out(Result), "detail": Out(8),
            "source": Out(PLACE_LAYOUT), "destination": Out(PLACE_LAYOUT),
            "settlement": Out(SETTLEMENT),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(AskState)
        copied = Signal(StoredFormat)                # the format of the source
        s = self.settlement
        answer = self.translation.p
        self._ask(m, state)
        with m.Switch(state):
            with m.Case(AskState.ASK_SOURCE, AskState.ASK_DESTINATION):
                with m.If(self.lookup.ready):
                    m.d.sync += state.eq(Mux(state == AskState.ASK_SOURCE, AskState.SOURCE,
                                             AskState.DESTINATION))
            with m.Case(AskState.SOURCE):
                with m.If(self.translation.valid):
                    self._refuse(m, state, answer)
                    m.d.sync += [self.source.eq(software_place(answer.place)),
                                 s.before.eq(answer.residency), s.expected.eq(answer.residency)]
                    with m.If(self._sound(answer)):
                        self._source(m, state, answer, copied)
            with m.Case(AskState.ANNOUNCE):
                with m.If(self.commit.ready):
                    m.d.sync += state.eq(AskState.ANNOUNCED)
            with m.Case(AskState.ANNOUNCED):
                with m.If(self.committed.valid):
                    m.d.sync += [state.eq(AskState.ASK_DESTINATION), s.announced.eq(1),
                                 s.wanted.eq(1), s.expected.eq(self.commit.p.residency)]
                    with m.If(~self.committed.p.done):
                        m.d.sync += [
                            state.eq(AskState.DONE), s.announced.eq(0), s.wanted.eq(0),
                            self.result.eq(Result.COMMIT_FAULT),
                            self.detail.eq(_reason(self.committed.p))]
            with m.Case(AskState.DESTINATION):
                with m.If(self.translation.valid):
                    self._refuse(m, state, answer)
                    m.d.sync += self.destination.eq(software_place(answer.place))
                    with m.If(self._sound(answer)):
                        self._destination(m, answer, copied)
        with m.If(self.start):
            m.d.sync += [
                state.eq(Mux(self.reads, AskState.ASK_SOURCE, AskState.ASK_DESTINATION)),
                self.result.eq(Result.DONE), self.detail.eq(0), s.eq(0),
                s.id.eq(self.question.as_value()[:s.id.shape().size]),
            ]
        m.d.comb += self.done.eq(state == AskState.DONE)
        return m

    def _ask(self, m: Module, state: Signal) -> None:
        source, s = state == AskState.ASK_SOURCE, self.settlement
        announced = Signal(residency_layout())
        m.d.comb += [
            self.lookup.valid.eq(source | (state == AskState.ASK_DESTINATION)),
            self.lookup.p.id.eq(s.id), self.lookup.p.tag.eq(self.tag),
            self.lookup.p.tier.eq(Mux(source, self.question.source_tier,
                                      self.question.destination_tier)),
            self.lookup.p.access.eq(Mux(source, Access.READ, Access.FILL)),
            announced.eq(s.before), announced.in_flight.eq(1),
            announced.to.eq(self.question.destination_tier == Tier.CAPACITY),
            self.commit.valid.eq(state == AskState.ANNOUNCE),
            self.commit.p.id.eq(s.id), self.commit.p.tag.eq(self.tag),
            self.commit.p.expected.eq(s.before), self.commit.p.residency.eq(announced),
            self.translation.ready.eq(1), self.committed.ready.eq(1),
        ]

    def _sound(self, answer: data.View) -> Value:
        return (answer.fault == Fault.NONE) & (answer.place.channel == self.pseudo_channel)

    def _refuse(self, m: Module, state: Signal, answer: data.View) -> None:
        """What happens unless the answer is sound."""
        elsewhere = answer.fault == Fault.NONE
        m.d.sync += state.eq(AskState.DONE)
        with m.If(~self._sound(answer)):
            m.d.sync += [self.result.eq(Mux(elsewhere, Result.BAD_PLACE,
                                            Result.TRANSLATION_FAULT)),
                         self.detail.eq(answer.fault)]

    def _source(self, m: Module, state: Signal, answer: data.View, copied: Signal) -> None:
        """A copy is quantised once at most, and only what is quantised can be dequantised."""
        r = answer.residency
        stored = Mux(answer.tier == Tier.CAPACITY, r.capacity_format, r.pim_format)
        fits = Signal()
        m.d.comb += fits.eq(Mux(
            self.convert == Convert.QUANTISE, stored == StoredFormat.WIDE,
            (self.convert == Convert.NONE) | (stored == self.format)))
        with m.If(~fits):
            m.d.sync += [self.result.eq(Result.CONVERT_FAULT), self.detail.eq(stored)]
        with m.Elif(self.fills & (answer.tier == self.question.destination_tier)):
            m.d.sync += self.result.eq(Result.BAD_KIND)
        with m.Elif(self.fills):
            m.d.sync += state.eq(Mux(r.in_flight, AskState.ASK_DESTINATION, AskState.ANNOUNCE))
        m.d.sync += [copied.eq(stored), self.settlement.found.eq(1)]

    def _destination(self, m: Module, answer: data.View, copied: Signal) -> None:
        s, q, r = self.settlement, self.question, answer.residency
        to_capacity = q.destination_tier == Tier.CAPACITY
        stored = Mux(self.convert == Convert.DEQUANTISE, StoredFormat.WIDE, Mux(
            self.reads & (self.convert == Convert.NONE), copied, self.format[:3]))
        leaves = self.reads & ~q.keep
        m.d.sync += [
            s.wanted.eq(1), s.expected.eq(r), s.moved.eq(r),
            s.moved.in_flight.eq(0), s.moved.to.eq(0),
            s.moved.pim.eq(~to_capacity | r.pim & ~leaves),
            s.moved.capacity.eq(to_capacity | r.capacity & ~leaves),
            s.moved.pim_format.eq(Mux(to_capacity, r.pim_format, stored)),
            s.moved.capacity_format.eq(Mux(to_capacity, stored, r.capacity_format)),
        ]


def _reason(answer: data.View) -> Value:
    return Mux(answer.fault == Fault.NONE, RESIDENCY_CHANGED, answer.fault)
