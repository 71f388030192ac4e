"""One rule, one test: illegal a clock before, legal at the clock. Numbers worked out by hand.

A clock is 2 tCK, rounded up. HBM4 at 8 Gb/s (facts.md 6.1), in clocks: CL 10, CWL 5, BL 1,
tRC 45, tRAS 29, tRP 17, tRCDRD 20, tRCDWR 10, tRTP 6, tFAW 15. HBM3 at 5.2 Gb/s (facts.md 2.2):
CL 10, CWL 3, tRC 32, tRCD 10, tRP 10, tFAW 20.
"""

from dataclasses import asdict, dataclass
from functools import cached_property

import pytest

from model.golden.timing_checker import TimingChecker, TimingViolation
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.timing import HBM4_8000, Command, Constraint, TimingTable, timing_preset

C = Command
Step = tuple[Command, int | None, int]

# Banks 0-7 and 8-15 are the bank groups of the PIM SID, 16 and 17 are capacity banks (HBM4)
OPEN_0_1_8: list[Step] = [(C.ACT, 0, 0), (C.ACT, 8, 5), (C.ACT, 1, 10)]
OPEN_ALL: list[Step] = [(C.ACT_ALL, None, 0)]
HBM4_RULES: list[tuple[str, list[Step], Command, int | None, int]] = [
    ("tRC", [(C.ACT, 0, 0)], C.ACT, 0, 45),
    ("tRC", OPEN_ALL, C.ACT_ALL, None, 45),
    ("tRC", [(C.ACT, 0, 0)], C.REF, 0, 45),
    ("tRCDRD", [(C.ACT, 0, 0)], C.RD, 0, 20),                  # 39 tCK
    ("tRCDRD", OPEN_ALL, C.MAC_ALL, None, 20),
    ("tRCDRD", [(C.ACT, 3, 0)], C.MAC_ALL, None, 20),          # bank 3 is one of all
    ("tRCDWR", [(C.ACT, 0, 0)], C.WR, 0, 10),                  # 19 tCK
    ("tRAS", [(C.ACT, 0, 0)], C.PRE, 0, 29),                   # 57 tCK
    ("tRAS", OPEN_ALL, C.PRE_ALL, None, 29),
    ("tRP", [(C.ACT, 0, 0), (C.PRE, 0, 40)], C.ACT, 0, 57),    # 33 tCK
    ("tRP", [(C.ACT, 0, 0), (C.PRE, 0, 40)], C.REF, 0, 57),
    ("tRP", [(C.ACT, 0, 0), (C.PRE, 0, 40)], C.ACT_ALL, None, 57),
    ("tRP", [*OPEN_ALL, (C.PRE_ALL, None, 40)], C.REF_ALL, None, 57),
    ("tRTP", [(C.ACT, 0, 0), (C.RD, 0, 40)], C.PRE, 0, 46),    # 12 tCK
    ("tRTP", [*OPEN_ALL, (C.MAC_ALL, None, 40)], C.PRE_ALL, None, 46),
    ("tWR", [(C.ACT, 0, 0), (C.WR, 0, 20)], C.PRE, 0, 47),     # CWL 10 + BL 2 + 42 tCK
    ("tRFCpb", [(C.REF, 16, 0)], C.ACT, 16, 280),
    ("tRFCpb", [(C.REF, 16, 0)], C.REF, 16, 280),
    ("tRFCab", [(C.REF_ALL, None, 0)], C.ACT, 5, 450),
    ("tRFCab", [(C.REF_ALL, None, 0)], C.PRE, 5, 450),
    ("tCCDAB", [*OPEN_ALL, (C.MAC_ALL, None, 20)], C.MAC_ALL, None, 22),
    ("tCCDL", [*OPEN_0_1_8, (C.RD, 0, 40)], C.RD, 1, 42),      # 4 tCK, same bank group
    ("tCCDL", [*OPEN_0_1_8, (C.WR, 0, 40)], C.WR, 1, 42),
    ("tCCDL", [*OPEN_ALL, (C.MAC_ALL, None, 20)], C.WR, 9, 22),
    ("tCCDS", [*OPEN_0_1_8, (C.RD, 0, 40)], C.RD, 8, 41),      # another bank group
    ("tCCDS", [*OPEN_0_1_8, (C.WR, 0, 40)], C.REG_WR, None, 41),
    ("tWTRL", [*OPEN_0_1_8, (C.WR, 0, 40)], C.RD, 1, 53),      # CWL 10 + BL 2 + 13 tCK
    ("tWTRS", [*OPEN_0_1_8, (C.WR, 0, 40)], C.RD, 8, 51),      # CWL 10 + BL 2 + 9 tCK
    ("tWTRS", [*OPEN_0_1_8, (C.WR, 0, 40)], C.REG_RD, None, 51),
    ("tRTW", [*OPEN_0_1_8, (C.RD, 0, 40)], C.WR, 8, 53),       # 25 tCK
    ("tRTW", [(C.REG_RD, None, 0)], C.REG_WR, None, 13),
    ("tRRDL", [(C.ACT, 0, 0)], C.ACT, 1, 4),                   # 7 tCK
    ("tRRDS", [(C.ACT, 0, 0)], C.ACT, 8, 3),                   # 5 tCK
    ("tRRDS", [(C.ACT, 0, 0)], C.REF, 16, 3),
    ("tFAW", [(C.ACT, 0, 0), (C.ACT, 8, 3), (C.ACT, 16, 6), (C.ACT, 1, 9)], C.ACT, 9, 15),
    ("tFAW", OPEN_ALL, C.ACT, 16, 15),
    ("tFAW", [(C.ACT, 16, 0)], C.ACT_ALL, None, 15),
    ("tPPD", [*OPEN_0_1_8, (C.PRE, 0, 60)], C.PRE, 8, 61),     # 2 tCK
    ("tRREFD", [(C.REF, 16, 0)], C.REF, 17, 8),                # 16 tCK
    ("tRREFD", [(C.REF, 16, 0)], C.ACT, 0, 8),
    ("tRREFD", [(C.REF, 16, 0)], C.ACT_ALL, None, 8),
]
# Four bank groups of four: banks 0-3, 4-7, ...
HBM3_RULES: list[tuple[str, list[Step], Command, int | None, int]] = [
    ("tRCDRD", [(C.ACT, 0, 0)], C.RD, 0, 10),                  # 19 tCK
    ("tRP", [(C.ACT, 0, 0), (C.PRE, 0, 40)], C.ACT, 0, 50),    # 19 tCK
    ("tCCDAB", [*OPEN_ALL, (C.MAC_ALL, None, 20)], C.MAC_ALL, None, 23),    # 6 tCK: power limit
    ("tFAW", OPEN_ALL, C.ACT, 16, 20),                         # 39 tCK
    ("tRRDL", [(C.ACT, 0, 0)], C.ACT, 3, 2),                   # 4 tCK
    ("tRRDS", [(C.ACT, 0, 0)], C.ACT, 4, 1),                   # 2 tCK
    ("tRTW", [(C.ACT, 0, 0), (C.RD, 0, 20)], C.WR, 0, 29),     # CL 19 + BL 2 + 2 - CWL 6 tCK
    ("tRFCpb", [(C.REF, 16, 0)], C.ACT, 16, 131),              # 261 tCK
]


