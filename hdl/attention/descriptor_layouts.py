"""Layouts that the parts of the attention descriptor engine share, made from the specification."""

import enum

from amaranth import Mux, Value
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
    EngineSpec,
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

JOIN_BITS = 3
"""Bits of the number of a join while it is open."""

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
    JOIN = 6        # of the die's join engine, which shares a port; number: its own


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
    "cookie": 32, "entry": 16, "id": block_id_layout(), "joined": 1, "join": 32})
"""A block that is not in the PIM layers: its partial result is asked of whoever has it, as a part
of the join of that name if it is ``joined``."""


def chunks_of(head_size: Value) -> Value:
    """Columns of a token's K or V."""
    return head_size[4:]


def output_beats(partial: Value, chunks: Value) -> Value:
    """Beats of a head's output: in the KV format, or as (m, l, o)."""
    return Mux(partial, 2 * chunks + 1, chunks)


class PartKind(enum.Enum):
    """What a beat on its way to a join is."""

    DATA = 0        # of a part: for each head the header, then the outputs
    EMPTY = 1       # the member has nothing to add
    FAILED = 2      # it will have no part; data: Result
    BROKEN = 3      # what is left of a part that has begun follows as zeros; data: Result


MEMBER_PART = data.StructLayout({"join": JOIN_BITS, "kind": PartKind, "data": BEAT_WIDTH})
"""A beat of a member of an open join, of which this is the number."""

FOREIGN_PART = data.StructLayout({
    "tenant": 8, "join": 32, "kind": PartKind, "data": BEAT_WIDTH})
"""A beat from outside, for the open join of that name."""

OPEN_JOIN = data.StructLayout({
    "valid": 1, "tenant": 8, "join": 32, "heads": 8, "head_size": 16, "refused": 1})
"""What a member sees of a join that is open for it and that it has not begun. Of one that was
``refused`` every part is a failure."""


def board_layout(engine: EngineSpec) -> data.ArrayLayout:
    """The open joins, by their numbers."""
    return data.ArrayLayout(OPEN_JOIN, engine.joins)
