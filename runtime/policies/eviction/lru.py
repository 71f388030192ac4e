"""Least recently used."""

from collections import OrderedDict

from runtime.policies.base import UNKNOWN, Access


class Lru:
    """Evicts the block whose last access is longest ago."""

    def __init__(self) -> None:
        self._order: OrderedDict[int, None] = OrderedDict()

    def insert(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._order[block] = None

    def touch(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._order.move_to_end(block)

    def pin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        del self._order[block]

    def unpin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        self._order[block] = None

    def remove(self, block: int) -> None:
        del self._order[block]

    def victim(self, incoming: int | None = None) -> int | None:
        return self._order.popitem(last=False)[0] if self._order else None