def checker(timing: str = "hbm4_8000", steps: list[Step] | None = None) -> TimingChecker:
    groups = 2 if timing == "hbm4_8000" else 4
    found = TimingChecker(SliceSpec(geometry=ChannelGeometry(bank_groups=groups),
                                    timing=timing_preset(timing)))
    for command, bank, cycle in steps or []:
        found.issue(command, bank, cycle, row=1)
    return found


def rules() -> list[object]:
    """One pytest parameter for each rule, named by its symbol and commands."""
    return [pytest.param(timing, *rule, id=f"{timing}-{rule[0]}-{rule[1][-1][0].name}-"
                                           f"{rule[2].name}-{rule[3]}")
            for timing, table in (("hbm4_8000", HBM4_RULES), ("hbm3_5200", HBM3_RULES))
            for rule in table]


@pytest.mark.parametrize(("timing", "rule", "steps", "command", "bank", "earliest"), rules())
def test_a_rule_binds_to_the_clock(timing: str, rule: str, steps: list[Step], command: Command,
                                   bank: int | None, earliest: int) -> None:
    probe = checker(timing, steps).probe(command, bank, steps[-1][2])
    assert probe.cycle == earliest
    assert probe.rule == rule
    if earliest - 1 > steps[-1][2]:
        with pytest.raises(TimingViolation, match=f"^{rule}: .*legal from cycle {earliest}"):
            checker(timing, steps).issue(command, bank, earliest - 1, row=1)
    judge = checker(timing, steps)
    try:
        judge.issue(command, bank, earliest, row=1)
    except TimingViolation as violation:
        assert violation.rule == "row state"            # in time, but the row was never closed


