"""Published statistics of the four Qwen-Bailian traces, which generated workloads are fitted to."""

from dataclasses import dataclass

from model.spec.errors import unknown_name

BLOCK_TOKENS = 16
"""Tokens of a Qwen-Bailian hash block."""

LRU_SHARES = (0.01, 0.05, 0.10, 0.25, 0.50)
"""Cache sizes of the published LRU hit rates, in shares of the different blocks."""

_SOURCE = ("qwen-bailian-usagetraces-anon {}: {:,} requests in two hours, as published with "
           "Wang et al., USENIX ATC'25 (arXiv 2506.02634) and in a public analysis of the files")


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
    requests : int
        Requests of the whole trace.
    qps : float
        Requests a second.
    input, output : LengthStatistics
    follow_up_share : float
        Share of requests that continue an earlier one.
    ideal_hit_rate : float
        Prompt blocks that an infinite cache would hold.
    lru_hit_rates : tuple of float
        Those of an LRU cache of each of ``LRU_SHARES``: how far apart reuses lie.
    """

    name: str
    source: str
    requests: int
    qps: float
    input: LengthStatistics
    output: LengthStatistics
    follow_up_share: float
    ideal_hit_rate: float
    lru_hit_rates: tuple[float, ...]

    @property
    def distinct_blocks(self) -> float:
        """Different blocks of the whole trace, from its other figures."""
        accesses = self.requests * (self.input.mean / BLOCK_TOKENS + 0.5)
        return accesses * (1 - self.ideal_hit_rate)


QWEN_BAILIAN_A = WorkloadStatistics(
    name="qwen-bailian-a", source=_SOURCE.format("trace A (chat)", 43_058),
    requests=43_058, qps=5.98,
    input=LengthStatistics(mean=2331, p50=1046, p99=14_359),
    output=LengthStatistics(mean=430, p50=375, p99=1_641),
    follow_up_share=0.463, ideal_hit_rate=0.579,
    lru_hit_rates=(0.176, 0.410, 0.500, 0.562, 0.578))

QWEN_BAILIAN_B = WorkloadStatistics(
    name="qwen-bailian-b", source=_SOURCE.format("trace B (API)", 172_800),
    requests=172_800, qps=24.0,
    input=LengthStatistics(mean=915, p50=574, p99=6_294),
    output=LengthStatistics(mean=92, p50=39, p99=1_006),
    follow_up_share=0.0, ideal_hit_rate=0.542,
    lru_hit_rates=(0.462, 0.516, 0.528, 0.537, 0.541))

QWEN_BAILIAN_CODER = WorkloadStatistics(
    name="qwen-bailian-coder", source=_SOURCE.format("trace coder", 43_011),
    requests=43_011, qps=5.97,
    input=LengthStatistics(mean=5748, p50=4540, p99=14_406),
    output=LengthStatistics(mean=808, p50=469, p99=5_835),
    follow_up_share=0.386, ideal_hit_rate=0.664,
    lru_hit_rates=(0.404, 0.553, 0.604, 0.645, 0.660))

QWEN_BAILIAN_THINKING = WorkloadStatistics(
    name="qwen-bailian-thinking", source=_SOURCE.format("trace thinking", 10_812),
    requests=10_812, qps=1.50,
    input=LengthStatistics(mean=4763, p50=3680, p99=24_962),
    output=LengthStatistics(mean=3651, p50=1665, p99=34_529),
    follow_up_share=0.111, ideal_hit_rate=0.462,
    lru_hit_rates=(0.367, 0.430, 0.445, 0.457, 0.460))

WORKLOADS: dict[str, WorkloadStatistics] = {s.name: s for s in (
    QWEN_BAILIAN_A, QWEN_BAILIAN_B, QWEN_BAILIAN_CODER, QWEN_BAILIAN_THINKING)}


def workload_statistics(name: str) -> WorkloadStatistics:
    """The statistics of that name."""
    if name not in WORKLOADS:
        raise unknown_name("generator", name, WORKLOADS)
    return WORKLOADS[name]
