"""Bounds of attention, each worked out by hand from the timing tables."""

import pytest

from model.spec import attention_bounds as bounds
from model.spec.presets import slice_spec
from model.spec.timing import HBM3_5200, HBM4_8000

FULL = slice_spec()


@pytest.mark.parametrize(("timing", "columns", "spacing", "clocks"), [
    (HBM4_8000, 32, 2, 20 + 31 * 2 + 6 + 17),
    (HBM4_8000, 32, 8, 20 + 31 * 8 + 6 + 17),
    (HBM4_8000, 1, 2, 45),                              # tRC: 20 + 6 + 17 would be less
    (HBM4_8000, 3, 2, 20 + 2 * 2 + 6 + 17),
    (HBM3_5200, 32, 3, 10 + 31 * 3 + 4 + 10),
])
def test_a_row_costs_its_columns_or_the_row_cycle(timing, columns, spacing, clocks):
    assert bounds.row_clocks(timing, columns, spacing) == clocks


def test_columns_come_as_the_dram_or_the_lanes_allow():
    assert [bounds.column_clocks(HBM4_8000, group) for group in (1, 2, 3, 8)] == [2, 2, 3, 8]
    assert bounds.column_clocks(HBM4_8000, 4, elements=32) == 8         # 8-bit KV: twice as many
    assert bounds.column_clocks(HBM4_8000, 4, elements=32, lanes=32) == 4
    assert bounds.column_clocks(HBM3_5200, 1) == 3                      # AttAcc's power limit


def test_a_wave_is_every_row_of_k_and_v():
    # 16 tokens of 8 columns: 4 rows of K, 4 of V
    assert bounds.wave_clocks(FULL, head_size=128, group=1) == 8 * 105
    # 16 tokens of 5 columns: 2 rows and a half, of each
    assert bounds.wave_clocks(FULL, head_size=80, group=1) == 2 * (2 * 105 + 20 + 15 * 2 + 6 + 17)
    assert bounds.wave_clocks(FULL, head_size=80, group=8) == 2 * (2 * 291 + 20 + 15 * 8 + 6 + 17)
    # 16 tokens of 6 columns: 3 rows of each
    assert bounds.wave_clocks(FULL, head_size=96, group=1) == 6 * 105
    assert bounds.wave_clocks(FULL, head_size=96, group=8) == 6 * 291


def test_32_lanes_pass_over_two_heads_at_a_time():
    wide = slice_spec(group_max=16, quantised=["mxfp8"], lanes=32)
    eight = 8 * (20 + 31 * 4 + 6 + 17)                  # 4 clocks a column instead of 8
    assert bounds.wave_clocks(wide, head_size=128, group=8) == eight
    assert wide.pim.column_spacing(8, 2) == 4 and wide.pim.column_spacing(5, 2) == 3
    # The formula halves elements too; the hardware shares heads out, so odd ones take one more.
    assert bounds.column_clocks(HBM4_8000, 5, elements=32, lanes=32) == 5
    assert wide.pim.column_spacing(5, 2, passes=2) == 6


def test_a_quantised_wave_is_half_the_rows_and_a_row_of_scales():
    scales = 20 + 3 * 2 + 6 + 17                        # 128 scales in 4 columns
    assert bounds.wave_clocks(FULL, head_size=128, group=1, quantised=True) == 4 * 105 + scales
    eight = 4 * (20 + 31 * 16 + 6 + 17) + scales        # 8 heads: 16 clocks a column
    assert bounds.wave_clocks(FULL, head_size=128, group=8, quantised=True) == eight
    assert bounds.wave_clocks(FULL, head_size=64, group=1, quantised=True) == 2 * 105 + 45
    assert bounds.wave_clocks(FULL, head_size=80, group=1, quantised=True) == 4 * 105 + scales


def test_refresh_takes_its_share_of_an_attention_among_others():
    assert bounds.attend_clocks(FULL, context=512, head_size=128, group=1) == pytest.approx(
        2 * 840 * 3900 / (3900 - 450))
    assert bounds.attend_clocks(FULL, context=1, head_size=128, group=8) == pytest.approx(
        8 * 291 * 3900 / (3900 - 450))


def test_an_attention_alone_postpones_eight_refreshes():
    shape = {"head_size": 128, "group": 1}
    assert bounds.alone_clocks(FULL, context=512, **shape) == 2 * 840
    # 41 waves take 34,440 clocks, less than nine intervals of 3,900; 42 take 35,280, more.
    assert bounds.alone_clocks(FULL, context=41 * 256, **shape) == 41 * 840
    assert bounds.alone_clocks(FULL, context=42 * 256, **shape) == 42 * 840 + 450
    # A refresh makes it longer, perhaps by another interval.
    clocks = bounds.alone_clocks(FULL, context=32768, **shape)
    assert clocks == 128 * 840 + (clocks // 3900 - 8) * 450


def test_lanes_bound_a_row_from_so_many_heads_on():
    assert bounds.crossover_group(HBM4_8000) == 3
    assert bounds.crossover_group(HBM4_8000, lanes=32) == 5             # 5 heads take 3 clocks
    assert bounds.crossover_group(HBM4_8000, elements=32) == 2          # 8-bit KV
    assert bounds.crossover_group(HBM4_8000, elements=32, lanes=32) == 3
    assert bounds.crossover_group(HBM3_5200) == 4
    # A column alone costs the row cycle, whatever the lanes do meanwhile.
    assert bounds.row_clocks(HBM4_8000, 1, bounds.column_clocks(HBM4_8000, 16)) == 45
