"""The whole slice on both simulators: attention, block moves, host traffic, refusals, counters."""

from pathlib import Path
from typing import Any

from hdl.slice import Slice
from model.spec.presets import slice_spec
from tb.build import build, run

BENCH = "tb.bench_slice"
SMALL: dict[str, Any] = {"pim_banks": 4, "capacity_banks": 1, "rows": 32, "group_max": 4,
                         "head_size_max": 128, "window": 8}


def test_the_slice_does_what_its_users_ask(tmp_path: Path) -> None:
    built = build(Slice(slice_spec(**SMALL)), "slice", simulator="verilator", waves="ports")
    run(built, BENCH, tmp_path, seed=3, parameters={"spec": SMALL})


def test_another_timing_format_and_size_run_on_the_same_rtl(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "preset": "hbm3_5200", "format": "fp16", "pim_banks": 3, "capacity_banks": 2, "lanes": 32,
        "rows": 16, "group_max": 2, "head_size_max": 64, "window": 8}
    built = build(Slice(slice_spec(**options)), "slice", simulator="icarus")
    # Icarus simulates some hundred clocks a second: two contexts instead of nine.
    contexts = [1, 16 * options["pim_banks"] + 1]
    run(built, BENCH, tmp_path, seed=4, parameters={"spec": options, "contexts": contexts}, tests=[
        "attention_is_exact_at_every_context_of_two_waves", "a_migrated_block_is_attended_to",
        "impossible_orders_are_refused_by_name"])
