"""Registers against their maps, on both simulators, and mutants that the benches notice."""
# amaranth: UnusedElaboratable=no

from pathlib import Path

import pytest

from hdl.host.registers import Registers
from model.spec.slice import SliceSpec
from tb.build import SIMULATORS, BenchFailure, simulate
from tb.register_dut import RegisterDut
from tests.rtl.mutants import Mutant, mutated

LITE, BLOCK = "hdl.host.axi_lite", "hdl.host.register_block"
CHAIN = [LITE, BLOCK, "hdl.host.registers", "tb.register_dut"]
BENCH = "tb.bench_register_bus"


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_the_registers_of_a_slice_follow_their_map(tmp_path: Path, simulator: str) -> None:
    simulate(Registers(SliceSpec()), "tb.bench_registers", tmp_path, simulator=simulator, seed=11)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_every_kind_of_register_behind_one_bus(tmp_path: Path, simulator: str) -> None:
    simulate(RegisterDut(), BENCH, tmp_path, simulator=simulator, seed=12)


@pytest.mark.parametrize("mutant", [
    Mutant(BLOCK, "(access.write_address[:WORD_SHIFT] == 0) & access.write_strobe.all()",
           "access.write_address[:WORD_SHIFT] == 0", "wrong_widths"),
    Mutant(BLOCK, "aligned.eq(access.read_address[:WORD_SHIFT] == 0)", "aligned.eq(1)",
           "wrong_widths"),
    Mutant(BLOCK, "hits.eq(Cat((whole & (word == entry) & self._below_limit(register))",
           "hits.eq(Cat((whole & (word == entry))", "wrong_widths"),
    Mutant(BLOCK, "store.en.eq(whole & inside & self._below_limit(register))",
           "store.en.eq(whole & self._below_limit(register))", "every_register"),
    Mutant(BLOCK, "(bits & ~cleared) | raised", "(bits | raised) & ~cleared", "a_set_is_stronger"),
    Mutant(BLOCK, "written.eq(self.access.write_data & register.defined)",
           "written.eq(self.access.write_data)", "every_register"),
    Mutant(BLOCK, ".eq(hits.any())", ".eq(hits.any() & (written != 0))", "pulses_last"),
    Mutant(BLOCK, "port.eq(written & hits.replicate(DATA_WIDTH))", "port.eq(written)",
           "pulses_last"),
    Mutant(BLOCK, "events | Value.cast(block.interrupt_test)", "events", "the_interrupt"),
    Mutant(BLOCK, "            with m.Default():\n"
           "                m.d.comb += access.write_response.eq(Response.DECERR)\n", "",
           "what_is_not"),
    Mutant(LITE, "m.d.comb += [block.write.eq(access.write),", "m.d.comb += [block.write.eq(0),",
           "every_register"),
    Mutant(LITE, "                m.d.comb += [block.read.eq(access.read), "
           "access.read_data.eq(block.read_data),",
           "                m.d.comb += [block.read.eq(access.read), "
           "access.read_data.eq(0),", "every_register"),
    Mutant(LITE, "bus.awready.eq(~have_address)", "bus.awready.eq(1)", "gaps_and"),
    Mutant(LITE, "have_address & have_data & ~bus.bvalid", "have_address & have_data", "gaps_and"),
    Mutant(LITE, "bus.arready.eq(~bus.rvalid)", "bus.arready.eq(1)", "gaps_and"),
], ids=lambda mutant: mutant.good)
def test_a_mutant_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             mutant: Mutant) -> None:
    unit = mutated(mutant, CHAIN, monkeypatch)
    with pytest.raises(BenchFailure):
        simulate(unit.RegisterDut(), BENCH, tmp_path, simulator="icarus", seed=12,
                 tests=[f"{mutant.seen_by}.*"])
