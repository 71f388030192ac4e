"""Seeded stand-in for a serving trace, fitted to published statistics of Qwen-Bailian trace A.

Lengths follow a quantile function that is linear in (normal score, log length) between knots: the
published median and 99th percentile, and a 90th percentile solved so that the mean is the published
one too. Each request draws its own cell of the unit interval, so that even a few hundred requests
have these statistics. Arrivals are a Poisson process (only the rate is published).

A follow-up turn continues an earlier request of the same stream: its prompt begins with that
request's prompt, whose full 16-token blocks are shared; earlier output reappears as new blocks, as
in real traces, where output tokens carry no ids. Which request is continued is drawn from the
longest ones that fit into the new prompt; the width of that choice is fitted to the published ideal
hit rate. No time between turns is published for this trace; ours only has a least gap.
"""

import bisect
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np

from model.spec.errors import require_int
from runtime.workload import PS_PER_SECOND, Request, Workload, check_rate

_NORMAL = NormalDist()
_GRID = np.array([_NORMAL.inv_cdf((i + 0.5) / 20_000) for i in range(20_000)])


@dataclass(frozen=True, kw_only=True)
class LengthStatistics:
    """Published mean, median and 99th percentile of a length in tokens."""

    mean: float
    p50: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class WorkloadStatistics:
    """Published statistics of a trace.

    Attributes
    ----------
    name, source : str
    qps : float
        Requests a second.
    input, output : LengthStatistics
    follow_up_share : float
        Share of requests that continue an earlier one.
    ideal_hit_rate : float
        Prompt blocks that an infinite cache would hold.
    """

    name: str
    source: str
    qps: float
    input: LengthStatistics
    output: LengthStatistics
    follow_up_share: float
    ideal_hit_rate: float


QWEN_BAILIAN_A = WorkloadStatistics(
    name="qwen-bailian-a",
    source="qwen-bailian-usagetraces-anon trace A: 43,058 requests in two hours, as published with "
           "Wang et al., USENIX ATC'25 (arXiv 2506.02634) and in a public analysis of the files",
    qps=5.98,
    input=LengthStatistics(mean=2331, p50=1046, p99=14_359),
    output=LengthStatistics(mean=430, p50=375, p99=1_641),
    follow_up_share=0.463, ideal_hit_rate=0.579)

BLOCK_TOKENS = 16
"""Tokens of a Qwen-Bailian hash block."""

LEAST_GAP_S = 10
"""Seconds from a request to its follow-up at least; ours, about the time to answer and to read."""

CONTINUE_LONGEST_SHARE = 0.05
"""A follow-up continues one of this share of the requests that fit, the longest; fitted, together
with the rule that prompts below the median start a conversation."""

TAIL_SCORE = 3.3
"""Normal score at which lengths are cut off: one request in about 2,000 lies there."""


class LengthDistribution:
    """Lengths with a published mean, median and 99th percentile."""

    def __init__(self, target: LengthStatistics) -> None:
        self.target = target
        self._scores = (_NORMAL.inv_cdf(0.01), 0.0, _NORMAL.inv_cdf(0.9), _NORMAL.inv_cdf(0.99))
        low, high = math.log(target.p50), math.log(target.p99)
        for _ in range(60):
            middle = (low + high) / 2
            if self._lengths(_GRID, middle).mean() < target.mean:
                low = middle
            else:
                high = middle
        self._log_p90 = low

    def _lengths(self, scores: np.ndarray, log_p90: float) -> np.ndarray:
        """Continuous lengths; beyond the outer knots the last slopes go on."""
        _, _, z90, z99 = self._scores
        median, top = math.log(self.target.p50), math.log(self.target.p99)
        middle_slope = (log_p90 - median) / z90
        tail_slope = (top - log_p90) / (z99 - z90)
        below = median + scores * middle_slope
        beyond = log_p90 + (np.minimum(scores, TAIL_SCORE) - z90) * tail_slope
        return np.exp(np.where(scores <= z90, below, beyond))

    def draw(self, count: int, rng: np.random.Generator) -> list[int]:
        """``count`` lengths, one from each of as many equal cells of the distribution."""
        cells = (rng.permutation(count) + rng.random(count)) / count
        scores = np.array([_NORMAL.inv_cdf(min(max(c, 1e-9), 1 - 1e-9)) for c in cells.tolist()])
        return [max(1, round(x)) for x in self._lengths(scores, self._log_p90).tolist()]


