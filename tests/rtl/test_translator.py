"""The translator on both simulators, and faults planted in it that its bench must find.

All faults are in one build: one acts while its number stands at a port that only this build has.
"""

from pathlib import Path
from typing import Any

import pytest
from amaranth import Cat, Module, Mux, Signal

from hdl.translator import translator
from hdl.translator.intake import Intake
from hdl.translator.miss_table import Kind, MissTable
from hdl.translator.tlb import Tlb
from hdl.translator.translator import Translator
from hdl.translator.walker import Walker
from model.spec.translation import BLOCK_WORD, SEQUENCE_WORD, Scope, TableWord
from tb.bench_translator_channel import on_channel_spec
from tb.build import BenchFailure, Built, build, run, simulate
from tb.translator_channel_dut import TranslatorOnChannel
from tb.translator_memory import translator_spec
from tb.translator_waves import SCENARIO
from tb.waveform import Waveform
from tests.rtl.planted import Plant, PlantedFaults

BENCH = "tb.bench_translator"
ROUGH = "random_traffic_with_changes_is_answered_rightly/idle=0.5/stall=0.4/slow=True"
SMALL = ["every_entry_of_a_table_is_found", "wrong_tables_are_refused_by_their_cause",
         "hits_take_three_clocks_one_a_clock",
         "a_miss_costs_the_memory_and_eight_clocks/latency=30",
         "a_set_keeps_its_ways_and_evicts_what_is_unused", "commits_compare_and_set_in_order",
         "an_invalidation_spares_what_is_not_meant", "a_full_fault_queue_counts_what_it_drops"]


def test_the_translator_agrees_with_its_model(tmp_path: Path) -> None:
    simulate(Translator(translator_spec()), BENCH, tmp_path, simulator="verilator",
             parameters={"spec": {}, "random": 120})


@pytest.mark.parametrize("options", [
    {"tlb_entries": 4, "tlb_ways": 4, "slots": 3}, {"tlb_entries": 2, "tlb_ways": 1, "slots": 2},
], ids=["one set", "one way"])
def test_so_it_does_on_icarus_with_the_smallest_buffers(tmp_path: Path,
                                                        options: dict[str, int]) -> None:
    simulate(Translator(translator_spec(**options)), BENCH, tmp_path, simulator="icarus",
             parameters={"spec": options, "random": 30}, tests=[*SMALL, ROUGH])


def test_tables_in_a_real_memory_channel_are_walked(tmp_path: Path) -> None:
    simulate(TranslatorOnChannel(on_channel_spec()), "tb.bench_translator_channel", tmp_path,
             simulator="icarus")


def test_the_scenario_has_views_that_refer_to_it(tmp_path: Path) -> None:
    dump = SCENARIO.record(tmp_path, "icarus")
    files = SCENARIO.write_views(dump)
    assert len(files) > 4 and all(file.stat().st_size for file in files)
    hits = Waveform(dump, ["translator.tlb.hit"], clock="translator.clk").values(
        "translator.tlb.hit")
    assert hits.sum() > 8


CHANGE = "a_change_in_any_clock_of_a_walk_is_seen"
JUDGED = "every_access_is_judged_by_residency_and_permission"
WRONG = "wrong_tables_are_refused_by_their_cause"
SHARED = "lookups_of_one_block_share_a_walk"
ORDER = "commits_compare_and_set_in_order"


def _field(word: TableWord, name: str, bits: Any) -> Any:
    offset, width = word.fields[name]
    return bits[offset:offset + width]


def _commit_leaves_the_tlb(unit: Translator, m: Module) -> None:
    m.d.comb += m.submodules.tlb.update.eq(0)


def _commit_leaves_walks(unit: MissTable, m: Module) -> None:
    for i in range(unit.spec.slots):
        with m.If(unit.operation.kind == Kind.DONE):
            m.d.comb += m.submodules[f"slot_{i}"].change.eq(0)


def _stale_walk_is_kept(unit: MissTable, m: Module) -> None:
    m.d.comb += unit.again.eq(0)


def _nobody_follows(unit: MissTable, m: Module) -> None:
    m.d.comb += unit.followed.eq(0)


def _follower_reads_its_own_slot(unit: MissTable, m: Module) -> None:
    m.d.comb += unit.ready.source.eq(unit.ready.slot)


def _a_walk_ends_a_clock_late(unit: MissTable, m: Module) -> None:
    before = Signal(Kind)
    m.d.sync += before.eq(Mux(unit.ready.kind == Kind.NONE, Kind.FILL, Kind.NONE))
    with m.If(before == Kind.FILL):
        m.d.comb += unit.ready.kind.eq(Kind.NONE)


def _one_lane_without_parity(unit: Walker, m: Module) -> None:
    word = unit.port.response.p.data
    m.d.comb += m.submodules.reader.word.eq(Cat(word[:255], word[192:255].xor()))


def _tenant_is_not_compared(unit: Walker, m: Module) -> None:
    m.d.comb += m.submodules.reader.slot.job.id.tenant.eq(
        _field(SEQUENCE_WORD, "tenant", unit.port.response.p.data))


def _commit_does_not_compare(unit: Walker, m: Module) -> None:
    m.d.comb += m.submodules.reader.slot.job.expected.as_value().eq(
        _field(BLOCK_WORD, "residency", unit.port.response.p.data))


