"""Further copies of hot blocks of the first tier, in other stacks than the first one."""

from runtime.policies.replication.base import ReplicationPolicy
from runtime.policies.replication.none import SingleCopy
from runtime.tiers.layout import Layout
from runtime.tiers.units import Extent


class Copies:
    """Copies live as long as the first one stays in the first tier.

    Parameters
    ----------
    policy : ReplicationPolicy, optional
        By default there are no copies.

    Attributes
    ----------
    pool : int
        KV blocks of the first tier that copies may take together.
    used : int
        Those that they do take.
    sizes : dict
        KV blocks of all further copies of each block that has any.
    """

    def __init__(self, policy: ReplicationPolicy | None = None) -> None:
        self.policy: ReplicationPolicy = SingleCopy() if policy is None else policy
        self.pool = self.used = 0
        self._seen: dict[int, tuple[frozenset[int], int]] = {}  # block: homes, remote hits
        self._copies: dict[int, dict[int, Extent]] = {}         # block: home: where
        self.sizes: dict[int, int] = {}

    def size(self, block: int) -> int:
        """KV blocks of all further copies of a block."""
        return self.sizes.get(block, 0)

    def find(self, block: int, home: int) -> Extent | None:
        """The copy at a home."""
        copies = self._copies.get(block)
        return copies.get(home) if copies else None

    def wanted(self, block: int, home: int) -> bool:
        """Notes a hit from another home; says whether the block is to be copied there."""
        homes, hits = self._seen.get(block, (frozenset(), 0))
        if home not in homes:
            homes |= {home}
        self._seen[block] = homes, hits + 1
        return self.policy.wants_copy(len(homes), hits + 1)

    def add(self, block: int, home: int, extent: Extent, kv_blocks: int) -> None:
        """A copy has been made."""
        self._copies.setdefault(block, {})[home] = extent
        self.sizes[block] = self.size(block) + kv_blocks
        self.used += kv_blocks

    def drop(self, block: int, layout: Layout) -> int:
        """Forgets a block and its copies; returns the KV blocks that they took."""
        self._seen.pop(block, None)
        copies = self._copies.pop(block, None)
        if copies is None:
            return 0
        size = self.sizes.pop(block)
        for extent in copies.values():
            layout.vacate(extent, size // len(copies))
        self.used -= size
        return size
