"""Attention descriptors as software sees them: rings, lists, records.

A field table here is the order of the bits, lowest first, as in :mod:`model.spec.dma`, whose
places, rings and lists these are too (docs/attention_descriptors.md).
"""

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from model.spec.attention import BLOCK_TOKENS
from model.spec.dma import DESCRIPTOR_BEATS, Place, pack
from model.spec.errors import SpecError, require_int
from model.spec.geometry import BEAT_BYTES
from model.spec.mx import StoredFormat


class Opcode(enum.IntEnum):
    """What a descriptor asks for; zeroed memory is not a descriptor."""

    NONE = 0
    ATTEND = 1
    JOIN = 2        # in a ring of joins (model.spec.attention_join)


class Result(enum.IntEnum):
    """How a descriptor ended.

    Up to ``BAD_CONTEXT``, and with ``BAD_JOIN`` and ``BAD_MEMBERS``, it was refused and nothing was
    read for it; where several apply, the first is named. Behind it, the first trouble in the order
    of the list is named. Without ``DONE`` no output is written, or not all of it with
    ``OUTPUT_FAULT``, or if the foreign part of a join has broken off.
    """

    DONE = 0
    RING_FAULT = 1          # the descriptor could not be read
    BAD_OPCODE = 2          # not a descriptor, or reserved bits are set
    WRONG_TENANT = 3        # not the tenant of the ring
    BAD_FLAGS = 4           # blocks may be elsewhere or the result is joined, but it is not
                            # partial; a token appended to quantised blocks
    BAD_HEAD_SIZE = 5       # not a multiple of 16 of at least 64, or larger than built
    BAD_GROUP = 6           # no head, or more than built
    BAD_FORMAT = 7          # the PIM units do not multiply this format
    BAD_SCALE = 8           # not a finite normal number above 0
    NO_BLOCKS = 9           # the list is empty
    NO_CONTEXT = 10         # context 0
    BAD_CONTEXT = 11        # the context does not end in the last block of the list
    LIST_FAULT = 12         # the list could not be read
    TRANSLATION_FAULT = 13  # detail: the translator's code; entry: of the list
    NOT_RESIDENT = 14       # a block is not in the PIM layers, and has to be; entry: of the list
    MIXED_FORMAT = 15       # a block has another format; detail: which; entry: of the list
    BAD_PLACE = 16          # a block lies in another pseudo-channel or not on rows of its own
    QUERY_FAULT = 17        # queries could not be read, or copied by a join; detail: port status
    APPEND_FAULT = 18       # the new token could not be read; detail: status
    OUTPUT_FAULT = 19       # the memory channel refused the output; detail: status
    ALL_ELSEWHERE = 20      # no block is in the PIM layers: nothing was computed
    BAD_JOIN = 21           # the join has another group or head size, or was refused
    BAD_MEMBERS = 22        # a join of nobody, or of a pseudo-channel that the die does not have
    MEMBER_FAILED = 23      # no part of a join; entry: whose; detail: how its descriptor ended
    CANCELLED = 24          # as that detail: software gave up waiting
    TIMED_OUT = 25          # as that detail: a foreign part that has begun did not go on


DESCRIPTOR: Mapping[str, int] = {
    "opcode": 8,
    "partial": 1,                   # the output is (m, l, o), not normalised
    "append": 1,                    # the last token's K and V are written to its block first
    "resident": 1,                  # every block must be in the PIM layers
    "interrupt": 1,
    "format": 4,                    # of the blocks: model.spec.mx.StoredFormat
    "tenant": 8, "layer": 8, "head_group": 8,
    "heads": 8,                     # query heads that share the KV
    "head_size": 16,                # elements
    "context": 32,                  # tokens in the blocks of the list
    "blocks": 16,                   # entries of the list
    "joined": 1,                    # the output is a part of a join, and goes to no memory
    "reserved_list": 15,
    "scale": 32,                    # FP32: log2(e) / sqrt(head size)
    "cookie": 32,                   # returned in the completion record
    "list": 32,                     # places (model.spec.dma.PLACE): of the list
    "query": 32,                    # of the queries, head by head
    "output": 32,                   # of the outputs
    "token": 32,                    # of the new token's K, behind which lies its V
    "join": 32,                     # name of the join
    "reserved": 160,
}
"""Fields of a descriptor of two beats and their bits, the lowest first."""

