"""The fewest clocks of an attention on the PIM banks of a pseudo-channel, from the timing table.

Stated once: a row of ``n`` columns costs ``max(tRC, tRCD + (n - 1) c + tRTP + tRP)``, where ``c``
is the spacing of columns, tCCDL or as long as the lanes are busy with a column if that is longer.
All PIM banks work in lock step, so a wave costs as much as one block. Of every tREFI the banks
spend tRFCab in refresh.
"""

from fractions import Fraction

from model.spec.attention import (
    BLOCK_TOKENS,
    KvLayout,
    PimSpec,
    QuantisedKvLayout,
    padded_head_size,
)
from model.spec.geometry import BEAT_BYTES
from model.spec.slice import SliceSpec
from model.spec.timing import TimingTable

POSTPONED_MAX = 8
"""Refreshes of a bank that may be outstanding, each for an interval of tREFI (decision 005)."""


def column_clocks(timing: TimingTable, group: int, *, elements: int = PimSpec.LANES,
                  lanes: int = PimSpec.LANES) -> int:
    """Clocks between two columns of ``elements`` elements for ``group`` query heads."""
    return max(timing.clocks(timing.nCCDAB), -(-group * elements // lanes))


def row_clocks(timing: TimingTable, columns: int, spacing: int) -> int:
    """Clocks of an all-bank pass over ``columns`` columns of a row."""
    open_clocks = (timing.clocks(timing.nRCDRD) + (columns - 1) * spacing
                   + timing.clocks(timing.nRTP) + timing.clocks(timing.nRP))
    return max(timing.clocks(timing.nRC), open_clocks)


def wave_clocks(spec: SliceSpec, *, head_size: int, group: int, quantised: bool = False) -> int:
    """Clocks of K and V of one wave, and of their scales if they are quantised to 8 bits.

    Without refresh; padding counts.
    """
    columns, timing = spec.geometry.columns, spec.timing
    if quantised:
        stored = QuantisedKvLayout(head_size=padded_head_size(head_size), columns=columns)
        spacing = column_clocks(timing, group, elements=BEAT_BYTES, lanes=spec.pim.lanes)
        return (2 * stored.half_rows * row_clocks(timing, columns, spacing)
                + row_clocks(timing, stored.scale_columns, timing.clocks(timing.nCCDAB)))
    layout = KvLayout(head_size=head_size, columns=columns)
    spacing = column_clocks(timing, group, lanes=spec.pim.lanes)
    return 2 * sum(row_clocks(spec.timing, layout.row_columns(row), spacing)
                   for row in range(layout.half_rows))


def refresh_share(timing: TimingTable) -> Fraction:
    """Share of the time that the PIM banks spend in refresh."""
    return Fraction(timing.clocks(timing.nRFCab), timing.refresh_interval)


def attend_clocks(spec: SliceSpec, *, context: int, head_size: int, group: int,
                  quantised: bool = False) -> float:
    """Clocks of an attention to ``context`` tokens, refresh included."""
    waves = -(-context // (BLOCK_TOKENS * spec.geometry.pim_banks))
    working = waves * wave_clocks(spec, head_size=head_size, group=group, quantised=quantised)
    return float(working / (1 - refresh_share(spec.timing)))


def alone_clocks(spec: SliceSpec, *, context: int, head_size: int, group: int,
                 quantised: bool = False) -> int:
    """Clocks of an attention that begins with no refresh outstanding.

    Its refreshes are postponed as far as the standard allows; those beyond are forced in between.
    """
    waves = -(-context // (BLOCK_TOKENS * spec.geometry.pim_banks))
    working = waves * wave_clocks(spec, head_size=head_size, group=group, quantised=quantised)
    refreshes, clocks = -1, working
    while (forced := max(0, clocks // spec.timing.refresh_interval - POSTPONED_MAX)) != refreshes:
        refreshes = forced
        clocks = working + refreshes * spec.timing.clocks(spec.timing.nRFCab)
    return clocks


def crossover_group(timing: TimingTable, *, columns: int = 32, elements: int = PimSpec.LANES,
                    lanes: int = PimSpec.LANES) -> int:
    """The smallest group at which lanes, not the DRAM, bound a pass over a row."""
    dram = row_clocks(timing, columns, timing.clocks(timing.nCCDAB))
    return next(group for group in range(1, 1 << 10)
                if row_clocks(timing, columns, column_clocks(
                    timing, group, elements=elements, lanes=lanes)) > dram)