@dataclass(frozen=True, slots=True, order=True)
class _Tail:
    """The last request of a conversation, by the tokens that a follow-up must exceed."""

    tokens: int
    index: int


def generate(requests: int, qps: float, seed: int,
             target: WorkloadStatistics = QWEN_BAILIAN_A) -> Workload:
    """A workload of so many requests; the same arguments give the same one."""
    require_int("requests", requests, 1, 10_000_000)
    require_int("seed", seed, 0, (1 << 63) - 1)
    check_rate(qps)
    rng = np.random.Generator(np.random.PCG64(seed))
    gaps = rng.exponential(1.0, requests)
    scale = requests / gaps.sum() / qps         # the mean rate is met, not only expected
    arrivals = [round(t * PS_PER_SECOND) for t in (np.cumsum(gaps) * scale).tolist()]
    inputs = LengthDistribution(target.input).draw(requests, rng)
    outputs = LengthDistribution(target.output).draw(requests, rng)
    choices = rng.random(requests).tolist()
    rows = _link_turns(arrivals, inputs, outputs, choices, target)
    return Workload(
        requests=tuple(rows), block_tokens=BLOCK_TOKENS,
        source={"kind": "generated", "fitted_to": target.name, "requests": requests, "qps": qps,
                "seed": seed, "statistics": asdict(target)})


def _link_turns(arrivals: Sequence[int], inputs: Sequence[int], outputs: Sequence[int],
                choices: Sequence[float], target: WorkloadStatistics) -> list[Request]:
    rows: list[Request] = []
    tails: list[_Tail] = []                     # open conversations, shortest first
    young: deque[int] = deque()                 # requests whose follow-up would come too early
    next_id = follow_ups = 0
    for index, arrival in enumerate(arrivals):
        while young and arrivals[young[0]] + LEAST_GAP_S * PS_PER_SECOND <= arrival:
            old = young.popleft()
            bisect.insort(tails, _Tail(inputs[old] + outputs[old], old))
        fitting = bisect.bisect_left(tails, _Tail(inputs[index], -1))
        shared: tuple[int, ...] = ()
        wanted = follow_ups < target.follow_up_share * (index + 1)
        if fitting and wanted and inputs[index] >= target.input.p50:
            back = int(choices[index] * max(1, CONTINUE_LONGEST_SHARE * fitting))
            parent = tails.pop(fitting - 1 - back).index
            shared = rows[parent].block_ids[:inputs[parent] // BLOCK_TOKENS]
            follow_ups += 1
        new = -(-inputs[index] // BLOCK_TOKENS) - len(shared)
        rows.append(Request(arrival_ps=arrival, input_tokens=inputs[index],
                            output_tokens=outputs[index],
                            block_ids=(*shared, *range(next_id, next_id + new)),
                            origin=f"generated request {index}"))
        next_id += new
        young.append(index)
    return rows


@dataclass(frozen=True, kw_only=True)
class FitRow:
    """A published statistic beside the one that was produced."""

    name: str
    published: float
    produced: float

    @property
    def error(self) -> float:
        """Relative difference."""
        return self.produced / self.published - 1


def measure_fit(workload: Workload, qps: float,
                target: WorkloadStatistics = QWEN_BAILIAN_A) -> list[FitRow]:
    """Statistics of a workload beside the published ones (the rate: beside the requested one)."""
    rows = [FitRow(name="requests/s", published=qps, produced=workload.native_qps)]
    for name, wanted in (("input", target.input), ("output", target.output)):
        lengths = np.array([getattr(r, f"{name}_tokens") for r in workload.requests])
        produced = {"mean": lengths.mean(), "p50": np.percentile(lengths, 50),
                    "p99": np.percentile(lengths, 99)}
        rows += [FitRow(name=f"{name} tokens, {key}", published=getattr(wanted, key),
                        produced=float(value)) for key, value in produced.items()]
    seen: set[int] = set()
    accesses = hits = follow_ups = 0
    for request in workload.requests:
        resident = sum(block in seen for block in request.block_ids)
        accesses += len(request.block_ids)
        hits += resident
        follow_ups += resident > 0
        seen.update(request.block_ids)
    rows.append(FitRow(name="follow-up share", published=target.follow_up_share,
                       produced=follow_ups / len(workload.requests)))
    rows.append(FitRow(name="ideal hit rate", published=target.ideal_hit_rate,
                       produced=hits / accesses))
    return rows
