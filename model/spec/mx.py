"""Quantised KV: element formats, scales, and their places in memory (docs/quantiser.md).

Formats are those of the OCP Microscaling (MX) specification 1.0, and INT4 in groups of the same
size. A block is 32 consecutive elements with one scale. All of them are built alike, so hardware
that knows the numbers below needs no case per format:

* a floating-point element is sign and magnitude; the magnitude's low ``mantissa_bits`` bits are the
  mantissa, the others the exponent field. Its value is ``significand * 2**(exponent_min + field - 1
  - mantissa_bits)``, where the significand has the hidden bit on top, unless the field is 0: then
  it has none, and the field counts as 1;
* an integer element is two's complement and counts in units of ``2**-mantissa_bits``. The magnitude
  of INT8 is therefore that of a floating-point element with one exponent bit.
"""

import enum
from dataclasses import dataclass

from model.spec.errors import SpecError, require_int, unknown_name
from model.spec.formats import BF16, FloatFormat
from model.spec.geometry import BEAT_BYTES

BLOCK_ELEMENTS = 32
"""Elements that share a scale (OCP MX 1.0; facts.md 8), and those of an INT4 group."""

LANES = 8 * BEAT_BYTES // 16
"""16-bit elements in a beat: half a block."""

SCALE_BIAS = 127
"""Of E8M0: the byte ``e`` is the scale ``2**(e - 127)``."""

SCALE_NAN = 0xFF
"""The E8M0 byte that makes every element of its block NaN."""

INT4_DIVISOR = 7
"""The largest INT4 code in use: the scale is the block's largest magnitude divided by it."""


class StoredFormat(enum.IntEnum):
    """How a block of KV is stored; three bits, as in requests and residency words."""

    WIDE = 0            # the 16-bit KV format of the stack: not quantised
    MXINT8 = 1
    MXFP8_E4M3 = 2
    MXFP8_E5M2 = 3
    MXFP6_E3M2 = 4
    MXFP6_E2M3 = 5
    MXFP4 = 6
    INT4 = 7


@dataclass(frozen=True, kw_only=True)
class ElementFormat:
    """A quantised format: its elements and its scale.

    Attributes
    ----------
    code : StoredFormat
        What stands for it in requests.
    bits : int
        Bits of an element.
    mantissa_bits : int
        Fraction bits of an element.
    exponent_min, exponent_max : int
        Unbiased exponents of the smallest and the largest normal number.
    largest : int
        Magnitude code of the largest finite number; what is beyond saturates to it.
    infinity, nan : int or None
        Magnitude code of infinity; the first magnitude code of NaN. None: there is none.
    twos_complement : bool
        Not sign and magnitude.
    scale_bits : int
        8: E8M0, a power of two. 16: bfloat16.
    """

    code: StoredFormat
    bits: int
    mantissa_bits: int
    exponent_min: int
    exponent_max: int
    largest: int
    infinity: int | None = None
    nan: int | None = None
    twos_complement: bool = False
    scale_bits: int = 8

    @property
    def name(self) -> str:
        """The name used in figures, tables and on the command line."""
        return self.code.name.lower()

    @property
    def bits_per_element(self) -> float:
        """Bits of memory for an element, its share of the scale included."""
        return self.bits + self.scale_bits / BLOCK_ELEMENTS


def _float(code: StoredFormat, exponent_bits: int, mantissa_bits: int, *, largest: int,
           infinity: int | None = None, nan: int | None = None) -> ElementFormat:
    bias = (1 << exponent_bits - 1) - 1
    return ElementFormat(
        code=code, bits=1 + exponent_bits + mantissa_bits, mantissa_bits=mantissa_bits,
        exponent_min=1 - bias, exponent_max=(largest >> mantissa_bits) - bias, largest=largest,
        infinity=infinity, nan=nan)


# Largest magnitudes: 1.984375, 448, 57344, 28, 7.5, 6 (facts.md 8), and 7.
MXINT8 = ElementFormat(code=StoredFormat.MXINT8, bits=8, mantissa_bits=6, exponent_min=0,
                       exponent_max=0, largest=0x7F, twos_complement=True)
MXFP8_E4M3 = _float(StoredFormat.MXFP8_E4M3, 4, 3, largest=0x7E, nan=0x7F)
MXFP8_E5M2 = _float(StoredFormat.MXFP8_E5M2, 5, 2, largest=0x7B, infinity=0x7C, nan=0x7D)
MXFP6_E3M2 = _float(StoredFormat.MXFP6_E3M2, 3, 2, largest=0x1F)
MXFP6_E2M3 = _float(StoredFormat.MXFP6_E2M3, 2, 3, largest=0x1F)
MXFP4 = _float(StoredFormat.MXFP4, 2, 1, largest=0x7)
INT4 = ElementFormat(code=StoredFormat.INT4, bits=4, mantissa_bits=0, exponent_min=0,
                     exponent_max=2, largest=INT4_DIVISOR, twos_complement=True, scale_bits=16)

