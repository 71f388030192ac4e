"""First in, first out."""

import heapq


class Fifo:
    """Evicts the block that became resident first, whatever was accessed since."""

    def __init__(self) -> None:
        self._inserted: dict[int, int] = {}     # block: its place in the order of insertion
        self._pinned: set[int] = set()
        self._heap: list[tuple[int, int]] = []  # may hold stale entries, skipped in victim()
        self._count = 0

    def insert(self, block: int) -> None:
        self._inserted[block] = self._count
        heapq.heappush(self._heap, (self._count, block))
        self._count += 1

    def touch(self, block: int) -> None:
        pass

    def pin(self, block: int) -> None:
        self._pinned.add(block)

    def unpin(self, block: int) -> None:
        self._pinned.remove(block)
        heapq.heappush(self._heap, (self._inserted[block], block))

    def remove(self, block: int) -> None:
        del self._inserted[block]

    def victim(self) -> int | None:
        while self._heap:
            place, block = heapq.heappop(self._heap)
            if block not in self._pinned and self._inserted.get(block) == place:
                del self._inserted[block]
                return block
        return None
