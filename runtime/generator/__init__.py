"""Seeded stand-ins for serving traces that cannot be shipped, fitted to what is published of them.

docs/workloads.md shows the fit and says what is not published and therefore our choice.
"""

from dataclasses import asdict

from model.spec.errors import require_int
from runtime.generator.fit import FitRow, measure_fit
from runtime.generator.lengths import LengthDistribution
from runtime.generator.statistics import (
    BLOCK_TOKENS,
    QWEN_BAILIAN_A,
    QWEN_BAILIAN_B,
    QWEN_BAILIAN_CODER,
    QWEN_BAILIAN_THINKING,
    WORKLOADS,
    WorkloadStatistics,
    workload_statistics,
)
from runtime.generator.stream import GeneratedStream
from runtime.workload import Workload, check_rate

__all__ = ["BLOCK_TOKENS", "QWEN_BAILIAN_A", "QWEN_BAILIAN_B", "QWEN_BAILIAN_CODER",
           "QWEN_BAILIAN_THINKING", "WORKLOADS", "FitRow", "LengthDistribution",
           "WorkloadStatistics", "generate", "measure_fit", "workload_statistics"]

HELD_REQUESTS = 20_000
"""Up to so many requests are made once and held; more are made anew each time."""


def generate(requests: int, qps: float, seed: int, target: WorkloadStatistics = QWEN_BAILIAN_A,
             *, distance_scale: float = 1.0) -> Workload:
    """A workload of so many requests; the same arguments give the same one.

    ``distance_scale`` multiplies the reuse distances of the published trace: a shorter workload
    scaled by its share of the requests has the same LRU hit rates at the same shares of its blocks.
    """
    require_int("requests", requests, 1, 10_000_000)
    require_int("seed", seed, 0, (1 << 63) - 1)
    check_rate(qps)
    stream = GeneratedStream(target, requests, qps, seed, distance_scale)
    return Workload(
        requests=tuple(stream) if requests <= HELD_REQUESTS else stream,
        block_tokens=BLOCK_TOKENS,
        source={"kind": "generated", "fitted_to": target.name, "requests": requests, "qps": qps,
                "seed": seed, "distance_scale": distance_scale, "statistics": asdict(target)})
