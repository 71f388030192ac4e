"""When blocks will be used again, from what was seen; warm blocks are moved up before that."""

from dataclasses import dataclass
from heapq import heappop, heappush

from runtime.policies.base import Access

SMOOTHING_PERCENT = 20
"""Weight of a new gap in the moving average (facts.md 1.2)."""

AHEAD_PERCENT = 80
"""Blocks are moved up when this share of the gap that is expected has passed; ours."""

Class = tuple[str, bool]
"""Kind of request, and whether it was a follow-up turn (facts.md 1.2)."""


@dataclass(frozen=True, slots=True, order=True)
class Warm:
    """Blocks that are expected to be used again soon after ``due_ps``."""

    due_ps: int
    request: int
    home: int
    block_ids: tuple[int, ...]


class Forecast:
    """Reuse gaps by class, and what is due because of them."""

    def __init__(self) -> None:
        self._gaps: dict[Class, int] = {}
        self._due: list[Warm] = []

    def reused(self, earlier: Access, now: int) -> None:
        """What ``earlier`` used last has been used again."""
        key = _class_of(earlier)
        gap, known = now - earlier.time_ps, self._gaps.get(_class_of(earlier))
        self._gaps[key] = gap if known is None else (
            SMOOTHING_PERCENT * gap + (100 - SMOOTHING_PERCENT) * known) // 100

    def left(self, access: Access, home: int, block_ids: tuple[int, ...]) -> int | None:
        """A request is done; when its blocks are to be moved up, if that can be said."""
        gap = self._gaps.get(_class_of(access))
        if gap is None or not block_ids:
            return None
        due = access.time_ps + gap * AHEAD_PERCENT // 100
        heappush(self._due, Warm(due, access.request, home, block_ids))
        return due

    def next_due(self) -> int | None:
        """When something is due next."""
        return self._due[0].due_ps if self._due else None

    def take_due(self, now: int) -> list[Warm]:
        """What is due."""
        due = []
        while self._due and self._due[0].due_ps <= now:
            due.append(heappop(self._due))
        return due


def _class_of(access: Access) -> Class:
    return access.request_class, access.turn > 1
