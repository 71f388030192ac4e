"""What the quantiser computes: blocks of 32 elements to codes and a scale, and back.

Values are float64, in which every quotient and product below is exact; so each result is rounded
once, by the rule that its name says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.golden.floats import DTYPES, from_bits, kv_round
from model.spec.formats import BF16, FloatFormat
from model.spec.geometry import BEAT_BYTES
from model.spec.mx import (
    BLOCK_ELEMENTS,
    FORMAT_OF,
    INT4_DIVISOR,
    SCALE_BIAS,
    SCALE_NAN,
    ElementFormat,
    QuantisedRegion,
    QuantiserSpec,
    Status,
    StoredFormat,
)

SMALLEST_INT4_SCALE = float(np.finfo(np.float32).tiny)
"""2**-126, bfloat16's smallest normal number: a scale has its full precision or is this one."""

BF16_NAN = 0x7FC0


@dataclass(frozen=True)
class Counts:
    """Elements of a region that were not merely rounded.

    Attributes
    ----------
    saturated : int
        Beyond the largest number of the result's format.
    nan : int
        NaN or infinity: quantising, in the source; dequantising, in the block or its scale.
    flushed : int
        Not zero before, zero after.
    """

    saturated: int
    nan: int
    flushed: int


@dataclass(frozen=True)
class Quantised:
    """Blocks in a quantised format: ``codes[block, element]`` and ``scales[block]``, as bits."""

    codes: NDArray[np.int64]
    scales: NDArray[np.int64]
    counts: Counts


@dataclass(frozen=True)
class Dequantised:
    """Elements in the wide format, ``[block, element]``."""

    values: NDArray[Any]
    counts: Counts


def scale_values(scales: ArrayLike, fmt: ElementFormat) -> NDArray[np.float64]:
    """Values of scales, given as bits."""
    bits = np.asarray(scales, np.int64)
    if fmt.scale_bits == 16:
        return from_bits(bits, BF16).astype(np.float64)
    return np.where(bits == SCALE_NAN, np.nan, np.ldexp(1.0, bits - SCALE_BIAS))


def block_scales(values: NDArray[np.float64], fmt: ElementFormat) -> NDArray[np.int64]:
    """The scales, as bits, of ``values[block, element]``.

    E8M0: the largest power of two that is not above the largest magnitude, divided by the largest
    power of two of the element format, but at least ``2**-127``. INT4: the largest magnitude
    divided by 7, to the nearest bfloat16, but at least ``2**-126``. NaN if any element is NaN or
    infinite.
    """
    magnitude = np.abs(values).max(axis=-1, initial=0)
    bad = ~np.isfinite(values).all(axis=-1)
    magnitude = np.where(bad, 1, magnitude)
    if fmt.scale_bits == 16:
        scale = np.maximum(magnitude / INT4_DIVISOR, SMALLEST_INT4_SCALE)
        bits = scale.astype(np.float32).astype(DTYPES[BF16]).view(np.uint16).astype(np.int64)
        return np.where(bad, BF16_NAN, bits)
    exponent = np.frexp(magnitude)[1].astype(np.int64) - 1          # floor(log2), exactly
    code = np.where(magnitude == 0, 0, exponent - fmt.exponent_max + SCALE_BIAS)
    return np.where(bad, SCALE_NAN, np.clip(code, 0, 2 * SCALE_BIAS))


def rounded(ratios: NDArray[np.float64], fmt: ElementFormat, *, half_away: bool
            ) -> NDArray[np.float64]:
    """Nearest numbers with the format's mantissa, were its exponent range without upper end."""
    exponent = np.frexp(ratios)[1] - 1 if not fmt.twos_complement else 0
    unit = np.ldexp(1.0, np.maximum(exponent, fmt.exponent_min) - fmt.mantissa_bits)
    steps = np.abs(ratios) / unit
    whole = np.floor(steps)                 # not floor(steps + 0.5), a sum that may be rounded
    nearest = whole + (steps - whole >= 0.5) if half_away else np.rint(steps)
    return np.copysign(nearest * unit, ratios)


