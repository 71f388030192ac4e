"""Keeps what the engine tells its observer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from runtime.serving import Served


class Span(NamedTuple):
    """A resource at work; see :class:`runtime.serving.Observer`."""

    resource: str
    what: str
    start_ps: int
    end_ps: int
    busy_ps: int
    steps: int


class Stay(NamedTuple):
    """A request in one state."""

    request: int
    state: str
    start_ps: int
    end_ps: int
    input_tokens: int
    output_tokens: int
    prefix_hit_tokens: int


class Residency(NamedTuple):
    """KV blocks in each tier from this time on."""

    now_ps: int
    kv_blocks: tuple[int, ...]
    busy: int


@dataclass
class Recorder:
    """An observer that writes everything down.

    Attributes
    ----------
    spans, stays, residencies : list
        In the order in which they were told.
    """

    spans: list[Span] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    residencies: list[Residency] = field(default_factory=list)

    def span(self, resource: str, what: str, start_ps: int, end_ps: int, *, busy_ps: int,
             steps: int = 1) -> None:
        """See :class:`runtime.serving.Observer`."""
        self.spans.append(Span(resource, what, start_ps, end_ps, busy_ps, steps))

    def request(self, index: int, served: Served, state: str, start_ps: int, end_ps: int) -> None:
        """See :class:`runtime.serving.Observer`."""
        asked = served.request
        self.stays.append(Stay(index, state, start_ps, end_ps, asked.input_tokens,
                               asked.output_tokens, served.prefix_hit_tokens))

    def residency(self, now_ps: int, kv_blocks: Sequence[int], busy: int) -> None:
        """See :class:`runtime.serving.Observer`."""
        self.residencies.append(Residency(now_ps, tuple(kv_blocks), busy))
