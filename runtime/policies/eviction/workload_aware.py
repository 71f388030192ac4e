"""The workload-aware score of the paper's development simulator (facts.md 1.2)."""

import math
from bisect import insort
from collections import OrderedDict
from dataclasses import dataclass, field

from runtime.policies.base import UNKNOWN, Access

SMOOTHING = 0.2         # weight of a new reuse gap (facts.md 1.2)
MOST_REUSES = 8         # reuses are counted up to this (facts.md 1.2)

Class = tuple[str, bool]
"""Kind of request, and whether it is a follow-up turn."""


@dataclass(slots=True)
class _Block:
    group: "_Group | None"
    access: Access
    time_ps: int
    reuses: int = 0
    cards: int = 0          # a bit for each card that used it
    same_chat: bool = False
    pinned: bool = False


@dataclass(slots=True, order=True)
class _Group:
    """Blocks of one class and one lasting part of the score; the oldest has the lowest score."""

    lasting: float
    key: Class
    blocks: OrderedDict[int, None] = field(default_factory=OrderedDict, compare=False)


class WorkloadAware:
    """Evicts the block with the lowest sum of four terms, each between 0 and 1.5.

    Recency
        ``exp(-age / ttl)``; the ttl is a moving average of the reuse gaps of the block's class.
    Use
        Half for reuses, up to eight, and half for the share of cards that used it.
    Attention span
        1 if its last two uses were of one conversation, 0.5 if a first turn used it last.
    Move cost
        Time to bring it back, over the longest such time met.

    What the source leaves open is our choice: what the span's two parts mean, that a class without
    a gap yet takes the average of all classes, and that nothing ages before the first gap.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._groups: dict[tuple[float, Class], _Group] = {}
        self._ordered: list[_Group] = []            # by lasting score
        self._ttl_ps: dict[Class, float] = {}
        self._mean_ttl_ps: float | None = None
        self._longest_move_ps = 1
        self._now_ps = 0
        self._last_filed: tuple[Access, tuple[int, int, bool, int], _Group] | None = None

    def insert(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._now_ps = max(self._now_ps, access.time_ps)
        entry = self._blocks[block] = _Block(None, access, self._now_ps, cards=1 << access.card)
        self._file(block, entry)

    def touch(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        entry = self._blocks[block]
        self._unfile(block, entry)
        self._count(entry, access)
        self._file(block, entry)

    def pin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        entry = self._blocks[block]
        self._unfile(block, entry)
        # The pin that follows an insert belongs to the same use.
        if entry.access is not access and entry.access.request != access.request:
            self._count(entry, access)
        entry.pinned = True

    def unpin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        entry = self._blocks[block]
        self._now_ps = entry.time_ps = max(self._now_ps, access.time_ps)
        entry.pinned = False
        self._file(block, entry)

    def remove(self, block: int) -> None:
        self._unfile(block, self._blocks.pop(block))

    def victim(self, incoming: int | None = None) -> int | None:
        best: _Group | None = None
        lowest = math.inf
        for group in self._ordered:
            if group.lasting >= lowest:
                break               # recency only adds to it
            if group.blocks:
                score = group.lasting + self._recency(group)
                if score < lowest:
                    best, lowest = group, score
        if best is None:
            return None
        block, _ = best.blocks.popitem(last=False)
        del self._blocks[block]
        return block

    def _count(self, entry: _Block, access: Access) -> None:
        self._now_ps = max(self._now_ps, access.time_ps)
        gap = self._now_ps - entry.time_ps
        key = _class_of(entry.access)
        for old, put in ((self._ttl_ps.get(key), lambda v: self._ttl_ps.__setitem__(key, v)),
                         (self._mean_ttl_ps, lambda v: setattr(self, "_mean_ttl_ps", v))):
            put(gap if old is None else old + SMOOTHING * (gap - old))
        entry.reuses += 1
        entry.cards |= 1 << access.card
        entry.same_chat = access.session >= 0 and access.session == entry.access.session
        entry.access, entry.time_ps = access, self._now_ps

    def _recency(self, group: _Group) -> float:
        ttl = self._ttl_ps.get(group.key, self._mean_ttl_ps)
        age = self._now_ps - self._blocks[next(iter(group.blocks))].time_ps
        return 1.0 if ttl is None else math.exp(-age / max(ttl, 1.0))

    def _file(self, block: int, entry: _Block) -> None:
        access = entry.access
        if access.move_ps > self._longest_move_ps:
            self._longest_move_ps = access.move_ps
        state = (entry.reuses, entry.cards, entry.same_chat, self._longest_move_ps)
        last = self._last_filed
        if last is not None and last[0] is access and last[1] == state:
            group = last[2]         # blocks of one request come together, and most score alike
        else:
            group = self._group_of(entry, access)
            self._last_filed = access, state, group
        group.blocks[block] = None
        entry.group = group

    def _group_of(self, entry: _Block, access: Access) -> _Group:
        lasting = (0.5 * min(entry.reuses, MOST_REUSES) / MOST_REUSES
                   + 0.5 * entry.cards.bit_count() / access.cards
                   + entry.same_chat + 0.5 * (access.turn <= 1)
                   + access.move_ps / self._longest_move_ps)
        key = (lasting, _class_of(access))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(*key)
            insort(self._ordered, group)
        return group

    def _unfile(self, block: int, entry: _Block) -> None:
        if entry.group is not None:
            del entry.group.blocks[block]
            entry.group = None


def _class_of(access: Access) -> Class:
    return access.request_class, access.turn > 1
