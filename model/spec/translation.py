"""Layered address translation: identities, residency, faults, tables in memory, parameters.

Layer 1 belongs to the runtime: a KV block of a sequence -> chunk and offset, for each of its two
copies. Layer 2 belongs to the stack: chunk -> pseudo-channel, SID, bank, row. Both lie in memory,
an entry in a 32-byte word of its own, so that one write replaces an entry (docs/translator.md).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from model.spec.errors import SpecError, require_int
from model.spec.geometry import BEAT_BYTES, CAPACITY_SID, PIM_SID
from model.spec.slice import SliceSpec

BLOCK_ID_WIDTHS: Mapping[str, int] = {
    "block": 16, "head_group": 8, "layer": 8, "sequence": 16, "tenant": 8}
"""Fields of a block id and their bits, from the lowest on.

65,536 blocks of 16 tokens are a context of a million; 256 layers and KV heads hold every model of
facts.md 1.2 without grouped queries too (GPT-3 175B: 96 and 96).
"""

CHUNK_BYTES_MAX = 1 << 20
"""A chunk is at most 1 MiB (facts.md 9, after LoL-PIM)."""

REQUEST_TAG_WIDTH = 8
"""Bits of the tag that a requester gives a request."""

REQUESTER_WIDTH = 3
"""Bits that name the unit which asks."""

TABLE_LANES = 4
"""64-bit lanes of a table word; the highest bit of each makes the lane's parity even."""

LANE_WIDTH = 8 * BEAT_BYTES // TABLE_LANES

SEGMENTS = 6
"""Segments of a sequence's table; the second is as large as the first, then each doubles."""

POINTER_WIDTH = 28
"""Bits of a word address in a table: number of a 32-byte word of the pseudo-channel."""


class Tier(enum.IntEnum):
    """Which copy of a block."""

    PIM = 0
    CAPACITY = 1
    ANY = 2         # the PIM copy if there is one, else the capacity copy


class Access(enum.IntEnum):
    """What the requester will do with the place."""

    READ = 0        # the copy must be there, and the block readable
    WRITE = 1       # it must be the only copy, not moving, and the block writable
    FILL = 2        # destination of a move: the block must be in flight to that tier


class Fault(enum.IntEnum):
    """Why a request was refused.

    Where several apply: what the words of sequence and block say of the walk, then permission,
    poison and residency, then what is wrong with the place.
    """

    NONE = 0
    UNMAPPED = 1        # no such sequence, block or chunk, or an offset beyond its chunk
    WRONG_TENANT = 2    # sequence or chunk belong to another tenant
    NO_PERMISSION = 3   # the block may not be read, or not be written
    NOT_RESIDENT = 4    # no copy where it was asked for; a fill that nobody announced
    NOT_WRITABLE = 5    # a write that would leave another copy stale: two copies, or in flight
    POISONED = 6        # the block's data are known to be wrong
    TABLE_PARITY = 7    # a table word with a parity error
    TABLE_MEMORY = 8    # the memory refused a table access or could not correct the word
    BAD_PLACE = 9       # the tables name a place that does not exist, or of the other tier


class Scope(enum.IntEnum):
    """What an invalidation is about; the fields of its block id that count."""

    BLOCK = 0           # all
    SEQUENCE = 1        # sequence, whatever the tenant
    TENANT = 2          # tenant
    ALL = 3             # none


RESIDENCY_WIDTHS: Mapping[str, int] = {
    "pim": 1,               # the PIM copy may be read
    "capacity": 1,          # the capacity copy may be read
    "in_flight": 1,         # a move is under way
    "to": 1,                # ... to this tier; 0 without one
    "poisoned": 1,          # no copy may be read or written
    "pim_format": 3,        # StoredFormat of the PIM copy
    "capacity_format": 3,   # StoredFormat of the capacity copy
}
"""Fields of the residency word of a block and their bits, from the lowest on."""


@dataclass(frozen=True)
class TableWord:
    """Where the fields of a table entry lie in its 256 bits; bits without a name are 0.

    Parameters
    ----------
    lanes : tuple of mappings
        Fields of each 64-bit lane and their bits, from the lowest on. A zero word is an entry
        that maps nothing.
    """

    lanes: tuple[Mapping[str, int], ...]

    def __post_init__(self) -> None:
        for number, lane in enumerate(self.lanes):
            if sum(lane.values()) >= LANE_WIDTH:
                raise SpecError(f"lane {number}", sum(lane.values()), f"below {LANE_WIDTH} bits")

    @cached_property
    def fields(self) -> Mapping[str, tuple[int, int]]:
        """Lowest bit and width of every field."""
        fields: dict[str, tuple[int, int]] = {}
        for number, lane in enumerate(self.lanes):
            offset = number * LANE_WIDTH
            for name, width in lane.items():
                fields[name] = offset, width
                offset += width
        return fields


def _copy(tier: str) -> Mapping[str, int]:
    return {f"{tier}_assigned": 1,      # the copy has a place
            f"{tier}_chunk": 20,        # chunk number
            f"{tier}_offset": 15}       # in it, in words of 32 bytes


SEQUENCE_WORD = TableWord((
    {"valid": 1, "tenant": 8, "last_layer": 8, "last_head_group": 8,
     "stride": 17,                      # entries of one block number: layers x head groups
     "segments": 3},                    # how many there are
    *({f"segment_{n}": POINTER_WIDTH, f"segment_{n + 1}": POINTER_WIDTH}     # their first words
      for n in range(0, SEGMENTS, 2))))
"""Entry of the directory, at ``directory_base + sequence``."""

