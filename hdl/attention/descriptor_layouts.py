"""Layouts that the parts of the attention descriptor engine share, made from the specification."""

import enum

from amaranth import Value
from amaranth.lib import data

from hdl.attention.wave import append_layout
from hdl.dma.layouts import spot_layout, table_layout
from hdl.layouts import BEAT_WIDTH
from hdl.translator.layouts import block_id_layout
from model.spec.attention import BLOCK_TOKENS
from model.spec.attention_descriptor import (
    COMPLETION,
    DESCRIPTOR,
    LIST_ENTRY,
    RING_SETTINGS,
    Result,
)
from model.spec.port import TAG_WIDTH
from model.spec.slice import SliceSpec

DESCRIPTOR_LAYOUT = table_layout(DESCRIPTOR)
LIST_ENTRY_LAYOUT = table_layout(LIST_ENTRY)
COMPLETION_LAYOUT = table_layout(COMPLETION)
RING_SETTINGS_LAYOUT = table_layout(RING_SETTINGS)

RING_BITS = 3
"""Bits of a ring's number."""

TROUBLE = data.StructLayout({
    "result": Result, "detail": 8, "entry": 16, "id": LIST_ENTRY_LAYOUT})
"""Why a descriptor failed; ``DONE``: it has not."""


class Source(enum.Enum):
    """Who has made an access to memory."""

    RING = 0        # a descriptor's half; number: {half, ring}
    LIST = 1
    QUERY = 2       # number: slot
    TOKEN = 3       # number: slot
    OUTPUT = 4      # number: job
    RECORD = 5


TAG = data.StructLayout({"source": Source, "number": TAG_WIDTH - 3})
"""Tag of an access."""


def write_layout(spec: SliceSpec) -> data.StructLayout:
    """A write of 32 bytes."""
    return data.StructLayout({"spot": spot_layout(spec), "data": BEAT_WIDTH})


def pim_block_layout(spec: SliceSpec) -> data.StructLayout:
    """A block that takes part in an attention."""
    g = spec.geometry
    return data.StructLayout({
        "bank": range(max(g.pim_banks, 2)), "row": range(g.rows),
        "tokens": range(BLOCK_TOKENS + 1), "append": append_layout(spec)})


ELSEWHERE = data.StructLayout({
    "cookie": 32, "entry": 16, "id": block_id_layout()})
"""A block that is not in the PIM layers: its partial result is asked of whoever has it."""


def chunks_of(head_size: Value) -> Value:
    """Columns of a token's K or V."""
    return head_size[4:]
