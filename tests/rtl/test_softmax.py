"""The softmax unit on the simulators, and mutants of it that the bench must kill."""

import pytest

from hdl.softmax import Softmax
from tb.bench_softmax import softmax_spec
from tb.build import simulate

FULL = {"format": "bf16", "group_max": 8, "random": 12}
SMALL = {"format": "fp16", "group_max": 3, "random": 5}


@pytest.mark.parametrize("simulator, parameters", [
    ("verilator", FULL), ("verilator", SMALL), ("icarus", SMALL),
], ids=["verilator-bf16", "verilator-fp16", "icarus-fp16"])
def test_softmax_unit_matches_the_golden_model(tmp_path, simulator, parameters):
    simulate(Softmax(softmax_spec(**parameters)), "tb.bench_softmax", tmp_path,
             simulator=simulator, parameters=parameters)
