"""Layouts of the translator's streams and of the table words, made from the specification."""

from amaranth import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH
from model.spec.translation import (
    BLOCK_ID_WIDTHS,
    COUNTER_WIDTH,
    COUNTERS,
    LANE_WIDTH,
    REQUEST_TAG_WIDTH,
    REQUESTER_WIDTH,
    RESIDENCY_WIDTHS,
    TABLE_LANES,
    TABLES_WIDTHS,
    Access,
    Fault,
    Scope,
    TableWord,
    Tier,
    TranslatorSpec,
)


def block_id_layout() -> data.StructLayout:
    """Tenant, sequence, layer, head group and block."""
    return data.StructLayout(dict(BLOCK_ID_WIDTHS))


def residency_layout() -> data.StructLayout:
    """The residency word of a block; the fields are described in model.spec.translation."""
    return data.StructLayout(dict(RESIDENCY_WIDTHS))


def tables_layout() -> data.StructLayout:
    """Where the tables begin and how long they are."""
    return data.StructLayout(dict(TABLES_WIDTHS))


def place_layout(spec: TranslatorSpec) -> data.StructLayout:
    """A 32-byte word of the stack."""
    g = spec.channel.geometry
    return data.StructLayout({
        "channel": range(spec.pseudo_channels),     # pseudo-channel of the stack
        "bank": g.bank_width,                       # bank number, SID included (ChannelGeometry)
        "row": range(g.rows),
        "column": range(g.columns),
    })


def lookup_layout() -> data.StructLayout:
    """A request for the place of a block."""
    return data.StructLayout({
        "id": block_id_layout(),
        "tier": Tier,                               # of which copy
        "access": Access,                           # what for
        "requester": REQUESTER_WIDTH,               # returned with the answer
        "tag": REQUEST_TAG_WIDTH,                   # returned with the answer
    })


def translation_layout(spec: TranslatorSpec) -> data.StructLayout:
    """The answer to one lookup."""
    return data.StructLayout({
        "requester": REQUESTER_WIDTH,
        "tag": REQUEST_TAG_WIDTH,
        "fault": Fault,                             # other than NONE: no place
        "tier": Tier,                               # PIM or CAPACITY; 0 with a fault
        "place": place_layout(spec),                # first word of that copy; 0 with a fault
        "residency": residency_layout(),            # 0 with a fault, unless it is the cause
    })


def commit_layout() -> data.StructLayout:
    """A change of a block's residency word, from the word that is expected to a new one."""
    return data.StructLayout({
        "id": block_id_layout(),
        "expected": residency_layout(),
        "residency": residency_layout(),
        "requester": REQUESTER_WIDTH,               # returned with the answer
        "tag": REQUEST_TAG_WIDTH,                   # returned with the answer
    })


def committed_layout() -> data.StructLayout:
    """The answer to one commit."""
    return data.StructLayout({
        "requester": REQUESTER_WIDTH,
        "tag": REQUEST_TAG_WIDTH,
        "fault": Fault,                             # other than NONE: nothing was changed
        "done": 1,                                  # the word was the expected one, and is changed
        "found": residency_layout(),                # what it was; 0 with a fault
    })


def invalidation_layout() -> data.StructLayout:
    """Translations that are to be forgotten."""
    return data.StructLayout({"scope": Scope, "id": block_id_layout()})


def fault_layout() -> data.StructLayout:
    """The record of one refused request."""
    return data.StructLayout({
        "cause": Fault,
        "commit": 1,                                # 1: a commit; tier and access are 0 then
        "id": block_id_layout(),
        "tier": Tier,
        "access": Access,
        "requester": REQUESTER_WIDTH,
        "tag": REQUEST_TAG_WIDTH,
    })


def counters_layout() -> data.StructLayout:
    """The translator's counters."""
    return data.StructLayout(dict.fromkeys(COUNTERS, COUNTER_WIDTH))


class TranslatorPort(wiring.Signature):
    """A requester's port of the translator.

    Members
    -------
    lookup : ``Out(stream.Signature(lookup_layout()))``
    translation : ``In(stream.Signature(translation_layout(spec)))``
        One for every lookup, in any order.
    commit : ``Out(stream.Signature(commit_layout()))``
        Commits of one block take effect in order. What is looked up after the answer sees it.
    committed : ``In(stream.Signature(committed_layout()))``
        One for every commit, in any order.
    """

    def __init__(self, spec: TranslatorSpec) -> None:
        super().__init__({
            "lookup": Out(stream.Signature(lookup_layout())),
            "translation": In(stream.Signature(translation_layout(spec))),
            "commit": Out(stream.Signature(commit_layout())),
            "committed": In(stream.Signature(committed_layout())),
        })


def table_word_layout(word: TableWord) -> data.FlexibleLayout:
    """A table word as it lies in memory."""
    return data.FlexibleLayout(BEAT_WIDTH, {
        name: data.Field(width, offset) for name, (offset, width) in word.fields.items()})


def odd_lanes(word: Value) -> list[Value]:
    """For each lane of a table word, whether its parity is wrong."""
    return [word[lane * LANE_WIDTH:(lane + 1) * LANE_WIDTH].xor() for lane in range(TABLE_LANES)]
