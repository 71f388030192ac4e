"""The timing tables, against numbers worked out by hand from facts.md 6.1 and 2.2."""

from dataclasses import replace

import pytest

from model.spec.errors import SpecError, UserError
from model.spec.timing import (
    COLUMN_COMMANDS,
    HBM3_5200,
    HBM4_8000,
    ROW_COMMANDS,
    Command,
    TimingTable,
    timing_preset,
)

# Symbol -> clocks of 2 tCK, of the rules whose length does not depend on the pair of commands
HBM4_CLOCKS = {
    "tRC": {45}, "tRCDRD": {20}, "tRCDWR": {10}, "tRAS": {29}, "tRP": {17}, "tRTP": {6},
    "tWR": {27}, "tRFCpb": {280}, "tRFCab": {450}, "tCCDAB": {2}, "tCCDL": {2}, "tWTRL": {13},
    "tRRDL": {4}, "tCCDS": {1}, "tRTW": {13}, "tWTRS": {11}, "tRRDS": {3}, "tFAW": {15},
    "tPPD": {1}, "tRREFD": {8},
}
HBM3_CLOCKS = {
    "tRC": {32}, "tRCDRD": {10}, "tRCDWR": {10}, "tRAS": {23}, "tRP": {10}, "tRTP": {4},
    "tWR": {15}, "tRFCpb": {131}, "tRFCab": {228}, "tCCDAB": {3}, "tCCDL": {2}, "tWTRL": {10},
    "tRRDL": {2}, "tCCDS": {1}, "tRTW": {9}, "tWTRS": {8}, "tRRDS": {1}, "tFAW": {20},
    "tPPD": {1}, "tRREFD": {6},
}


@pytest.mark.parametrize(("table", "want"), [(HBM4_8000, HBM4_CLOCKS), (HBM3_5200, HBM3_CLOCKS)],
                         ids=["hbm4_8000", "hbm3_5200"])
def test_every_rule_has_its_length_in_clocks(table: TimingTable, want: dict[str, set[int]]) -> None:
    found: dict[str, set[int]] = {}
    for rule in table.constraints:
        found.setdefault(rule.name, set()).add(rule.clocks)
    assert found == want


@pytest.mark.parametrize(("table", "read", "write", "interval", "clock_ps"), [
    (HBM4_8000, 10, 5, 3900, 1000),         # CL 20, CWL 10, tREFI 7800 tCK of 500 ps
    (HBM3_5200, 10, 3, 2535, 1538),         # CL 19, CWL 6, tREFI 5070 tCK of 769 ps
], ids=["hbm4_8000", "hbm3_5200"])
def test_latencies_in_clocks(table: TimingTable, read: int, write: int, interval: int,
                             clock_ps: int) -> None:
    assert (table.read_latency, table.write_latency) == (read, write)
    assert (table.refresh_interval, table.clock_ps) == (interval, clock_ps)


def test_tck_are_rounded_up_to_clocks() -> None:
    assert [TimingTable.clocks(tck) for tck in (0, 1, 2, 3, 39, 40)] == [0, 1, 1, 2, 20, 20]


def test_a_full_row_pass_costs_105_clocks() -> None:
    t = HBM4_8000       # DESIGN.md 4: tRCD + 31 c + tRTP + tRP, c = tCCD_L
    assert (t.clocks(t.nRCDRD) + 31 * t.clocks(t.nCCDAB) + t.clocks(t.nRTP)
            + t.clocks(t.nRP)) == 105


def test_only_four_activates_count_as_a_window() -> None:
    assert [(r.name, r.window, r.preceding) for r in HBM4_8000.constraints if r.window > 1] == [
        ("tFAW", 4, frozenset({Command.ACT}))]


def test_every_command_is_on_one_bus_and_under_a_rule() -> None:
    assert not ROW_COMMANDS & COLUMN_COMMANDS
    assert ROW_COMMANDS | COLUMN_COMMANDS | {Command.NOP} == set(Command)
    for command in ROW_COMMANDS | COLUMN_COMMANDS:
        assert any(command in r.following for r in HBM4_8000.constraints), command.name


@pytest.mark.parametrize(("field", "value", "message"), [
    ("nRP", 0, "timing x.nRP: expected a positive integer, not 0"),
    ("nFAW", 1.5, "timing x.nFAW: expected a positive integer, not 1.5"),
    ("tck_ps", -1, "timing x.tck_ps: expected a positive integer, not -1"),
    ("nBL", 4, "timing x.nBL: expected 2, so that one clock moves one beat, not 4"),
    ("nCCDAB", 3, "timing x.nCCDAB: expected at least nCCDL = 4, not 3"),
])
def test_a_table_that_makes_no_sense_is_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        replace(HBM4_8000, name="x", **{field: value})
    assert str(caught.value) == message


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"^preset: expected one of hbm3_5200, hbm4_8000, not "
                                        r"'hbm4_800'; did you mean 'hbm4_8000'\?$"):
        timing_preset("hbm4_800")
