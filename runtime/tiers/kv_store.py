"""Where KV blocks live: tiers with capacities, sharing by prefix, eviction, room for requests.

Sizes are counted in KV blocks of 16 tokens; a *prefix block* of the trace is one or more of them.
The first tier also holds what running requests made themselves (private blocks). A prefix block
that a running request uses is pinned and lies in the first tier.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from runtime.policies.base import UNKNOWN, Access, EvictionPolicy
from runtime.tiers.books import Admission, Entry, TierState
from runtime.tiers.copies import Copies
from runtime.tiers.layout import Layout
from runtime.tiers.tier import Tier
from runtime.tiers.units import Extent, Pieces

AHEAD_SHARE = 16
"""When the first tier is full, this fraction of it is emptied at once, where so much is idle:
blocks leave in few large moves, and new ones find room where placement wants them. Ours."""


@dataclass(kw_only=True)
class KvStore:
    """Tiers of KV blocks.

    Parameters
    ----------
    tiers : sequence of Tier
    policy : callable
        Makes an eviction policy; each tier gets one of its own.
    layout : Layout
        Where in the first tier blocks lie; by default that does not matter.
    copies : Copies
        Further copies of hot blocks of the first tier; by default there are none.
    """

    tiers: Sequence[Tier]
    policy: Callable[[], EvictionPolicy]
    layout: Layout = field(default_factory=Layout)
    copies: Copies = field(default_factory=Copies)
    entries: dict[int, Entry] = field(default_factory=dict)
    busy: int = 0       # KV blocks of the first tier that are private or pinned
    epoch: int = 0      # counts what may let a request in that did not fit before

    def __post_init__(self) -> None:
        self.states = [TierState(t.kv_blocks, self.policy()) for t in self.tiers]
        self.copies.pool = self.states[0].capacity * self.copies.policy.pool_percent // 100

    @property
    def room(self) -> int:
        """KV blocks of the first tier that nothing occupies."""
        return self.states[0].capacity - self.states[0].used

    def used(self) -> list[int]:
        """KV blocks in each tier."""
        return [state.used for state in self.states]

    def hits(self, ids: Sequence[int]) -> list[int]:
        """The leading prefix blocks that are resident."""
        found = []
        for block in ids:
            if block not in self.entries:
                break
            found.append(block)
        return found

    def find(self, ids: Sequence[int], total: int, reserve: int = 0) -> list[int] | None:
        """The hits of a request that fits beside what is in use; None if it does not fit."""
        hits = self.hits(ids)
        entries, sizes = self.entries, self.copies.sizes
        pinned = copied = 0
        for block in hits:
            entry = entries[block]
            if entry.users:
                pinned += entry.kv_blocks
            elif sizes:
                copied += sizes.get(block, 0)
        fits = self.busy + total - pinned + copied + reserve <= self.states[0].capacity
        return hits if fits else None

    def admit(self, ids: Sequence[int], total: int, *, reserve: int = 0, key: int = 0,
              home: int = 0, access: Access = UNKNOWN,
              hits: list[int] | None = None) -> Admission | None:
        """Takes a request in, or returns None if its KV does not fit beside what is in use.

        Parameters
        ----------
        ids : sequence of int
            The prompt's prefix blocks, in order.
        total : int
            KV blocks that the request is to hold.
        reserve : int
            KV blocks that must be left to running requests.
        key, home : int
            A number for hashing private blocks, and the request's home (:class:`Layout`).
        access : Access
            What eviction policies may know.
        hits : list of int, optional
            What :meth:`find` has just found.
        """
        entries, first = self.entries, self.states[0]
        if hits is None:
            hits = self.find(ids, total, reserve)
            if hits is None:
                return None
        shared = sum([entries[block].kv_blocks for block in hits])
        admission = Admission(hit_blocks=hits, hits_by_tier=[0] * len(self.states),
                              private=total - shared)
        promoted: list[tuple[int, Entry]] = []
        sizes, found = self.copies.sizes, admission.hits_by_tier
        for index, block in enumerate(hits):
            entry = entries[block]
            found[entry.tier] += 1
            if entry.tier:
                self._leave(block, entry)
                admission.moves[entry.tier, 0] += entry.kv_blocks
                promoted.append((block, entry))
            elif not entry.users:
                first.policy.pin(block, index, access)
                self.busy += entry.kv_blocks + (sizes.get(block, 0) if sizes else 0)
            entry.users += 1
            entry.index, entry.access = index, access
        rising = sum(entry.kv_blocks for _, entry in promoted)
        self._make_room_ahead(rising + admission.private, admission)
        self._raise(promoted, key, home, admission)
        for block, entry in promoted:
            first.policy.insert(block, entry.index, access)
            first.policy.pin(block, entry.index, access)
        self.busy += rising
        first.used += admission.private
        self.busy += admission.private
        if admission.private:
            admission.places = self.layout.place(admission.private, key, home)
        self._choose_copies(hits, home, admission)
        return admission

    def _choose_copies(self, hits: Sequence[int], home: int, admission: Admission) -> None:
        """Fills ``parts``: each hit block's nearest copy; makes copies that are wanted."""
        if not self.layout.matters:
            return
        parts, copies = admission.parts, self.copies
        wanted: list[tuple[int, Entry]] = []
        for block in hits:
            entry = self.entries[block]
            extent = entry.extent
            assert extent is not None, "what lies in PIM units has a place"
            if copies.pool and extent.home != home:
                near = copies.find(block, home)
                if near is not None:
                    extent = near
                elif copies.wanted(block, home):
                    wanted.append((block, entry))
                    continue
            parts[extent] = parts.get(extent, 0) + entry.kv_blocks
        if wanted:
            self._copy(wanted, home, admission)
            for block, entry in wanted:
                extent = copies.find(block, home) or entry.extent
                assert extent is not None
                parts[extent] = parts.get(extent, 0) + entry.kv_blocks

    def _copy(self, wanted: Sequence[tuple[int, Entry]], home: int,
              admission: Admission) -> None:
        """Copies pinned blocks to a home, all or none."""
        first, copies = self.states[0], self.copies
        size = sum(entry.kv_blocks for _, entry in wanted)
        if size > copies.pool - copies.used or self.busy + size > first.capacity:
            return
        self._make_room(0, size, admission)
        first.used += size
        self.busy += size
        admission.moves[0, 0] += size
        pieces = Pieces(self.layout.place(size, wanted[0][0], home))
        for block, entry in wanted:
            copies.add(block, home, self._gather(pieces, entry.kv_blocks), entry.kv_blocks)
        self.layout.settle()

    def _raise(self, promoted: Sequence[tuple[int, Entry]], key: int, home: int,
               admission: Admission) -> None:
        """Gives promoted blocks a place: the old one if it has room, or a new one."""
        first = self.states[0]
        by_extent: dict[Extent | None, list[Entry]] = {}
        for _, entry in promoted:
            entry.tier = 0
            first.used += entry.kv_blocks
            by_extent.setdefault(entry.extent, []).append(entry)
        if not self.layout.matters:
            return
        homeless: list[Entry] = []
        for extent, entries in by_extent.items():
            size = sum(e.kv_blocks for e in entries)
            if extent is not None and self.layout.fits(extent, size):
                self.layout.occupy(extent, size)
            else:
                homeless += entries
        if homeless:
            size = sum(e.kv_blocks for e in homeless)
            pieces = Pieces(self.layout.place(size, key, home))
            for entry in homeless:
                entry.extent = self._gather(pieces, entry.kv_blocks)
            self.layout.settle()
            admission.moves[0, 0] += size

    def _gather(self, pieces: Pieces, kv_blocks: int) -> Extent:
        extent = pieces.at_once(kv_blocks) or self.layout.gather(pieces.take(kv_blocks))
        assert extent is not None, "a place for every block"
        return extent

    def publish(self, ids: Sequence[int], sizes: Iterable[int], *, start: int = 0,
                places: Iterable[tuple[Extent, int]] = (),
                access: Access = UNKNOWN) -> tuple[list[int], int]:
        """Makes a request's own prompt blocks, now computed, available to others.

        Returns the blocks that are now shared and pinned, and how many of the request's private
        KV blocks are no longer private. A block that another request has published meanwhile is
        used instead of the own copy; one that lies in a lower tier is replaced by it. ``start`` is
        the place of the first block in the prompt, ``places`` where the private blocks lie.
        """
        self.epoch += 1
        shared, released = [], 0
        first = self.states[0]
        pieces, sizes_of_copies = Pieces(places), self.copies.sizes
        matters, entries = self.layout.matters, self.entries
        for index, (block, size) in enumerate(zip(ids, sizes, strict=True), start):
            entry = entries.get(block)
            extent = (pieces.at_once(size) or self._gather(pieces, size)) if matters else None
            released += size
            first.used -= size
            self.busy -= size
            if entry is not None and entry.tier:
                self._leave(block, entry)
                del entries[block]
                entry = None
            if entry is None:
                entry = entries[block] = Entry(size, 0, 0, extent, index, access)
                first.used += size
                first.policy.insert(block, index, access)
            elif extent is not None:
                self.layout.vacate(extent, size)
            if not entry.users:
                first.policy.pin(block, index, access)
                self.busy += entry.kv_blocks + (
                    sizes_of_copies.get(block, 0) if sizes_of_copies else 0)
            entry.users += 1
            shared.append(block)
        self.layout.settle()
        return shared, released

    def release(self, pinned: Sequence[int], private: int, access: Access = UNKNOWN) -> None:
        """Ends a request: its private blocks go, its prefix blocks stay until evicted.

        The last block is released first, so that under LRU tails leave before the prefixes that
        they hang on.
        """
        self.epoch += 1
        first = self.states[0]
        first.used -= private
        self.busy -= private
        unpin = first.policy.unpin
        entries, sizes = self.entries, self.copies.sizes
        for index in range(len(pinned) - 1, -1, -1):
            block = pinned[index]
            entry = entries[block]
            entry.users -= 1
            if not entry.users:
                entry.access = access
                unpin(block, index, access)
                self.busy -= entry.kv_blocks + (sizes.get(block, 0) if sizes else 0)

    def grow(self, kv_blocks: int) -> Admission | None:
        """Room for private blocks of running requests; None if that much is not to be had."""
        if self.busy + kv_blocks > self.states[0].capacity:
            return None
        grown = Admission(hit_blocks=[], hits_by_tier=[])
        self._make_room_ahead(kv_blocks, grown)
        return grown

    def _make_room_ahead(self, need: int, admission: Admission) -> None:
        """Room in the first tier; where blocks must leave for it, some more leave at once."""
        first = self.states[0]
        if first.used + need > first.capacity:
            ahead = first.capacity // AHEAD_SHARE
            self._make_room(0, min(need + ahead, first.capacity - self.busy), admission)

    def take_private(self, kv_blocks: int) -> None:
        """Books private blocks that there is room for."""
        self.states[0].used += kv_blocks
        self.busy += kv_blocks

    def swap_out(self, kv_blocks: int) -> tuple[int, Admission] | None:
        """Room for private blocks in a lower tier: its place, and what had to move for it."""
        for place, state in enumerate(self.states[1:], 1):
            if state.held + kv_blocks <= state.capacity:
                moved = Admission(hit_blocks=[], hits_by_tier=[])
                self._make_room(place, kv_blocks, moved)
                state.used += kv_blocks
                state.held += kv_blocks
                return place, moved
        return None

    def swap_in(self, place: int, kv_blocks: int) -> None:
        """Gives that room back."""
        self.states[place].used -= kv_blocks
        self.states[place].held -= kv_blocks

    def prefetch(self, ids: Sequence[int], key: int, home: int) -> Admission:
        """Moves idle leading blocks up from the second tier, as far as there is empty room."""
        admission = Admission(hit_blocks=[], hits_by_tier=[0] * len(self.states))
        promoted = []
        room = self.room
        for block in ids:
            entry = self.entries.get(block)
            if entry is None or (entry.tier and entry.kv_blocks > room):
                break
            if entry.tier:
                room -= entry.kv_blocks
                self._leave(block, entry)
                admission.moves[entry.tier, 0] += entry.kv_blocks
                promoted.append((block, entry))
        self._raise(promoted, key, home, admission)
        for block, entry in promoted:
            self.states[0].policy.insert(block, entry.index, entry.access)
        return admission

    def _leave(self, block: int, entry: Entry) -> None:
        self.states[entry.tier].used -= entry.kv_blocks
        self.states[entry.tier].policy.remove(block)

    def _make_room(self, tier: int, need: int, admission: Admission) -> None:
        """Evicts from ``tier`` until ``need`` KV blocks fit; the victims go down one tier."""
        state = self.states[tier]
        short = state.used + need - state.capacity
        victims: list[tuple[int, Entry]] = []
        copied = self.copies.pool > 0
        freed = 0
        while freed < short:
            block = state.policy.victim()
            assert block is not None, "pinned and private blocks fit, or admit() refused"
            entry = self.entries[block]
            victims.append((block, entry))
            freed += entry.kv_blocks
            if not tier:
                if copied:
                    freed += self.copies.drop(block, self.layout)
                if entry.extent is not None:
                    self.layout.vacate(entry.extent, entry.kv_blocks)
        if not tier:
            self.layout.settle()
        state.used -= freed
        if victims:
            self._sink(tier, victims, admission)

    def _sink(self, tier: int, victims: Sequence[tuple[int, Entry]],
              admission: Admission) -> None:
        """Puts victims of ``tier`` into the next one.

        They are lost from the last tier, or if they are larger than the whole next one.
        """
        below = tier + 1
        under = self.states[below] if below < len(self.states) else None
        room = under.capacity - under.held if under else 0
        group: list[tuple[int, Entry]] = []
        size = 0
        for block, entry in victims:
            if under is None or entry.kv_blocks > room:
                del self.entries[block]
                admission.dropped += entry.kv_blocks
                continue
            if size + entry.kv_blocks > room:
                self._settle_in(below, group, size, admission)
                group, size = [], 0
            group.append((block, entry))
            size += entry.kv_blocks
        if group:
            self._settle_in(below, group, size, admission)

    def _settle_in(self, tier: int, blocks: Sequence[tuple[int, Entry]], size: int,
                   admission: Admission) -> None:
        state = self.states[tier]
        self._make_room(tier, size, admission)
        for block, entry in blocks:
            entry.tier = tier
            state.policy.insert(block, entry.index, entry.access)
        state.used += size
        admission.moves[tier - 1, tier] += size

    def check(self) -> None:
        """Raises AssertionError unless the books balance (for tests)."""
        copied = self.copies.used
        for tier, state in enumerate(self.states):
            shared = sum(e.kv_blocks for e in self.entries.values() if e.tier == tier)
            assert shared <= state.used <= state.capacity, (tier, shared, state)
            assert tier == 0 or shared + state.held == state.used, (tier, shared, state)
        pinned = sum(e.kv_blocks + self.copies.size(b) for b, e in self.entries.items() if e.users)
        private = self.states[0].used - copied - sum(
            e.kv_blocks for e in self.entries.values() if e.tier == 0)
        assert self.busy == pinned + private, (self.busy, pinned, private)
        assert all(e.tier == 0 for e in self.entries.values() if e.users)
