"""The online softmax of docs/numerics.md, points 3 to 6, in NumPy: one wave after another."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.golden.floats import add, product, rescale
from model.spec.attention import BLOCK_TOKENS, RESCALE_CLEAR, PimSpec
from model.spec.formats import FloatFormat

INTEGER_BITS = 14
"""An exponent is clamped to 2^14 in either direction."""


def exponents(scores: ArrayLike, scale: np.float32, fraction_bits: int) -> NDArray[np.int64]:
    """``X``: base-2 exponents of the scores as integers in units of ``2^-fraction_bits``."""
    t = product(np.asarray(scores, np.float32), scale).astype(np.float64)
    limit = 1 << INTEGER_BITS + fraction_bits
    nearest = np.rint(np.where(np.isnan(t), -np.inf, t) * 2.0 ** fraction_bits)
    return np.clip(nearest, -limit, limit - 1).astype(np.int64)


def weights(x: ArrayLike, m: ArrayLike, fraction_bits: int,
            fmt: FloatFormat) -> NDArray[np.float32]:
    """``p``: weights for exponents ``x`` under the maximum ``m``, numbers of format ``fmt``."""
    distance = np.asarray(x, np.int64) - np.asarray(m, np.int64) * (1 << fraction_bits)
    exact = np.exp2(distance.astype(np.float64) / 2.0 ** fraction_bits)
    with np.errstate(under="ignore"):
        # Equally far apart between powers of two, and below the smallest normal number.
        exponent = np.maximum(np.frexp(exact)[1] - 1, fmt.exponent_min)
        rounded = np.ldexp(np.rint(np.ldexp(exact, fmt.fraction_bits - exponent)),
                           exponent - fmt.fraction_bits)
    return np.where(rounded < 2.0 ** fmt.exponent_min, 0, rounded).astype(np.float32)


def wave_sum(p: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum of the weights of a wave, ``p[head, block, token]``, in the stated order."""
    tokens = p.reshape(p.shape[0], -1)
    quads = add(add(tokens[:, 0::4], tokens[:, 1::4]), add(tokens[:, 2::4], tokens[:, 3::4]))
    accumulators = np.zeros((2, p.shape[0]), np.float32)
    for index in range(quads.shape[1]):
        turn = index % 2
        accumulators[turn] = add(accumulators[turn], quads[:, index])
    return add(accumulators[0], accumulators[1])


@dataclass(frozen=True)
class Wave:
    """What one wave yields.

    Attributes
    ----------
    weights : array [head, block, token]
        FP32 numbers of the weights' format; 0 behind the last token.
    rescale : array [head] of int
        How far the accumulators of each head are to be scaled down; ``RESCALE_CLEAR`` at first.
    nan : bool
        A valid score was NaN.
    """

    weights: NDArray[np.float32]
    rescale: NDArray[np.int64]
    nan: bool


class OnlineSoftmax:
    """Running maximum ``m`` and sum ``l`` of the heads that share the KV.

    Parameters
    ----------
    heads : int
        Query heads.
    scale : float32
        Greater than 0.
    spec : PimSpec
        Formats.

    Attributes
    ----------
    m : array [head] of int
        The maximum; 0 before the first wave.
    l : array [head] of float32
        The sum.
    """

    def __init__(self, heads: int, scale: np.float32, spec: PimSpec) -> None:
        self.scale, self.spec = np.float32(scale), spec
        self.m = np.zeros(heads, np.int64)
        self.l = np.zeros(heads, np.float32)
        self.first = True

    def wave(self, scores: NDArray[np.float32], tokens: ArrayLike) -> Wave:
        """Takes the scores of one wave, ``[head, block, token]``.

        ``tokens`` says how many of each block are valid, its first ones; at least one in all.
        """
        heads = scores.shape[0]
        fraction_bits = self.spec.exponent_fraction_bits
        valid = np.arange(BLOCK_TOKENS) < np.asarray(tokens)[:, None]
        x = exponents(scores, self.scale, fraction_bits)
        top = (x[:, valid] >> fraction_bits).max(axis=1)
        m = top if self.first else np.maximum(self.m, top)
        shift = m - self.m
        p = np.where(valid, weights(x, m[:, None, None], fraction_bits, self.spec.weight_format),
                     np.float32(0))
        before = np.zeros(heads, np.float32) if self.first else rescale(self.l, shift)
        self.l = add(before, wave_sum(p))
        self.m = m
        rescales = np.full(heads, RESCALE_CLEAR) if self.first else shift
        self.first = False
        return Wave(p, rescales, bool(np.isnan(scores[:, valid]).any()))