def test_banks_of_other_sids_do_not_wait_for_a_mac() -> None:
    judge = checker(steps=[(C.ACT, 16, 0), (C.ACT_ALL, None, 15), (C.MAC_ALL, None, 40)])
    assert judge.probe(C.RD, 16, 40).cycle == 40


@pytest.mark.parametrize(("steps", "command", "bank"), [
    ([], C.RD, 0), ([], C.WR, 16), ([], C.MAC_ALL, None),
    ([(C.ACT, 0, 0)], C.MAC_ALL, None),                 # one PIM bank open is not all
    ([(C.ACT, 0, 0)], C.ACT, 0), ([(C.ACT, 0, 0)], C.REF, 0), ([(C.ACT, 3, 0)], C.REF_ALL, None),
    ([(C.ACT, 3, 0)], C.ACT_ALL, None),
])
def test_a_command_must_suit_the_state_of_the_row(steps: list[Step], command: Command,
                                                  bank: int | None) -> None:
    with pytest.raises(TimingViolation, match=r"^row state: "):
        checker(steps=steps).issue(command, bank, 1000, row=0)


def test_a_bank_that_does_not_exist_is_named() -> None:
    with pytest.raises(TimingViolation, match=r"^bank: ACT: there is no bank 18"):
        checker().issue(C.ACT, 18, 0, row=0)


def test_a_row_that_does_not_exist_is_named() -> None:
    with pytest.raises(TimingViolation, match=r"no row 64"):
        checker().issue(C.ACT, 0, 0, row=64)


def test_a_bus_carries_one_command_a_clock() -> None:
    judge = checker(steps=[(C.ACT, 0, 0)])
    judge.issue(C.REG_WR, None, 0)                      # the other bus is free
    with pytest.raises(TimingViolation, match=r"^row bus: "):
        judge.issue(C.ACT, 8, 0, row=0)
    with pytest.raises(TimingViolation, match=r"^column bus: "):
        judge.issue(C.REG_WR, None, 0)


@dataclass(frozen=True, kw_only=True)
class Lawless(TimingTable):
    """A table without rules, in which data can collide."""

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        return ()


def test_read_and_write_data_may_not_meet_on_the_bus() -> None:
    judge = TimingChecker(SliceSpec(timing=Lawless(**asdict(HBM4_8000))))
    judge.issue(C.REG_RD, None, 0)                      # data at 10
    judge.issue(C.REG_WR, None, 4)                      # data at 9
    with pytest.raises(TimingViolation, match=r"^data bus: .*REG_RD at cycle 0.*cycle 10"):
        judge.issue(C.REG_WR, None, 5)


def test_no_bank_waits_longer_than_nine_trefi() -> None:
    judge = checker()
    judge.check_refresh(9 * 3900)                       # 7800 tCK each
    with pytest.raises(TimingViolation, match=r"^tREFI: bank 0 not refreshed from cycle 0"):
        judge.check_refresh(9 * 3900 + 1)


def test_a_refresh_restarts_the_interval_of_its_banks_only() -> None:
    judge = checker(steps=[(C.REF_ALL, None, 9 * 3900)])
    with pytest.raises(TimingViolation, match="bank 16 "):
        judge.check_refresh(9 * 3900 + 1)
