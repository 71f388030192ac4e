"""Attention on one HBM stack of AttAcc: its commands, and the cycles that its Ramulator counted.

Commands follow from the shape. A *round* gives each of 16 channels one head; scores and weighted
sums of a head open its rows one after the other, 32 columns each, and a command reads a column in
all 64 banks of a channel. Cycles are a law of three constants,

    busy   = rounds * (commands * tCCD_AB + ROW * rows) + TAIL * blocks, if rounds is odd
    cycles = busy + REFRESH for each whole tREFI that passes

fitted here to 77 rows of the simulator's ``ramulator.out`` (3 to 2,050 heads, 128 to 4,084 tokens):
off by 0.6 % on average and 2.6 % at most. The straight line of facts.md 2.3 over the same file,
off by 7.6 % on average, stays beside it as :func:`fitted_cycles`. Both are AttAcc's numbers, from
its simulator's DRAM model; none is of our RTL.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

CHANNELS = 16
BANKS = 64              # pseudo-channels x ranks x bank groups x banks of a channel
COLUMN_BYTES = 32
COLUMNS = 32            # of a row
PARALLEL_TOKENS = 16    # pseudo-channels x ranks x bank groups
BANK_LANES = 64         # banks of a group x 16 lanes, which share the elements of a head
BLOCK_TOKENS = 256      # scores that one softmax command takes
CLOCK_NS = 0.769
CCD = {True: 6, False: 4}       # tCCD_AB with and without a power limit (facts.md 2.2)
REFRESH_INTERVAL = 5070
ROW, TAIL, REFRESH = 36, 125, 590


@dataclass(frozen=True, slots=True)
class Commands:
    """How often each command is given on one stack."""

    mac: int
    write_vector: int
    to_softmax: int
    to_banks: int

    @property
    def bank_bytes(self) -> int:
        """Bytes that the banks read."""
        return self.mac * BANKS * COLUMN_BYTES

    @property
    def vector_bytes(self) -> int:
        """Bytes that pass between banks and buffer die."""
        return (self.write_vector + self.to_softmax + self.to_banks) * COLUMN_BYTES

    @property
    def host_bytes(self) -> int:
        """Those of them that come over the interposer."""
        return self.write_vector * COLUMN_BYTES


def commands(heads: int, context: int, head_size: int) -> Commands:
    """Commands of one attention over ``heads`` heads of one stack."""
    columns = ceil(head_size / BANK_LANES)
    steps, blocks = ceil(context / PARALLEL_TOKENS), ceil(context / BLOCK_TOKENS)
    return Commands(mac=heads * 2 * columns * steps, write_vector=heads * 4 * columns,
                    to_softmax=heads * 8 * (blocks + columns), to_banks=heads * 8 * blocks)


@lru_cache(maxsize=1 << 16)
def cycles(heads: int, context: int, head_size: int, power_limit: bool = True) -> int:
    """Cycles of :data:`CLOCK_NS` that one stack takes for ``heads`` heads."""
    rounds = ceil(heads / CHANNELS)
    steps = ceil(context / PARALLEL_TOKENS) * ceil(head_size / BANK_LANES)
    busy = rounds * 2 * (steps * CCD[power_limit] + ROW * ceil(steps / COLUMNS))
    if rounds % 2:          # the last head has no partner whose scores would hide its softmax
        busy += TAIL * ceil(context / BLOCK_TOKENS)
    refreshes = 0
    while (busy + refreshes * REFRESH) // REFRESH_INTERVAL > refreshes:
        refreshes += 1
    return busy + refreshes * REFRESH


def fitted_cycles(heads: int, context: int, head_size: int, power_limit: bool = True) -> int:
    """The straight lines of facts.md 2.3, for 16-bit heads of 128, scaled to other head sizes."""
    slope, start = (0.1326, 1771) if power_limit else (0.0945, 3237)
    return round(slope * context * heads * ceil(head_size / BANK_LANES) / 2 + start)
