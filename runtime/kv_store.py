"""Where KV blocks live: tiers with capacities, sharing by prefix, eviction, room for admission.

Sizes are counted in KV blocks of 16 tokens; a *prefix block* of the trace is one or more of them.
Prefix blocks have one copy. The first tier also holds what running requests made themselves
(private blocks). A prefix block that a running request uses is pinned and lies in the first tier.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from model.spec.attention import BLOCK_TOKENS
from runtime.policies.base import EvictionPolicy
from runtime.systems import Tier


@dataclass(slots=True)
class Entry:
    """A resident prefix block."""

    kv_blocks: int
    tier: int
    users: int = 0


@dataclass(slots=True, kw_only=True)
class Admission:
    """What admitting a request took.

    Attributes
    ----------
    hit_blocks : list of int
        Leading prefix blocks that were resident, now pinned.
    hits_by_tier : list of int
        How many of them each tier held.
    promoted, demoted, dropped : int
        KV blocks moved up to the first tier, moved down to the second, and lost.
    private : int
        KV blocks reserved for what the request will make.
    """

    hit_blocks: list[int]
    hits_by_tier: list[int]
    promoted: int = 0
    demoted: int = 0
    dropped: int = 0
    private: int = 0


@dataclass(slots=True)
class _TierState:
    capacity: int
    policy: EvictionPolicy
    used: int = 0


@dataclass(kw_only=True)
class KvStore:
    """Tiers of KV blocks.

    Parameters
    ----------
    tiers : sequence of Tier
    policy : callable
        Makes an eviction policy; each tier gets one of its own.
    """

    tiers: Sequence[Tier]
    policy: Callable[[], EvictionPolicy]
    entries: dict[int, Entry] = field(default_factory=dict)
    busy: int = 0       # KV blocks of the first tier that are private or pinned

    def __post_init__(self) -> None:
        self.states = [_TierState(t.kv_blocks, self.policy()) for t in self.tiers]

    def admit(self, ids: Sequence[int], total: int) -> Admission | None:
        """Takes a request in, or returns None if its KV does not fit beside what is in use.

        Parameters
        ----------
        ids : sequence of int
            The prompt's prefix blocks, in order.
        total : int
            KV blocks that the request will hold in the end.
        """
        entries = self.entries
        hits = []
        pinned = shared = 0
        for block in ids:
            entry = entries.get(block)
            if entry is None:
                break
            hits.append(block)
            shared += entry.kv_blocks
            if entry.users:
                pinned += entry.kv_blocks
        if self.busy + total - pinned > self.states[0].capacity:
            return None
        admission = Admission(hit_blocks=hits, hits_by_tier=[0] * len(self.states),
                              private=total - shared)
        promoted = []
        for block in hits:
            entry = entries[block]
            admission.hits_by_tier[entry.tier] += 1
            if entry.tier:
                self._leave(block, entry)
                promoted.append((block, entry))
            elif not entry.users:
                self.states[0].policy.pin(block)
                self.busy += entry.kv_blocks
            entry.users += 1
        admission.promoted = sum(entry.kv_blocks for _, entry in promoted)
        admission.demoted, admission.dropped = self._make_room(
            0, admission.promoted + admission.private)
        for block, entry in promoted:
            self._arrive(block, entry, 0)
            self.states[0].policy.pin(block)
            self.busy += entry.kv_blocks
        self.states[0].used += admission.private
        self.busy += admission.private
        return admission

    def publish(self, ids: Iterable[int], sizes: Iterable[int]) -> tuple[list[int], int]:
        """Makes a request's own prompt blocks, now computed, available to others.

        Returns the blocks that are now shared and pinned, and how many of the request's private
        KV blocks are no longer private. A block that another request has published meanwhile is
        used instead of the own copy; one that lies in a lower tier is replaced by it.
        """
        shared, released = [], 0
        first = self.states[0]
        for block, size in zip(ids, sizes, strict=True):
            entry = self.entries.get(block)
            released += size
            first.used -= size
            self.busy -= size
            if entry is not None and entry.tier:
                self._leave(block, entry)
                del self.entries[block]
                entry = None
            if entry is None:
                entry = self.entries[block] = Entry(size, 0)
                self._arrive(block, entry, 0)
            if not entry.users:
                first.policy.pin(block)
                self.busy += entry.kv_blocks
            entry.users += 1
            shared.append(block)
        return shared, released

    def release(self, pinned: Sequence[int], private: int) -> None:
        """Ends a request: its private blocks go, its prefix blocks stay until evicted.

        The last block is released first, so that under LRU tails leave before the prefixes that
        they hang on.
        """
        first = self.states[0]
        first.used -= private
        self.busy -= private
        for block in reversed(pinned):
            entry = self.entries[block]
            entry.users -= 1
            if not entry.users:
                first.policy.unpin(block)
                self.busy -= entry.kv_blocks

    def _arrive(self, block: int, entry: Entry, tier: int) -> None:
        entry.tier = tier
        self.states[tier].used += entry.kv_blocks
        self.states[tier].policy.insert(block)

    def _leave(self, block: int, entry: Entry) -> None:
        self.states[entry.tier].used -= entry.kv_blocks
        self.states[entry.tier].policy.remove(block)

    def _make_room(self, tier: int, need: int) -> tuple[int, int]:
        """Evicts from ``tier`` until ``need`` KV blocks fit; returns KV blocks (moved, lost).

        The victims go down one tier, and so on; from the last one, or if they are larger than
        the whole next tier, they are lost.
        """
        state = self.states[tier]
        moved = lost = 0
        while state.used + need > state.capacity:
            block = state.policy.victim()
            assert block is not None, "pinned and private blocks fit, or admit() refused"
            entry = self.entries[block]
            state.used -= entry.kv_blocks
            below = tier + 1
            if below < len(self.states) and entry.kv_blocks <= self.states[below].capacity:
                further, dropped = self._make_room(below, entry.kv_blocks)
                moved += entry.kv_blocks + further
                lost += dropped
                self._arrive(block, entry, below)
            else:
                del self.entries[block]
                lost += entry.kv_blocks
        return moved, lost

    def check(self) -> None:
        """Raises AssertionError unless the books balance (for tests)."""
        for tier, state in enumerate(self.states):
            shared = sum(e.kv_blocks for e in self.entries.values() if e.tier == tier)
            assert shared <= state.used <= state.capacity, (tier, shared, state)
            assert tier == 0 or shared == state.used, (tier, shared, state)
        pinned = sum(e.kv_blocks for e in self.entries.values() if e.users)
        private = self.states[0].used - sum(
            e.kv_blocks for e in self.entries.values() if e.tier == 0)
        assert self.busy == pinned + private, (self.busy, pinned, private)
        assert all(e.tier == 0 for e in self.entries.values() if e.users)


def prefix_kv_blocks(tokens: Iterable[int]) -> tuple[int, ...]:
    """KV blocks of prefix blocks that hold so many tokens each."""
    return tuple(-(-t // BLOCK_TOKENS) for t in tokens)
