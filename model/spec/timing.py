"""DRAM commands and timing, as tables. Every number cites its source.

Units: fields named ``n*`` are in tCK, as the standards and simulators print them. One *clock* is
one cycle of the controller: ``CLOCK_TCK`` tCK. :class:`TimingTable` is the one place where tCK
become clocks, always rounded up.
"""

import enum
from dataclasses import dataclass
from functools import cached_property

from model.spec.errors import SpecError, unknown_name

CLOCK_TCK = 2
"""Controller clock in tCK. A burst of 32 bytes lasts 2 tCK, so one clock moves one beat."""


class Command(enum.IntEnum):
    """What the two command buses of a pseudo-channel carry.

    ``*_ALL`` commands address every PIM bank at once (AttAcc's ``ACTAB``, ``MACAB`` and so on;
    HBM-PIM all-bank mode); the others address one bank. Register commands move 32 bytes between
    the data bus and the registers of PIM units and touch no bank.
    """

    NOP = 0
    ACT = 1         # row bus
    PRE = 2
    REF = 3         # per-bank refresh, REFpb
    ACT_ALL = 4
    PRE_ALL = 5
    REF_ALL = 6     # all-bank refresh of the PIM SID, REFab
    RD = 7          # column bus
    WR = 8
    MAC_ALL = 9     # every PIM bank reads the same column of its open row into its MAC unit
    REG_WR = 10
    REG_RD = 11


ROW_COMMANDS = frozenset({Command.ACT, Command.PRE, Command.REF,
                          Command.ACT_ALL, Command.PRE_ALL, Command.REF_ALL})
COLUMN_COMMANDS = frozenset({Command.RD, Command.WR, Command.MAC_ALL,
                             Command.REG_WR, Command.REG_RD})
ALL_BANK_COMMANDS = frozenset({Command.ACT_ALL, Command.PRE_ALL, Command.REF_ALL, Command.MAC_ALL})
REGISTER_COMMANDS = frozenset({Command.REG_WR, Command.REG_RD})


class Scope(enum.Enum):
    """Which pairs of commands a constraint couples."""

    BANK = "bank"                # the same bank (an all-bank command is in every PIM bank)
    BANK_GROUP = "bank group"    # the same bank group of the same SID, another or the same bank
    CHANNEL = "channel"          # anywhere in the pseudo-channel


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """``following`` must wait ``clocks`` from the ``window``-th last ``preceding``."""

    name: str
    scope: Scope
    preceding: frozenset[Command]
    following: frozenset[Command]
    clocks: int
    window: int = 1


