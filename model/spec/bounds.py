"""What the timing table lets a memory channel do at best: formulas, never measurements.

Everything is in clocks of the controller. Command rules are those of
:attr:`~model.spec.timing.TimingTable.constraints`, rounded up to clocks one by one as there.
"""

from model.spec.geometry import ChannelGeometry
from model.spec.timing import TimingTable


def column_spacing(timing: TimingTable, geometry: ChannelGeometry, banks: tuple[int, ...]) -> float:
    """Clocks a column at least, of open rows: tCCDL within a bank group, tCCDS between them."""
    groups = {geometry.bank_group(bank) for bank in banks}
    return max(1.0, timing.clocks(timing.nCCDS), timing.clocks(timing.nCCDL) / len(groups))


def open_row(timing: TimingTable) -> float:
    """Beats a clock of one bank with an open row: a column every tCCDL."""
    return 1 / timing.clocks(timing.nCCDL)


def streaming(timing: TimingTable, geometry: ChannelGeometry) -> float:
    """Beats a clock when all banks stream: the data bus, one beat a clock.

    Refresh costs no bus time. A refresh of a bank takes one slot of the row bus, of which a stream
    needs two for every ``columns`` beats, and tRFC in which other banks stream: a bank is refreshed
    when the stream has left it. That is possible if the stream stays away for tRFC at least, out
    of a round of ``columns`` beats a bank; where it is not, every tREFI loses what is missing.
    """
    beats = geometry.columns * len(geometry.banks)
    spacing = column_spacing(timing, geometry, geometry.banks)
    lost = 0
    for banks, refresh in ((geometry.pim_banks, timing.nRFCab), (1, timing.nRFCpb)):
        away = (beats - geometry.columns * banks) * spacing
        # From the last column: the row is closed, and opened again for the next.
        lost += max(0, timing.clocks(timing.nRTP) + timing.clocks(timing.nRP)
                    + timing.clocks(refresh) + timing.clocks(timing.nRCDRD) - int(away))
    return (1 - lost / timing.refresh_interval) / spacing


def row_cycle(timing: TimingTable) -> int:
    """Clocks between two activates of a bank, each followed by one read: tRC or tRAS + tRP."""
    return max(timing.clocks(timing.nRC),
               max(timing.clocks(timing.nRAS),
                   timing.clocks(timing.nRCDRD) + timing.clocks(timing.nRTP))
               + timing.clocks(timing.nRP))


def one_bank_conflicts(timing: TimingTable) -> float:
    """Reads a clock of one bank, each of a new row.

    In every tREFI the bank is out of use for tRFCpb: the refresh stands where an activate would
    have stood, so nothing but tRFCpb is lost.
    """
    usable = timing.refresh_interval - timing.clocks(timing.nRFCpb)
    return usable / timing.refresh_interval / row_cycle(timing)


def activate_spacing(timing: TimingTable) -> float:
    """Clocks an activate at least over many banks: tRRDS, and four of them in every tFAW."""
    return max(timing.clocks(timing.nRRDS), timing.clocks(timing.nFAW) / 4)


def all_bank_conflicts(timing: TimingTable, geometry: ChannelGeometry) -> float:
    """Reads a clock over all banks, each of a new row.

    Activates follow each other by tRRD and tFAW, those of a bank by its row cycle. A refresh, one
    for each capacity bank and one for the PIM banks in every tREFI, keeps tRRDS behind the activate
    before and tRREFD ahead of the next, which fits into the gap that tFAW leaves after four
    activates tRRDS apart, or lengthens it.
    """
    activates = 1 / activate_spacing(timing)
    rrd, faw = timing.clocks(timing.nRRDS), timing.clocks(timing.nFAW)
    gap = max(rrd, faw - 3 * rrd)
    lengthened = max(0, rrd + timing.clocks(timing.nRREFD) - gap)
    refreshes = 1 + geometry.capacity_banks
    free = 1 - refreshes * lengthened / timing.refresh_interval
    row_cycles = 0.0
    for banks, refresh in ((geometry.pim_banks, timing.nRFCab),
                           (geometry.capacity_banks, timing.nRFCpb)):
        usable = 1 - timing.clocks(refresh) / timing.refresh_interval
        row_cycles += banks * usable / row_cycle(timing)
    return min(activates * free, row_cycles,
               1 / column_spacing(timing, geometry, geometry.banks))


def turn_around(timing: TimingTable) -> int:
    """Clocks without a command that a change to writing and one back to reading cost together."""
    waits = {rule.name: rule.clocks for rule in timing.constraints}
    return waits["tRTW"] - 1 + waits["tWTRS"] - 1


def mixed(timing: TimingTable, *, reads_per_write: int, write_batch: int) -> float:
    """Beats a clock of a mix over all banks if at most ``write_batch`` writes go at a time."""
    beats = write_batch * (1 + reads_per_write)
    return beats / (beats + turn_around(timing))
