"""Composition of one pseudo-channel's cycles to a card: exact cases, bounds, realisability."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.spec.timing import HBM3_5200, HBM4_8000
from runtime.models import LLAMA_3_8B, QWEN3_32B
from runtime.pim import PimArray, StackDma, attention_refresh, steady_cycles
from tests.runtime.common import table_in
from tests.runtime.fixture_cycles import ATTEND_FIXED, ATTEND_PER_WAVE, MERGE_PER_PART, MIGRATE


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_in(tmp_path_factory.mktemp("cycles"))


def llama_array(table, units=320, per_stack=64, cards=1):
    return PimArray(table, LLAMA_3_8B, cards=cards, units=units, units_per_stack=per_stack)


def attend(waves):
    """Of 3,900 clocks (tREFI), the banks lose 450 (tRFCab)."""
    return ceil((ATTEND_FIXED + ATTEND_PER_WAVE[4] * waves) * Fraction(3900, 3450))


def merge(parts):
    return 4 * (MERGE_PER_PART * (parts - 1) + 10) if parts > 1 else 0


def test_refresh_takes_its_share_of_every_interval():
    assert attention_refresh(HBM4_8000) == Fraction(3900, 3900 - 450)
    assert attention_refresh(HBM3_5200) == Fraction(2535, 2535 - 228)
    # In as many intervals as it takes, work and refreshes fill the time.
    busy, intervals = 3450 * 7, 7
    assert busy * attention_refresh(HBM4_8000) == intervals * 3900


def test_steady_attention_is_the_measured_one_and_its_refreshes(table):
    measured = ATTEND_FIXED + 2 * ATTEND_PER_WAVE[8]
    assert steady_cycles(table, group=8, head_size=128, context=512) == measured * Fraction(26, 23)
    assert (steady_cycles(table, group=8, head_size=128, context=257)
            == steady_cycles(table, group=8, head_size=128, context=512))


def test_one_sequence_is_cut_so_that_attention_and_merging_balance(table):
    # 8 jobs on 320 units: up to 40 each. 80 waves by 2, 3 or 4 make 40, 27 or 20 parts:
    # 3505 + 6280, 5087 + 4200 or 6670 + 3080 clocks
    layer = llama_array(table).layer([80])
    assert (layer.rounds, layer.waves, layer.parts) == (1, 3, 27)
    assert layer.cycles == attend(3) + merge(27) == 9287


def test_a_short_sequence_is_not_split_and_not_merged(table):
    layer = llama_array(table).layer([1])
    assert layer.cycles == attend(1)


def test_more_jobs_than_units_take_rounds(table):
    layer = llama_array(table).layer([5] * 64)      # 512 jobs: two rounds
    assert (layer.rounds, layer.parts) == (2, 1)
    assert layer.cycles == 2 * attend(5)


def test_a_job_stays_within_a_stack(table):
    layer = llama_array(table, units=320, per_stack=16).layer([320])
    assert (layer.waves, layer.parts) == (20, 16)


def test_a_long_sequence_gets_more_units_than_a_short_one(table):
    layer = llama_array(table).layer([100, 10, 10])
    assert ceil(100 / layer.waves) > 2 * ceil(10 / layer.waves)


def test_cards_share_the_heads(table):
    assert llama_array(table).layer([60] * 20).waves == 30
    assert llama_array(table, cards=2).layer([60] * 20).waves == 15


@given(st.lists(st.integers(1, 500), min_size=1, max_size=64), st.sampled_from([64, 320, 512]))
def test_the_split_is_realisable_and_above_the_work_bound(table, waves, units):
    array = llama_array(table, units=units)
    layer = array.layer(waves)
    segments = 8 * sum(ceil(w / layer.waves) for w in waves)
    assert segments <= layer.rounds * units
    assert ceil(max(waves) / layer.waves) == layer.parts <= 64
    assert layer.rounds * layer.waves * units >= 8 * sum(waves)
    assert layer.cycles == layer.rounds * (attend(layer.waves) + merge(layer.parts))
    finest = next(w for w in range(1, max(waves) + 1) if ceil(max(waves) / w) <= 64
                  and 8 * sum(ceil(x / w) for x in waves) <= layer.rounds * units)
    assert layer.waves >= finest
    assert layer.cycles <= layer.rounds * (attend(finest) + merge(ceil(max(waves) / finest)))


@pytest.mark.parametrize("waves", [1, 5, 20, 64, 200])
def test_a_lone_sequence_is_cut_where_attention_and_merging_together_are_shortest(table, waves):
    layer = llama_array(table, units=512).layer([waves])
    assert layer.cycles == min(attend(w) + merge(ceil(waves / w))
                               for w in range(ceil(waves / 64), waves + 1))


def test_the_dma_moves_the_fullest_channel_s_blocks_one_by_one(table):
    dma = StackDma(table, LLAMA_3_8B, cards=1, channels=320)
    assert dma.moves_per_block == 256                   # 32 layers of 8 heads, 8 KiB each
    assert dma.cycles(1, "capacity_to_pim") == MIGRATE["capacity_to_pim"]
    assert dma.cycles(5, "pim_to_capacity") == 4 * MIGRATE["pim_to_capacity"]
    assert StackDma(table, QWEN3_32B, cards=4, channels=320).moves_per_block == 128