@dataclass(frozen=True, kw_only=True)
class TimingTable:
    """One speed grade of one standard.

    Attributes
    ----------
    name : str
        Preset name, as on the command line.
    source : str
        Where the numbers were read.
    tck_ps : int
        tCK in picoseconds.
    nBL, nCL, nCWL, nRCDRD, nRCDWR, nRP, nRAS, nRC, nRTP, nWR : int
        Burst, latencies and bank timing in tCK.
    nCCDS, nCCDL, nCCDR, nRRDS, nRRDL, nFAW, nWTRS, nWTRL, nRTW, nPPD : int
        Spacing between banks, bank groups and SIDs in tCK.
    nRFCpb, nRFCab, nRREFD, nREFI : int
        Refresh in tCK; every bank needs one refresh each ``nREFI``.
    nCCDAB : int
        Spacing of all-bank MAC commands in tCK; raise it to model a power limit.
    """

    name: str
    source: str
    tck_ps: int
    nBL: int
    nCL: int
    nCWL: int
    nRCDRD: int
    nRCDWR: int
    nRP: int
    nRAS: int
    nRC: int
    nRTP: int
    nWR: int
    nCCDS: int
    nCCDL: int
    nCCDR: int
    nCCDAB: int
    nRRDS: int
    nRRDL: int
    nFAW: int
    nWTRS: int
    nWTRL: int
    nRTW: int
    nPPD: int
    nRFCpb: int
    nRFCab: int
    nRREFD: int
    nREFI: int

    def __post_init__(self) -> None:
        for field, value in vars(self).items():
            if field.startswith(("n", "tck")) and field != "name" and (
                    not isinstance(value, int) or value < 1):
                raise SpecError(f"timing {self.name}.{field}", value, "a positive integer")
        if self.nBL != CLOCK_TCK:
            raise SpecError(f"timing {self.name}.nBL", self.nBL,
                            f"{CLOCK_TCK}, so that one clock moves one beat")
        if self.nCCDAB < self.nCCDL:
            raise SpecError(f"timing {self.name}.nCCDAB", self.nCCDAB,
                            f"at least nCCDL = {self.nCCDL}")

    @property
    def clock_ps(self) -> int:
        """Period of the controller clock in picoseconds."""
        return CLOCK_TCK * self.tck_ps

    @staticmethod
    def clocks(tck: int) -> int:
        """tCK to controller clocks, rounded up."""
        return -(-tck // CLOCK_TCK)

    @property
    def read_latency(self) -> int:
        """Clocks from RD, MAC_ALL or REG_RD to its data."""
        return self.clocks(self.nCL)

    @property
    def write_latency(self) -> int:
        """Clocks from WR or REG_WR to its data."""
        return self.clocks(self.nCWL)

    @property
    def refresh_interval(self) -> int:
        """Clocks between two refreshes of the same bank (tREFI)."""
        return self.clocks(self.nREFI)

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """Every rule of this table in clocks; JEDEC's rules plus those of the all-bank mode.

        Rules between ordinary commands follow Ramulator 2.1 ``hbm4.py`` (facts.md 6.1). All-bank
        commands obey the bank rules in every PIM bank at once. ``ACT_ALL`` counts as four activates
        for tFAW (AttAcc issues it as one command; facts.md 2.2). Register transfers use the
        data bus like RD and WR of another bank group.
        """
        c = Command
        act, pre = {c.ACT, c.ACT_ALL}, {c.PRE, c.PRE_ALL}
        ref = {c.REF, c.REF_ALL}
        array_read = {c.RD, c.MAC_ALL}
        bus_read, bus_write = {c.RD, c.REG_RD}, {c.WR, c.REG_WR}
        write_end = self.nCWL + self.nBL
        # The bus must be free of read data before write data are driven: CL + BL + 2 tCK - CWL,
        # as Ramulator's HBM3 has it, where a preset's own nRTW is shorter.
        turn_around = max(self.nRTW, self.nCL + self.nBL + 2 - self.nCWL)
        bank, group, channel = Scope.BANK, Scope.BANK_GROUP, Scope.CHANNEL
        rules = [
            ("tRC", bank, act, act, self.nRC),
            ("tRCDRD", bank, act, array_read, self.nRCDRD),
            ("tRCDWR", bank, act, {c.WR}, self.nRCDWR),
            ("tRAS", bank, act, pre, self.nRAS),
            ("tRP", bank, pre, act | ref, self.nRP),
            ("tRTP", bank, array_read, pre, self.nRTP),
            ("tWR", bank, {c.WR}, pre, write_end + self.nWR),
            ("tRC", bank, act, ref, self.nRC),
            ("tRFCpb", bank, {c.REF}, act | ref, self.nRFCpb),
            ("tRFCab", bank, {c.REF_ALL}, act | ref | pre, self.nRFCab),
            ("tCCDAB", bank, {c.MAC_ALL}, {c.MAC_ALL}, self.nCCDAB),
            ("tCCDL", group, array_read, array_read, self.nCCDL),
            ("tCCDL", group, {c.MAC_ALL}, {c.WR}, self.nCCDL),
            ("tCCDL", group, {c.WR}, {c.WR}, self.nCCDL),
            ("tWTRL", group, {c.WR}, array_read, write_end + self.nWTRL),
            ("tRRDL", group, {c.ACT}, {c.ACT, c.REF}, self.nRRDL),
            ("tRRDL", group, {c.REF}, {c.ACT}, self.nRRDL),
            ("tCCDS", channel, bus_read, bus_read, max(self.nCCDS, self.nCCDR, self.nBL)),
            ("tCCDS", channel, bus_write, bus_write, max(self.nCCDS, self.nCCDR, self.nBL)),
            ("tRTW", channel, bus_read, bus_write, turn_around),
            ("tWTRS", channel, bus_write, bus_read, write_end + self.nWTRS),
            ("tRRDS", channel, {c.ACT}, {c.ACT, c.REF}, self.nRRDS),
            ("tFAW", channel, {c.ACT_ALL}, {c.ACT}, self.nFAW),
            ("tFAW", channel, {c.ACT}, {c.ACT_ALL}, self.nFAW),
            ("tPPD", channel, pre, pre, self.nPPD),
            ("tRREFD", channel, ref, ref | act, self.nRREFD),
        ]
        table = [Constraint(name=name, scope=scope, preceding=frozenset(preceding),
                            following=frozenset(following), clocks=self.clocks(tck))
                 for name, scope, preceding, following, tck in rules]
        table.append(Constraint(name="tFAW", scope=channel, preceding=frozenset({c.ACT}),
                                following=frozenset({c.ACT}), clocks=self.clocks(self.nFAW),
                                window=4))
        return tuple(table)


HBM4_8000 = TimingTable(
    name="hbm4_8000",
    source="Ramulator 2.1 hbm4.py HBM4_8000Mbps, org 32Gb_8Hi (facts.md 6.1); nCCDAB = nCCDL, "
           "no power limit",
    tck_ps=500, nBL=2, nCL=20, nCWL=10, nRCDRD=39, nRCDWR=19, nRP=33, nRAS=57, nRC=90, nRTP=12,
    nWR=42, nCCDS=2, nCCDL=4, nCCDR=2, nCCDAB=4, nRRDS=5, nRRDL=7, nFAW=30, nWTRS=9, nWTRL=13,
    nRTW=25, nPPD=2, nRFCpb=560,
    nRFCab=900,      # 450 ns: channel of 8 Gb (8-Hi stack of 32 Gb dies), same resolver
    nRREFD=16,       # max(3 tCK, 8 ns), same resolver
    nREFI=7800,      # 3.9 us
)

HBM3_5200 = TimingTable(
    name="hbm3_5200",
    source="attacc_simulator HBM3-PIM.cpp, HBM3_8Gb_2R at 5.2 Gb/s (facts.md 2.2)",
    tck_ps=769, nBL=2, nCL=19, nCWL=6, nRCDRD=19, nRCDWR=19, nRP=19, nRAS=45, nRC=63,
    nRTP=8,          # the longer of nRTPS/nRTPL 6/8
    nWR=21, nCCDS=2, nCCDL=4,
    nCCDR=2,         # not in the file; SIDs are ranks there and share nCCDS
    nCCDAB=6,        # AttAcc's power limit
    nRRDS=2, nRRDL=4, nFAW=39, nWTRS=8, nWTRL=11,
    nRTW=3,          # shorter than the bus allows; `constraints` takes the longer
    nPPD=2,          # Ramulator 2.1 hbm3.py
    nRFCpb=261,      # 200 ns, Ramulator 2.1 hbm3.py
    nRFCab=456,      # 350 ns at 8 Gb
    nRREFD=11, nREFI=5070,
)

TIMING_PRESETS = {t.name: t for t in (HBM4_8000, HBM3_5200)}


def timing_preset(name: str) -> TimingTable:
    """The preset of that name; :class:`~model.spec.errors.UserError` if there is none."""
    if name not in TIMING_PRESETS:
        raise unknown_name("preset", name, TIMING_PRESETS)
    return TIMING_PRESETS[name]
