"""The join engine, and faults planted in it that its bench must find; all in one build."""

from pathlib import Path
from typing import Any

import pytest
from amaranth import Module

from hdl.attention import join_engine
from hdl.attention.descriptor_layouts import PartKind
from hdl.attention.gather import Gather
from hdl.attention.join_book import JoinBook
from hdl.attention.join_engine import JoinEngine
from hdl.attention.join_front import JoinFront
from hdl.attention.join_lane import ForeignGate, JoinLane
from hdl.attention.query_broadcast import QueryBroadcast
from model.spec.attention_descriptor import Result
from model.spec.port import Status
from tb.build import Built, build, run
from tb.join_software import CHANNELS, ENGINE, SPEC
from tests.rtl.planted import Plant, PlantedFaults

BENCH = "tb.bench_joins"
PARTS = "parts_become_outputs/rough=False"
REFUSED = "what_makes_no_sense_is_refused_by_name"
WITHOUT = "members_without_a_part_are_not_waited_for"
COPIES = "queries_reach_every_member_before_it_may_begin/rough=True"
TROUBLED = "queries_that_cannot_be_copied_are_named"
STRAYS = "what_nobody_awaits_is_dropped"
BROKEN = "a_foreign_part_may_break_off"


def _tenants_are_not_compared(unit: JoinFront, m: Module) -> None:
    with m.If(unit.current.tenant != unit.current_tenant):
        m.d.comb += unit.refusal.eq(Result.DONE)


def _refused_joins_have_no_members(unit: JoinFront, m: Module) -> None:
    with m.If(unit.refusal != Result.DONE):
        m.d.comb += unit.members.eq(0)


def _names_may_clash(unit: JoinBook, m: Module) -> None:
    m.d.comb += unit.clash.eq(0)


def _shapes_do_not_wait(unit: JoinBook, m: Module) -> None:
    m.d.comb += unit.idle.eq(1)


def _there_is_always_room(unit: JoinBook, m: Module) -> None:
    m.d.comb += unit.room.eq(1)


def _members_may_begin_twice(unit: Any, m: Module) -> None:
    m.d.comb += unit.board_0[0].valid.eq(unit.board_1[0].valid)


def _the_absent_are_awaited(unit: Any, m: Module) -> None:
    m.d.comb += unit.away_0.eq(0)


def _failures_are_not_named(unit: JoinBook, m: Module) -> None:
    m.d.comb += unit.outcome.entry.eq(0)


def _failures_write_their_output(unit: JoinBook, m: Module) -> None:
    m.d.comb += unit.why.eq(Result.DONE)


def _nothing_is_ever_cancelled(unit: JoinBook, m: Module) -> None:
    m.d.comb += [getattr(unit, f"away_{CHANNELS - 1}").eq(0)]


def _heads_are_not_counted(unit: JoinLane, m: Module) -> None:
    m.d.comb += unit.news.given.eq(unit.o.valid & unit.o.p.last)


def _every_foreign_name_will_do(unit: ForeignGate, m: Module) -> None:
    m.d.comb += unit.o.valid.eq(unit.foreign.valid & unit.board[0].valid)


def _the_last_member_is_first(unit: Gather, m: Module) -> None:
    with m.If(unit.part.p.header):
        m.d.comb += unit.part.p.data[48].eq(1)


def _the_first_copy_is_enough(unit: QueryBroadcast, m: Module) -> None:
    m.d.comb += unit.done.eq(unit.answered_0 | unit.answered_1 | unit.answered_2)


def _everybody_gets_queries(unit: Any, m: Module) -> None:
    m.d.comb += unit.write_2.valid.eq(unit.write_0.valid)


def _copies_lie_in_one_row(unit: Any, m: Module) -> None:
    m.d.comb += unit.write_1.p.spot.row.eq(0)


def _troubles_are_forgotten(unit: QueryBroadcast, m: Module) -> None:
    m.d.sync += unit.why.eq(Status.OK)


def _who_lacks_queries_may_begin(unit: JoinFront, m: Module) -> None:
    with m.If(unit.copied):
        m.d.comb += unit.refusal.eq(Result.DONE)


def _troubles_have_no_detail(unit: JoinFront, m: Module) -> None:
    m.d.comb += unit.detail.eq(0)


