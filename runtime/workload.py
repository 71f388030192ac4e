"""Requests to be served, whatever they came from."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, cast, runtime_checkable

import msgspec

from model.spec.attention import BLOCK_TOKENS
from model.spec.errors import SpecError, UserError

PS_PER_SECOND = 10 ** 12
PS_PER_MS = 10 ** 9


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request of a workload.

    Attributes
    ----------
    arrival_ps : int
        Time of arrival in picoseconds from the start of the workload.
    input_tokens, output_tokens : int
        Lengths, both at least 1.
    block_ids : tuple of int
        Ids of the prompt's prefix blocks; equal ids mean equal tokens and equal prefix. Empty
        where the trace has none: nothing is shared then.
    origin : str
        Where it was read (``file:line``) or made, for messages.
    session : int
        Conversation that it belongs to (the id of its first request); -1 if not known.
    chat, parent : int
        Its own id and that of the request that it continues; -1 for none.
    turn : int
        Place in the conversation, from 1; 0 if not known.
    request_class : str
        Kind of request that the trace names; empty if it names none.
    """

    arrival_ps: int
    input_tokens: int
    output_tokens: int
    block_ids: tuple[int, ...]
    origin: str
    session: int = -1
    chat: int = -1
    parent: int = -1
    turn: int = 0
    request_class: str = ""

    @property
    def kv_blocks(self) -> int:
        """KV blocks that the request holds when its last token is made."""
        return -(-(self.input_tokens + self.output_tokens) // BLOCK_TOKENS)


@runtime_checkable
class RequestStream(Protocol):
    """Requests in order of arrival that are made or read anew each time they are gone through.

    Attributes
    ----------
    first, last, longest : Request
        Those that arrive first and last, and the one that will hold the most KV blocks.
    """

    @property
    def first(self) -> Request: ...
    @property
    def last(self) -> Request: ...
    @property
    def longest(self) -> Request: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Request]: ...


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Requests in order of arrival.

    Attributes
    ----------
    requests : sequence of Request or RequestStream
        Both have a length and can be gone through again and again.
    block_tokens : int
        Tokens of a prefix block, a multiple of a KV block.
    source : dict
        Plain data that says where the requests come from, for provenance.
    notes : tuple of str
        What was done to them, in words.
    """

    requests: Sequence[Request] | RequestStream
    block_tokens: int
    source: dict[str, object]
    notes: tuple[str, ...] = field(default=())

    @property
    def first(self) -> Request:
        """The request that arrives first."""
        return (self.requests.first if isinstance(self.requests, RequestStream)
                else self.requests[0])

    @property
    def last(self) -> Request:
        """The request that arrives last."""
        return (self.requests.last if isinstance(self.requests, RequestStream)
                else self.requests[-1])

    @cached_property
    def longest(self) -> Request:
        """The first of the requests that will hold the most KV blocks."""
        if isinstance(self.requests, RequestStream):
            return self.requests.longest
        return max(self.requests, key=lambda r: r.kv_blocks)

    @property
    def native_qps(self) -> float:
        """Mean rate of arrival, requests a second; 0 if there is no span to take it from."""
        span = self.last.arrival_ps - self.first.arrival_ps
        return (len(self.requests) - 1) * PS_PER_SECOND / span if span else 0.0

    def at_rate(self, qps: float) -> "Workload":
        """The same requests with all times scaled so that the mean rate is ``qps``."""
        check_rate(qps)
        if not self.native_qps:
            raise UserError("qps: expected a workload whose requests arrive at two different "
                            "times at least, not one whose times cannot be scaled")
        scaled = _Rescaled(
            self, round((len(self.requests) - 1) * PS_PER_SECOND / qps))
        return replace(
            self, requests=(scaled if isinstance(self.requests, RequestStream)
                            else tuple(scaled)),
            notes=(*self.notes, f"times scaled from {self.native_qps:.3f} to {qps:g} requests/s"))


class _Rescaled:
    """A workload's requests from time 0 on, at another rate."""

    def __init__(self, workload: Workload, new_span: int) -> None:
        self._workload = workload
        self._start = workload.first.arrival_ps
        self._span = workload.last.arrival_ps - self._start
        self._new_span = new_span

    def _at_new_time(self, request: Request) -> Request:
        arrival = (request.arrival_ps - self._start) * self._new_span // self._span
        return cast(Request, msgspec.structs.replace(request, arrival_ps=arrival))

    @property
    def first(self) -> Request:
        return self._at_new_time(self._workload.first)

    @property
    def last(self) -> Request:
        return self._at_new_time(self._workload.last)

    @property
    def longest(self) -> Request:
        return self._at_new_time(self._workload.longest)

    def __len__(self) -> int:
        return len(self._workload.requests)

    def __iter__(self) -> Iterator[Request]:
        return map(self._at_new_time, self._workload.requests)


def check_rate(qps: float) -> None:
    """Raises :class:`SpecError` unless ``qps`` is a usable rate."""
    if not math.isfinite(qps) or not 1e-6 <= qps <= 1e6:
        raise SpecError("qps", qps, "a rate between 1e-6 and 1e6 requests/s")


def prefix_block_tokens(input_tokens: int, block_tokens: int) -> Iterable[int]:
    """Tokens that each prefix block of a prompt holds; the last one may be partial."""
    for start in range(0, input_tokens, block_tokens):
        yield min(block_tokens, input_tokens - start)
