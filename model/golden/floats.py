"""Bit patterns and values of the number formats, and the scalar operations of docs/numerics.md.

NumPy's float32 arithmetic is IEEE-754, round to nearest even, with subnormals; ``ml_dtypes``
gives bfloat16. All that is added here is the one canonical NaN.
"""

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.spec.attention import RESCALE_CLEAR
from model.spec.formats import BF16, FP16, FP32, FloatFormat

DTYPES: dict[FloatFormat, np.dtype[Any]] = {
    BF16: np.dtype(ml_dtypes.bfloat16), FP16: np.dtype(np.float16), FP32: np.dtype(np.float32)}
"""NumPy's name of each format."""

NAN = np.array(0x7FC00000, np.uint32).view(np.float32)[()]
"""The canonical NaN."""


def to_bits(values: ArrayLike, fmt: FloatFormat = FP32) -> NDArray[Any]:
    """Bit patterns of an array that already has the dtype of ``fmt``."""
    array = np.asarray(values)
    if array.dtype != DTYPES[fmt]:
        raise TypeError(f"expected an array of {DTYPES[fmt]}, not {array.dtype}")
    return array.view(f"u{DTYPES[fmt].itemsize}")


def from_bits(bits: ArrayLike, fmt: FloatFormat = FP32) -> NDArray[Any]:
    """Values of bit patterns, as an array with the dtype of ``fmt``."""
    return np.asarray(bits).astype(f"u{DTYPES[fmt].itemsize}").view(DTYPES[fmt])


def weight_bits(weights: ArrayLike, fmt: FloatFormat) -> NDArray[np.int64]:
    """Bit patterns of weights, FP32 or FP64 numbers of the unsigned format ``fmt``.

    A number that is negative, subnormal or needs more bits of fraction is a ``ValueError``.
    """
    values = np.asarray(weights, np.float64)
    significand, exponent = np.frexp(values)                # 0.5 <= significand < 1
    field = exponent - 1 + fmt.bias
    fraction = (2 * significand - 1) * 2.0 ** fmt.fraction_bits
    proper = (field > 0) & (field < (1 << fmt.exponent_bits) - 1) & np.isfinite(values)
    if not ((values == 0) | proper & (fraction >= 0) & (fraction == np.rint(fraction))).all():
        raise ValueError(f"numbers that are no {fmt.name}")
    return np.where(values == 0, 0, (field << fmt.fraction_bits) + fraction.astype(np.int64))


def from_weight_bits(bits: ArrayLike, fmt: FloatFormat) -> NDArray[np.float32]:
    """Numbers of the bit patterns that :func:`weight_bits` gives."""
    patterns = np.asarray(bits, np.int64)
    fraction = patterns & (1 << fmt.fraction_bits) - 1
    exponent = (patterns >> fmt.fraction_bits) - fmt.bias
    value = np.ldexp(1 + fraction / 2.0 ** fmt.fraction_bits, exponent)
    return np.where(patterns == 0, 0, value).astype(np.float32)


def pack(bits: ArrayLike, width: int) -> int:
    """One integer of bit patterns of ``width`` bits, the first in the lowest bits."""
    return sum(int(b) << width * i for i, b in enumerate(np.asarray(bits).ravel()))


def canonical(values: ArrayLike) -> NDArray[np.float32]:
    """FP32 values with every NaN replaced by the canonical one."""
    array = np.asarray(values, np.float32)
    return np.where(np.isnan(array), NAN, array)


def add(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
    """FP32 sums."""
    with np.errstate(all="ignore"):
        return canonical(np.add(a, b, dtype=np.float32))


def product(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
    """FP32 products of factors in any of the formats."""
    with np.errstate(all="ignore"):
        return canonical(np.multiply(np.asarray(a).astype(np.float32),
                                     np.asarray(b).astype(np.float32), dtype=np.float32))


def rescale(x: ArrayLike, shift: ArrayLike) -> NDArray[np.float32]:
    """``x * 2**-shift``: +0 where that is below the normal range or ``shift`` is the clear code.

    A shift of 0 changes nothing, not even a subnormal number or -0; any other shift turns those
    into +0.
    """
    values, distance = np.broadcast_arrays(np.asarray(x, np.float32), np.asarray(shift, np.int64))
    with np.errstate(all="ignore"):
        exact = np.ldexp(values.astype(np.float64), -np.minimum(distance, 600).astype(np.int32))
    small = np.abs(exact) < np.finfo(np.float32).tiny
    moved = np.where(small, 0.0, exact).astype(np.float32)
    kept = (distance == 0) | ~np.isfinite(values)
    return np.where(distance == RESCALE_CLEAR, np.float32(0), np.where(kept, values, moved))


def kv_round(x: ArrayLike, fmt: FloatFormat) -> NDArray[Any]:
    """FP32 values rounded to ``fmt``, ties to even, every NaN its quiet positive one."""
    values = np.asarray(x, np.float32)
    with np.errstate(all="ignore"):
        rounded = values.astype(DTYPES[fmt])
    quiet = from_bits(((1 << fmt.exponent_bits + 1) - 1) << fmt.fraction_bits - 1, fmt)
    return np.where(np.isnan(values), quiet, rounded)
