"""Results of attentions to where their descriptors want them, and the completion records."""

import enum

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.beat_reader import COUNT_BITS
from hdl.attention.descriptor_jobs import NOTE
from hdl.attention.descriptor_layouts import (
    COMPLETION_LAYOUT,
    MEMBER_PART,
    RING_SETTINGS_LAYOUT,
    TROUBLE,
    PartKind,
    write_layout,
)
from hdl.dma.layouts import PLACE_LAYOUT
from hdl.dma.region import line_place
from hdl.dma.ring_fetcher import ring_entry
from hdl.layouts import result_layout
from model.spec.attention_descriptor import EngineSpec, Result
from model.spec.port import Status
from model.spec.slice import SliceSpec


class ResultWriter(wiring.Component):
    """A beat a clock; the results of a descriptor that has failed are taken and dropped.

    They go to memory, or to the join that the descriptor is a part of. That is also told, in one
    beat, if there is no part for it.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    expects, barren, why, note : ``In``
        Of the descriptor whose results come next (:class:`DescriptorJobs`). Whether they are
        dropped is settled when the first of them is there.
    first, count : ``In(COUNT_BITS + 1)``
        Which beats of the output they are.
    result : ``In(stream.Signature(result_layout()))``
    write : ``Out(stream.Signature(write_layout(spec)))``
    part : ``Out(stream.Signature(MEMBER_PART))``
        To the join.
    issued, passed, missing : ``Out(1)``
        For one clock: a beat is written; the results are through; their place does not exist.
    """

    expects: Signal
    barren: Signal
    why: Signal
    note: data.View
    first: Signal
    count: Signal
    result: stream.Interface
    write: stream.Interface
    part: stream.Interface
    issued: Signal
    passed: Signal
    missing: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        super().__init__({
            "expects": In(1), "barren": In(1), "why": In(Result), "note": In(NOTE),
            "first": In(COUNT_BITS + 1), "count": In(COUNT_BITS + 1),
            "result": In(stream.Signature(result_layout())),
            "write": Out(stream.Signature(write_layout(spec))),
            "part": Out(stream.Signature(MEMBER_PART)),
            "issued": Out(1), "passed": Out(1), "missing": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, drop = Signal(COUNT_BITS + 1), Signal()
        start: data.View = data.View(PLACE_LAYOUT, self.note.output.as_value())
        where, _ = line_place(self.spec.geometry, start, beat)
        _, exists = line_place(self.spec.geometry, start, (self.note.beats - 1)[:len(beat)])
        takes, ends = self.result.valid & self.result.ready, Signal()
        joined, kept = self.note.joined, self.result.valid & ~drop
        m.d.comb += ends.eq(takes & (beat + 1 == self.first + self.count))
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.expects & self.result.valid):
                    m.d.comb += self.missing.eq(~exists & ~joined)
                    m.d.sync += [drop.eq((self.why != Result.DONE) | self.missing),
                                 beat.eq(self.first)]
                    m.next = "WRITE"
                with m.Elif(self.barren):
                    m.next = "TELL"
            with m.State("WRITE"):
                m.d.comb += [
                    self.write.valid.eq(kept & ~joined), self.part.valid.eq(kept & joined),
                    self.part.p.data.eq(self.result.p.data),
                    self.result.ready.eq(
                        Mux(joined, self.part.ready, self.write.ready) | drop),
                    self.issued.eq(self.write.valid & self.write.ready),
                    self.passed.eq(ends & ~(joined & drop)),
                ]
                with m.If(takes):
                    m.d.sync += beat.eq(beat + 1)
                with m.If(ends):
                    m.next = "IDLE"
                    with m.If(joined & drop):
                        m.next = "TELL"
            with m.State("TELL"):
                m.d.comb += [
                    self.part.valid.eq(1), self.part.p.data.eq(self.why),
                    self.part.p.kind.eq(Mux(self.why == Result.ALL_ELSEWHERE,
                                            PartKind.EMPTY, PartKind.FAILED)),
                    self.passed.eq(self.part.ready),
                ]
                with m.If(self.part.ready):
                    m.next = "IDLE"
        m.d.comb += [
            self.part.p.join.eq(self.note.join), self.write.p.data.eq(self.result.p.data),
            *(self.write.p.spot[name].eq(value) for name, value in where.items()),
        ]
        return m


class RecordState(enum.Enum):
    """How far the record of the oldest descriptor is."""

    LOOK = 0
    WRITE = 1
    ANSWER = 2


class RecordWriter(wiring.Component):
    """One record at a time, in the order of the descriptors.

    Parameters
    ----------
    spec : SliceSpec
    engine : EngineSpec

    Members
    -------
    settings_0 and so on : ``In(RING_SETTINGS_LAYOUT)``
        Of the rings.
    over, outcome, note, elsewhere : ``In``
        Of the oldest descriptor (:class:`DescriptorJobs`).
    write : ``Out(stream.Signature(write_layout(spec)))``
    answered, answer : ``In(1)``, ``In(Status)``
    recorded : ``Out(1)``
        For one clock: the record is in memory, or will never be.
    announced, failed, lost : ``Out(1)``
        With ``recorded``: it counts for the interrupt; is of a failure; could not be written.
    """

    over: Signal
    outcome: data.View
    note: data.View
    elsewhere: Signal
    write: stream.Interface
    answered: Signal
    answer: Signal
    recorded: Signal
    announced: Signal
    failed: Signal
    lost: Signal

    def __init__(self, spec: SliceSpec, engine: EngineSpec) -> None:
        self.spec, self.engine = spec, engine
        super().__init__({
            **{f"settings_{n}": In(RING_SETTINGS_LAYOUT) for n in range(engine.rings)},
            "over": In(1), "outcome": In(TROUBLE), "note": In(NOTE), "elsewhere": In(16),
            "write": Out(stream.Signature(write_layout(spec))),
            "answered": In(1), "answer": In(Status),
            "recorded": Out(1), "announced": Out(1), "failed": Out(1), "lost": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        settings = Signal(RING_SETTINGS_LAYOUT)
        m.d.comb += settings.eq(Array(getattr(self, f"settings_{n}")
                                      for n in range(self.engine.rings))[self.note.ring])
        log2, index = settings.ring_log2, self.note.index
        where, exists = line_place(
            self.spec.geometry, data.View(PLACE_LAYOUT, settings.records), ring_entry(index, log2))
        record = Signal(COMPLETION_LAYOUT)
        state = Signal(RecordState)
        m.d.comb += [
            record.cookie.eq(self.note.cookie), record.index.eq(index),
            record.lap.eq(~(index >> log2)[0]), record.result.eq(self.outcome.result),
            record.detail.eq(self.outcome.detail), record.entry.eq(self.outcome.entry),
            record.block.eq(self.outcome.id.block), record.sequence.eq(self.outcome.id.sequence),
            record.elsewhere.eq(self.elsewhere),
            self.write.p.data.eq(record),
            self.write.valid.eq((state == RecordState.WRITE) & exists),
            *(self.write.p.spot[name].eq(value) for name, value in where.items()),
            self.failed.eq(self.recorded & (self.outcome.result != Result.DONE)),
            self.announced.eq(self.recorded & (self.note.interrupt | self.failed)),
        ]
        with m.Switch(state):
            with m.Case(RecordState.LOOK):
                with m.If(self.over):
                    m.d.sync += state.eq(RecordState.WRITE)
            with m.Case(RecordState.WRITE):
                with m.If(self.write.ready | ~exists):
                    m.d.sync += state.eq(Mux(exists, RecordState.ANSWER, RecordState.LOOK))
                    m.d.comb += [self.recorded.eq(~exists), self.lost.eq(~exists)]
            with m.Case(RecordState.ANSWER):
                with m.If(self.answered):
                    m.d.sync += state.eq(RecordState.LOOK)
                    m.d.comb += [self.recorded.eq(1), self.lost.eq(self.answer != Status.OK)]
        return m
