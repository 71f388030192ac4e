"""What an attention adds to a unit that has others to do, from rows of the cycle table.

A unit attends job after job without a pause. Two things bound that. Its banks need ``wave`` clocks
for every wave, and of every tREFI they lose tRFCab. And an attention adds ``points[waves]`` clocks
if no refresh comes in between: in short ones of many query heads the results take longer to be read
out than what follows takes, which refreshes hide. The longer the attention, the less is that: what
is above the banks' time falls on beyond ``points`` as it fell between the last two of them. What
begins before the banks do, and what is read out after the last attention, is hidden by nothing and
comes once (``end``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


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

    def cycles(self, waves: int) -> int:
        """Whole cycles; beyond the simulated lengths what is above the banks' time falls on."""
        known = max((n for n in self.points if n <= waves), default=min(self.points))
        above, fall = self._above(known), 0
        if known - 1 in self.points:
            fall = max(0, self._above(known - 1) - above)
        adds = waves * self.wave + max(0, above - (waves - known) * fall)
        value = max(adds, waves * self.wave * self.refresh)
        return -(-value.numerator // value.denominator)

    def _above(self, waves: int) -> Fraction:
        """Simulated cycles above those of the banks; a longer attention hides more of them."""
        return self.points[waves] - waves * self.wave
