"""Least clocks that block moves can take, from the timing table alone.

Reads and writes share the data bus, so a beat costs two of its clocks; and the bus has to turn
round twice for every buffer-full. A bank that holds several rows of a buffer-full opens them one
after another. Refresh is not counted: one of many banks is refreshed while others are in use.
"""

from dataclasses import dataclass

from model.spec.errors import require_int
from model.spec.timing import TimingTable


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How the rows of a buffer-full lie on one side.

    Attributes
    ----------
    banks : int
        Banks that hold rows of a buffer-full.
    groups : int
        Bank groups of these.
    """

    banks: int
    groups: int

    def __post_init__(self) -> None:
        require_int("banks", self.banks, 1, 1 << 10)
        require_int("groups", self.groups, 1, self.banks)


def turn_clocks(timing: TimingTable) -> int:
    """Clocks of the column bus that two turns cost, there and back.

    A WR may follow a RD after tRTW, a RD a WR of another bank group after tWTRS; one clock of each
    would pass anyway.
    """
    reads_to_writes = max(timing.nRTW, timing.nCL + timing.nBL + 2 - timing.nCWL)
    writes_to_reads = timing.nCWL + timing.nBL + timing.nWTRS
    return timing.clocks(reads_to_writes) + timing.clocks(writes_to_reads) - 2


def phase_clocks(timing: TimingTable, beats: int, columns: int, spread: Spread, *,
                 write: bool) -> int:
    """Least clocks in which one direction of a buffer-full can go over the bus.

    A bank group gives a column every tCCDL; a bank with several rows also takes a row cycle for
    each but its last.
    """
    per_group = -(-beats // spread.groups)
    rows = -(-beats // (columns * spread.banks))
    in_row = timing.clocks(timing.nCCDL) * (columns - 1)
    if write:
        open_clocks = timing.clocks(timing.nRCDWR)
        close = timing.nCWL + timing.nBL + timing.nWR
    else:
        open_clocks, close = timing.clocks(timing.nRCDRD), timing.nRTP
    cycle = max(timing.clocks(timing.nRC),
                open_clocks + in_row + timing.clocks(close) + timing.clocks(timing.nRP))
    bank = (rows - 1) * cycle + in_row + 1 if beats >= columns else 0
    return max(beats, timing.clocks(timing.nCCDL) * (per_group - 1) + 1, bank)


def move_clocks(timing: TimingTable, *, beats: int, buffer_beats: int, columns: int,
                source: Spread, destination: Spread) -> int:
    """Least clocks a steady stream of moves takes for ``beats`` of them, turns included.

    Parameters
    ----------
    timing : TimingTable
    beats : int
        Beats that are moved.
    buffer_beats : int
        Of the engine's buffer.
    columns : int
        Of a row.
    source, destination : Spread
        How a buffer-full lies on either side.
    """
    fulls, rest = divmod(beats, buffer_beats)
    turns = turn_clocks(timing)
    clocks = 0
    for count, size in ((fulls, buffer_beats), (int(rest > 0), rest)):
        if count:
            clocks += count * (turns + sum(
                phase_clocks(timing, size, columns, spread, write=write)
                for spread, write in ((source, False), (destination, True))))
    return clocks