LIST_ENTRY: Mapping[str, int] = {"block": 16, "sequence": 16}
"""An entry of a block list: a block of a sequence, which a shared prefix may be another one than
the rest. All blocks are full, but for the last one of the list."""

COMPLETION: Mapping[str, int] = {
    "cookie": 32,
    "index": 16,                    # of the descriptor, counted since reset
    "lap": 1,                       # flips with every lap of the ring: this record is new
    "reserved_flags": 7,
    "result": 8,
    "detail": 8,                    # see Result
    "entry": 16,                    # of the list where it went wrong
    "block": 16, "sequence": 16,    # what that entry says
    "elsewhere": 16,                # blocks whose partial results were asked of another tier
    "reserved": 120,
}
"""Fields of a completion record of one beat and their bits, the lowest first."""

RING_SETTINGS: Mapping[str, int] = {
    "ring": 32, "records": 32, "ring_log2": 4, "enable": 1, "tenant": 8}
"""What software sets for a ring: where descriptors and records lie (record i belongs to descriptor
i), how many there are, whether descriptors are begun, and whose they are."""

for _name, _table, _beats in (("DESCRIPTOR", DESCRIPTOR, DESCRIPTOR_BEATS),
                              ("COMPLETION", COMPLETION, 1)):
    if sum(_table.values()) != 8 * BEAT_BYTES * _beats:
        raise SpecError(_name, sum(_table.values()), f"{8 * BEAT_BYTES * _beats} bits")


@dataclass(frozen=True, kw_only=True)
class RingSettings:
    """:data:`RING_SETTINGS` by name."""

    ring: Place = field(default_factory=lambda: Place(0, 0))
    records: Place = field(default_factory=lambda: Place(0, 0))
    ring_log2: int = 4
    enable: bool = True
    tenant: int = 0

    def pack(self) -> int:
        """Bits in the order of :data:`RING_SETTINGS`."""
        return pack(RING_SETTINGS, {**vars(self), "ring": self.ring.pack(),
                                    "records": self.records.pack()})


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """One attention of a sequence in one layer; see :data:`DESCRIPTOR`.

    Attributes
    ----------
    scale : int
        Bits of an FP32 number.
    """

    tenant: int
    heads: int
    head_size: int
    context: int
    blocks: int
    scale: int
    list: Place
    query: Place
    output: Place
    token: Place = field(default_factory=lambda: Place(0, 0))
    layer: int = 0
    head_group: int = 0
    format: int = StoredFormat.WIDE
    partial: bool = False
    append: bool = False
    resident: bool = True
    interrupt: bool = True
    joined: bool = False
    join: int = 0
    cookie: int = 0
    opcode: int = Opcode.ATTEND

    def pack(self) -> int:
        """The 512 bits that lie in the ring, the lower beat first."""
        places = {name: getattr(self, name).pack()
                  for name in ("list", "query", "output", "token")}
        return pack(DESCRIPTOR, {**vars(self), **places})


def blocks_of(context: int) -> int:
    """Entries of the list of a context."""
    return -(-context // BLOCK_TOKENS)


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """Parameters of the attention descriptor engine.

    Attributes
    ----------
    rings : int
        Descriptor rings; as many tenants are served in turn.
    jobs : int
        Descriptors under way, a power of two; also those that a ring keeps ready.
    lookups : int
        Translations that may be outstanding, a power of two.
    reads : int
        Query beats that may be outstanding, a power of two.
    bank_blocks : int
        Blocks of one bank that wait for their wave: how far a list may favour a bank before other
        banks go without a block.
    joins : int
        Joins that may be open in the die at a time, a power of two.
    patience : int
        Clocks after which a foreign part that has begun and does not go on is given up.
    """

    rings: int = 4
    jobs: int = 4
    lookups: int = 8
    reads: int = 8
    bank_blocks: int = 4
    joins: int = 4
    patience: int = 1 << 16

    def __post_init__(self) -> None:
        require_int("rings", self.rings, 1, 8)
        require_int("bank_blocks", self.bank_blocks, 1, 64)
        require_int("patience", self.patience, 1, 1 << 24)
        for name, most in (("jobs", 4), ("lookups", 32), ("reads", 32), ("joins", 8)):
            value = getattr(self, name)
            require_int(name, value, 2, most)
            if value & value - 1:
                raise SpecError(name, value, "a power of two")

    def as_dict(self) -> dict[str, object]:
        """Plain data for provenance records."""
        return asdict(self)
