"""The attention descriptor engine, and faults planted in it that its bench must find.

All faults are in one build: one acts while its number stands at a port that only this build has.
"""

from pathlib import Path

import pytest
from amaranth import Cat, Module

from hdl.attention import descriptor_engine, descriptor_front, descriptor_rings, list_walker
from hdl.attention.block_append import BlockAppend
from hdl.attention.block_lookup import BlockLookup
from hdl.attention.descriptor_check import DescriptorCheck
from hdl.attention.descriptor_jobs import DescriptorJobs
from hdl.attention.descriptor_layouts import PartKind
from hdl.attention.descriptor_rings import DescriptorRings, RingTurn
from hdl.attention.list_walker import ListWalker
from hdl.attention.query_feeder import QueryFeeder
from hdl.attention.result_writer import RecordWriter, ResultWriter
from hdl.attention.wave_builder import WaveBuilder
from model.spec.attention_descriptor import Result
from model.spec.translation import Access
from tb.build import Built, build, run
from tb.descriptor_scene import ENGINE, SPEC, TRANSLATOR
from tb.descriptor_system import DescriptorSystem
from tests.rtl.planted import Plant, PlantedFaults

BENCH = "tb.bench_descriptors"
SHAPES = "every_shape_and_context_is_set_up/stall=0.0"
LISTS = "any_list_of_blocks_becomes_full_waves/stall=0.0"
FAILS = "the_first_block_that_fails_is_named/where=1"
TOKEN = "the_new_token_is_there_before_its_wave/stall=0.0"
REFUSED = "what_makes_no_sense_is_refused_by_name"
READY = "the_next_is_ready_before_this_one_is_over"
MEMORY = "what_memory_refuses_is_recorded"
JOINED = "parts_go_to_their_joins/stall=0.0"



def _everything_is_tenant_1(unit: ListWalker, m: Module) -> None:
    m.d.comb += m.submodules.lookups.tenant.eq(1)


def _the_last_block_is_full(unit: ListWalker, m: Module) -> None:
    m.d.comb += unit.o.p.tokens.eq(16)


def _trouble_is_at_entry_0(unit: ListWalker, m: Module) -> None:
    m.d.comb += unit.trouble.entry.eq(0)


def _the_first_is_asked_for(unit: ListWalker, m: Module) -> None:
    m.d.comb += unit.asks.p.entry.eq(0)


def _every_wave_is_the_last(unit: WaveBuilder, m: Module) -> None:
    m.d.comb += unit.o.p.last.eq(1)


def _every_wave_is_uniform(unit: WaveBuilder, m: Module) -> None:
    m.d.comb += unit.o.p.uniform.eq(1)


def _full_queues_take_blocks(unit: WaveBuilder, m: Module) -> None:
    m.d.comb += unit.i.ready.eq(1)


def _the_token_is_not_waited_for(unit: BlockAppend, m: Module) -> None:
    m.d.comb += unit.done.eq(unit.go)


def _the_value_goes_over_the_key(unit: BlockAppend, m: Module) -> None:
    m.d.comb += unit.token.p.value.eq(0)


def _queries_wait_for_no_verdict(unit: QueryFeeder, m: Module) -> None:
    m.d.comb += unit.o.valid.eq(m.submodules.reader.o.valid)


def _failures_write_their_output(unit: ResultWriter, m: Module) -> None:
    m.d.comb += unit.write.valid.eq(unit.result.valid)


def _the_lap_never_flips(unit: RecordWriter, m: Module) -> None:
    m.d.comb += unit.write.p.data[48].eq(1)


def _records_are_not_waited_for(unit: RecordWriter, m: Module) -> None:
    m.d.comb += unit.recorded.eq(unit.write.valid & unit.write.ready)


def _there_is_always_room(unit: DescriptorJobs, m: Module) -> None:
    m.d.comb += unit.room.eq(1)


def _the_first_ring_goes_first(unit: RingTurn, m: Module) -> None:
    m.d.comb += unit.pick.eq(unit.ready & (~unit.ready + 1))


def _tenants_are_not_compared(unit: DescriptorCheck, m: Module) -> None:
    with m.If(unit.descriptor.tenant != unit.tenant):
        m.d.comb += unit.result.eq(Result.DONE)


def _contexts_are_not_compared(unit: DescriptorCheck, m: Module) -> None:
    with m.If(unit.descriptor.blocks != unit.descriptor.context >> 4):
        m.d.comb += unit.result.eq(Result.DONE)


def _nothing_is_asked_for_writing(unit: BlockLookup, m: Module) -> None:
    m.d.comb += unit.lookup.p.access.eq(Access.READ)


