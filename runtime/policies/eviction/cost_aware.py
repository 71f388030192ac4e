"""Cost-aware eviction: GreedyDual with frequency (Cherkasova, HPL-98-69R1) on costs in time."""

from runtime.policies.base import UNKNOWN, Access
from runtime.policies.eviction.lazy_heap import LazyHeap


class CostAware:
    """Evicts the block with the lowest ``clock + uses x cost of getting it again``.

    The cost is the time to move the block back, where victims are kept below, or to compute it
    again, which takes longer deep in a prompt. The clock is the value of the last victim, so that
    blocks age. Without known costs all are alike.
    """

    def __init__(self) -> None:
        self._uses: dict[int, int] = {}
        self._fresh: set[int] = set()       # inserted, and not used since
        self._queue = LazyHeap()            # by (value, order of use)
        self._clock = 0
        self._order = 0

    def _rate(self, block: int, index: int, access: Access) -> None:
        cost = access.move_ps or access.recompute_ps + index * access.recompute_step_ps or 1
        self._order += 1
        self._queue.put(block, (self._clock + self._uses[block] * cost, self._order))

    def insert(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._uses[block] = 1
        self._fresh.add(block)
        self._rate(block, index, access)

    def touch(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._fresh.discard(block)
        self._uses[block] += 1
        self._rate(block, index, access)

    def pin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        if block in self._fresh:
            self._fresh.remove(block)       # the use that it was inserted for
        else:
            self._uses[block] += 1
        self._queue.take(block)

    def unpin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._rate(block, index, access)

    def remove(self, block: int) -> None:
        self._queue.take(block)
        self._fresh.discard(block)
        del self._uses[block]

    def victim(self, incoming: int | None = None) -> int | None:
        found = self._queue.pop()
        if found is None:
            return None
        (self._clock, _), block = found
        self._fresh.discard(block)
        del self._uses[block]
        return block
