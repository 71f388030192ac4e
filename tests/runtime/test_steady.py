"""Attentions among others: from rows to cycles, and what a layer of them takes."""

from fractions import Fraction

import numpy as np
import pytest

from model.spec.errors import UserError
from runtime.cycle_table import load_cycle_table
from runtime.models import LLAMA_3_8B
from runtime.steady import SteadyLine
from runtime.systems.pim import PimArray, steady_cycles
from runtime.tiers.units import PimUnits
from tests.runtime.fixture_cycles import (
    ATTEND_FIXED,
    ATTEND_PER_WAVE,
    fixture_table,
    write_fixture,
)

REFRESH = Fraction(3900, 3900 - 450)
ADDS = {256: 1700, 512: 2900}
"""What an attention of four query heads adds, a wave or two long: 300 and 100 above its waves."""


def table_with_steady(folder):
    rows = fixture_table()["rows"]
    for row in rows:
        if row["operation"] == "attend" and row["group"] == 4 and row["context"] in ADDS:
            row["steady"] = ADDS[row["context"]]
    return load_cycle_table(write_fixture(folder / "cycles.json", rows=rows))


def test_results_bound_short_attentions_and_refresh_long_ones():
    line = SteadyLine(points={1: 1700, 2: 2900}, wave=Fraction(1400), refresh=REFRESH,
                      end=Fraction(0))
    assert line.cycles(1) == 1700               # 1,400 and their refresh would be 1,583
    assert line.cycles(2) == 3166               # 2,800 * 26 / 23 > 2,900
    assert line.cycles(3) == 4748               # 4,200 * 26 / 23 > 4,200
    slow = SteadyLine(points={1: 2500}, wave=Fraction(1400), refresh=REFRESH, end=Fraction(0))
    assert [slow.cycles(n) for n in (2, 7)] == [3900, 10_900 + 179]


def test_what_results_add_falls_on_as_it_fell():
    line = SteadyLine(points={1: 3651, 2: 5824}, wave=Fraction(2328), refresh=Fraction(1),
                      end=Fraction(0))
    assert [line.cycles(n) - 2328 * n for n in (1, 2, 3, 4, 10)] == [1323, 1168, 1013, 858, 0]
    rising = SteadyLine(points={1: 1000, 2: 1900}, wave=Fraction(800), refresh=Fraction(1),
                        end=Fraction(0))
    assert [rising.cycles(n) - 800 * n for n in (2, 3, 9)] == [300, 300, 300]


def test_of_a_part_of_a_wave_banks_need_all_and_registers_their_part():
    line = SteadyLine(points={1: 2989, 2: 4656, 3: 7800, 4: 11_000}, wave=Fraction(2328),
                      refresh=Fraction(1), end=Fraction(0))
    waves = (Fraction(17, 16), Fraction(9, 4), Fraction(7, 2), Fraction(15, 4), Fraction(1, 2))
    assert [line.cycles(n) for n in waves] == [4656, 6984, 9400, 10_200, 2989]


def test_a_layer_is_the_fullest_unit_s_attentions_and_one_end(tmp_path):
    table = table_with_steady(tmp_path)
    array = PimArray(table, LLAMA_3_8B, cards=1, stacks=5, units_per_stack=64)
    assert (array.refresh, array.attend_cycles(1), array.attend_cycles(0)) == (1, 1700, 0)
    alone = ATTEND_FIXED + 2 * ATTEND_PER_WAVE[4]
    assert array.ends == alone - ADDS[512]
    units = PimUnits(array, kv_blocks=1000)
    assert units.layer_cycles() == 0
    units.attend_all({units.extent(np.zeros(8, dtype=int)): 1}, 1)
    assert units.layer_cycles() == 8 * 1700 + array.ends
    assert steady_cycles(table, group=4, head_size=128, context=256) == 1700


def test_a_table_without_such_rows_charges_what_attentions_take_alone(tmp_path):
    table = table_with_steady(tmp_path)
    assert table.steady(128, 8) == ()
    assert steady_cycles(table, group=8, head_size=128, context=256) == (
        ATTEND_FIXED + ATTEND_PER_WAVE[8]) * REFRESH


def test_other_traffic_has_rows_of_its_own(tmp_path):
    rows = fixture_table()["rows"]
    for row in [row for row in rows if row["operation"] == "attend" and row["group"] == 4]:
        steady = ADDS.get(row["context"])
        if steady:
            row["steady"] = steady
            rows.append({**row, "run": "beside", "traffic": "dma", "steady": steady + 500,
                         "cycles": row["cycles"] + 70, "waveform_cycles": None})
    table = load_cycle_table(write_fixture(tmp_path / "cycles.json", rows=rows))
    quiet, = table.steady(128, 4)
    assert quiet.points == {1: 1700, 2: 2900}, "rows of traffic are no part of the runtime's"
    line, = table.steady(128, 4, traffic="dma")
    assert line.points == {1: 2200, 2: 3400}
    assert (line.wave, line.end) == (quiet.wave, quiet.end + 70 - 500)
    assert table.steady(128, 4, traffic="gpu") == ()


def test_passes_add_up(tmp_path):
    lines = table_with_steady(tmp_path).steady(128, 3)
    assert [line.cycles(1) for line in lines] == [1700]     # three heads as four


def test_a_row_that_takes_no_time_is_refused(tmp_path):
    rows = fixture_table()["rows"]
    rows[0]["steady"] = 0
    with pytest.raises(UserError, match=r"rows\[0\].steady: expected a positive integer, not 0"):
        load_cycle_table(write_fixture(tmp_path / "cycles.json", rows=rows))
