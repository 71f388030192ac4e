"""Adaptive replacement cache (Megiddo and Modha, FAST 2003)."""

from collections import OrderedDict

from runtime.policies.eviction.queues import QueuePolicy

ONCE, AGAIN = 0, 1


class Arc(QueuePolicy):
    """Balances blocks used once against blocks used again by which of them return too late.

    Evicts the least recently used block of one of two lists; ghosts of both are remembered, and a
    block that returns from one of them shifts the balance. A block that comes unannounced (by
    ``victim(incoming)``) shifts it only afterwards.
    """

    def __init__(self) -> None:
        super().__init__()
        self._queues: tuple[OrderedDict[int, None], ...] = (OrderedDict(), OrderedDict())
        self._ghosts: tuple[OrderedDict[int, None], ...] = (OrderedDict(), OrderedDict())
        self._target = 0.0                  # room that blocks used once should have
        self._capacity: int | None = None
        self._announced: int | None = None

    def _enter(self, block: int) -> None:
        ghost = next((k for k in (ONCE, AGAIN) if block in self._ghosts[k]), None)
        if ghost is not None:
            if self._announced != block:
                self._adapt(ghost)
            del self._ghosts[ghost][block]
        self._announced = None
        self._put(block, ONCE if ghost is None else AGAIN)

    def _adapt(self, ghost: int) -> None:
        ghosts, others = self._ghosts[ghost], self._ghosts[1 - ghost]
        step = max(1.0, len(others) / len(ghosts))
        room = float(self._capacity or 0)
        self._target = (min(room, self._target + step) if ghost == ONCE
                        else max(0.0, self._target - step))

    def _use(self, block: int) -> None:
        self._take(block)
        self._put(block, AGAIN)

    def _take(self, block: int) -> int:
        queue = AGAIN if block in self._queues[AGAIN] else ONCE
        del self._queues[queue][block]
        return queue

    def _put(self, block: int, queue: int) -> None:
        self._queues[queue][block] = None

    def _evict(self, incoming: int | None) -> int | None:
        once, again = self._queues
        resident = len(once) + len(again)
        if not resident:
            return None
        self._capacity = resident + len(self._pinned)
        returning = None
        if incoming is not None:
            returning = next((k for k in (ONCE, AGAIN) if incoming in self._ghosts[k]), None)
            if returning is not None:
                self._announced = incoming
                self._adapt(returning)
        if returning is None and self._trim_ghosts():
            return once.popitem(last=False)[0]          # T1 alone fills the cache: no ghost is kept
        from_once = bool(once) and (len(once) > self._target or not again or (
            returning == AGAIN and len(once) == self._target))
        queue = ONCE if from_once or not again else AGAIN
        block = self._queues[queue].popitem(last=False)[0]
        self._ghosts[queue][block] = None
        return block

    def _trim_ghosts(self) -> bool:
        """Keeps the ghosts within the published bounds; returns whether T1 alone is full."""
        capacity = self._capacity or 0
        once, again = self._queues
        ghosts_once, ghosts_again = self._ghosts
        if len(once) + len(ghosts_once) >= capacity:
            if not ghosts_once:
                return bool(once)
            ghosts_once.popitem(last=False)
        elif (len(once) + len(again) + len(ghosts_once) + len(ghosts_again) >= 2 * capacity
                and ghosts_again):
            ghosts_again.popitem(last=False)
        return False
