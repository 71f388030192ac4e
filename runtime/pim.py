"""From one pseudo-channel's cycles to those of all PIM units of a card.

A *unit* is one stack ID's PIM banks in one pseudo-channel: what the RTL slice simulates. The jobs
of a layer are (sequence, KV head) pairs. A job of ``W`` waves may be cut into segments of at most
``w`` waves on different units, whose partial results are merged:

    rounds r = ceil(jobs / units)
    w = at least the smallest number with  heads * sum_i ceil(W_i / w) <= r * units
    cycles = r * (attend(w) * tREFI / (tREFI - tRFCab) + merge(largest number of segments of a job))

A longer ``w`` than the smallest means fewer partial results to merge; it is taken while that is
cheaper. With unequal lengths, long sequences get proportionally more units. A job stays within one
stack. The bound is met by construction: r rounds of at most ``units`` segments, none longer than
``w``. Which unit holds which wave is taken to be what this needs (placement is not modelled yet),
and partial results travel to the merging unit in no time: both are in the system's favour.

Refresh. The hardware postpones the PIM banks' refreshes during an attention and catches up between
attentions, and a measured operation begins with none outstanding: measured attentions hold no
refresh. In the long run each bank owes one all-bank refresh of tRFCab every tREFI, so whatever
keeps the PIM banks busy takes :func:`attention_refresh` times as long as measured. The merging unit
uses no bank and pays nothing. A measured block move pays already: it holds one refresh, of either
bank that it uses (the slice's counter ``refreshes``), and both together owe
1,918 * 2 / 3,900 = 0.98 in that time. The GPU's share is in its reachable bandwidth
(``runtime/gpu.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from model.spec.timing import TimingTable
from runtime.cycle_table import DIRECTIONS, WAVE_TOKENS, CycleTable, Direction
from runtime.models import TransformerModel


def attention_refresh(timing: TimingTable) -> Fraction:
    """Steady time over measured time of what keeps all PIM banks busy (HBM4: 1.13)."""
    interval = timing.refresh_interval
    return Fraction(interval, interval - timing.clocks(timing.nRFCab))


def steady_cycles(table: CycleTable, *, group: int, head_size: int, context: int) -> Fraction:
    """Cycles of one attention among many on one pseudo-channel, its share of refresh included.

    Parameters
    ----------
    table : CycleTable
    group, head_size, context : int
        Query heads of the KV head, elements of each, and tokens attended.
    """
    waves = -(-context // WAVE_TOKENS)
    return table.attend(head_size, group).cycles(waves) * attention_refresh(table.timing)


@dataclass(frozen=True, slots=True)
class LayerAttention:
    """How one layer's decode attention was spread, and its cycles."""

    cycles: int
    rounds: int
    waves: int
    parts: int


class PimArray:
    """All PIM units of a card working on one layer after the other.

    Parameters
    ----------
    table : CycleTable
    model : TransformerModel
    cards : int
        Cards that share the model's heads.
    units : int
        PIM units of a card.
    units_per_stack : int
        Most segments of one job.
    """

    def __init__(self, table: CycleTable, model: TransformerModel, *, cards: int, units: int,
                 units_per_stack: int) -> None:
        self.heads = model.kv_heads // cards
        self.units, self.units_per_stack = units, units_per_stack
        self.attend = table.attend(model.head_size, model.group)
        self.merge = table.merge(model.head_size, model.group)
        self.refresh = attention_refresh(table.timing)
        self._memo: dict[tuple[int, int, int], LayerAttention] = {}

    def layer(self, waves: Sequence[int]) -> LayerAttention:
        """One layer's attention for sequences of so many waves each (at least one sequence)."""
        rounds = -(-len(waves) * self.heads // self.units)
        budget = rounds * self.units // self.heads
        longest = max(waves)
        low, high = -(-longest // self.units_per_stack), longest
        low = max(low, -(-sum(waves) // budget))
        while low < high:
            middle = (low + high) // 2
            if sum([-(-w // middle) for w in waves]) <= budget:
                high = middle
            else:
                low = middle + 1
        best = self._cost(rounds, low, longest)
        while best.parts > 1:
            coarser = self._cost(rounds, -(-longest // (best.parts - 1)), longest)
            if coarser.cycles >= best.cycles:
                break
            best = coarser
        return best

    def _cost(self, rounds: int, waves: int, longest: int) -> LayerAttention:
        parts = -(-longest // waves)
        key = (rounds, waves, parts)
        if key not in self._memo:
            merging = self.merge.cycles(parts - 1) if parts > 1 else 0
            attending = ceil(self.attend.cycles(waves) * self.refresh)
            self._memo[key] = LayerAttention(rounds * (attending + merging), *key)
        return self._memo[key]


class StackDma:
    """The DMA engines of all pseudo-channels of a card, each moving one block at a time.

    Parameters
    ----------
    table : CycleTable
    model : TransformerModel
    cards : int
        Cards that share the model's heads; they move their shares at the same time.
    channels : int
        Pseudo-channels of a card, each with an engine.
    """

    def __init__(self, table: CycleTable, model: TransformerModel, *, cards: int,
                 channels: int) -> None:
        self.channels = channels
        self.moves_per_block = model.layers * model.kv_heads // cards
        self.rows = {d: table.migrate(model.head_size, d) for d in DIRECTIONS}

    def cycles(self, kv_blocks: int, direction: Direction) -> int:
        """Cycles to move KV blocks of the whole model: the fullest channel's moves in a row."""
        moves = -(-kv_blocks * self.moves_per_block // self.channels)
        return moves * self.rows[direction].cycles