def magnitude_codes(magnitudes: NDArray[np.float64], fmt: ElementFormat) -> NDArray[np.int64]:
    """Codes of numbers that the format has and that are not negative."""
    units = np.ldexp(magnitudes, fmt.mantissa_bits)
    if fmt.twos_complement:
        return units.astype(np.int64)
    exponent = np.where(magnitudes > 0, np.frexp(magnitudes)[1] - 1, fmt.exponent_min)
    field = np.maximum(exponent - fmt.exponent_min + 1, 1)
    significand = np.ldexp(units, 1 - fmt.exponent_min - field).astype(np.int64)
    return (field.astype(np.int64) - 1 << fmt.mantissa_bits) + significand


def magnitude_values(codes: ArrayLike, fmt: ElementFormat) -> NDArray[np.float64]:
    """Values of magnitude codes; NaN and infinity included."""
    code = np.asarray(codes, np.int64)
    if fmt.twos_complement:
        return np.ldexp(code.astype(np.float64), -fmt.mantissa_bits)
    field = code >> fmt.mantissa_bits
    fraction = code & (1 << fmt.mantissa_bits) - 1
    significand = np.where(field > 0, fraction + (1 << fmt.mantissa_bits), fraction)
    value = np.ldexp(significand.astype(np.float64),
                     fmt.exponent_min + np.maximum(field, 1) - 1 - fmt.mantissa_bits)
    if fmt.nan is not None:
        value = np.where(code >= fmt.nan, np.nan, value)
    return value if fmt.infinity is None else np.where(code == fmt.infinity, np.inf, value)


def encode(ratios: NDArray[np.float64], fmt: ElementFormat, *, half_away: bool = False,
           overflow: bool = False) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Codes of finite ``ratios``, and which of them were beyond the largest.

    Those saturate; with ``overflow``, FP8 elements become infinity or, without one, NaN instead
    (OCP 8-bit floating point: SAT and OVF).
    """
    number = np.abs(rounded(ratios, fmt, half_away=half_away))
    largest = float(magnitude_values(fmt.largest, fmt))
    beyond = number > largest
    code = magnitude_codes(np.minimum(number, largest), fmt)
    special = fmt.infinity or fmt.nan
    if overflow and special:
        code = np.where(beyond, special, code)
    negative = np.signbit(ratios)
    if fmt.twos_complement:
        return np.where(negative, -code, code) & (1 << fmt.bits) - 1, beyond
    return code | negative.astype(np.int64) << fmt.bits - 1, beyond


def decode(codes: ArrayLike, fmt: ElementFormat) -> NDArray[np.float64]:
    """Values of element codes, without their scale."""
    code = np.asarray(codes, np.int64)
    if fmt.twos_complement:
        signed = code - (code >> fmt.bits - 1 << fmt.bits)
        return np.ldexp(signed.astype(np.float64), -fmt.mantissa_bits)
    magnitude = magnitude_values(code & (1 << fmt.bits - 1) - 1, fmt)
    return np.where(code >> fmt.bits - 1, -magnitude, magnitude)


def quantise(values: ArrayLike, fmt: ElementFormat, *, half_away: bool = False,
             overflow: bool = False) -> Quantised:
    """Blocks ``values[block, element]`` of a 16-bit format in format ``fmt``."""
    wide = np.asarray(values).astype(np.float64).reshape(-1, BLOCK_ELEMENTS)
    scales = block_scales(wide, fmt)
    scale = scale_values(scales, fmt)[:, None]
    bad = np.isnan(scale)
    ratios = np.where(bad, 0.0, wide) / np.where(bad, 1.0, scale)
    codes, beyond = encode(ratios, fmt, half_away=half_away, overflow=overflow)
    codes = np.where(bad, 0, codes)
    flushed = ~bad & (wide != 0) & (decode(codes, fmt) == 0)
    return Quantised(codes, scales, Counts(
        int(beyond.sum()), int((~np.isfinite(wide)).sum()), int(flushed.sum())))


def dequantise(codes: ArrayLike, scales: ArrayLike, fmt: ElementFormat,
               wide: FloatFormat = BF16) -> Dequantised:
    """Products of elements and scales, to the nearest number of ``wide``, ties to even.

    What is beyond ``wide`` becomes infinity, as in IEEE-754; every NaN is the canonical one.
    """
    element = decode(np.reshape(codes, (-1, BLOCK_ELEMENTS)), fmt)
    with np.errstate(all="ignore"):
        product = element * scale_values(scales, fmt)[:, None]
        values = kv_round(product.astype(np.float32), wide)
    result = values.astype(np.float64)
    finite = np.isfinite(product)
    return Dequantised(values, Counts(
        int((finite & np.isinf(result)).sum()), int((~finite).sum()),
        int((finite & (product != 0) & (result == 0)).sum())))


def to_columns(blocks: Quantised, fmt: ElementFormat) -> list[int]:
    """The columns of memory, as integers (model.spec.mx.QuantisedRegion)."""
    return packed(blocks.codes, fmt.bits) + packed(blocks.scales, fmt.scale_bits)


def from_columns(columns: Sequence[int], fmt: ElementFormat, blocks: int
                 ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Codes and scales of so many blocks that lie in ``columns``."""
    scales = QuantisedRegion(fmt=fmt, blocks=blocks).element_columns
    return (unpacked(columns[:scales], fmt.bits, blocks * BLOCK_ELEMENTS
                     ).reshape(blocks, BLOCK_ELEMENTS),
            unpacked(columns[scales:], fmt.scale_bits, blocks))


