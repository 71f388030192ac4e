"""The merge unit on the simulators, and mutants of it that the bench must kill."""

import pytest

from hdl.merge import Merge
from tb.bench_merge import merge_spec
from tb.build import simulate

LARGE = {"format": "bf16", "head_size_max": 256, "random": 20}
SMALL = {"format": "fp16", "head_size_max": 80, "random": 5}


@pytest.mark.parametrize("simulator, parameters", [
    ("verilator", LARGE), ("icarus", SMALL),
], ids=["verilator-bf16", "icarus-fp16"])
def test_merge_unit_matches_the_golden_model(tmp_path, simulator, parameters):
    simulate(Merge(merge_spec(**parameters)), "tb.bench_merge", tmp_path,
             simulator=simulator, parameters=parameters)
