"""Layouts that the parts of the quantiser share, made from its specification."""

from amaranth import signed
from amaranth.lib import data

from hdl.layouts import BEAT_WIDTH
from model.spec.mx import (
    BLOCK_ELEMENTS,
    INT4_DIVISOR,
    LANES,
    QuantiserSpec,
    Status,
    StoredFormat,
)

CODE_WIDTH = 8
"""Bits of the widest element."""

SCALE_WIDTH = 16
"""Bits of the widest scale."""

EXPONENT = signed(10)
"""Shape of an exponent of a 16-bit number, biased by 127; subnormal numbers go below 1."""

GRID_WIDTH = 12
"""Bits in which an element is laid over the steps of its block: the widest INT4 threshold has 12,
and 8-bit elements need 7 and one for rounding."""

THRESHOLDS = INT4_DIVISOR
"""Thresholds between INT4 codes: (k - 1/2) scales for k = 1 .. 7."""


class Settings(data.StructLayout):
    """How a region is converted.

    Members
    -------
    format : StoredFormat
        The quantised format, never WIDE.
    half_away : 1
        Quantising: ties go away from zero, instead of to even.
    overflow : 1
        Quantising: FP8 elements beyond the largest become infinity or NaN, instead of saturating.
    """

    def __init__(self) -> None:
        super().__init__({"format": StoredFormat, "half_away": 1, "overflow": 1})


def region_layout(spec: QuantiserSpec) -> data.StructLayout:
    """A region that one of the two directions shall convert."""
    return data.StructLayout({"settings": Settings(), "blocks": range(spec.blocks_max + 1)})


def request_layout(spec: QuantiserSpec) -> data.StructLayout:
    """A request to the quantiser."""
    return data.StructLayout({
        "source": StoredFormat,              # how the blocks are stored: their residency word
        "target": StoredFormat,              # how they shall be stored
        "half_away": 1,                      # see Settings
        "overflow": 1,
        "blocks": range(spec.blocks_max + 1),
    })


def count_shape(spec: QuantiserSpec) -> range:
    """Shape of a count of elements of one region."""
    return range(BLOCK_ELEMENTS * spec.blocks_max + 1)


def counts_layout(spec: QuantiserSpec) -> data.StructLayout:
    """What happened to a region; model.golden.quantiser.Counts says what is counted."""
    return data.StructLayout({
        "misplaced": 1,                      # the input's `last` was not on its last beat
        "saturated": count_shape(spec),
        "nan": count_shape(spec),
        "flushed": count_shape(spec),
    })


def result_layout(spec: QuantiserSpec) -> data.StructLayout:
    """How a request ended."""
    return data.StructLayout({
        "status": Status,
        "saturated": count_shape(spec),
        "nan": count_shape(spec),
        "flushed": count_shape(spec),
    })


def input_layout() -> data.StructLayout:
    """A beat on its way in: 16 wide elements, or a column of a quantised region."""
    return data.StructLayout({"data": BEAT_WIDTH, "last": 1})


def output_layout() -> data.StructLayout:
    """A beat on its way out."""
    return data.StructLayout({
        "data": BEAT_WIDTH,
        "scale": 1,                          # a column of scales
        "last": 1,                           # the last beat of the region
    })


def flags_layout() -> data.StructLayout:
    """Which elements of half a block were not merely rounded."""
    return data.StructLayout({"saturated": LANES, "nan": LANES, "flushed": LANES})
