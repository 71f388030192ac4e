"""PIM units of a card: cycles exactly, layouts, and the stacks' DMA."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from model.spec.timing import HBM3_5200, HBM4_8000
from runtime.cycle_table import load_cycle_table
from runtime.models import LLAMA_3_8B, QWEN3_32B
from runtime.systems.pim import PimArray, attention_refresh, steady_cycles
from runtime.systems.routes import StackDma, head_columns, stored_block_bytes
from runtime.tiers.units import Pieces, PimUnits
from tests.runtime.common import table_in
from tests.runtime.fixture_cycles import (
    ATTEND_FIXED,
    ATTEND_PER_WAVE,
    MERGE_PER_PART,
    MIGRATE,
    fixture_table,
    write_fixture,
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_in(tmp_path_factory.mktemp("cycles"))


def llama_array(table, stacks=5, per_stack=64, cards=1):
    return PimArray(table, LLAMA_3_8B, cards=cards, stacks=stacks, units_per_stack=per_stack)


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


def test_units_are_those_of_all_stacks_and_cards_share_the_heads(table):
    array = llama_array(table, cards=2)
    assert (array.units, array.heads) == (320, 4)
    assert array.attend_cycles(7) == ATTEND_FIXED + 7 * ATTEND_PER_WAVE[4]
    assert array.attend_cycles(0) == array.merge_cycles(0) == 0
    assert array.merge_cycles(6) == merge(7)


def test_a_layer_takes_as_long_as_its_fullest_unit(table):
    units = PimUnits(llama_array(table), kv_blocks=1000)
    first, second = units.extent(np.arange(8)), units.extent(np.arange(7, 15))
    units.attend_all({first: 3, second: 2}, 1)
    units.merge(first, 50)
    both = 2 * ATTEND_FIXED + 5 * ATTEND_PER_WAVE[4]            # unit 7 has parts of both
    assert units.layer_cycles() == ceil(both * Fraction(3900, 3450)) + 50
    units.attend_all({second: 2}, -1)
    assert units.layer_cycles() == attend(3) + 50


def test_heads_that_share_a_unit_are_attended_one_after_the_other(table):
    units = PimUnits(llama_array(table), kv_blocks=1000)
    units.attend_all({units.extent(np.zeros(8, dtype=int)): 1}, 1)
    assert units.layer_cycles() == ceil(8 * (ATTEND_FIXED + ATTEND_PER_WAVE[4])
                                        * Fraction(3900, 3450))


def test_pieces_are_taken_from_the_front(table):
    units = PimUnits(llama_array(table), kv_blocks=1000)
    a, b = units.extent(np.arange(8)), units.extent(np.arange(8, 16))
    pieces = Pieces([(a, 3), (b, 4)])
    assert pieces.take(2) == [(a, 2)]
    assert pieces.take(2) == [(a, 1), (b, 1)]
    assert pieces.take(9) == [(b, 3)]
    assert pieces.take(1) == []


def test_the_dma_moves_the_fullest_channel_s_blocks_one_by_one(table):
    dma = StackDma(table, LLAMA_3_8B, cards=1, channels=320)
    assert dma.moves_per_block == 256                   # 32 layers of 8 heads, 8 KiB each
    assert dma.cycles(1, "capacity_to_pim") == MIGRATE["capacity_to_pim"]
    assert dma.cycles(5, "pim_to_capacity") == 4 * MIGRATE["pim_to_capacity"]
    assert StackDma(table, QWEN3_32B, cards=4, channels=320).moves_per_block == 128
    assert dma.derived == ""


def test_a_quantised_move_without_a_row_is_derived_from_columns_and_says_so(table):
    dma = StackDma(table, LLAMA_3_8B, cards=1, channels=320, cold_format="mxfp8")
    # 256 columns on one side, 128 of elements and 4 of scales on the other
    assert dma.cycles(1, "capacity_to_pim") == ceil(MIGRATE["capacity_to_pim"] * 388 / 512)
    assert "derived" in dma.derived and "256 + 132" in dma.derived


def test_a_simulated_quantised_move_is_taken_as_it_is(tmp_path):
    rows = [*fixture_table()["rows"], {
        "operation": "dma_move", "format": "mxfp8_e4m3", "head_size": 128, "bytes": 8192,
        "direction": "pim_to_capacity", "cycles": 333, "run": "x"}]
    table = load_cycle_table(write_fixture(tmp_path / "c.json", rows=rows))
    dma = StackDma(table, LLAMA_3_8B, cards=1, channels=320, cold_format="mxfp8")
    assert dma.cycles(1, "pim_to_capacity") == 333
    assert "mxfp8" in dma.derived           # the other direction is not there


@pytest.mark.parametrize("kv_format, columns", [
    ("bf16", 256), ("mxint8", 132), ("mxfp8", 132), ("mxfp6_e3m2", 100), ("mxfp4", 68),
    ("int4", 72)])
def test_stored_sizes_follow_the_formats(kv_format, columns):
    """A head's block: 4,096 elements, and 128 scales of a byte (INT4: of two)."""
    assert head_columns(128, kv_format) == columns
    assert stored_block_bytes(LLAMA_3_8B, kv_format) == 32 * 8 * columns * 32
