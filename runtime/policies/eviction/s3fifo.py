"""S3-FIFO (Yang and others, SOSP 2023)."""

from collections import OrderedDict

from runtime.policies.eviction.queues import QueuePolicy

SMALL, MAIN = 0, 1
MOST_USES = 3
"""Uses are counted up to this (two bits)."""


class S3Fifo(QueuePolicy):
    """A small queue for new blocks, a main queue for proven ones, and ghosts of the small one.

    New blocks enter the small queue, which has ``small_share`` of the room; one that leaves it with
    more than one use goes on to the main queue, the others are evicted and remembered. A remembered
    block enters the main queue at once. There, blocks with uses left go round.
    """

    def __init__(self, small_share: float = 0.1) -> None:
        super().__init__()
        self._share = small_share
        self._uses: dict[int, int] = {}
        self._queues: tuple[OrderedDict[int, None], ...] = (OrderedDict(), OrderedDict())
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    def _enter(self, block: int) -> None:
        self._uses[block] = 0
        queue = SMALL
        if block in self._ghosts:
            del self._ghosts[block]
            queue = MAIN
        self._put(block, queue)

    def _use(self, block: int) -> None:
        self._uses[block] = min(MOST_USES, self._uses[block] + 1)

    def _take(self, block: int) -> int:
        queue = MAIN if block in self._queues[MAIN] else SMALL
        del self._queues[queue][block]
        return queue

    def _put(self, block: int, queue: int) -> None:
        self._queues[queue][block] = None

    def _forget(self, block: int) -> None:
        del self._uses[block]

    def _evict(self, incoming: int | None) -> int | None:
        small, main = self._queues
        blocks = len(small) + len(main) + len(self._pinned)
        room = max(1, int(self._share * blocks))
        while small and (len(small) >= room or not main):
            block = small.popitem(last=False)[0]
            if self._uses[block] > 1:
                self._uses[block] = 0
                main[block] = None
                continue
            self._ghosts[block] = None
            while len(self._ghosts) > max(1, blocks - room):
                self._ghosts.popitem(last=False)
            self._forget(block)
            return block
        while main:
            block = main.popitem(last=False)[0]
            if not self._uses[block]:
                self._forget(block)
                return block
            self._uses[block] -= 1
            main[block] = None
        return None
