"""Reliability units around an array, on both simulators, and mutants that the bench notices."""
# amaranth: UnusedElaboratable=no

from pathlib import Path

import pytest

from tb.build import SIMULATORS, BenchFailure, simulate
from tb.reliability_dut import ReliabilityChannelDut, ReliabilityDut
from tests.rtl.mutants import Mutant, mutated

BENCH = "tb.bench_reliability"
ROOM = "hdl.reliability"
LOG, PROTECTION, SCRUBBER, UNIT = (f"{ROOM}.{name}" for name in (
    "error_log", "protection", "scrubber", "reliability"))
CHAIN = [LOG, PROTECTION, SCRUBBER, UNIT, "tb.reliability_dut"]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_flips_are_corrected_or_reported(tmp_path: Path, simulator: str) -> None:
    simulate(ReliabilityDut(), BENCH, tmp_path, simulator=simulator, seed=31)


def test_so_they_are_in_a_memory_channel(tmp_path: Path) -> None:
    simulate(ReliabilityChannelDut(), BENCH, tmp_path, simulator="verilator", seed=33,
             parameters={"settle": 200})


@pytest.mark.parametrize("mutant", [
    Mutant(LOG, "dropped.append(self.report_valid[n] & busy & ~goes)", "dropped.append(busy & 0)",
           "records_are.*"),
    Mutant(LOG, "[*dropped, some & ~queue.w_rdy]", "dropped", "records_are.*"),
    Mutant(LOG, "goes = busy & ~taken", "goes = busy", "records_are.*"),
    Mutant(LOG, "held.time.eq(now)", "held.time.eq(0)", "records_are.*"),
    Mutant(PROTECTION, "Mux(lost, 0, decoder.decoded)", "Mux(lost, 0, decoder.data)",
           "a_stored_flip.*"),
    Mutant(PROTECTION, "Mux(lost, Status.UNCORRECTABLE, Status.OK)", "Status.OK",
           "a_double_flip.*"),
    Mutant(PROTECTION, "encoder.poison.eq(self.write_poison)", "encoder.poison.eq(0)",
           "a_double_flip.*"),
    Mutant(PROTECTION, "& (self.place.as_value() == self.strike_place.as_value())", "",
           "flips_in_flight.*"),
    Mutant(SCRUBBER, "with m.If((job == Job.REPAIR) & ~found):", "with m.If(0):",
           "flips_in_flight.*"),
    Mutant(SCRUBBER, "self.annulled.eq(self.own_write & stale)", "self.annulled.eq(0)",
           "writes_of_others.*"),
    Mutant(SCRUBBER, "self.write_place.as_value() == self.place.as_value()",
           "self.write_place.as_value() != self.place.as_value()", "writes_of_others.*"),
    Mutant(SCRUBBER, "with m.If((job == Job.INJECT) & ~is_void):", "with m.If(job == Job.INJECT):",
           "an_injection.*"),
    Mutant(SCRUBBER, "self.write_poison.eq(lost)", "self.write_poison.eq(0)", "a_double_flip.*"),
    Mutant(SCRUBBER, "m.d.sync += walk.row.eq(Mux(end_of_bank, 0, walk.row + 1))",
           "m.d.sync += walk.row.eq(0)", "the_walk.*"),
    Mutant(UNIT, "with m.Elif(self.upkeep.struck):", "with m.Elif(0):", "flips_in_flight.*"),
    Mutant(UNIT, "own.place.eq(self.upkeep.flaw.place)",
           "own.place.row.eq(self.upkeep.flaw.place.row)", "a_stored_flip.*"),
], ids=lambda mutant: mutant.good)
def test_a_mutant_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             mutant: Mutant) -> None:
    unit = mutated(mutant, CHAIN, monkeypatch)
    with pytest.raises(BenchFailure):
        simulate(unit.ReliabilityDut(), BENCH, tmp_path, simulator="icarus", seed=32,
                 tests=[mutant.seen_by])