def _joins_are_not_waited_for(unit: DescriptorRings, m: Module) -> None:
    m.d.comb += m.submodules.turn.ready.eq(
        Cat(getattr(m.submodules, f"ring_{n}").available for n in range(ENGINE.rings)))


def _all_wait_for_the_join_of_one(unit: DescriptorRings, m: Module) -> None:
    with m.If(m.submodules.ring_1.available & ~m.submodules.turn.ready[1]):
        m.d.comb += unit.available.eq(0)


def _joins_of_other_tenants_will_do(unit: DescriptorRings, m: Module) -> None:
    with m.If(unit.board[1].valid):
        m.d.comb += m.submodules.turn.ready[1].eq(m.submodules.ring_1.available)


def _misfits_are_begun(unit: DescriptorRings, m: Module) -> None:
    m.d.comb += unit.misfit.eq(0)


def _failures_count_as_empty(unit: ResultWriter, m: Module) -> None:
    with m.If(unit.why != Result.DONE):
        m.d.comb += unit.part.p.kind.eq(PartKind.EMPTY)


def _parts_go_to_memory_too(unit: ResultWriter, m: Module) -> None:
    with m.If(unit.result.valid & unit.note.joined):
        m.d.comb += unit.write.valid.eq(unit.part.valid)


FAULTS: dict[Plant, tuple[str, type]] = {
    _everything_is_tenant_1: (
        "rings_of_several_tenants_run_together/stall=0.0/slow=True", ListWalker),
    _the_last_block_is_full: (SHAPES, ListWalker),
    _trouble_is_at_entry_0: (FAILS, ListWalker),
    _the_first_is_asked_for: ("blocks_elsewhere_are_asked_of_others/stall=0.0", ListWalker),
    _every_wave_is_the_last: (LISTS, WaveBuilder),
    _every_wave_is_uniform: (LISTS, WaveBuilder),
    _full_queues_take_blocks: (LISTS, WaveBuilder),
    _the_token_is_not_waited_for: (TOKEN, BlockAppend),
    _the_value_goes_over_the_key: (TOKEN, BlockAppend),
    _queries_wait_for_no_verdict: (FAILS, QueryFeeder),
    _failures_write_their_output: (MEMORY, ResultWriter),
    _the_lap_never_flips: (SHAPES, RecordWriter),
    _records_are_not_waited_for: (READY, RecordWriter),
    _there_is_always_room: (READY, DescriptorJobs),
    _the_first_ring_goes_first: ("tenants_take_turns", RingTurn),
    _tenants_are_not_compared: (REFUSED, DescriptorCheck),
    _contexts_are_not_compared: (REFUSED, DescriptorCheck),
    _nothing_is_asked_for_writing: (TOKEN, BlockLookup),
    _joins_are_not_waited_for: (JOINED, DescriptorRings),
    _all_wait_for_the_join_of_one: (JOINED, DescriptorRings),
    _joins_of_other_tenants_will_do: (JOINED, DescriptorRings),
    _misfits_are_begun: (JOINED, DescriptorRings),
    _failures_count_as_empty: (JOINED, ResultWriter),
    _parts_go_to_memory_too: (JOINED, ResultWriter),
}
"""What is wrong; the test of the bench that must see it; the unit that it is planted in."""

PLANTED = PlantedFaults([(unit, fault) for fault, (_, unit) in FAULTS.items()])


@pytest.fixture(scope="module")
def built() -> Built:
    """One simulator with all faults."""
    with pytest.MonkeyPatch.context() as patch:
        for home, unit in (
                (descriptor_front, DescriptorCheck), (descriptor_rings, RingTurn),
                (list_walker, BlockLookup),
                *((descriptor_engine, unit) for unit in (
                    ListWalker, WaveBuilder, BlockAppend, QueryFeeder, ResultWriter, RecordWriter,
                    DescriptorJobs, DescriptorRings))):
            patch.setattr(home, unit.__name__, PLANTED.faulty(unit))
        system = DescriptorSystem(SPEC, ENGINE, translator=TRANSLATOR)
        return build(PLANTED.selectable(system), "descriptors", simulator="icarus")


def test_the_engine_agrees_with_its_model(built: Built, tmp_path: Path) -> None:
    run(built, BENCH, tmp_path)


def test_the_bench_finds_every_fault(built: Built, tmp_path: Path) -> None:
    faults = {number: test for number, (test, _) in enumerate(FAULTS.values(), start=1)}
    run(built, "tb.bench_descriptor_faults", tmp_path, parameters={"faults": faults})
