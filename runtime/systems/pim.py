"""The PIM units of a card, and what one attention takes on one of them.

A *unit* is one stack ID's PIM banks in one pseudo-channel: what the RTL slice simulates. The jobs
of a layer are (sequence, KV head) pairs; a job's KV lies in one or more units, where placement put
it (``runtime/policies/placement``). Each unit works off its parts of jobs one after the other, so a
layer's attention takes as long as its fullest unit:

    cycles = max over units sum of attend(waves) + end
             + max over units sum of merge(further parts of the jobs that begin there)

``attend`` is what an attention among others adds (:mod:`runtime.steady`), ``end`` what comes once.

Partial results travel within a stack to the merging unit in no time, which is in the system's
favour; those from other stacks go over the GPU's memory interface (``runtime/serving``).

Refresh. The hardware postpones the PIM banks' refreshes during an attention and catches up between
attentions, and a measured operation begins with none outstanding: measured attentions hold no
refresh. In the long run each bank owes one all-bank refresh of tRFCab every tREFI, so whatever
keeps the PIM banks busy takes :func:`attention_refresh` times as long as measured; what hides
behind refreshes does not. A table may lack what attentions among others add: then each takes as
long as alone, times that, and ``end`` is 0. The merging unit uses no bank and pays nothing. A
measured block move pays already: it holds one refresh, of either bank that it uses (the slice's
counter ``refreshes``), and both together owe 1,918 * 2 / 3,900 = 0.98 in that time. The GPU's share
is in its reachable bandwidth (``runtime/systems/gpu.py``).
"""

from fractions import Fraction
from math import ceil

from model.spec.timing import TimingTable
from runtime.cycle_table import WAVE_TOKENS, CycleTable
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
    if lines := table.steady(head_size, group):
        return Fraction(sum(line.cycles(waves) for line in lines))
    return table.attend(head_size, group).cycles(waves) * attention_refresh(table.timing)


class PimArray:
    """All PIM units of a card.

    Parameters
    ----------
    table : CycleTable
    model : TransformerModel
    cards : int
        Cards that share the model's heads.
    stacks, units_per_stack : int
        Stacks of a card with PIM units, and units of each.

    Attributes
    ----------
    heads : int
        KV heads of a card (of the one that has most).
    units : int
        Units of all stacks of a card.
    passes : int
        Attentions over the same KV that serve a KV head's query heads; more than one if the table
        has none for so many.
    attend, merge : Line
        Cycles over waves, and over further parts.
    refresh : Fraction
        What :meth:`attend_cycles` are to be multiplied by; 1 if they hold their refreshes.
    ends : int
        Cycles that come once, before and behind all attentions of a unit.
    translation : int
        Cycles of the longest simulated translation; 0 if none was.
    """

    def __init__(self, table: CycleTable, model: TransformerModel, *, cards: int, stacks: int,
                 units_per_stack: int) -> None:
        self.heads = model.heads_per_card(cards)
        self.stacks, self.units_per_stack = stacks, units_per_stack
        self.units = stacks * units_per_stack
        self.passes = len(table.passes(model.head_size, model.group))
        self.attend = table.attend(model.head_size, model.group)
        self.merge = table.merge(model.head_size, model.group)
        self._steady = table.steady(model.head_size, model.group)
        self.refresh = Fraction(1) if self._steady else attention_refresh(table.timing)
        self.ends = max((ceil(line.end) for line in self._steady), default=0)
        self.translation = max(table.translations.values(), default=0)
        self._attend_cycles = [0]

    def attend_cycles(self, waves: int) -> int:
        """Cycles of one part of a job."""
        known = self._attend_cycles
        while len(known) <= waves:
            known.append(sum(line.cycles(len(known)) for line in self._steady) if self._steady
                         else self.attend.cycles(len(known)))
        return known[waves]

    def merge_cycles(self, further: int) -> int:
        """Cycles to merge so many further parts into a job's first."""
        return self.merge.cycles(further) if further else 0
