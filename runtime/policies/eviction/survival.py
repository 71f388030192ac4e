"""Eviction by learned survival: our own policy, from the past alone (docs/eviction.md).

Blocks whose last use was in the same request form a *chain*: when the conversation goes on, they
are used again together. A chain's chance depends on its age and on what its request was: which
turn, how long after the turn before, how long a prompt. These chances are learned while serving,
from resident and from already evicted chains alike, and the chain with the least worth loses its
deepest block first, so that prefixes stay usable.

Three things are known beforehand of any prefix cache, and no numbers of them: a chain that was
continued is over; the last block of a prompt is mostly partial and a class of its own; and a block
that many different blocks have followed is public, and kept before all others.
"""

import heapq
from collections import OrderedDict, deque

from runtime.policies.base import UNKNOWN, Access
from runtime.policies.eviction.hazard import BINS, SPANS, STARTS, Class, Hazards, bin_of
from runtime.workload import PS_PER_SECOND

LEARN_EVERY = 128
"""Requests between two refreshes of what was learned."""

PUBLIC_SUCCESSORS = 4
"""Different blocks that followed a public one: a prompt's last full block is followed by a partial
one and then by what replaces it, so two or three mean nothing."""

REMEMBERED = 16
"""Blocks remembered after their eviction, in multiples of those resident."""

LAST: Class = (-1,)
Bin = tuple[Class | None, int]


class _Chain:
    """Blocks last used by one request. ``key`` is its class, None once it is over."""

    __slots__ = ("blocks", "gap", "key", "place", "prompt", "queued", "serial", "since", "turn")

    def __init__(self, serial: int, key: Class, since: float, turn: int, prompt: int) -> None:
        self.serial, self.since, self.turn, self.prompt = serial, since, turn, prompt
        self.key: Class | None = key
        self.gap = -1.0
        self.place = 0                              # bin of its age
        self.queued = False
        self.blocks: list[tuple[int, int]] = []     # heap of (-index, block), some no longer here


