"""Lengths with a published mean, median and 99th percentile.

The quantile function is linear in (normal score, log length) between knots: the published median
and 99th percentile, and a 90th percentile solved so that the mean is the published one too. Each
request draws its own cell of the unit interval, so that even a few hundred have these statistics.
"""

import math
from statistics import NormalDist

import numpy as np

from runtime.generator.statistics import LengthStatistics

_NORMAL = NormalDist()
_CELLS = (np.arange(20_000) + 0.5) / 20_000
_SCORES = np.array([_NORMAL.inv_cdf(cell) for cell in _CELLS.tolist()])

TAIL_SCORE = 3.3
"""Normal score at which lengths are cut off: one request in about 2,000 lies there."""

Z90, Z99 = _NORMAL.inv_cdf(0.9), _NORMAL.inv_cdf(0.99)


class LengthDistribution:
    """Draws lengths in tokens."""

    def __init__(self, target: LengthStatistics) -> None:
        self.target = target
        low, high = math.log(target.p50), math.log(target.p99)
        for _ in range(60):
            middle = (low + high) / 2
            if self._lengths(_SCORES, middle).mean() < target.mean:
                low = middle
            else:
                high = middle
        self._log_p90 = low

    def _lengths(self, scores: np.ndarray, log_p90: float) -> np.ndarray:
        """Continuous lengths; beyond the outer knots the last slopes go on."""
        median, top = math.log(self.target.p50), math.log(self.target.p99)
        below = median + scores * (log_p90 - median) / Z90
        tail_slope = (top - log_p90) / (Z99 - Z90)
        beyond = log_p90 + (np.minimum(scores, TAIL_SCORE) - Z90) * tail_slope
        return np.exp(np.where(scores <= Z90, below, beyond))

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """``count`` lengths, one from each of as many equal cells of the distribution."""
        cells = (rng.permutation(count) + rng.random(count)) / count
        lengths = self._lengths(np.interp(cells, _CELLS, _SCORES), self._log_p90)
        return np.maximum(1, np.rint(lengths)).astype(np.int64)
