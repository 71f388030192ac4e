"""Segmented LRU (Karedla, Love and Wherry, IEEE Computer 1994)."""

from collections import OrderedDict

from runtime.policies.eviction.queues import QueuePolicy

PROBATION, PROTECTED = 0, 1


class Slru(QueuePolicy):
    """New blocks are on probation; a second use protects them.

    Evicts the least recently used block on probation. If more than ``protected_share`` of the
    blocks are protected, the least recently used of these goes back on probation. How many blocks
    there are room for is seen at the last eviction.
    """

    def __init__(self, protected_share: float = 0.8) -> None:
        super().__init__()
        self._share = protected_share
        self._limit: int | None = None
        self._queues: tuple[OrderedDict[int, None], ...] = (OrderedDict(), OrderedDict())

    def _enter(self, block: int) -> None:
        self._put(block, PROBATION)

    def _use(self, block: int) -> None:
        self._take(block)
        self._put(block, PROTECTED)

    def _take(self, block: int) -> int:
        queue = PROTECTED if block in self._queues[PROTECTED] else PROBATION
        del self._queues[queue][block]
        return queue

    def _put(self, block: int, queue: int) -> None:
        self._queues[queue][block] = None
        if queue == PROTECTED:
            self._demote()

    def _demote(self) -> None:
        probation, protected = self._queues
        while self._limit is not None and len(protected) > self._limit:
            probation[protected.popitem(last=False)[0]] = None

    def _evict(self, incoming: int | None) -> int | None:
        probation, protected = self._queues
        blocks = len(probation) + len(protected) + len(self._pinned)
        self._limit = int(self._share * blocks)
        self._demote()
        queue = probation or protected
        return queue.popitem(last=False)[0] if queue else None
