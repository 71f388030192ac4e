"""What an attention adds to a unit that has others to do, from rows of the cycle table.

A unit attends job after job without a pause. Two things bound that. Its banks need ``wave`` clocks
for every wave, and of every tREFI they lose tRFCab. And an attention adds ``points[waves]`` clocks
if no refresh comes in between: in short ones of many query heads the results take longer to be read
out than what follows takes, which refreshes hide. The longer the attention, the less is that: what
is above the banks' time falls on beyond ``points`` as it fell between the last two of them. What
begins before the banks do, and what is read out after the last attention, is hidden by nothing and
comes once (``end``).

Of a last wave that is not full the banks need as long as of a full one, but only its blocks have
scores to be read and weights to be written. Where those bound an attention, as beside other traffic
on the data bus, it adds that part of what a full wave adds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil


@dataclass(frozen=True)
class SteadyLine:
    """Cycles of an attention among others, refresh included, over waves.

    Attributes
    ----------
    points : mapping
        Waves -> simulated cycles that a further attention adds, without a refresh.
    wave : Fraction
        Cycles of the banks for a further wave.
    refresh : Fraction
        tREFI / (tREFI - tRFCab).
    end : Fraction
        How much longer than that an attention is that runs alone.
    """

    points: Mapping[int, int]
    wave: Fraction
    refresh: Fraction
    end: Fraction

    def cycles(self, waves: int | Fraction) -> int:
        """Whole cycles of an attention of so many waves, the last of which may be a part of one."""
        whole = ceil(waves)
        adds = self._adds(whole)
        if 1 < waves < whole:
            before = self._adds(whole - 1)
            adds = max(whole * self.wave, before + (adds - before) * (waves - whole + 1))
        return ceil(max(adds, whole * self.wave * self.refresh))

    def _adds(self, waves: int) -> Fraction:
        """Beyond the simulated lengths what is above the banks' time falls on."""
        known = max((n for n in self.points if n <= waves), default=min(self.points))
        above, fall = self._above(known), Fraction(0)
        if known - 1 in self.points:
            fall = max(fall, self._above(known - 1) - above)
        return waves * self.wave + max(Fraction(0), above - (waves - known) * fall)

    def _above(self, waves: int) -> Fraction:
        """Simulated cycles above those of the banks; a longer attention hides more of them."""
        return self.points[waves] - waves * self.wave
