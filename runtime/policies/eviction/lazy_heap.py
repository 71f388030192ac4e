"""A priority queue whose keys change: old entries stay in the heap and are passed over."""

import heapq
from typing import Any

SLACK = 1024
"""Stale entries that are not worth a clean-up."""


class LazyHeap:
    """Blocks by key, least first. Memory is proportional to the blocks, not to the changes.

    Keys are integers or tuples of them, all of one kind.
    """

    def __init__(self) -> None:
        self._key: dict[int, Any] = {}
        self._heap: list[tuple[Any, int]] = []

    def __len__(self) -> int:
        return len(self._key)

    def __contains__(self, block: int) -> bool:
        return block in self._key

    def put(self, block: int, key: Any) -> None:
        """Adds a block, or gives it another key."""
        self._key[block] = key
        heapq.heappush(self._heap, (key, block))
        if len(self._heap) > 2 * len(self._key) + SLACK:
            self._heap = [(key, block) for block, key in self._key.items()]
            heapq.heapify(self._heap)

    def take(self, block: int) -> Any:
        """Removes a block and returns its key."""
        return self._key.pop(block)

    def pop(self) -> tuple[Any, int] | None:
        """Removes and returns the least key and its block; None if there is no block."""
        keys = self._key
        while self._heap:
            entry = heapq.heappop(self._heap)
            key, block = entry
            if keys.get(block) == key:
                del keys[block]
                return entry
        return None
