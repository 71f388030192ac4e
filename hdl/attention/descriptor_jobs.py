"""What is known of the descriptors under way, from when they are begun to their records."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.beat_reader import COUNT_BITS
from hdl.attention.descriptor_layouts import JOIN_BITS, RING_BITS, TROUBLE
from hdl.dma.layouts import PLACE_LAYOUT
from hdl.dma.ring_fetcher import INDEX_BITS
from model.spec.attention_descriptor import EngineSpec, Result
from model.spec.port import Status

NOTE = data.StructLayout({
    "cookie": 32, "index": INDEX_BITS, "ring": RING_BITS, "interrupt": 1,
    "output": PLACE_LAYOUT, "beats": COUNT_BITS + 1, "joined": 1, "join": JOIN_BITS})
"""What is kept of a descriptor: its record's fields, and where its output goes: to memory, or to an
open join."""


class DescriptorJobs(wiring.Component):
    """A queue of descriptors with three ends: the newest, whose results come next, the oldest.

    A descriptor leaves the second when its results have been written, or will not come and no join
    waits for them; the third when all its writes are answered and its record is in memory.

    Parameters
    ----------
    engine : EngineSpec

    Members
    -------
    room, begin, note : ``Out(1)``, ``In(1)``, ``In(NOTE)``
        A descriptor is begun; only with ``room``.
    newest : ``Out``
        Number of the newest one, from the clock after it began.
    attended, elsewhere, close : ``In(1)``
        For one clock, of the newest one: it will have results; a block of it is elsewhere; nothing
        further will be said of it.
    trouble_valid, trouble : ``In(1)``, ``In(TROUBLE)``
        The newest one fails.
    query_bad, query_job, query_why : ``In``
        A descriptor fails, since its queries could not be read.
    expects, barren, why, writing : ``Out``
        The results of descriptor ``writing`` come next; there are none, but its join has to be
        told; how it ends: not ``DONE``, its results are not to be written.
    writing_note : ``Out(NOTE)``
    issued, passed : ``In(1)``
        For one clock: a beat of it is written; its results have all come.
    answered, answered_job, answer : ``In``
        A beat of an output has reached the array, or was refused.
    output_missing : ``In(1)``
        The place of its output does not exist.
    over : ``Out(1)``
        The oldest one is ready for its record.
    outcome, oldest_note, oldest_elsewhere : ``Out``
        Of the oldest one.
    recorded : ``In(1)``
        Its record is in memory.
    """

    room: Signal
    begin: Signal
    note: data.View
    newest: Signal
    attended: Signal
    elsewhere: Signal
    close: Signal
    trouble_valid: Signal
    trouble: data.View
    query_bad: Signal
    query_job: Signal
    query_why: Signal
    expects: Signal
    barren: Signal
    why: Signal
    writing: Signal
    writing_note: data.View
    issued: Signal
    passed: Signal
    answered: Signal
    answered_job: Signal
    answer: Signal
    output_missing: Signal
    over: Signal
    outcome: data.View
    oldest_note: data.View
    oldest_elsewhere: Signal
    recorded: Signal

    def __init__(self, engine: EngineSpec) -> None:
        self.engine = engine
        job = range(engine.jobs)
        super().__init__({
            "room": Out(1), "begin": In(1), "note": In(NOTE), "newest": Out(job),
            "attended": In(1), "elsewhere": In(1), "close": In(1),
            "trouble_valid": In(1), "trouble": In(TROUBLE),
            "query_bad": In(1), "query_job": In(job), "query_why": In(Status),
            "expects": Out(1), "barren": Out(1), "why": Out(Result), "writing": Out(job),
            "writing_note": Out(NOTE),
            "issued": In(1), "passed": In(1),
            "answered": In(1), "answered_job": In(job), "answer": In(Status),
            "output_missing": In(1),
            "over": Out(1), "outcome": Out(TROUBLE), "oldest_note": Out(NOTE),
            "oldest_elsewhere": Out(16), "recorded": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        jobs = self.engine.jobs
        begun, passed, recorded = (Signal(range(2 * jobs), name=name)
                                   for name in ("begun", "passed_jobs", "recorded_jobs"))
        oldest = Signal(range(jobs))
        comes, closed, busy = (Signal(jobs, name=name) for name in ("comes", "closed", "busy"))
        notes, troubles, counts = [], [], []
        for n in range(jobs):
            notes.append(Signal(NOTE, name=f"note_{n}"))
            counts.append(Signal(16, name=f"elsewhere_{n}"))
            troubles.append(self._judge(m, n))
            self._write(m, n, busy)
            with m.If(self.begin & (begun[:len(oldest)] == n)):
                m.d.sync += [notes[n].eq(self.note), counts[n].eq(0),
                             comes[n].eq(0), closed[n].eq(0)]
            with m.If(self.newest == n):
                with m.If(self.attended):
                    m.d.sync += comes[n].eq(1)
                with m.If(self.close):
                    m.d.sync += closed[n].eq(1)
                with m.If(self.elsewhere):
                    m.d.sync += counts[n].eq(counts[n] + 1)
        awaited, leaves = Signal(), Signal()
        m.d.comb += [
            self.newest.eq((begun - 1)[:len(oldest)]),
            self.room.eq((begun - recorded)[:len(begun)] != jobs),
            self.writing.eq(passed[:len(oldest)]), oldest.eq(recorded[:len(oldest)]),
            awaited.eq((passed != begun) & closed.bit_select(self.writing, 1)),
            self.expects.eq(awaited & comes.bit_select(self.writing, 1)),
            self.barren.eq(awaited & ~self.expects & self.writing_note.joined),
            leaves.eq(self.passed | (awaited & ~self.expects & ~self.barren)),
            self.why.eq(Array(troubles)[self.writing].result),
            self.writing_note.eq(Array(notes)[self.writing]),
            self.over.eq((recorded != passed) & ~busy.bit_select(oldest, 1)),
            self.outcome.eq(Array(troubles)[oldest]), self.oldest_note.eq(Array(notes)[oldest]),
            self.oldest_elsewhere.eq(Array(counts)[oldest]),
        ]
        m.d.sync += [
            begun.eq((begun + self.begin)[:len(begun)]),
            passed.eq((passed + leaves)[:len(begun)]),
            recorded.eq((recorded + self.recorded)[:len(begun)]),
        ]
        return m

    def _judge(self, m: Module, n: int) -> data.View:
        """The first trouble of a descriptor."""
        trouble, news = Signal(TROUBLE, name=f"trouble_{n}"), Signal(TROUBLE, name=f"news_{n}")
        refused = self.answered & (self.answered_job == n) & (self.answer != Status.OK)
        with m.If(refused | (self.output_missing & (self.writing == n))):
            m.d.comb += [news.result.eq(Result.OUTPUT_FAULT),
                         news.detail.eq(Mux(refused, self.answer, Status.NO_SUCH_BANK))]
        with m.If(self.query_bad & (self.query_job == n)):
            m.d.comb += [news.result.eq(Result.QUERY_FAULT), news.detail.eq(self.query_why)]
        with m.If(self.trouble_valid & (self.newest == n)):
            m.d.comb += news.eq(self.trouble)
        with m.If((trouble.result == Result.DONE) & (news.result != Result.DONE)):
            m.d.sync += trouble.eq(news)
        with m.If(self.begin & ((self.newest + 1)[:len(self.newest)] == n)):
            m.d.sync += trouble.eq(0)
        return trouble

    def _write(self, m: Module, n: int, busy: Signal) -> None:
        """Counts the writes of a descriptor that are not answered."""
        count = Signal(COUNT_BITS + 2, name=f"open_{n}")
        more = self.issued & (self.writing == n)
        fewer = self.answered & (self.answered_job == n)
        m.d.sync += count.eq((count + more - fewer)[:len(count)])
        m.d.comb += busy[n].eq(count != 0)
