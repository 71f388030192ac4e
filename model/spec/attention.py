"""The PIM attention units: parameters, latencies, register addresses and the KV block layout."""

import enum
import math
from dataclasses import dataclass

from model.spec.errors import SpecError, require_int
from model.spec.formats import BF16, FP32, FloatFormat, weight_format
from model.spec.geometry import BEAT_BYTES
from model.spec.mx import MXFP8_E4M3, MXINT8, ElementFormat

HEAD_SIZE_MIN = 64
"""Smallest head size unless a smaller one is built."""

SLICE_SIZE_MIN = 32
"""Smallest head size of all: below it an output accumulator would be needed again too early. AttAcc
spreads a head over four banks, a slice of 32 elements in each (docs/attention.md)."""

BLOCK_TOKENS = 16
"""Tokens of a KV block, as in vLLM and the Qwen-Bailian traces (facts.md 1.2)."""


class MacMode(enum.IntEnum):
    """What a PIM bank unit does with a column."""

    DOT = 0     # scores: q . K, adder tree over the lanes
    AXPY = 1    # outputs: o += p x V, one accumulator a lane
    SCALE = 2   # scales of a quantised block, kept for its K and its V


class Register(enum.IntEnum):
    """Register files of a PIM bank unit, as addressed by REG_WR and REG_RD."""

    QUERY = 0     # written: query vectors, address = head * chunks + chunk
    WEIGHT = 1    # written: softmax weights of a block, address = head
    RESCALE = 2   # written: one 16-bit right shift a head, all heads in one word, address 0
    SCORE = 3     # read: FP32 scores of a block, address = head * 2 + half
    OUTPUT = 4    # read: FP32 outputs, address = (head * chunks + chunk) * 2 + half
    ROW = 5       # written: row to which ACT_ALL adds its own, address = latch


ROW_LATCHES = 4
"""Row latches of a PIM bank: the rows of the blocks of so many waves."""

REGISTER_SETS = 2
"""Sets of QUERY and OUTPUT, so that an attention begins before the one before it is read out. The
topmost bit of their addresses says which."""

SCALE_SLOTS = 2
"""Blocks whose scales a PIM bank holds: one whose V is still to come, and the one after it."""

RESCALE_CLEAR = 0xFFFF
"""Rescale value that sets the accumulators to zero: the first wave of an attention."""


