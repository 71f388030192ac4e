"""How near a workload is to the published statistics."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from runtime.generator.statistics import LRU_SHARES, QWEN_BAILIAN_A, WorkloadStatistics
from runtime.workload import Request, Workload


@dataclass(frozen=True, kw_only=True)
class FitRow:
    """A published statistic beside the one that was produced."""

    name: str
    published: float
    produced: float

    @property
    def error(self) -> float:
        """Relative difference; absolute where nothing is published to relate it to."""
        return self.produced / self.published - 1 if self.published else self.produced


def measure_fit(workload: Workload, qps: float, target: WorkloadStatistics = QWEN_BAILIAN_A, *,
                reuse_distance: bool = False) -> list[FitRow]:
    """Statistics of a workload beside the published ones (the rate: beside the requested one).

    ``reuse_distance`` adds the LRU hit rates, which are those of the whole trace: they mean
    something only if the workload is as long, or was made with scaled distances.
    """
    inputs, outputs, follow_ups, accesses = [], [], 0, 0
    seen: set[int] = set()
    for request in workload.requests:
        inputs.append(request.input_tokens)
        outputs.append(request.output_tokens)
        follow_ups += request.parent >= 0
        accesses += len(request.block_ids)
        seen.update(request.block_ids)
    rows = [FitRow(name="requests/s", published=qps, produced=workload.native_qps)]
    for name, lengths, wanted in (("input", inputs, target.input),
                                  ("output", outputs, target.output)):
        rows += [FitRow(name=f"{name} tokens, {key}", published=published, produced=produced)
                 for key, published, produced in (
                     ("mean", wanted.mean, float(np.mean(lengths))),
                     ("p50", wanted.p50, float(np.percentile(lengths, 50))),
                     ("p99", wanted.p99, float(np.percentile(lengths, 99))))]
    rows.append(FitRow(name="follow-up share", published=target.follow_up_share,
                       produced=follow_ups / len(inputs)))
    rows.append(FitRow(name="ideal hit rate", published=target.ideal_hit_rate,
                       produced=1 - len(seen) / accesses))
    if reuse_distance:
        for share, rate in zip(LRU_SHARES, target.lru_hit_rates, strict=True):
            hits = _lru_hits(workload.requests, max(1, round(share * len(seen))))
            rows.append(FitRow(name=f"LRU hit rate at {share:.0%} of the blocks",
                               published=rate, produced=hits / accesses))
    return rows


def _lru_hits(requests: Iterable[Request], capacity: int) -> int:
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for request in requests:
        for block in request.block_ids:
            if block in held:
                hits += 1
                held.move_to_end(block)
                continue
            if len(held) == capacity:
                held.popitem(last=False)
            held[block] = None
    return hits