def _silence_is_endured(unit: ForeignGate, m: Module) -> None:
    with m.If(~unit.foreign.valid):
        m.d.comb += unit.o.valid.eq(0)


def _what_breaks_off_is_whole(unit: JoinLane, m: Module) -> None:
    m.d.comb += unit.news.broken.eq(0)


def _what_breaks_off_is_not_awaited(unit: JoinLane, m: Module) -> None:
    m.d.comb += unit.news.failed.eq(unit.news.broken)


def _late_beats_are_let_in(unit: ForeignGate, m: Module) -> None:
    with m.If(unit.foreign.valid & unit.midst & (unit.foreign.p.kind == PartKind.DATA)):
        m.d.comb += [unit.o.valid.eq(1), unit.o.p.kind.eq(PartKind.DATA)]


def _who_follows_at_once_is_dropped(unit: ForeignGate, m: Module) -> None:
    m.d.comb += unit.foreign.ready.eq(1)


FAULTS: dict[Plant, tuple[str, type]] = {
    _tenants_are_not_compared: (REFUSED, JoinFront),
    _refused_joins_have_no_members: (REFUSED, JoinFront),
    _names_may_clash: ("a_name_is_open_once", JoinBook),
    _shapes_do_not_wait: (PARTS, JoinBook),
    _there_is_always_room: (PARTS, JoinBook),
    _members_may_begin_twice: (PARTS, JoinBook),
    _the_absent_are_awaited: (WITHOUT, JoinBook),
    _failures_are_not_named: (WITHOUT, JoinBook),
    _failures_write_their_output: (WITHOUT, JoinBook),
    _nothing_is_ever_cancelled: ("software_may_give_up", JoinBook),
    _heads_are_not_counted: (PARTS, JoinLane),
    _every_foreign_name_will_do: (STRAYS, ForeignGate),
    _silence_is_endured: ("what_was_whole_before_may_have_been_written", ForeignGate),
    _what_breaks_off_is_whole: (BROKEN, JoinLane),
    _what_breaks_off_is_not_awaited: (BROKEN, JoinLane),
    _late_beats_are_let_in: (BROKEN, ForeignGate),
    _who_follows_at_once_is_dropped: (BROKEN, ForeignGate),
    _the_last_member_is_first: (PARTS, Gather),
    _the_first_copy_is_enough: (COPIES, QueryBroadcast),
    _everybody_gets_queries: (COPIES, QueryBroadcast),
    _copies_lie_in_one_row: (COPIES, QueryBroadcast),
    _troubles_are_forgotten: (TROUBLED, QueryBroadcast),
    _who_lacks_queries_may_begin: (TROUBLED, JoinFront),
    _troubles_have_no_detail: (TROUBLED, JoinFront),
}
"""What is wrong; the test of the bench that must see it; the unit that it is planted in."""

PLANTED = PlantedFaults([(unit, fault) for fault, (_, unit) in FAULTS.items()])


@pytest.fixture(scope="module")
def built() -> Built:
    """One simulator with all faults."""
    with pytest.MonkeyPatch.context() as patch:
        for unit in (JoinFront, JoinBook, JoinLane, ForeignGate, Gather, QueryBroadcast):
            patch.setattr(join_engine, unit.__name__, PLANTED.faulty(unit))
        engine = JoinEngine(SPEC, ENGINE, channels=CHANNELS)
        return build(PLANTED.selectable(engine), "joins", simulator="icarus")


def test_the_join_engine_agrees_with_its_model(built: Built, tmp_path: Path) -> None:
    run(built, BENCH, tmp_path)


@pytest.mark.parametrize("name", ["a_name_is_open", "name_is_open_once", "nothing_of_the_kind"])
def test_a_test_that_the_bench_does_not_have_is_not_a_failure_of_it(
        built: Built, tmp_path: Path, name: str) -> None:
    with pytest.raises(LookupError, match=f"no test is named '{name}'"):
        run(built, BENCH, tmp_path, tests=["a_name_is_open_once", name])


def test_the_bench_finds_every_fault(built: Built, tmp_path: Path) -> None:
    faults = {number: test for number, (test, _) in enumerate(FAULTS.values(), start=1)}
    run(built, "tb.bench_descriptor_faults", tmp_path,
        parameters={"faults": faults, "bench": BENCH})
