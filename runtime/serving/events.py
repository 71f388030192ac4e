"""Events in integer time, in one total order."""

import enum
import heapq
from dataclasses import dataclass, field


class Priority(enum.IntEnum):
    """Order of events at the same tick: what happened is known before the next step is planned."""

    ARRIVAL = 0
    TRANSFER_DONE = 1
    STEP_DONE = 2


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Something that happens at ``tick``; ordered by (tick, priority, sequence)."""

    tick: int
    priority: Priority
    sequence: int
    payload: object = field(compare=False, default=None)


class Agenda:
    """Events to come. Time never goes back, and ties are broken by priority, then by insertion."""

    def __init__(self) -> None:
        self._heap: list[Event] = []
        self._sequence = 0
        self.now = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def push(self, tick: int, priority: Priority, payload: object = None) -> None:
        """Adds an event; one before ``now`` is a fault of the caller."""
        if tick < self.now:
            raise ValueError(f"event at {tick}, but it is already {self.now}")
        heapq.heappush(self._heap, Event(tick, priority, self._sequence, payload))
        self._sequence += 1

    def peek(self) -> int | None:
        """Tick of the next event."""
        return self._heap[0].tick if self._heap else None

    def pop(self) -> Event:
        """Removes the next event and moves ``now`` to it."""
        event = heapq.heappop(self._heap)
        self.now = event.tick
        return event