def packed(values: ArrayLike, width: int) -> list[int]:
    """Columns of numbers of ``width`` bits without gaps, the first in the lowest bits."""
    numbers = np.asarray(values, np.int64).ravel()
    bits = (numbers[:, None] >> np.arange(width) & 1).astype(np.uint8)
    data = np.packbits(bits, bitorder="little").tobytes()
    return [int.from_bytes(data[n:n + BEAT_BYTES], "little")
            for n in range(0, len(data), BEAT_BYTES)]


def unpacked(columns: Sequence[int], width: int, count: int) -> NDArray[np.int64]:
    """The first ``count`` numbers of ``width`` bits in columns."""
    data = b"".join(column.to_bytes(BEAT_BYTES, "little") for column in columns)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little", count=count * width)
    return bits.reshape(count, width).astype(np.int64) @ (1 << np.arange(width))


def expected_status(spec: QuantiserSpec, source: StoredFormat, target: StoredFormat,
                    blocks: int) -> Status:
    """What a request is answered with if the input keeps to its length."""
    quantised = source != StoredFormat.WIDE
    if quantised and target != StoredFormat.WIDE:
        return Status.ALREADY_QUANTISED
    if not quantised and target == StoredFormat.WIDE:
        return Status.NOT_QUANTISED
    if FORMAT_OF[source if quantised else target] not in spec.formats:
        return Status.NO_SUCH_FORMAT
    return Status.DONE if 1 <= blocks <= spec.blocks_max else Status.BAD_LENGTH


ELEMENT_DTYPES: dict[StoredFormat, np.dtype[Any]] = {
    StoredFormat.MXINT8: np.dtype(np.int8),
    StoredFormat.MXFP8_E4M3: np.dtype(ml_dtypes.float8_e4m3fn),
    StoredFormat.MXFP8_E5M2: np.dtype(ml_dtypes.float8_e5m2),
    StoredFormat.MXFP6_E3M2: np.dtype(ml_dtypes.float6_e3m2fn),
    StoredFormat.MXFP6_E2M3: np.dtype(ml_dtypes.float6_e2m3fn),
    StoredFormat.MXFP4: np.dtype(ml_dtypes.float4_e2m1fn),
    StoredFormat.INT4: np.dtype(ml_dtypes.int4),
}
"""ml_dtypes' name of each element format: an outside opinion for tests and users."""
