"""The cycle table is checked when read, exact where simulated and straight beyond."""

import json
import re
from fractions import Fraction

import pytest

from model.spec.errors import UserError
from runtime.cycle_table import fit_line, load_cycle_table
from tests.runtime.common import table_in
from tests.runtime.fixture_cycles import (
    ATTEND_FIXED,
    ATTEND_PER_WAVE,
    MERGE_PER_PART,
    MIGRATE,
    fixture_table,
    write_fixture,
)


def test_simulated_points_are_used_as_they_are_and_the_line_beyond(tmp_path):
    line = table_in(tmp_path).attend(128, 4)
    assert [line.cycles(w) for w in (1, 2, 3)] == [1700, 3100, 4500]
    assert line.cycles(100) == ATTEND_FIXED + 100 * ATTEND_PER_WAVE[4]
    assert line.largest_deviation == 0


def test_the_line_goes_on_as_between_the_two_largest_points():
    line = fit_line({1: 100, 2: 200, 4: 411}, ("a", "b", "c"))
    assert (line.slope, line.intercept) == (Fraction(211, 2), Fraction(-11))
    assert [line.cycles(x) for x in (1, 2, 4, 5)] == [100, 200, 411, 517]      # 516.5, rounded up
    assert line.largest_deviation == pytest.approx(0.055)


def test_a_single_point_gives_a_line_through_the_origin():
    line = fit_line({3: 10}, ("a",))
    assert (line.cycles(3), line.cycles(6), line.cycles(1)) == (10, 20, 4)


def test_merging_costs_by_further_parts_and_heads_one_after_the_other(tmp_path):
    table = table_in(tmp_path)
    assert table.merge(128, 1).cycles(7) == MERGE_PER_PART * 7 + 10
    assert table.merge(128, 4).cycles(7) == 4 * (MERGE_PER_PART * 7 + 10)


def test_migration_is_the_measured_block(tmp_path):
    table = table_in(tmp_path)
    for direction in ("capacity_to_pim", "pim_to_capacity"):
        assert table.migrate(128, direction).cycles == MIGRATE[direction]


def test_smaller_slices_are_read_but_not_composed_from(tmp_path):
    rows = fixture_table()["rows"]
    small = rows[0] | {"pim_banks": 4, "cycles": 7, "waveform_cycles": 7}
    table = load_cycle_table(write_fixture(tmp_path / "c.json", rows=[*rows, small]))
    assert table.attend(128, 1).cycles(1) == ATTEND_FIXED + ATTEND_PER_WAVE[1]


def changed_row(index: int, **changes: object) -> dict:
    rows = fixture_table()["rows"]
    rows[index] = rows[index] | changes
    return {"rows": rows}


BAD = {
    "schema: expected 1, not 2": {"schema": 2},
    "provenance: object missing required field": {"provenance": {}},
    "provenance.preset: expected one of hbm3_5200, hbm4_8000, not 'ddr5'":
        {"provenance": fixture_table("ddr5")["provenance"]},
    "rows[0].cycles: expected a positive integer, not 0": changed_row(0, cycles=0),
    "rows[2].waveform_cycles: expected 3000, as the counter has, not 3001":
        changed_row(2, waveform_cycles=3001),
    "rows[0].cycles: expected `int`": changed_row(0, cycles="many"),
    "rows[0].operation": changed_row(0, operation="guess"),
    "rows[11].parts: expected 2 or more, not 1": changed_row(11, parts=1),
    "fixture.attend.g1.ctx512: cycles: expected 1200": changed_row(1, context=256),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_table_is_refused_in_one_line(tmp_path, message):
    path = write_fixture(tmp_path / "cycles.json", **BAD[message])
    with pytest.raises(UserError, match=re.escape(message)) as error:
        load_cycle_table(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_or_broken_file_names_the_command_that_makes_it(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{"schema": 1')
    for path in (tmp_path / "none.json", broken, tmp_path):
        with pytest.raises(UserError, match="make sim"):
            load_cycle_table(path)


def test_missing_operations_are_named_when_they_are_needed(tmp_path):
    table = load_cycle_table(write_fixture(tmp_path / "c.json", rows=[]))
    for ask, what in ((lambda: table.attend(128, 4), "attend rows for bf16, head_size 128"),
                      (lambda: table.merge(128, 4), "merge rows"),
                      (lambda: table.migrate(128, "capacity_to_pim"), "a migrate row")):
        with pytest.raises(UserError, match=f"rows: expected {what}"):
            ask()


def test_a_merge_row_without_a_group_is_one_head(tmp_path):
    rows = [{k: v for k, v in row.items() if k != "group" or row["operation"] != "merge"}
            for row in fixture_table()["rows"]]
    path = tmp_path / "c.json"
    path.write_text(json.dumps(fixture_table() | {"rows": rows}))
    assert load_cycle_table(path).merge(128, 1).cycles(1) == MERGE_PER_PART + 10