BLOCK_WORD = TableWord((
    {"valid": 1, "readable": 1, "writable": 1, "residency": sum(RESIDENCY_WIDTHS.values())},
    _copy("pim"), _copy("capacity"), {}))
"""Entry of a sequence's table, at ``segment + number * stride + layer * head groups + head group``.

``number`` counts the blocks of the segment: :meth:`TranslatorSpec.segment_start`.
"""

CHUNK_WORD = TableWord((
    {"valid": 1, "tenant": 8, "channel": 8, "sid": 4, "bank": 4, "row": 16,
     "rows": 13},                       # that are allocated, from `row` on
    {}, {}, {}))
"""Entry of the stack's chunk table, at ``chunk_base + chunk``."""

TABLES_WIDTHS: Mapping[str, int] = {
    "directory_base": POINTER_WIDTH, "sequences": BLOCK_ID_WIDTHS["sequence"] + 1,
    "chunk_base": POINTER_WIDTH, "chunks": BLOCK_WORD.fields["pim_chunk"][1] + 1}
"""Where directory and chunk table begin, and how many entries they have: set by software."""


WALK_READS = 3
"""Dependent reads of a walk: words of the sequence, of the block, of the chunk."""

MISS_OVERHEAD_CLOCKS = 8
"""Clocks that a miss may cost beside the latencies of its reads: what the unit promises."""

COUNTERS: Mapping[str, str] = {
    "hits": "lookups that the TLB answered",
    "misses": "lookups that it did not",
    "merged": "of these, those that followed a walk under way",
    "walks": "walks begun, those of commits and repeated ones included",
    "restarts": "walks made again because the tables had changed",
    "commits": "residency words changed",
    "faults": "requests refused",
    "faults_lost": "of these, those that found the fault queue full",
    "invalidations": "invalidations carried out",
}
"""The translator's counters; hits and misses are all lookups."""

COUNTER_WIDTH = 32
"""Bits of each of them."""


@dataclass(frozen=True, kw_only=True)
class TranslatorSpec:
    """Parameters of the translator of one stack.

    Attributes
    ----------
    channel : SliceSpec
        The pseudo-channel that holds the tables; all channels of the stack have its geometry.
    pseudo_channels : int
        Pseudo-channels of the stack, 1 to 256.
    tlb_entries, tlb_ways : int
        Translations that are kept, and how many of them may share a set.
    slots : int
        Requests that may wait for a walk, commits included, 2 to 64. Hits flow at one a clock
        while at least two slots are free.
    fault_records : int
        Places of the fault queue.
    first_segment_blocks : int
        Blocks of the first segment of a sequence's table, a power of two. Six segments hold 32
        times as many: 131,072 tokens with 256.
    """

    channel: SliceSpec = field(default_factory=SliceSpec)
    pseudo_channels: int = 64
    tlb_entries: int = 64
    tlb_ways: int = 4
    slots: int = 8
    fault_records: int = 16
    first_segment_blocks: int = 256

    def __post_init__(self) -> None:
        require_int("pseudo_channels", self.pseudo_channels, 1, 1 << 8)
        require_int("tlb_entries", self.tlb_entries, 1, 1 << 12)
        require_int("tlb_ways", self.tlb_ways, 1, 16)
        sets, rest = divmod(self.tlb_entries, self.tlb_ways)
        if rest or not sets or sets & sets - 1:
            raise SpecError("tlb_entries", self.tlb_entries,
                            f"a power of two times tlb_ways ({self.tlb_ways})")
        require_int("slots", self.slots, 2, 64)
        require_int("fault_records", self.fault_records, 1, 1 << 10)
        blocks = self.first_segment_blocks
        require_int("first_segment_blocks", blocks, 1, self.blocks_max)
        if blocks & blocks - 1:
            raise SpecError("first_segment_blocks", blocks, "a power of two")
        if self.address_width > POINTER_WIDTH:
            raise SpecError("channel", self.address_width,
                            f"word addresses of at most {POINTER_WIDTH} bits")

    @property
    def blocks_max(self) -> int:
        """Block numbers that a block id can express."""
        return 1 << BLOCK_ID_WIDTHS["block"]

    @property
    def tlb_sets(self) -> int:
        """Sets of the TLB."""
        return self.tlb_entries // self.tlb_ways

    @property
    def column_width(self) -> int:
        """Bits of a column number."""
        return (self.channel.geometry.columns - 1).bit_length()

    @property
    def row_width(self) -> int:
        """Bits of a row number."""
        return (self.channel.geometry.rows - 1).bit_length()

    @property
    def address_width(self) -> int:
        """Bits of a word address: column, row and bank, from the lowest on."""
        return self.column_width + self.row_width + self.channel.geometry.bank_width

    @property
    def chunk_rows_max(self) -> int:
        """Rows of the largest chunk."""
        return CHUNK_BYTES_MAX // self.channel.geometry.row_bytes

    def segment_start(self, segment: int) -> int:
        """First block of a segment of a sequence's table."""
        return self.first_segment_blocks << segment - 1 if segment else 0

    def tier_banks(self, tier: Tier) -> tuple[int, int]:
        """SID of a tier, and how many banks of it exist."""
        g = self.channel.geometry
        return ((PIM_SID, g.pim_banks) if tier is Tier.PIM
                else (CAPACITY_SID, g.capacity_banks))

    def tlb_set(self, bits: Any) -> Any:
        """The TLB set of a block id (an integer or a hardware value): its slices, XORed."""
        width = sum(BLOCK_ID_WIDTHS.values())
        step = (self.tlb_sets - 1).bit_length()
        folded = bits * 0
        for low in range(0, width, step or width):
            folded = folded ^ bits >> low
        return folded & self.tlb_sets - 1
