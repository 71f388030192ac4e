"""Ends descriptors in order: tells the translator, then writes the completion record."""

import enum

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.dma.block_resolver import RESIDENCY_CHANGED, SETTLEMENT
from hdl.dma.job_book import NOTE, TROUBLE
from hdl.dma.layouts import (
    COMPLETION_LAYOUT,
    JOB_BITS,
    PLACE_LAYOUT,
    SETTINGS_LAYOUT,
    record_layout,
)
from hdl.dma.region import line_place
from hdl.dma.ring_fetcher import INDEX_BITS, job_number, ring_entry
from hdl.translator.layouts import commit_layout, committed_layout
from model.spec.dma import DmaSpec, Result
from model.spec.port import Status
from model.spec.slice import SliceSpec
from model.spec.translation import Fault


class EndState(enum.Enum):
    """How far the end of a descriptor is."""

    LOOK = 0
    COMMIT = 1          # changes the block's residency
    COMMITTED = 2
    RECORD = 3


class Completer(wiring.Component):
    """Three clocks a descriptor, and those of the translator for a block.

    A block whose source could not be read is marked as poisoned.
    The residency of a block changes after all of its beats have reached the array, and before the
    record is written; the index of the oldest descriptor under way advances when the record has
    reached the array.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    dma : DmaSpec
    number : int
        Of the channel.

    Members
    -------
    settings : ``In(SETTINGS_LAYOUT)``
    walked, idle : ``In``
        Descriptors before this index are walked; the jobs of which nothing is open.
    streams_busy : ``In(1)``
        What the oldest job sent through a stream has not all left.
    finishing, trouble, told : ``Out``, ``In``, ``In``
        The job that ends next, and what the job book says of it.
    settle, settle_job, settlement : ``In``
        What the translator is to be told of a job; before it is walked.
    commit, committed : ``Out(stream)``, ``In(stream)``
        The translator.
    trouble_valid, news : ``Out(1)``, ``Out(TROUBLE)``
        For the job book: the translator refused.
    finish : ``Out(1)``
        The job is over, its record on its way.
    record : ``Out(stream.Signature(record_layout(spec)))``
    recorded, recorded_job, recorded_ok : ``In``
        A record has reached the array, or was refused.
    finished, head : ``Out(16)``
        Index of the first descriptor that is not over; whose record is not in memory.
    completed : ``Out(1)``
        For one clock: a record is in memory that counts for the interrupt.
    failed : ``Out(1)``
        ... of a failure.
    lost : ``Out(1)``
        For one clock: a record could not be written.
    """

    settings: data.View
    walked: Signal
    idle: Signal
    streams_busy: Signal
    finishing: Signal
    trouble: data.View
    told: data.View
    settle: Signal
    settle_job: Signal
    settlement: data.View
    commit: stream.Interface
    committed: stream.Interface
    trouble_valid: Signal
    news: data.View
    finish: Signal
    record: stream.Interface
    recorded: Signal
    recorded_job: Signal
    recorded_ok: Signal
    finished: Signal
    head: Signal
    completed: Signal
    failed: Signal
    lost: Signal

    def __init__(self, spec: SliceSpec, dma: DmaSpec, number: int) -> None:
        self.spec, self.dma, self.number = spec, dma, number
        super().__init__({
            "settings": In(SETTINGS_LAYOUT), "walked": In(INDEX_BITS), "idle": In(dma.jobs),
            "streams_busy": In(1),
            "finishing": Out(JOB_BITS), "trouble": In(TROUBLE), "told": In(NOTE),
            "settle": In(1), "settle_job": In(JOB_BITS), "settlement": In(SETTLEMENT),
            "commit": Out(stream.Signature(commit_layout())),
            "committed": In(stream.Signature(committed_layout())),
            "trouble_valid": Out(1), "news": Out(TROUBLE), "finish": Out(1),
            "record": Out(stream.Signature(record_layout(spec))),
            "recorded": In(1), "recorded_job": In(JOB_BITS), "recorded_ok": In(1),
            "finished": Out(INDEX_BITS), "head": Out(INDEX_BITS),
            "completed": Out(1), "failed": Out(1), "lost": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(EndState)
        outcome = Signal(TROUBLE)
        note = Signal(NOTE)
        good = Signal()
        lost = Signal()                         # the source cannot be read any more
        s = self._settlement(m)
        over = self.idle.bit_select(job_number(self.finished, self.dma), 1)
        m.d.comb += [
            self.finishing.eq(job_number(self.finished, self.dma)),
            good.eq(outcome.result == Result.DONE),
            self.commit.valid.eq(state == EndState.COMMIT),
            self.commit.p.id.eq(s.id), self.commit.p.tag.eq(self.number),
            self.commit.p.expected.eq(s.expected),
            self.commit.p.residency.eq(Mux(good, s.moved.as_value(), s.before.as_value())),
            lost.eq((self.trouble.result == Result.READ_FAULT)
                    & (self.trouble.detail == Status.UNCORRECTABLE)),
            self.committed.ready.eq(1),
        ]
        with m.If((outcome.result == Result.READ_FAULT)
                  & (outcome.detail == Status.UNCORRECTABLE)):
            m.d.comb += self.commit.p.residency.poisoned.eq(1)
        with m.Switch(state):
            with m.Case(EndState.LOOK):
                m.d.sync += [outcome.eq(self.trouble), note.eq(self.told)]
                with m.If((self.finished != self.walked) & over & ~self.streams_busy):
                    fine = self.trouble.result == Result.DONE
                    tells = s.wanted & (fine | s.announced) | (s.found & lost)
                    m.d.sync += state.eq(Mux(tells, EndState.COMMIT, EndState.RECORD))
            with m.Case(EndState.COMMIT):
                with m.If(self.commit.ready):
                    m.d.sync += state.eq(EndState.COMMITTED)
            with m.Case(EndState.COMMITTED):
                answer = self.committed.p
                with m.If(self.committed.valid):
                    m.d.sync += state.eq(EndState.RECORD)
                    with m.If(good & ~answer.done):
                        m.d.comb += [
                            self.trouble_valid.eq(1),
                            self.news.result.eq(Result.COMMIT_FAULT),
                            self.news.detail.eq(Mux(answer.fault == Fault.NONE,
                                                    RESIDENCY_CHANGED, answer.fault))]
                        m.d.sync += outcome.eq(self.news)
            with m.Case(EndState.RECORD):
                with m.If(self.finish):
                    m.d.sync += state.eq(EndState.LOOK)
        self._write(m, state, outcome, note)
        return m

    def _settlement(self, m: Module) -> data.View:
        m.submodules.settlements = memory = Memory(
            shape=SETTLEMENT, depth=self.dma.jobs, init=[])
        store, show = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            store.en.eq(self.settle),
            store.addr.eq(job_number(self.settle_job, self.dma)),
            store.data.eq(self.settlement),
            show.addr.eq(job_number(self.finished, self.dma)),
        ]
        return show.data

    def _write(self, m: Module, state: Signal, outcome: data.View, note: data.View) -> None:
        """The record, and what is to happen when it is in memory."""
        log2 = self.settings.ring_log2
        where, exists = line_place(self.spec.geometry,
                                   data.View(PLACE_LAYOUT, self.settings.records),
                                   ring_entry(self.finished, log2))
        content = Signal(COMPLETION_LAYOUT)
        written, counts, bad = (Signal(self.dma.jobs, name=n)
                                for n in ("written", "counts", "bad"))
        job, oldest = job_number(self.finished, self.dma), job_number(self.head, self.dma)
        writes = (state == EndState.RECORD)
        failure = outcome.result != Result.DONE
        m.d.comb += [
            content.cookie.eq(note.cookie), content.index.eq(self.finished),
            content.lap.eq(~(self.finished >> log2)[0]),
            content.result.eq(outcome.result), content.detail.eq(outcome.detail),
            content.place.eq(outcome.place.as_value()),
            self.record.valid.eq(writes & exists), self.record.p.data.eq(content),
            self.record.p.job.number.eq(job), self.record.p.job.channel.eq(self.number),
            *(self.record.p.spot[name].eq(value) for name, value in where.items()),
            self.finish.eq(writes & (self.record.ready | ~exists)),
            self.lost.eq((self.recorded & ~self.recorded_ok) | (writes & ~exists)),
        ]
        with m.If(self.finish):
            m.d.sync += [
                self.finished.eq(self.finished + 1),
                counts.bit_select(job, 1).eq(note.interrupt | failure),
                bad.bit_select(job, 1).eq(failure),
                written.bit_select(job, 1).eq(~exists),
            ]
        with m.If(self.recorded):
            m.d.sync += written.bit_select(job_number(self.recorded_job, self.dma), 1).eq(1)
        advance = (self.head != self.finished) & written.bit_select(oldest, 1)
        m.d.comb += [
            self.completed.eq(advance & counts.bit_select(oldest, 1)),
            self.failed.eq(advance & bad.bit_select(oldest, 1)),
        ]
        with m.If(advance):
            m.d.sync += self.head.eq(self.head + 1)
