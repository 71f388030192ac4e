"""What the store keeps of blocks, tiers and admissions."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from runtime.policies.base import UNKNOWN, Access, EvictionPolicy
from runtime.tiers.units import WAVE_BLOCKS, Extent


class Entry(msgspec.Struct, gc=False):
    """A resident prefix block.

    There are many, none of which is part of a cycle: the garbage collector need not visit them.
    """

    kv_blocks: int
    tier: int
    users: int = 0
    extent: Extent | None = None
    index: int = 0
    access: Access = UNKNOWN


Moves = Counter[tuple[int, int]]
"""KV blocks moved, by the places in the list of tiers that they left and reached."""


@dataclass(slots=True, kw_only=True)
class Admission:
    """What admitting a request took.

    Attributes
    ----------
    hit_blocks : list of int
        Leading prefix blocks that were resident, now pinned.
    hits_by_tier : list of int
        How many of them each tier held.
    moves : Counter
        KV blocks moved between tiers; (0, 0) are moves between PIM units.
    dropped : int
        KV blocks lost.
    private : int
        KV blocks reserved for what the request will make.
    parts : dict
        KV blocks of the hits in each extent.
    places : list
        Extents of the private blocks, with sizes.
    """

    hit_blocks: list[int]
    hits_by_tier: list[int]
    moves: Moves = field(default_factory=Counter)
    dropped: int = 0
    private: int = 0
    parts: dict[Extent, int] = field(default_factory=dict)
    places: list[tuple[Extent, int]] = field(default_factory=list)

    def waves(self) -> dict[Extent, int]:
        """Waves of each extent that the request reads."""
        sizes = dict(self.parts)
        for extent, size in self.places:
            sizes[extent] = sizes.get(extent, 0) + size
        return {extent: -(-size // WAVE_BLOCKS) for extent, size in sizes.items()}

    @property
    def promoted(self) -> int:
        """KV blocks moved up to the first tier."""
        return sum(n for (source, to), n in self.moves.items() if source and not to)

    @property
    def demoted(self) -> int:
        """KV blocks moved down, each tier counted."""
        return sum(n for (source, to), n in self.moves.items() if to > source)


@dataclass(slots=True)
class TierState:
    capacity: int
    policy: EvictionPolicy
    used: int = 0
    held: int = 0       # of ``used``: private blocks that were swapped out
