"""The layered address translator of a stack: KV block -> chunk -> place."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.layouts import PortSignature
from hdl.reserved_queue import ReservedQueue
from hdl.translator.intake import Intake
from hdl.translator.judge import Judge
from hdl.translator.layouts import (
    TranslatorPort,
    block_id_layout,
    committed_layout,
    counters_layout,
    fault_layout,
    invalidation_layout,
    tables_layout,
    translation_layout,
)
from hdl.translator.miss_table import Kind, MissTable
from hdl.translator.records import Counters, FaultQueue, Sampler
from hdl.translator.tlb import Tlb
from hdl.translator.walker import Walker
from model.spec.translation import Fault, TranslatorSpec

HIT_LATENCY = 3
"""Clocks from a lookup's acceptance to its answer, if the TLB has it and the answer is taken."""


class Translator(wiring.Component):
    """Says where a copy of a KV block lies, if the tenant may use it: a hit a clock, after three.

    A lookup that misses waits for a walk of three dependent reads, which takes the memory's
    latencies and eight clocks; others overtake it. docs/translator.md has the tables, the rules of
    order and the faults.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    requester : ``In(TranslatorPort(spec))``
        Lookups and commits, and their answers.
    invalidate : ``In(stream.Signature(invalidation_layout()))``
        Taken when it has been carried out: a lookup accepted later sees the tables of now.
    fault : ``Out(stream.Signature(fault_layout()))``
        A record of each refused request. A record that finds the queue full is dropped and
        counted; the answer carries its cause all the same.
    touched : ``Out(stream.Signature(block_id_layout()))``
        A sample of the blocks whose place was given: the first one since the last was taken.
    tables : ``In(tables_layout())``
        Where the tables are. To be changed only while nothing is looked up.
    counters : ``Out(counters_layout())``
        Events since reset, modulo 2**32.
    port : ``Out(PortSignature(spec.channel))``
        To the pseudo-channel that holds the tables.
    """

    requester: Any
    invalidate: stream.Interface
    fault: stream.Interface
    touched: stream.Interface
    tables: data.View
    counters: data.View
    port: Any

    def __init__(self, spec: TranslatorSpec) -> None:
        self.spec = spec
        super().__init__({
            "requester": In(TranslatorPort(spec)),
            "invalidate": In(stream.Signature(invalidation_layout())),
            "fault": Out(stream.Signature(fault_layout())),
            "touched": Out(stream.Signature(block_id_layout())),
            "tables": In(tables_layout()), "counters": Out(counters_layout()),
            "port": Out(PortSignature(spec.channel)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.intake = intake = Intake(spec)
        m.submodules.tlb = tlb = Tlb(spec)
        m.submodules.misses = misses = MissTable(spec)
        m.submodules.walker = walker = Walker(spec)
        m.submodules.judge = judge = Judge(spec)
        m.submodules.faults = faults = FaultQueue(spec)
        m.submodules.sampler = sampler = Sampler()
        m.submodules.counts = counts = Counters()
        # A lookup keeps its place while it waits for a walk; the others stay for three clocks.
        m.submodules.translations = translations = ReservedQueue(
            translation_layout(spec), depth=spec.slots + HIT_LATENCY + 1)
        m.submodules.commits = commits = ReservedQueue(committed_layout(), depth=spec.slots)

        connect(m, flipped(self.requester.lookup), intake.lookup)
        connect(m, flipped(self.requester.commit), intake.commit)
        connect(m, flipped(self.invalidate), intake.invalidate)
        connect(m, walker.port, flipped(self.port))
        connect(m, translations.o, flipped(self.requester.translation))
        connect(m, commits.o, flipped(self.requester.committed))
        connect(m, faults.o, flipped(self.fault))
        connect(m, sampler.o, flipped(self.touched))
        m.d.comb += [
            misses.tables.eq(self.tables), walker.tables.eq(self.tables),
            intake.ready.eq(misses.ready), intake.slot_room.eq(misses.room),
            intake.much_slot_room.eq(misses.much_room),
            intake.lookup_room.eq(translations.room),
            intake.commit_room.eq(commits.room & misses.commit_room & ~misses.committing),
            misses.commit_id.eq(self.requester.commit.p.id),
            translations.reserve.eq(intake.picked.kind == Kind.LOOKUP),
            commits.reserve.eq(intake.picked.kind == Kind.COMMIT),
            walker.slots.eq(misses.slots), misses.issued.eq(walker.issued),
            misses.answered.eq(walker.answered), misses.walk_step.eq(walker.walk_step),
            misses.operation.eq(intake.operation), misses.hit.eq(tlb.hit),
            translations.en.eq(judge.translated), translations.item.eq(judge.translation),
            commits.en.eq(judge.answered), commits.item.eq(judge.committed),
            faults.en.eq(judge.refused), faults.item.eq(judge.record),
            sampler.en.eq(judge.translated & ~judge.refused),
            sampler.item.eq(judge.record.id),
            self.counters.eq(counts.counts),
        ]
        self._operate(m, intake.operation, intake.set, tlb, misses, judge)
        self._count(m, intake.operation, counts, misses, faults, judge)
        return m

    def _operate(self, m: Module, operation: Any, at: Signal, tlb: Any, misses: Any,
                 judge: Any) -> None:
        """The second stage: what an operation does to the TLB, and whether it is answered."""
        finding = misses.finding
        m.d.comb += [
            tlb.set.eq(at), tlb.probe.id.eq(operation.job.id),
            tlb.probe.tier.eq(operation.job.tier), tlb.probe.scope.eq(operation.scope),
            tlb.filling.eq(finding.entry), tlb.residency.eq(operation.job.residency),
            judge.job.eq(operation.job), judge.finding.eq(finding),
        ]
        with m.Switch(operation.kind):
            with m.Case(Kind.LOOKUP):
                m.d.comb += [judge.en.eq(tlb.hit), tlb.use.eq(tlb.hit),
                             judge.finding.eq(0), judge.finding.entry.eq(tlb.entry)]
            with m.Case(Kind.FILL):
                whole = ((finding.fault == Fault.NONE) & (finding.place_fault == Fault.NONE))
                m.d.comb += [
                    judge.en.eq(~misses.again), tlb.fill.eq(whole & ~misses.again),
                    tlb.probe.tier.eq(finding.entry.tier), tlb.filling.id.eq(operation.job.id)]
            with m.Case(Kind.FOLLOW):
                m.d.comb += judge.en.eq(1)
            with m.Case(Kind.DONE):
                m.d.comb += [judge.en.eq(1), tlb.update.eq(finding.done)]
            with m.Case(Kind.FORGET):
                m.d.comb += tlb.forget.eq(1)

    def _count(self, m: Module, operation: Any, counts: Any, misses: Any, faults: Any,
               judge: Any) -> None:
        lookup, event = operation.kind == Kind.LOOKUP, counts.events
        m.d.comb += [
            event.hits.eq(lookup & misses.hit), event.misses.eq(lookup & ~misses.hit),
            event.merged.eq(misses.followed),
            event.walks.eq(lookup & ~misses.hit & ~misses.followed
                           | (operation.kind == Kind.COMMIT) | misses.again),
            event.restarts.eq(misses.again),
            event.commits.eq(judge.answered & judge.committed.done),
            event.faults.eq(judge.refused), event.faults_lost.eq(faults.lost),
            event.invalidations.eq((operation.kind == Kind.FORGET) & operation.last),
        ]
