"""The base die on both simulators, reached only through its buses."""

from pathlib import Path

import pytest

from hdl.base_die import BaseDie
from tb.build import build, run
from tb.designs import base_die_spec

BENCH = "tb.bench_base_die"


@pytest.mark.parametrize("channels", [1, 2])
def test_the_base_die_does_what_its_users_ask(tmp_path: Path, channels: int) -> None:
    built = build(BaseDie(base_die_spec(channels)), "base_die", simulator="verilator")
    run(built, BENCH, tmp_path, seed=51, parameters={"channels": channels})


def test_registers_and_refusals_are_the_same_on_icarus(tmp_path: Path) -> None:
    built = build(BaseDie(base_die_spec(1)), "base_die", simulator="icarus")
    run(built, BENCH, tmp_path, seed=52, parameters={"channels": 1}, tests=[
        "registers_say_what_was_built_and_refuse_what_is_wrong",
        "a_block_moves_to_the_other_tier_and_back"])
