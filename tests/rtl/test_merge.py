"""The merge unit on the simulators, and mutants of it that the bench must kill."""

import pytest

from hdl.attention.merge import Merge
from tb.bench_merge import merge_spec
from tb.build import BenchFailure, simulate
from tests.rtl.mutants import Mutant, mutated

BENCH = "tb.bench_merge"
LARGE = {"format": "bf16", "head_size_max": 256, "random": 20}
SMALL = {"format": "fp16", "head_size_max": 80, "random": 3}
CALM = "corners_match_the_golden_model/idle=0.0/stall=0.0/partial=False"
ROUGH = "heads_may_follow_each_other_at_once/partial=True/stall=0.8"
ON_ICARUS = [CALM, "corners_match_the_golden_model/idle=0.3/stall=0.7/partial=True",
             "random_merges_match_the_golden_model/idle=0.4/stall=0.9", "clocks_are_as_stated"]


@pytest.mark.parametrize("simulator, parameters, tests", [
    ("verilator", LARGE, []), ("icarus", SMALL, ON_ICARUS),
], ids=["verilator-bf16", "icarus-fp16"])
def test_merge_unit_matches_the_golden_model(tmp_path, simulator, parameters, tests):
    simulate(Merge(merge_spec(**parameters)), BENCH, tmp_path, simulator=simulator,
             parameters=parameters, tests=tests)


MUTANTS = {
    "smaller maximum kept": Mutant(
        "hdl.attention.merge",
        "Mux(distance > 0, header.m, self.m)", "Mux(distance > 0, self.m, header.m)",
        CALM),
    "part scaled like the outputs so far": Mutant(
        "hdl.attention.merge", "rescale(new, shifts[1])", "rescale(new, shifts[0])", CALM),
    "first part is added": Mutant(
        "hdl.attention.merge", "copying.eq(valid & first)", "copying.eq(0)", CALM),
    "factor of the head before": Mutant(
        "hdl.attention.merge", "active.eq(0), factor_known.eq(0)", "active.eq(0)", CALM),
    "room for results ignored": Mutant(
        "hdl.attention.merge", "reading.eq(queue.room | ~needs_place)", "reading.eq(1)", ROUGH),
    "reciprocal truncates": Mutant(
        "hdl.attention.fp32_reciprocal",
        "Cat(remainder.any(), quotient)", "Cat(C(0, 2), quotient[1:])",
        CALM),
}
CHAIN = ("hdl.attention.fp32_reciprocal", "hdl.attention.merge")


@pytest.mark.parametrize("name", MUTANTS)
def test_the_bench_notices(tmp_path, monkeypatch, name):
    unit = mutated(MUTANTS[name], CHAIN, monkeypatch).Merge(merge_spec(**SMALL))
    with pytest.raises(BenchFailure, match=rf"{MUTANTS[name].seen_by} +FAIL"):
        simulate(unit, BENCH, tmp_path, simulator="icarus", parameters=SMALL,
                 tests=[MUTANTS[name].seen_by])
