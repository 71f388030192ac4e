"""What is known of the joins under way, from when they are begun to their records."""

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.beat_reader import COUNT_BITS
from hdl.attention.descriptor_jobs import NOTE
from hdl.attention.descriptor_layouts import JOIN_BITS, OPEN_JOIN, TROUBLE, board_layout
from hdl.attention.join_layouts import HEAD_BITS, JOIN_LAYOUT, NEWS
from model.spec.attention_descriptor import EngineSpec, Result
from model.spec.attention_join import FOREIGN
from model.spec.port import Status


class JoinBook(wiring.Component):
    """Who has delivered what to which join; records are due in the order in which joins were begun.

    A member is awaited until the last beat of its part has come, or word that there is none. Once
    one has failed, a foreign part that has not begun is not awaited any more: who delivers it may
    never have been asked. One that is broken has failed, and is awaited to its end.

    Parameters
    ----------
    engine : EngineSpec
    members : int
        Pseudo-channels, and the source of foreign parts as the last one.

    Members
    -------
    room, begin, note, newest : ``Out(1)``, ``In(1)``, ``In(NOTE)``, ``Out``
        A join is begun; only with ``room``; its number, from the clock after.
    current, tenant : ``In``
        It.
    opened, expected, refusal, detail : ``In``
        For one clock: the newest join is open, for these members; refused if not ``DONE``.
    clash, idle : ``Out(1)``
        A join of the name of ``current`` awaits members; no join has room in the gatherer.
    board_0 and so on : ``Out(board_layout(engine))``
        What each member may begin.
    claims, claimed_0 and so on : ``In``
        For one clock: a member begins its part of a join.
    news_0 and so on : ``In(NEWS)``
        Of its parts.
    away_0 and so on : ``Out(joins)``
        For one clock: it has no part for these joins.
    cancel : ``In(1)``
        For one clock: nobody who has not begun is awaited any more.
    last_head_0 and so on : ``Out``
        Of the join that ``news_0`` is about.
    writing, why, writing_note : ``In``, ``Out(Result)``, ``Out(NOTE)``
        The join whose results come next; they are not to be written unless ``DONE``.
    passed, issued, missing : ``In(1)``
        For one clock: all of a head's results have come; a beat is written; its place does not
        exist.
    answered, answered_join, answer : ``In``
        A beat of an output has reached the array, or was refused.
    over, outcome, oldest_note, recorded : see :class:`DescriptorJobs`
    """

    room: Signal
    begin: Signal
    note: data.View
    newest: Signal
    current: data.View
    tenant: Signal
    opened: Signal
    expected: Signal
    refusal: Signal
    detail: Signal
    clash: Signal
    idle: Signal
    claims: Signal
    cancel: Signal
    writing: Signal
    why: Signal
    writing_note: data.View
    passed: Signal
    issued: Signal
    missing: Signal
    answered: Signal
    answered_join: Signal
    answer: Signal
    over: Signal
    outcome: data.View
    oldest_note: data.View
    recorded: Signal

    def __init__(self, engine: EngineSpec, members: int) -> None:
        self.engine, self.members = engine, members
        every = range(members)
        super().__init__({
            "room": Out(1), "begin": In(1), "note": In(NOTE), "newest": Out(JOIN_BITS),
            "current": In(JOIN_LAYOUT), "tenant": In(8),
            "opened": In(1), "expected": In(members), "refusal": In(Result),
            "detail": In(8),
            "clash": Out(1), "idle": Out(1), "claims": In(members), "cancel": In(1),
            **{f"board_{n}": Out(board_layout(engine)) for n in every},
            **{f"claimed_{n}": In(JOIN_BITS) for n in every},
            **{f"news_{n}": In(NEWS) for n in every},
            **{f"away_{n}": Out(engine.joins) for n in every},
            **{f"last_head_{n}": Out(HEAD_BITS) for n in every},
            "writing": In(JOIN_BITS), "why": Out(Result), "writing_note": Out(NOTE),
            "passed": In(1), "issued": In(1), "missing": In(1),
            "answered": In(1), "answered_join": In(JOIN_BITS), "answer": In(Status),
            "over": Out(1), "outcome": Out(TROUBLE), "oldest_note": Out(NOTE), "recorded": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        joins = self.engine.joins
        begun, recorded = (Signal(range(2 * joins), name=name)
                           for name in ("begun", "recorded_joins"))
        low, oldest = (joins - 1).bit_length(), Signal(range(joins))
        opens, over, live, clash = (Signal(joins, name=name)
                                    for name in ("opens", "over_joins", "live", "clashes"))
        entries, notes, outcomes = [], [], []
        for j in range(joins):
            entry = Signal(OPEN_JOIN, name=f"join_{j}")
            note = Signal(NOTE, name=f"note_{j}")
            begins = self.begin & (begun[:low] == j)
            m.d.comb += opens[j].eq(self.opened & (self.newest == j))
            with m.If(begins):
                m.d.sync += [note.eq(self.note), entry.valid.eq(0)]
            with m.If(opens[j]):
                m.d.sync += [
                    entry.valid.eq(1), entry.tenant.eq(self.tenant),
                    entry.refused.eq(self.refusal != Result.DONE),
                    *(entry[name].eq(self.current[name])
                      for name in ("join", "heads", "head_size"))]
            awaited, given, trouble = self._members(m, j, entry, opens[j])
            left, busy = self._results(m, j, opens[j])
            outcome = Signal(TROUBLE, name=f"outcome_{j}")
            m.d.comb += [
                outcome.eq(trouble),
                over[j].eq(entry.valid & ~awaited.any() & ~busy & (~left | ~given)),
                live[j].eq(entry.valid & ~entry.refused & ~over[j]),
                clash[j].eq(entry.valid & awaited.any() & (entry.join == self.current.join)
                            & (entry.tenant == self.tenant)),
            ]
            with m.If(~given & (trouble.result == Result.DONE)):
                m.d.comb += outcome.result.eq(Result.ALL_ELSEWHERE)
            entries.append(entry)
            notes.append(note)
            outcomes.append((trouble, outcome))
        m.d.comb += [
            self.newest.eq((begun - 1)[:low]), oldest.eq(recorded[:low]),
            self.room.eq((begun - recorded)[:len(begun)] != joins),
            self.clash.eq(clash.any()), self.idle.eq(~live.any()),
            self.why.eq(Array(trouble for trouble, _ in outcomes)[self.writing].result),
            self.writing_note.eq(Array(notes)[self.writing]),
            self.over.eq((recorded != begun) & over.bit_select(oldest, 1)),
            self.outcome.eq(Array(outcome for _, outcome in outcomes)[oldest]),
            self.oldest_note.eq(Array(notes)[oldest]),
            *(getattr(self, f"last_head_{n}").eq(
                (Array(entries)[getattr(self, f"news_{n}").join].heads - 1)[:HEAD_BITS])
              for n in range(self.members)),
        ]
        m.d.sync += [begun.eq((begun + self.begin)[:len(begun)]),
                     recorded.eq((recorded + self.recorded)[:len(begun)])]
        return m

    def _members(self, m: Module, j: int, entry: Any, opens: Value
                 ) -> tuple[Signal, Signal, Any]:
        """Who is awaited by a join, whether there is a part, and what went wrong first."""
        awaited, begun, ends, lost, fails, gone = (
            Signal(self.members, name=f"{name}_{j}")
            for name in ("awaited", "begun", "ends", "lost", "fails", "gone"))
        given, trouble = Signal(name=f"given_{j}"), Signal(TROUBLE, name=f"trouble_{j}")
        member, detail = Signal(16, name=f"member_{j}"), Signal(8, name=f"detail_{j}")
        failed = trouble.result != Result.DONE
        gives = []
        for n in reversed(range(self.members)):         # the lowest one is named
            news: Any = getattr(self, f"news_{n}")
            mine, foreign = news.join == j, n == self.members - 1
            starts = (self.claims[n] & (getattr(self, f"claimed_{n}") == j)) | (
                mine & news.begun)
            unbegun = awaited[n] & ~begun[n] & ~starts
            m.d.comb += [
                lost[n].eq((unbegun & self.cancel) | (mine & news.failed)),
                fails[n].eq(lost[n] | (mine & news.broken)),
                gone[n].eq(lost[n] | (mine & news.empty) | (unbegun & failed & foreign)),
                ends[n].eq(gone[n] | (mine & news.given)),
                getattr(self, f"away_{n}")[j].eq(gone[n]),
                getattr(self, f"board_{n}")[j].eq(entry),
                getattr(self, f"board_{n}")[j].valid.eq(
                    entry.valid & awaited[n] & (~begun[n] | foreign)),
            ]
            gives.append(mine & news.given)
            with m.If(starts):
                m.d.sync += begun[n].eq(1)
            with m.If(fails[n]):
                m.d.comb += [
                    member.eq(FOREIGN if foreign else n),
                    detail.eq(Mux(mine & (news.failed | news.broken), news.why,
                                  Result.CANCELLED))]
        m.d.sync += awaited.eq(awaited & ~ends)
        with m.If(Cat(gives).any()):
            m.d.sync += given.eq(1)
        with m.If(self._output_fails(j) & ~failed):
            m.d.sync += [trouble.result.eq(Result.OUTPUT_FAULT),
                         trouble.detail.eq(Mux(self._refused(j), self.answer,
                                               Status.NO_SUCH_BANK))]
        with m.If(fails.any() & (~failed | ((trouble.result == Result.MEMBER_FAILED)
                                           & (member < trouble.entry)))):
            m.d.sync += [trouble.result.eq(Result.MEMBER_FAILED), trouble.detail.eq(detail),
                         trouble.entry.eq(member)]
        with m.If(opens):
            m.d.sync += [awaited.eq(self.expected), begun.eq(0), given.eq(0), trouble.eq(0),
                         trouble.result.eq(self.refusal), trouble.detail.eq(self.detail)]
        return awaited, given, trouble

    def _refused(self, j: int) -> Value:
        return self.answered & (self.answered_join == j) & (self.answer != Status.OK)

    def _output_fails(self, j: int) -> Value:
        return self._refused(j) | (self.missing & (self.writing == j))

    def _results(self, m: Module, j: int, opens: Value) -> tuple[Value, Value]:
        """Whether heads are still to come to the writer, and writes are unanswered."""
        left = Signal(HEAD_BITS + 1, name=f"left_{j}")
        count = Signal(COUNT_BITS + 2, name=f"open_{j}")
        more = self.issued & (self.writing == j)
        fewer = self.answered & (self.answered_join == j)
        m.d.sync += count.eq((count + more - fewer)[:len(count)])
        with m.If(opens):
            m.d.sync += left.eq(Mux(self.refusal == Result.DONE,
                                      self.current.heads[:len(left)], 0))
        with m.Elif(self.passed & (self.writing == j)):
            m.d.sync += left.eq(left - 1)
        return left != 0, count != 0
