"""What policies made of queues share: how pins fit in."""

from abc import ABC, abstractmethod

from runtime.policies.base import UNKNOWN, Access


class QueuePolicy(ABC):
    """Blocks in queues. A pinned block lies in none and comes back to the young end of its own.

    A pin is a use of the block, but for the first one after an insert: a block is made resident
    for the request that pins it then.
    """

    def __init__(self) -> None:
        self._fresh: set[int] = set()       # inserted, and not used since
        self._pinned: dict[int, int] = {}   # block: where it lay

    def insert(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._fresh.add(block)
        self._enter(block)

    def touch(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._fresh.discard(block)
        self._use(block)

    def pin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        if block in self._fresh:
            self._fresh.remove(block)
        else:
            self._use(block)
        self._pinned[block] = self._take(block)

    def unpin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._put(block, self._pinned.pop(block))

    def remove(self, block: int) -> None:
        self._fresh.discard(block)
        self._take(block)
        self._forget(block)

    def victim(self, incoming: int | None = None) -> int | None:
        block = self._evict(incoming)
        if block is not None:
            self._fresh.discard(block)
        return block

    def _forget(self, block: int) -> None:      # noqa: B027 (most keep nothing else)
        """Drops what is kept of a block beside its place."""

    @abstractmethod
    def _enter(self, block: int) -> None:
        """Takes a new block in."""

    @abstractmethod
    def _use(self, block: int) -> None:
        """Counts a use of a block that lies in a queue."""

    @abstractmethod
    def _take(self, block: int) -> int:
        """Takes a block out of its queue and returns which that was."""

    @abstractmethod
    def _put(self, block: int, queue: int) -> None:
        """Puts a block at the young end of a queue."""

    @abstractmethod
    def _evict(self, incoming: int | None) -> int | None:
        """Takes the victim out and returns it, or None."""