ELEMENT_FORMATS = {f.name: f for f in (
    MXINT8, MXFP8_E4M3, MXFP8_E5M2, MXFP6_E3M2, MXFP6_E2M3, MXFP4, INT4)}
"""All quantised formats by name."""

ALIASES = {"mxfp8": MXFP8_E4M3}
"""Names in figures that stand for one of them (DESIGN.md 6)."""

FORMAT_OF = {f.code: f for f in ELEMENT_FORMATS.values()}
"""The format that a code in a request stands for."""


def element_format(name: str) -> ElementFormat:
    """The quantised format of that name; :class:`~model.spec.errors.UserError` if none is."""
    known = {**ELEMENT_FORMATS, **ALIASES}
    if name not in known:
        raise unknown_name("format", name, known)
    return known[name]


@dataclass(frozen=True, kw_only=True)
class QuantisedRegion:
    """Columns of memory that hold some blocks in one format: first elements, then scales.

    Elements follow each other without gaps, little endian, from the lowest bit of the first column
    on; 32 elements of 8 bits are exactly one column. Scales follow in columns of their own, without
    gaps either. Both parts are padded with zeros to whole columns.

    Attributes
    ----------
    fmt : ElementFormat
    blocks : int
        Blocks of 32 elements.
    """

    fmt: ElementFormat
    blocks: int

    def __post_init__(self) -> None:
        require_int("blocks", self.blocks, 1, 1 << 20)

    @property
    def wide_beats(self) -> int:
        """Columns of the same elements when they are not quantised."""
        return self.blocks * BLOCK_ELEMENTS // LANES

    @property
    def element_columns(self) -> int:
        """Columns of elements."""
        return -(-self.blocks * BLOCK_ELEMENTS * self.fmt.bits // (8 * BEAT_BYTES))

    @property
    def scale_columns(self) -> int:
        """Columns of scales."""
        return -(-self.blocks * self.fmt.scale_bits // (8 * BEAT_BYTES))

    @property
    def columns(self) -> int:
        """All columns."""
        return self.element_columns + self.scale_columns

    def element_place(self, element: int) -> tuple[int, int]:
        """(column, lowest bit in it) of an element, counted over the blocks.

        Elements of 6 bits may go on in the next column.
        """
        return divmod(element * self.fmt.bits, 8 * BEAT_BYTES)

    def scale_place(self, block: int) -> tuple[int, int]:
        """(column, lowest bit in it) of a block's scale."""
        column, bit = divmod(block * self.fmt.scale_bits, 8 * BEAT_BYTES)
        return self.element_columns + column, bit


@dataclass(frozen=True, kw_only=True)
class QuantiserSpec:
    """Parameters of the quantiser.

    Attributes
    ----------
    wide : FloatFormat
        The 16-bit format on the other side.
    formats : tuple of ElementFormat
        What it can quantise to and from.
    blocks_max : int
        Most blocks of one request: K and V of 16 tokens with heads of 256 elements are 256.
    """

    wide: FloatFormat = BF16
    formats: tuple[ElementFormat, ...] = tuple(ELEMENT_FORMATS.values())
    blocks_max: int = 256

    def __post_init__(self) -> None:
        if self.wide.width != 16:
            raise SpecError("wide", self.wide.name, "a format of 16 bits")
        if not self.formats or len(set(self.formats)) != len(self.formats):
            raise SpecError("formats", [f.name for f in self.formats], "different formats, one "
                            "at least")
        require_int("blocks_max", self.blocks_max, 1, 1 << 12)

    @property
    def scale_columns_max(self) -> int:
        """Most columns of scales of one request."""
        return max(QuantisedRegion(fmt=f, blocks=self.blocks_max).scale_columns
                   for f in self.formats)


class Status(enum.IntEnum):
    """How a request to the quantiser ended."""

    DONE = 0
    ALREADY_QUANTISED = 1       # quantised once, never twice
    NOT_QUANTISED = 2           # nothing to be dequantised
    NO_SUCH_FORMAT = 3          # this build does not have the format
    BAD_LENGTH = 4              # no blocks, or more than a request may have
    LAST_MISPLACED = 5          # carried out, but the input's `last` was not on its last beat
