"""The fault campaign in short, and that it would notice what it looks for."""

from pathlib import Path
from typing import Any

import pytest

from tb import faults
from tb.build import BenchFailure, simulate
from tb.fault_dut import FaultDut

SHORT = {"singles": 168, "doubles": 60, "buffers": 1, "aborts": 6, "resets": 6}


def test_a_short_campaign_finds_nothing_silent_and_nothing_lost() -> None:
    result = faults.campaign([SHORT], seed=7, workers=1)
    assert (result["silent"], result["lost"]) == (0, 0)
    assert result["words"] > 1000
    for fault, name in (("single flip", "singles"), ("double flip", "doubles"),
                        ("abort", "aborts"), ("reset", "resets")):
        assert faults.count(result, fault, but="buffer") == SHORT[name], fault


@pytest.mark.parametrize(("how", "seen"), [("data", "words silently corrupt: got 0x1"),
                                           ("table", "blocks lost: got 0x1")])
def test_data_changed_behind_its_back_and_a_block_that_is_nowhere_are_noticed(
        tmp_path: Path, how: str, seen: str) -> None:
    faults_of_one_abort = {name: int(name == "aborts") for name in SHORT}
    with pytest.raises(BenchFailure, match=seen):
        simulate(FaultDut(), faults.BENCH, tmp_path, simulator="verilator", seed=9,
                 parameters={**faults_of_one_abort, "sabotage": how})


def test_the_whole_campaign_is_as_large_as_it_must_be() -> None:
    assert faults.PARTS * faults.PART["singles"] >= 10_000
    assert faults.PARTS * faults.PART["doubles"] >= 2_000
    assert faults.PARTS * (faults.PART["aborts"] + faults.PART["resets"]) >= 500


def test_the_table_sums_outcomes_by_fault_and_site() -> None:
    result: dict[str, Any] = {"outcomes": [
        ["abort", "moves", "before", 2], ["moves", "result", "DONE", 9],
        ["single flip", "source", "corrected", 1000], ["single flip", "source", "masked", 1],
        ["single flip", "buffer", "corrected", 64]]}
    assert faults.rows(result)[1:] == [
        ("single flip", "buffer", "64", "64 corrected"),
        ("single flip", "source", "1,001", "1,000 corrected, 1 masked"),
        ("abort", "moves", "2", "2 before")]
    assert faults.count(result, "single flip", but="buffer") == 1001
