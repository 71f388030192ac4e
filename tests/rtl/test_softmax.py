"""The softmax unit on the simulators, and mutants of it that the bench must kill."""

import pytest

from hdl.attention.softmax import Softmax
from tb.bench_softmax import softmax_spec
from tb.build import BenchFailure, simulate
from tests.rtl.mutants import Mutant, mutated

BENCH = "tb.bench_softmax"
FULL = {"format": "bf16", "group_max": 8, "fraction_bits": 10, "random": 12}
SMALL = {"format": "fp16", "group_max": 3, "fraction_bits": 10, "random": 2}
TINY = {"format": "bf16", "group_max": 2, "fraction_bits": 8, "random": 6}
CALM = "corners_match_the_golden_model/idle=0.0/stall=0.0"
ROUGH = "random_attentions_match_the_golden_model/idle=0.0/stall=0.9"
ON_ICARUS = [CALM, "corners_match_the_golden_model/idle=0.3/stall=0.5", ROUGH,
             "a_wave_takes_four_clocks_a_block_and_head"]


@pytest.mark.parametrize("simulator, parameters, tests", [
    ("verilator", FULL, []), ("icarus", SMALL, ON_ICARUS),
], ids=["verilator-bf16", "icarus-fp16"])
def test_softmax_unit_matches_the_golden_model(tmp_path, simulator, parameters, tests):
    simulate(Softmax(softmax_spec(**parameters)), BENCH, tmp_path, simulator=simulator,
             parameters=parameters, tests=tests)


MUTANTS = {
    "maximum ignores the sign": Mutant(
        "hdl.attention.score_buffer", "Cat(score[:-1] ^ score[-1].replicate(FP32.width - 1),",
        "Cat(score[:-1],", CALM),
    "room for weights ignored": Mutant(
        "hdl.attention.score_buffer", " & self.room\n", "\n", ROUGH),
    "exponent rounds ties away": Mutant(
        "hdl.attention.exponent", "(half & (rest | kept[0]))", "half", CALM),
    "shift off by one": Mutant(
        "hdl.attention.softmax", "(new - old)[:", "(new - old + 1)[:", CALM),
    "sum not rescaled": Mutant(
        "hdl.attention.softmax", "rescale(state[wave.head].l, shift[wave.head])",
        "state[wave.head].l", CALM),
    "rescale of the last head missing": Mutant(
        "hdl.attention.softmax",
        "head <= self.shape.last_head", "head < self.shape.last_head", CALM),
    "quads alternate by pairs": Mutant(
        "hdl.attention.weight_sum",
        "place.quad[0], done_place.quad[0]", "place.quad[1], done_place.quad[1]",
        CALM),
}
CHAIN = ("hdl.attention.exponent", "hdl.attention.score_buffer", "hdl.attention.weight_sum",
         "hdl.attention.softmax")


@pytest.mark.parametrize("name", MUTANTS)
def test_the_bench_notices(tmp_path, monkeypatch, name):
    unit = mutated(MUTANTS[name], CHAIN, monkeypatch).Softmax(softmax_spec(**TINY))
    with pytest.raises(BenchFailure, match=rf"{MUTANTS[name].seen_by} +FAIL"):
        simulate(unit, BENCH, tmp_path, simulator="icarus", parameters=TINY,
                 tests=[MUTANTS[name].seen_by])


def test_the_unit_that_mutants_are_made_from_passes(tmp_path):
    simulate(Softmax(softmax_spec(**TINY)), BENCH, tmp_path, simulator="icarus", parameters=TINY,
             tests=[CALM])