@dataclass(frozen=True, kw_only=True)
class PimSpec:
    """Parameters of the PIM bank unit, the softmax unit and the merge unit.

    Attributes
    ----------
    kv_format : FloatFormat
        Format of keys, values, queries and outputs.
    head_size_max, head_size_min : int
        Largest head size that the registers hold, a multiple of 16, 64 to 256; smallest that is
        not refused, 32 or 64.
    group_max : int
        Most query heads that share one read of the KV, 1 to 16.
    exponent_fraction_bits : int
        Fraction bits to which the base-2 exponent of a weight is rounded.
    quantised : tuple of ElementFormat
        Formats of 8 bits that are multiplied in place, besides ``kv_format``, then bfloat16.
    lanes : int
        Multipliers and adders of a bank, 16 or 32; 32 work on two query heads at a time.
    """

    kv_format: FloatFormat = BF16
    head_size_max: int = 128
    head_size_min: int = HEAD_SIZE_MIN
    group_max: int = 8
    exponent_fraction_bits: int = 10
    quantised: tuple[ElementFormat, ...] = ()
    lanes: int = BEAT_BYTES * 8 // BF16.width

    LANES = BEAT_BYTES * 8 // BF16.width        # 16: one column of 16-bit elements a pass
    ADDER_LATENCY = 2
    MULTIPLIER_LATENCY = 1
    SOFTMAX_LANES = 4
    SCORES_PER_BEAT = BEAT_BYTES * 8 // FP32.width

    def __post_init__(self) -> None:
        if self.kv_format.width != BF16.width:
            raise SpecError("kv_format", self.kv_format.name, "a 16-bit format")
        check_head_size(self.head_size_max, 256, "head_size_max")
        if self.head_size_min not in (SLICE_SIZE_MIN, HEAD_SIZE_MIN):
            raise SpecError("head_size_min", self.head_size_min,
                            f"{SLICE_SIZE_MIN} or {HEAD_SIZE_MIN}")
        require_int("group_max", self.group_max, 1, 16)
        require_int("exponent_fraction_bits", self.exponent_fraction_bits, 8, 14)
        if self.lanes not in (self.LANES, 2 * self.LANES):
            raise SpecError("lanes", self.lanes, f"{self.LANES} or {2 * self.LANES}")
        if self.lanes > self.LANES and self.group_max < 2:
            raise SpecError("lanes", self.lanes, f"{self.LANES} for a single query head")
        names = [fmt.name for fmt in self.quantised]
        if not set(self.quantised) <= {MXINT8, MXFP8_E4M3} or len(set(names)) < len(names):
            raise SpecError("quantised", names, "different ones of mxint8, mxfp8_e4m3")
        if self.quantised and self.kv_format is not BF16:
            raise SpecError("quantised", names, f"none with KV format {self.kv_format.name}")

    @property
    def weight_format(self) -> FloatFormat:
        """Format of softmax weights (docs/numerics.md, 5)."""
        return weight_format(self.kv_format)

    @property
    def units(self) -> int:
        """Units of 16 lanes in a bank; the query heads are shared out among them."""
        return self.lanes // self.LANES

    @property
    def heads_per_unit(self) -> int:
        """Most query heads that one of them passes over."""
        return -(-self.group_max // self.units)

    @property
    def chunks_max(self) -> int:
        """Most columns of one token's K or V."""
        return self.head_size_max // self.LANES

    @property
    def register_address_width(self) -> int:
        """Bits of a register address; OUTPUT is the largest file, and there are two of it."""
        return (self.group_max * self.chunks_max * 2 - 1).bit_length() + 1

    @property
    def drain_clocks(self) -> int:
        """Clocks from the data of a block's last column to its results being readable.

        The passes of a unit's heads, and as many again and an adder more if there are
        quantised columns; operand and product registers, four levels of the adder tree, the
        accumulator and the result register.
        """
        heads = self.heads_per_unit
        more = heads + self.ADDER_LATENCY if self.quantised else 0
        return heads + more + 1 + self.MULTIPLIER_LATENCY + 5 * self.ADDER_LATENCY + 1

    def column_spacing(self, group: int, all_bank_spacing: int, *, passes: int = 1) -> int:
        """Clocks between two all-bank columns: the DRAM's spacing or ``passes`` for each head."""
        return max(all_bank_spacing, passes * -(-group // self.units))


def softmax_scale(head_size: int) -> float:
    """``log2(e) / sqrt(head_size)``: turns a score into a base-2 exponent."""
    return math.log2(math.e) / math.sqrt(head_size)


def check_head_size(head_size: int, maximum: int, name: str = "head_size") -> None:
    """Raises :class:`SpecError` unless ``head_size`` is a multiple of 16 in 64..``maximum``."""
    if (not isinstance(head_size, int) or head_size % PimSpec.LANES
            or not HEAD_SIZE_MIN <= head_size <= maximum):
        raise SpecError(name, head_size,
                        f"a multiple of {PimSpec.LANES} in {HEAD_SIZE_MIN}..{maximum}")


@dataclass(frozen=True, kw_only=True)
class KvLayout:
    """Where a head's K and V of one block lie in one bank.

    A block is 16 tokens of one KV head. It takes ``rows`` consecutive rows of one bank: first K,
    then V, each starting on a row. Within each, token ``t`` takes columns ``t * chunks`` and on,
    elements in order, little endian, so all columns of an open row are consumed back to back.
    Blocks ``16 w .. 16 w + 15`` (wave ``w``) lie in the PIM banks 0 .. 15 at the same rows.

    Attributes
    ----------
    head_size : int
        Elements of a head, a multiple of 16 in 64..256, or 32: a slice of a head.
    columns : int
        Columns of a row.
    """

    head_size: int
    columns: int = 32

    SMALLEST_CHUNKS = HEAD_SIZE_MIN // PimSpec.LANES

    def __post_init__(self) -> None:
        if self.head_size != SLICE_SIZE_MIN:
            check_head_size(self.head_size, 256)
        require_int("columns", self.columns, 1, 1 << 11)

    @property
    def chunks(self) -> int:
        """Columns of one token."""
        return self.head_size // PimSpec.LANES

    @property
    def block_columns(self) -> int:
        """Columns of K (or of V) in a block."""
        return BLOCK_TOKENS * self.chunks

    @property
    def half_rows(self) -> int:
        """Rows that K (or V) takes, the last one perhaps in part."""
        return self.rows_for(self.block_columns, self.columns)

    @staticmethod
    def rows_for(columns: int, row_columns: int) -> int:
        """Rows that so many columns take."""
        return -(-columns // row_columns)

    @property
    def rows(self) -> int:
        """Rows of a block, K and V."""
        return 2 * self.half_rows

    @property
    def block_bytes(self) -> int:
        """Bytes that a block occupies, padding to whole rows included."""
        return self.rows * self.columns * BEAT_BYTES

    def row_columns(self, half_row: int) -> int:
        """Columns in use in row ``half_row`` of K (or of V)."""
        return min(self.columns, self.block_columns - half_row * self.columns)

    def position(self, *, value: bool, token: int, chunk: int) -> tuple[int, int]:
        """(row within the block, column) of elements ``16 chunk ..`` of a token's K or V."""
        index = token * self.chunks + chunk
        return value * self.half_rows + index // self.columns, index % self.columns


QUANTISED_HEADS = 64
"""Head sizes that may be quantised in place are multiples of it: K and V then fill whole rows."""


def padded_head_size(head_size: int) -> int:
    """Elements of a token's K, V and query of a head of this size if the KV is to be quantised.

    Behind the head's own lie zeros, which change no score, and outputs of 0 that nobody needs. The
    softmax scale stays that of the head.
    """
    check_head_size(head_size, 256)
    return -(-head_size // QUANTISED_HEADS) * QUANTISED_HEADS


@dataclass(frozen=True, kw_only=True)
class QuantisedKvLayout:
    """Where a head's quantised K and V of one block lie in one bank: elements, then scales.

    The extent is the region that the quantiser makes of a block of :class:`KvLayout`
    (:class:`~model.spec.mx.QuantisedRegion`): elements of K, of V, a byte each, then a scale for
    every 32 of them in the same order. A column holds 32 elements.

    Attributes
    ----------
    head_size : int
        64, 128, 192 or 256; others are padded (:func:`padded_head_size`).
    columns : int
        Columns of a row; they divide those of K.
    """

    head_size: int
    columns: int = 32

    def __post_init__(self) -> None:
        check_head_size(self.head_size, 256)
        if self.head_size % QUANTISED_HEADS:
            raise SpecError("head_size", self.head_size, "a multiple of 64 for quantised KV")
        if self.half_columns % self.columns:
            raise SpecError("columns", self.columns, f"a divisor of {self.half_columns}")
        if self.scale_columns > self.columns:
            raise SpecError("columns", self.columns, f"at least {self.scale_columns}")

    @property
    def half_columns(self) -> int:
        """Columns of the elements of K (or of V)."""
        return BLOCK_TOKENS * self.head_size // BEAT_BYTES

    @property
    def half_rows(self) -> int:
        """Rows of the elements of K (or of V)."""
        return self.half_columns // self.columns

    @property
    def scale_columns(self) -> int:
        """Columns of scales, in rows of their own behind the elements."""
        return 2 * self.half_columns // BEAT_BYTES

    @property
    def rows(self) -> int:
        """Rows of a block, scales included."""
        return 2 * self.half_rows + -(-self.scale_columns // self.columns)
