"""The service-level objective: how many requests meet it, and up to which rate enough do.

A request meets it if its TTFT and its TPOT are at most ``factor`` times what the same request takes
alone on one reference system, with nothing in its caches. Requests of a single token have no TPOT.
A system's capacity is the highest rate at which at least ``share`` of them do.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from model.spec.errors import SpecError

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Slo:
    """The objective, and how closely its rate is searched.

    Attributes
    ----------
    reference : str
        System whose unloaded latencies are the measure for all.
    factor, share : float
    low, high : float
        Rates between which capacity is searched; none below or above is told apart.
    tolerance : float
        Ratio of two rates within which the answer lies.
    """

    reference: str
    factor: float = 2.0
    share: float = 0.9
    low: float = 1 / 64
    high: float = 1024.0
    tolerance: float = 1.05

    def __post_init__(self) -> None:
        if not self.factor >= 1:
            raise SpecError("slo-factor", self.factor, "a factor of 1 or more")
        if not 0 < self.share <= 1:
            raise SpecError("slo-share", self.share, "a share above 0 and up to 1")
        if not self.tolerance > 1:
            raise SpecError("tolerance", self.tolerance, "a ratio above 1")


def met(slo: Slo, unloaded: Record, loaded: Record) -> list[bool]:
    """For each request, whether it meets the objective; latencies lie in ``latency_us``."""
    limits, times = unloaded["latency_us"], loaded["latency_us"]
    return [first <= slo.factor * first_alone
            and (token is None or token_alone is None or token <= slo.factor * token_alone)
            for first, token, first_alone, token_alone in zip(
                times["ttft"], times["tpot"], limits["ttft"], limits["tpot"], strict=True)]


def share_met(slo: Slo, unloaded: Record, loaded: Record) -> float:
    """Share of requests that meet the objective."""
    verdicts = met(slo, unloaded, loaded)
    return sum(verdicts) / len(verdicts)


@dataclass(frozen=True)
class Capacity:
    """The result of a search: the answer lies between ``holds`` and ``fails``.

    ``holds`` is 0 if not even the lowest rate of the search does; ``fails`` is None if the highest
    does.
    """

    holds: float
    fails: float | None
    tried: Sequence[tuple[float, float]]


def search(slo: Slo, start: float) -> Generator[float, float, Capacity]:
    """Bisection on a logarithmic scale: yields rates, is sent the share that met the objective.

    From ``start`` it doubles or halves until one rate holds and one fails.
    """
    tried: list[tuple[float, float]] = []
    holds, fails, rate = 0.0, None, min(max(start, slo.low), slo.high)
    while True:
        share = yield rate
        tried.append((rate, share))
        if share >= slo.share:
            holds = rate
            if rate >= slo.high:
                break
        else:
            fails = rate
            if rate <= slo.low:
                break
        if fails is None:
            rate = min(2 * holds, slo.high)
        elif not holds:
            rate = max(fails / 2, slo.low)
        elif fails / holds <= slo.tolerance:
            break
        else:
            rate = _between(holds, fails)
    return Capacity(holds, fails, tuple(tried))


def _between(low: float, high: float) -> float:
    """The geometric mean, cut to six digits, so that a rate's text is the same everywhere."""
    return float(f"{(low * high) ** 0.5:.6g}")
