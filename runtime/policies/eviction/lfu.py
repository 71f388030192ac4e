"""Least frequently used."""

from collections import OrderedDict

from runtime.policies.eviction.queues import QueuePolicy


class Lfu(QueuePolicy):
    """Evicts the block with the fewest uses since it became resident; of several, the one whose
    last use is longest ago."""

    def __init__(self) -> None:
        super().__init__()
        self._uses: dict[int, int] = {}
        self._queues: dict[int, OrderedDict[int, None]] = {}    # uses: blocks, oldest first
        self._least = 1                                         # no queue has fewer uses

    def _enter(self, block: int) -> None:
        self._uses[block] = 1
        self._put(block, 1)

    def _use(self, block: int) -> None:
        uses = self._take(block) + 1
        self._uses[block] = uses
        self._put(block, uses)

    def _take(self, block: int) -> int:
        uses = self._uses[block]
        queue = self._queues[uses]
        del queue[block]
        if not queue:
            del self._queues[uses]
        return uses

    def _put(self, block: int, queue: int) -> None:
        self._queues.setdefault(queue, OrderedDict())[block] = None
        self._least = min(self._least, queue)

    def _forget(self, block: int) -> None:
        del self._uses[block]

    def _evict(self, incoming: int | None) -> int | None:
        if not self._queues:
            return None
        if self._least not in self._queues:
            self._least = min(self._queues)
        block = next(iter(self._queues[self._least]))
        self._take(block)
        self._forget(block)
        return block