def _memory_status_is_ignored(unit: Walker, m: Module) -> None:
    m.d.comb += m.submodules.reader.status.eq(0)


def _sequences_without_end(unit: Translator, m: Module) -> None:
    m.d.comb += m.submodules.misses.tables.sequences.eq(~0)


def _chunks_without_end(unit: Walker, m: Module) -> None:
    m.d.comb += m.submodules.reader.tables.chunks.eq(~0)


def _everything_is_writable(unit: Translator, m: Module) -> None:
    m.d.comb += m.submodules.judge.finding.entry.writable.eq(1)


def _poison_is_ignored(unit: Translator, m: Module) -> None:
    m.d.comb += m.submodules.judge.finding.entry.residency.poisoned.eq(0)


def _commits_of_a_block_overtake(unit: Translator, m: Module) -> None:
    m.d.comb += m.submodules.intake.commit_room.eq(m.submodules.misses.commit_room)


def _losses_are_not_counted(unit: Translator, m: Module) -> None:
    m.d.comb += m.submodules.counts.events.faults_lost.eq(0)


def _uses_are_not_noted(unit: Translator, m: Module) -> None:
    m.d.comb += m.submodules.tlb.use.eq(0)


def _all_is_one_block(unit: Translator, m: Module) -> None:
    with m.If(m.submodules.intake.operation.scope == Scope.ALL):
        m.d.comb += m.submodules.tlb.probe.scope.eq(Scope.BLOCK)


def _a_sweep_ends_after_one_set(unit: Intake, m: Module) -> None:
    m.d.comb += unit.picked.last.eq(1)


def _a_lookup_every_other_clock(unit: Intake, m: Module) -> None:
    with m.If(unit.operation.kind == Kind.LOOKUP):
        m.d.comb += [unit.picked.kind.eq(Kind.NONE), unit.lookup.ready.eq(0)]


def _one_way_is_filled(unit: Tlb, m: Module) -> None:
    with m.If(unit.fill):
        m.d.comb += [m.submodules[f"way_{way}"].write_ports[0].en.eq(way == 0)
                     for way in range(unit.spec.tlb_ways)]


FAULTS: dict[Plant, tuple[str, type]] = {
    _commit_leaves_the_tlb: (f"{CHANGE}/change=commit/cached=True", Translator),
    _commit_leaves_walks: (f"{CHANGE}/change=commit/cached=False", MissTable),
    _stale_walk_is_kept: (f"{CHANGE}/change=BLOCK/cached=False", MissTable),
    _nobody_follows: (SHARED, MissTable),
    _follower_reads_its_own_slot: (SHARED, MissTable),
    _a_walk_ends_a_clock_late: ("a_miss_costs_the_memory_and_eight_clocks/latency=30", MissTable),
    _one_lane_without_parity: ("every_flipped_bit_of_a_table_word_is_found", Walker),
    _tenant_is_not_compared: (WRONG, Walker),
    _commit_does_not_compare: (ORDER, Walker),
    _memory_status_is_ignored: ("what_memory_refuses_is_a_fault", Walker),
    _sequences_without_end: (WRONG, Translator),
    _chunks_without_end: (WRONG, Walker),
    _everything_is_writable: (JUDGED, Translator),
    _poison_is_ignored: (JUDGED, Translator),
    _commits_of_a_block_overtake: (ORDER, Translator),
    _losses_are_not_counted: ("a_full_fault_queue_counts_what_it_drops", Translator),
    _uses_are_not_noted: ("a_set_keeps_its_ways_and_evicts_what_is_unused", Translator),
    _all_is_one_block: ("an_invalidation_spares_what_is_not_meant", Translator),
    _a_sweep_ends_after_one_set: (f"{CHANGE}/change=TENANT/cached=True", Intake),
    _a_lookup_every_other_clock: ("hits_take_three_clocks_one_a_clock", Intake),
    _one_way_is_filled: ("a_set_keeps_its_ways_and_evicts_what_is_unused", Tlb),
}
"""What is wrong; the test of the bench that must see it; the unit that it is planted in."""

PLANTED = PlantedFaults([(unit, fault) for fault, (_, unit) in FAULTS.items()])


@pytest.fixture(scope="module")
def built() -> Built:
    """One simulator with all faults."""
    with pytest.MonkeyPatch.context() as patch:
        for unit in (MissTable, Walker, Intake, Tlb):
            patch.setattr(translator, unit.__name__, PLANTED.faulty(unit))
        unit = PLANTED.faulty(Translator)(translator_spec())
        return build(PLANTED.selectable(unit), "translator", simulator="verilator")


def _run(built: Built, work: Path, fault: int, *tests: str) -> None:
    run(built, BENCH, work, tests=tests, parameters={"spec": {}, "random": 60, "fault": fault})


def test_without_a_fault_the_bench_passes(built: Built, tmp_path: Path) -> None:
    _run(built, tmp_path, 0, "hits_take_three_clocks_one_a_clock", SHARED, ORDER, WRONG, ROUGH)


@pytest.mark.parametrize(("number", "test"), [
    (number, test) for number, (test, _) in enumerate(FAULTS.values(), start=1)],
    ids=[fault.__name__.strip("_") for fault in FAULTS])
def test_the_bench_finds(built: Built, tmp_path: Path, number: int, test: str) -> None:
    with pytest.raises(BenchFailure, match=rf"{test} +FAIL"):
        _run(built, tmp_path, number, test)
