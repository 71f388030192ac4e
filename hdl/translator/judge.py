"""The last check of a request: may it, and is the block where it is wanted."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.translator.layouts import (
    commit_layout,
    committed_layout,
    fault_layout,
    lookup_layout,
    translation_layout,
)
from hdl.translator.tlb import entry_layout
from model.spec.translation import Access, Fault, Tier, TranslatorSpec


def job_layout() -> data.StructLayout:
    """A lookup or a commit."""
    lookup, commit = lookup_layout().members, commit_layout().members
    return data.StructLayout({"commit": 1, **lookup, **commit})


def finding_layout(spec: TranslatorSpec) -> data.StructLayout:
    """What the TLB or a walk say about a block."""
    return data.StructLayout({
        "fault": Fault,                 # the walk found no entry of the block: the rest is void
        "place_fault": Fault,           # its entry names no place
        "entry": entry_layout(spec),
        "done": 1,                      # commits: the residency word was changed
    })


class Judge(wiring.Component):
    """Turns a finding into the answer of its request, one a clock, a clock later.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    en, job, finding : ``In(1)``, ``In(job_layout())``, ``In(finding_layout(spec))``
        A request and what was found.
    translated, translation : ``Out(1)``, ``Out(translation_layout(spec))``
        The answer of a lookup.
    answered, committed : ``Out(1)``, ``Out(committed_layout())``
        The answer of a commit.
    refused, record : ``Out(1)``, ``Out(fault_layout())``
        There is a fault; the request, also without.
    """

    en: Signal
    job: data.View
    finding: data.View
    translated: Signal
    translation: data.View
    answered: Signal
    committed: data.View
    refused: Signal
    record: data.View

    def __init__(self, spec: TranslatorSpec) -> None:
        self.spec = spec
        super().__init__({
            "en": In(1), "job": In(job_layout()), "finding": In(finding_layout(spec)),
            "translated": Out(1), "translation": Out(translation_layout(spec)),
            "answered": Out(1), "committed": Out(committed_layout()),
            "refused": Out(1), "record": Out(fault_layout()),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid, job = Signal(), Signal(job_layout())
        finding = Signal(finding_layout(self.spec))
        m.d.sync += valid.eq(self.en)
        with m.If(self.en):
            m.d.sync += [job.eq(self.job), finding.eq(self.finding)]

        cause, explained = Signal(Fault), Signal()
        self._judge(m, job, finding, cause, explained)
        fine, entry = Signal(), finding.entry
        translation, committed, record = self.translation, self.committed, self.record
        m.d.comb += [
            fine.eq(cause == Fault.NONE),
            self.translated.eq(valid & ~job.commit),
            translation.requester.eq(job.requester), translation.tag.eq(job.tag),
            translation.fault.eq(cause),
            translation.tier.eq(Mux(fine, entry.tier, Tier.PIM)),
            translation.place.as_value().eq(Mux(fine, entry.place.as_value(), 0)),
            translation.residency.as_value().eq(
                Mux(fine | explained, entry.residency.as_value(), 0)),
            self.answered.eq(valid & job.commit),
            committed.requester.eq(job.requester), committed.tag.eq(job.tag),
            committed.fault.eq(cause), committed.done.eq(finding.done & fine),
            committed.found.as_value().eq(Mux(fine, entry.residency.as_value(), 0)),
            self.refused.eq(valid & ~fine),
            record.cause.eq(cause), record.commit.eq(job.commit),
            record.id.eq(job.id),
            record.tier.eq(job.tier), record.access.eq(job.access),
            record.requester.eq(job.requester), record.tag.eq(job.tag),
        ]
        return m

    def _judge(self, m: Module, job: data.View, finding: data.View, cause: Signal,
               explained: Signal) -> None:
        """The fault of a request, and whether it is one that the residency word explains."""
        entry = finding.entry
        word = entry.residency
        resident: Value = Mux(entry.tier == Tier.PIM, word.pim, word.capacity)
        awaited: Value = word.in_flight & (word.to == (entry.tier == Tier.CAPACITY))
        reads, writes = job.access == Access.READ, job.access == Access.WRITE
        fills = ~reads & ~writes
        with m.If(finding.fault != Fault.NONE):
            m.d.comb += cause.eq(finding.fault)
        with m.Elif(job.commit):
            m.d.comb += cause.eq(Fault.NONE)
        with m.Elif(reads & ~entry.readable | writes & ~entry.writable):
            m.d.comb += cause.eq(Fault.NO_PERMISSION)
        with m.Elif(~fills & word.poisoned):
            m.d.comb += [cause.eq(Fault.POISONED), explained.eq(1)]
        with m.Elif(Mux(fills, ~awaited, ~resident)):
            m.d.comb += [cause.eq(Fault.NOT_RESIDENT), explained.eq(1)]
        with m.Elif(writes & (word.in_flight | word.pim & word.capacity)):
            m.d.comb += [cause.eq(Fault.NOT_WRITABLE), explained.eq(1)]
        with m.Else():
            m.d.comb += cause.eq(finding.place_fault)
