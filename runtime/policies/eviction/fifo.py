"""First in, first out."""

from runtime.policies.base import UNKNOWN, Access
from runtime.policies.eviction.lazy_heap import LazyHeap


class Fifo:
    """Evicts the block that became resident first, whatever was accessed since."""

    def __init__(self) -> None:
        self._queue = LazyHeap()            # by place in the order of insertion
        self._pinned: dict[int, int] = {}   # block: its place
        self._count = 0

    def insert(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._count += 1
        self._queue.put(block, self._count)

    def touch(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        pass

    def pin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._pinned[block] = self._queue.take(block)

    def unpin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._queue.put(block, self._pinned.pop(block))

    def remove(self, block: int) -> None:
        self._queue.take(block)

    def victim(self, incoming: int | None = None) -> int | None:
        found = self._queue.pop()
        return found[1] if found else None
