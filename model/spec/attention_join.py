"""Joins of partial attentions as software sees them (docs/attention_descriptors.md).

A join lies in a ring of the die, beside the rings of attentions, and is a descriptor of as many
bits; its record is theirs (:data:`model.spec.attention_descriptor.COMPLETION`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from model.spec.attention_descriptor import Opcode
from model.spec.dma import DESCRIPTOR_BEATS, Place, pack
from model.spec.errors import SpecError
from model.spec.geometry import BEAT_BYTES

NOWHERE = Place(0, 0)
"""Where nothing is looked at."""

FOREIGN = 64
"""The member whose part comes through the die's port for foreign parts: as it stands in records."""

JOIN: Mapping[str, int] = {
    "opcode": 8,
    "partial": 1,                   # the output is (m, l, o), not normalised
    "foreign": 1,                   # a part comes from outside
    "broadcast": 1,                 # the queries are copied to the memory of every member first
    "interrupt": 1,
    "reserved_format": 4,
    "tenant": 8, "reserved_ids": 16,
    "heads": 8, "head_size": 16,    # those of every part
    "members_low": 32, "members_high": 32,      # pseudo-channels whose parts are joined, a bit each
    "reserved_scale": 32,
    "cookie": 32,                   # returned in the completion record
    "reserved_list": 32,
    "query": 32,                    # place of the queries in pseudo-channel 0, with broadcast
    "output": 32,                   # place in pseudo-channel 0 (model.spec.dma.PLACE)
    "copy": 32,                     # place of the queries in every member's memory
    "join": 32,                     # its name
    "reserved": 160,
}
"""Fields of a join of two beats and their bits, the lowest first; those that a descriptor of an
attention has too lie where they lie there."""

if sum(JOIN.values()) != 8 * BEAT_BYTES * DESCRIPTOR_BEATS:
    raise SpecError("JOIN", sum(JOIN.values()), f"{8 * BEAT_BYTES * DESCRIPTOR_BEATS} bits")


@dataclass(frozen=True, kw_only=True)
class Join:
    """Partial results of several members, to be merged to one output; see :data:`JOIN`.

    Attributes
    ----------
    members : int
        Bit c: pseudo-channel c delivers a part.
    broadcast, query, copy : bool, Place, Place
        Before the join opens, the queries at ``query`` of pseudo-channel 0 are copied to ``copy``
        of every member, where its descriptor reads them. No copies of a join whose record is not
        there yet may lie there.
    """

    tenant: int
    join: int
    members: int
    heads: int
    head_size: int
    output: Place
    foreign: bool = False
    broadcast: bool = False
    query: Place = NOWHERE
    copy: Place = NOWHERE
    partial: bool = False
    interrupt: bool = True
    cookie: int = 0
    opcode: int = Opcode.JOIN

    @property
    def query_beats(self) -> int:
        """Words of 32 bytes of the queries of all heads."""
        return self.heads * self.head_size // 16

    def pack(self) -> int:
        """The 512 bits that lie in the ring, the lower beat first."""
        return pack(JOIN, {**vars(self), "output": self.output.pack(),
                           "query": self.query.pack(), "copy": self.copy.pack(),
                           "members_low": self.members & 0xFFFF_FFFF,
                           "members_high": self.members >> 32})
