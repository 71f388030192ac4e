"""Requests to be served, whatever they came from."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from model.spec.attention import BLOCK_TOKENS
from model.spec.errors import SpecError, UserError

PS_PER_SECOND = 10 ** 12
PS_PER_MS = 10 ** 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a workload.

    Attributes
    ----------
    arrival_ps : int
        Time of arrival in picoseconds from the start of the workload.
    input_tokens, output_tokens : int
        Lengths, both at least 1.
    block_ids : tuple of int
        Ids of the prompt's prefix blocks; equal ids mean equal tokens and equal prefix.
    origin : str
        Where it was read (``file:line``) or made, for messages.
    """

    arrival_ps: int
    input_tokens: int
    output_tokens: int
    block_ids: tuple[int, ...]
    origin: str

    @property
    def kv_blocks(self) -> int:
        """KV blocks that the request holds when its last token is made."""
        return -(-(self.input_tokens + self.output_tokens) // BLOCK_TOKENS)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Requests in order of arrival.

    Attributes
    ----------
    requests : tuple of Request
    block_tokens : int
        Tokens of a prefix block, a multiple of a KV block.
    source : dict
        Plain data that says where the requests come from, for provenance.
    notes : tuple of str
        What was done to them, in words.
    """

    requests: tuple[Request, ...]
    block_tokens: int
    source: dict[str, object]
    notes: tuple[str, ...] = field(default=())

    @property
    def native_qps(self) -> float:
        """Mean rate of arrival, requests a second; 0 if there is no span to take it from."""
        span = self.requests[-1].arrival_ps - self.requests[0].arrival_ps
        return (len(self.requests) - 1) * PS_PER_SECOND / span if span else 0.0

    def at_rate(self, qps: float) -> "Workload":
        """The same requests with all times scaled so that the mean rate is ``qps``."""
        check_rate(qps)
        if not self.native_qps:
            raise UserError("qps: expected a workload whose requests arrive at two different "
                            "times at least, not one whose times cannot be scaled")
        first = self.requests[0].arrival_ps
        span = self.requests[-1].arrival_ps - first
        new_span = round((len(self.requests) - 1) * PS_PER_SECOND / qps)
        return replace(
            self, requests=tuple(replace(r, arrival_ps=(r.arrival_ps - first) * new_span // span)
                                 for r in self.requests),
            notes=(*self.notes, f"times scaled from {self.native_qps:.3f} to {qps:g} requests/s"))


def check_rate(qps: float) -> None:
    """Raises :class:`SpecError` unless ``qps`` is a usable rate."""
    if not math.isfinite(qps) or not 1e-6 <= qps <= 1e6:
        raise SpecError("qps", qps, "a rate between 1e-6 and 1e6 requests/s")


def prefix_block_tokens(input_tokens: int, block_tokens: int) -> Iterable[int]:
    """Tokens that each prefix block of a prompt holds; the last one may be partial."""
    for start in range(0, input_tokens, block_tokens):
        yield min(block_tokens, input_tokens - start)
