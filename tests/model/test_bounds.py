"""Bounds of the memory channel, each worked out by hand from the timing tables."""

from dataclasses import replace

import pytest

from model.spec import bounds
from model.spec.addressing import full_geometry
from model.spec.geometry import ChannelGeometry
from model.spec.timing import HBM3_5200, HBM4_8000

FULL4, FULL3 = full_geometry("hbm4_8000"), full_geometry("hbm3_5200")


def test_an_open_row_gives_a_column_every_tccdl() -> None:
    assert bounds.open_row(HBM4_8000) == 1 / 2              # nCCDL 4 tCK
    assert bounds.open_row(HBM3_5200) == 1 / 2


def test_columns_of_one_group_follow_by_tccdl_and_of_two_by_tccds() -> None:
    assert bounds.column_spacing(HBM4_8000, FULL4, (0, 1)) == 2
    assert bounds.column_spacing(HBM4_8000, FULL4, (0, 8)) == 1
    assert bounds.column_spacing(HBM4_8000, FULL4, (0, 16)) == 1    # another SID
    assert bounds.column_spacing(HBM3_5200, FULL3, (0, 3)) == 2
    assert bounds.column_spacing(HBM3_5200, FULL3, (0, 4)) == 1


def test_refresh_costs_a_stream_over_all_banks_no_bus_time() -> None:
    # A round of 32 banks x 32 columns is 1,024 clocks; the PIM banks are away for 512 of them
    # and need 6 + 17 + 450 + 20 = 493, a capacity bank is away for 992 and needs 323.
    assert bounds.streaming(HBM4_8000, FULL4) == 1
    assert bounds.streaming(HBM3_5200, FULL3) == 1


def test_refresh_costs_a_stream_that_comes_back_too_soon() -> None:
    short = replace(FULL4, capacity_banks=15)               # the PIM banks are away for 480
    assert bounds.streaming(HBM4_8000, short) == 1 - 13 / 3900


def test_one_bank_is_opened_anew_every_row_cycle() -> None:
    assert bounds.row_cycle(HBM4_8000) == 46                # 29 + 17, longer than tRC 45
    assert bounds.row_cycle(HBM3_5200) == 33                # 23 + 10, longer than tRC 32
    assert bounds.one_bank_conflicts(HBM4_8000) == (3900 - 280) / 3900 / 46


def test_all_banks_are_bound_by_four_activates_in_tfaw() -> None:
    assert bounds.activate_spacing(HBM4_8000) == 15 / 4
    assert bounds.activate_spacing(HBM3_5200) == 5          # 20 clocks for four
    # Between groups of four tRRDS = 3 apart tFAW leaves 15 - 9 = 6; a refresh needs 3 + 8.
    assert bounds.all_bank_conflicts(HBM4_8000, FULL4) == pytest.approx(
        4 / 15 * (1 - 17 * 5 / 3900))
    # 20 - 3 = 17 clocks are left with HBM3; 1 + 6 fit.
    assert bounds.all_bank_conflicts(HBM3_5200, FULL3) == pytest.approx(1 / 5)


def test_few_banks_are_bound_by_their_row_cycles() -> None:
    few = ChannelGeometry(pim_banks=1, capacity_banks=1)
    assert bounds.all_bank_conflicts(HBM4_8000, few) == pytest.approx(
        ((1 - 450 / 3900) + (1 - 280 / 3900)) / 46)


def test_a_pair_of_turn_arounds_costs_the_waits_but_for_the_commands_themselves() -> None:
    assert bounds.turn_around(HBM4_8000) == 13 - 1 + 11 - 1     # tRTW 25, tWTRS 10 + 2 + 9 tCK
    assert bounds.mixed(HBM4_8000, reads_per_write=2, write_batch=36) == 108 / 130
    assert bounds.mixed(HBM4_8000, reads_per_write=1, write_batch=99) == 198 / 220
