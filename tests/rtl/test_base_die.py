"""The base die on both simulators, reached only through its buses."""

from pathlib import Path

from hdl.base_die import BaseDie
from tb.build import build, run
from tb.designs import base_die_spec

BENCH = "tb.bench_base_die"
DESCRIPTORS = "tb.bench_die_descriptors"
JOINS = "tb.bench_die_joins"


def test_a_base_die_of_two_channels_does_what_its_users_ask(tmp_path: Path) -> None:
    built = build(BaseDie(base_die_spec(2)), "base_die", simulator="verilator", optimised=False)
    run(built, BENCH, tmp_path / "all", seed=51, parameters={"channels": 2})
    run(built, DESCRIPTORS, tmp_path / "descriptors", seed=53, parameters={"channels": 2})
    run(built, JOINS, tmp_path / "joins", seed=54, parameters={"channels": 2})


def test_registers_and_refusals_are_the_same_on_icarus(tmp_path: Path) -> None:
    built = build(BaseDie(base_die_spec(1)), "base_die", simulator="icarus")
    run(built, BENCH, tmp_path, seed=52, parameters={"channels": 1}, tests=[
        "registers_say_what_was_built_and_refuse_what_is_wrong",
        "a_block_moves_to_the_other_tier_and_back"])
