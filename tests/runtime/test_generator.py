"""The generated workload stays within stated tolerances of the published statistics."""

import numpy as np
import pytest

from model.spec.errors import UserError
from runtime.generator import QWEN_BAILIAN_A, LengthDistribution, generate, measure_fit

TOLERANCE = {
    # name: (20,000 requests, 400 requests); the 99th percentile of 400 rests on 4 of them
    "requests/s": (0.01, 0.01), "input tokens, mean": (0.01, 0.02),
    "input tokens, p50": (0.01, 0.02), "input tokens, p99": (0.02, 0.10),
    "output tokens, mean": (0.01, 0.02), "output tokens, p50": (0.01, 0.02),
    "output tokens, p99": (0.02, 0.10), "follow-up share": (0.02, 0.03),
    "ideal hit rate": (0.05, 0.15),
}


@pytest.mark.parametrize(("requests", "qps", "seed", "column"), [
    (20_000, QWEN_BAILIAN_A.qps, 1, 0), (400, 4.0, 1, 1), (400, 4.0, 2, 1), (1000, 4.0, 3, 1)])
def test_the_fit_is_within_tolerance(requests, qps, seed, column):
    fit = measure_fit(generate(requests, qps, seed), qps)
    assert {row.name for row in fit} == set(TOLERANCE)
    off = {row.name: row.error for row in fit if abs(row.error) > TOLERANCE[row.name][column]}
    assert not off


def test_the_length_distribution_is_monotone_and_meets_its_mean():
    for target in (QWEN_BAILIAN_A.input, QWEN_BAILIAN_A.output):
        distribution = LengthDistribution(target)
        scores = np.linspace(-4, 4, 400)
        lengths = distribution._lengths(scores, distribution._log_p90)
        assert (np.diff(lengths) >= 0).all()
        assert lengths.min() > 0


def test_the_same_seed_gives_the_same_workload_and_another_seed_another():
    first, again, other = (generate(200, 4.0, seed) for seed in (5, 5, 6))
    assert first == again
    assert first.requests != other.requests


def test_equal_ids_mean_an_equal_prefix():
    parents = {}
    for request in generate(600, 4.0, 1).requests:
        assert len(request.block_ids) == -(-request.input_tokens // 16)
        for position, block in enumerate(request.block_ids):
            prefix = request.block_ids[:position]
            assert parents.setdefault(block, prefix) == prefix


def test_arrivals_are_in_order_and_a_follow_up_never_comes_at_once():
    requests = generate(600, 4.0, 1).requests
    assert [r.arrival_ps for r in requests] == sorted(r.arrival_ps for r in requests)
    first_seen, follow_ups = {}, 0
    for request in requests:
        origin = first_seen.setdefault(request.block_ids[0], request)
        if origin is not request:
            follow_ups += 1
            assert request.arrival_ps - origin.arrival_ps >= 10 * 10**12
    assert follow_ups > 200


@pytest.mark.parametrize(("requests", "qps", "seed", "message"), [
    (0, 4.0, 1, "requests"), (10, 0.0, 1, "qps"), (10, float("nan"), 1, "qps"),
    (10, 4.0, -1, "seed")])
def test_impossible_arguments_are_refused_by_name(requests, qps, seed, message):
    with pytest.raises(UserError, match=f"^{message}: expected"):
        generate(requests, qps, seed)
