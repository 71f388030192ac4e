"""Belady's MIN, the bound that no policy can pass, since it knows the future."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from runtime.policies.base import UNKNOWN, Access
from runtime.policies.eviction.lazy_heap import LazyHeap


class Future:
    """Where each block of a workload is used; can be shared by many policies.

    Parameters
    ----------
    prompts : iterable of sequences of int
        Prefix blocks of all requests in the order that ``Access.request`` counts.
    """

    def __init__(self, prompts: Iterable[Sequence[int]]) -> None:
        self._places: dict[int, array[int]] = {}
        self._ends = array("q")                         # where each request ends in the stream
        place = 0
        for blocks in prompts:
            for block in blocks:
                self._places.setdefault(block, array("q")).append(place)
                place += 1
            self._ends.append(place)
        self._never = place

    def next_use(self, block: int, request: int) -> int:
        """Place of the block's first use after that request."""
        places = self._places.get(block, ())
        k = bisect_left(places, self._ends[request])
        return places[k] if k < len(places) else self._never


class Belady:
    """Evicts the block whose next use is furthest away (offline).

    If the new block may itself be the victim (it is inserted before :meth:`victim` is called) no
    policy that fetches on a miss has more hits; if not, none that must take in every missed block.
    """

    def __init__(self, future: Future) -> None:
        self._future = future
        self._queue = LazyHeap()        # the furthest next use has the least key

    def _note(self, block: int, access: Access) -> None:
        self._queue.put(block, -self._future.next_use(block, access.request))

    def insert(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._note(block, access)

    def touch(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._note(block, access)

    def pin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._queue.take(block)

    def unpin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._note(block, access)

    def remove(self, block: int) -> None:
        self._queue.take(block)

    def victim(self, incoming: int | None = None) -> int | None:
        found = self._queue.pop()
        return found[1] if found else None