class Survival:
    """Evicts from the chain of which a place in the cache is expected to see the least reuse."""

    def __init__(self) -> None:
        self._hazards = Hazards()
        self._chain: dict[int, _Chain | None] = {}      # of every remembered block; None: public
        self._index: dict[int, int] = {}                # place in its prompt of a resident block
        self._pinned: set[int] = set()
        self._of_request: OrderedDict[int, _Chain] = OrderedDict()
        self._ages: list[deque[tuple[float, _Chain]]] = [deque() for _ in range(BINS)]
        self._queues: dict[Bin, OrderedDict[int, _Chain]] = {}
        self._ranks: list[tuple[float, int, Bin]] = []  # heap of the queues by worth
        self._ranked: set[Bin] = set()
        self._successor: dict[int, tuple[int, int]] = {}    # latest one, and how many there were
        self._public: dict[int, None] = {}              # public blocks resident and not pinned
        self._ghosts: deque[tuple[int, _Chain | None]] = deque()    # evicted, oldest first
        self._before: tuple[int, int] = (-1, -1)        # request and block of the access before
        self._serial = self._requests = 0
        self._now = 0.0

    def insert(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._index[block] = index
        self._use(block, index, access)
        self._offer(block)

    def touch(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._use(block, index, access)
        self._offer(block)

    def pin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._use(block, index, access)
        self._pinned.add(block)
        self._public.pop(block, None)

    def unpin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._pinned.remove(block)
        chain = self._chain[block]
        self._tick(access)
        if chain is not None and chain.key is not None and chain.since < self._now:
            self._restart(chain)
        self._offer(block)

    def remove(self, block: int) -> None:
        del self._index[block]
        self._public.pop(block, None)
        self._ghosts.append((block, self._chain[block]))

    def victim(self, incoming: int | None = None) -> int | None:
        while self._ranks:
            place = self._ranks[0][2]
            queue = self._queues[place]
            while queue:
                chain = next(iter(queue.values()))
                while chain.blocks:
                    _, block = heapq.heappop(chain.blocks)
                    if (self._chain.get(block) is chain and block in self._index
                            and block not in self._pinned):
                        self.remove(block)
                        return block
                self._dequeue(chain)
            heapq.heappop(self._ranks)
            self._ranked.remove(place)
        if not self._public:
            return None
        block = next(iter(self._public))
        self.remove(block)
        return block

    def _tick(self, access: Access) -> None:
        """Time goes on; without times an access is a second."""
        self._now = (max(self._now, access.time_ps / PS_PER_SECOND) if access.time_ps
                     else self._now + (access is UNKNOWN))

    def _use(self, block: int, index: int, access: Access) -> None:
        chain = None if access is UNKNOWN else self._of_request.get(access.request)
        if chain is None:
            chain = self._begin(access)
        self._follow(block, access)
        old = self._chain.get(block, chain)
        if old is None:
            self._chain[block] = None
            return
        last = index > 0 and index == access.prompt_blocks - 1
        if old.key == LAST and old is not chain:
            self._count(old)
        elif old is not chain and not last:
            self._continue(old, chain, access)
        if last:
            chain = self._new_chain(LAST, -1, 1)
        self._chain[block] = chain

    def _begin(self, access: Access) -> _Chain:
        self._tick(access)
        self._age()
        self._requests += 1
        if self._requests % LEARN_EVERY == 0:
            self._learn()
        turn = max(1, access.turn)
        chain = self._new_chain(_class_of(turn, access.prompt_blocks, -1.0), turn,
                                access.prompt_blocks)
        if access is not UNKNOWN:
            self._of_request[access.request] = chain
            if len(self._of_request) > 4096:        # far more than are ever in work
                self._of_request.popitem(last=False)
        return chain

    def _new_chain(self, key: Class, turn: int, prompt: int) -> _Chain:
        self._serial += 1
        chain = _Chain(self._serial, key, self._now, turn, prompt)
        self._ages[0].append((self._now, chain))
        return chain

    def _follow(self, block: int, access: Access) -> None:
        """Notes which block followed which; one that many have followed becomes public."""
        request, before = self._before
        self._before = (access.request, block)
        if request != access.request or before == block or access is UNKNOWN:
            return
        latest, count = self._successor.get(before, (-1, 0))
        if latest == block:
            return
        self._successor[before] = (block, count + 1)
        if count + 1 >= PUBLIC_SUCCESSORS and self._chain.get(before) is not None:
            self._chain[before] = None
            self._offer(before)

    def _continue(self, old: _Chain, chain: _Chain, access: Access) -> None:
        """``old`` is continued by ``chain``: it is over, and the newer one is a turn further."""
        if old.key is not None:
            self._count(old)
        if chain.turn <= old.turn or chain.gap < 0:
            chain.turn = access.turn or max(chain.turn, old.turn + 1)
            chain.gap = self._now - old.since
            self._change(chain, _class_of(chain.turn, chain.prompt, chain.gap))

    def _count(self, chain: _Chain) -> None:
        """A chain is used again."""
        assert chain.key is not None
        self._hazards.idle(chain.key, chain.place,
                           max(0.0, self._now - chain.since - STARTS[chain.place]))
        self._hazards.reused(chain.key, chain.place)
        self._change(chain, None)

    def _age(self) -> None:
        """Moves chains on that have grown out of their bin."""
        for place in range(BINS - 1):
            ages, limit = self._ages[place], self._now - STARTS[place + 1]
            while ages and ages[0][0] <= limit:
                since, chain = ages.popleft()
                if since != chain.since or chain.place != place or chain.key is None:
                    continue
                self._hazards.idle(chain.key, place, SPANS[place])
                self._move(chain, chain.key, place + 1)
                if place + 1 < BINS - 1:
                    self._ages[place + 1].append((since, chain))

    def _restart(self, chain: _Chain) -> None:
        """A request has ended: its blocks are idle only from now on."""
        chain.since = self._now
        self._move(chain, chain.key, 0)
        self._ages[0].append((self._now, chain))

    def _learn(self) -> None:
        self._hazards.refresh()
        self._ranked = {place for place, queue in self._queues.items() if queue}
        self._ranks = [self._rank(place) for place in self._ranked]
        heapq.heapify(self._ranks)
        remembered = REMEMBERED * max(1024, len(self._index))
        while len(self._ghosts) > remembered:
            block, chain = self._ghosts.popleft()
            if block not in self._index and self._chain.get(block, self) is chain:
                del self._chain[block]
                self._successor.pop(block, None)
                if chain is not None and not chain.queued:
                    chain.key = None        # nothing is left to learn from it

    def _rank(self, place: Bin) -> tuple[float, int, Bin]:
        key, age = place
        return (-1.0, -age, place) if key is None else (self._hazards.value(key)[age], -age, place)

    def _offer(self, block: int) -> None:
        """Makes a resident block a candidate, if nobody uses it."""
        if block in self._pinned or block not in self._index:
            return
        chain = self._chain[block]
        if chain is None:
            self._public[block] = None
            return
        heapq.heappush(chain.blocks, (-self._index[block], block))
        if not chain.queued:
            self._enqueue(chain)

    def _enqueue(self, chain: _Chain) -> None:
        place = (chain.key, chain.place)
        queue = self._queues.get(place)
        if queue is None:
            queue = self._queues[place] = OrderedDict()
        queue[chain.serial] = chain
        chain.queued = True
        if place not in self._ranked:
            self._ranked.add(place)
            heapq.heappush(self._ranks, self._rank(place))

    def _dequeue(self, chain: _Chain) -> None:
        del self._queues[chain.key, chain.place][chain.serial]
        chain.queued = False

    def _change(self, chain: _Chain, key: Class | None) -> None:
        self._move(chain, key, chain.place)

    def _move(self, chain: _Chain, key: Class | None, place: int) -> None:
        queued = chain.queued
        if queued:
            self._dequeue(chain)
        chain.key, chain.place = key, place
        if queued:
            self._enqueue(chain)


def _class_of(turn: int, prompt: int, gap: float) -> Class:
    """Turn (up to 8), length of the prompt in five steps, time since the turn before in four."""
    turns = turn if turn < 6 else 6 if turn < 8 else 8
    length = sum(prompt > step for step in (0, 2, 8, 64))
    return turns, length, 0 if gap < 0 else 1 + bin_of(gap) // 4
