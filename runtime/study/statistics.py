"""Geometric means of ratios, with bootstrap intervals over the combinations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 95


@dataclass(frozen=True)
class GeometricMean:
    """A mean of ``count`` ratios, and the interval that :data:`LEVEL` % of resamples lie in."""

    mean: float
    low: float
    high: float
    count: int


def geometric_mean(ratios: Sequence[float], seed: int = 0) -> GeometricMean | None:
    """The geometric mean of positive ratios; None of none.

    The interval says how much the mean depends on which combinations were chosen: they are drawn
    again and again with replacement. It says nothing about errors that all of them share.
    """
    if not ratios:
        return None
    logs = np.log(np.asarray(ratios, dtype=np.float64))
    chosen = np.random.default_rng(seed).integers(0, len(logs), size=(RESAMPLES, len(logs)))
    low, high = np.percentile(logs[chosen].mean(axis=1), [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return GeometricMean(float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high)),
                         len(logs))
