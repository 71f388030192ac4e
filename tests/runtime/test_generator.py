"""The generated workload stays within stated tolerances of the published statistics."""

import numpy as np
import pytest

from model.spec.errors import UserError
from runtime.generator import (
    QWEN_BAILIAN_A,
    WORKLOADS,
    LengthDistribution,
    generate,
    measure_fit,
    workload_statistics,
)
from runtime.generator.stack import Prompt, Stack
from runtime.generator.stream import GeneratedStream
from runtime.policies import EVICTION_POLICIES
from runtime.policies.replay import prompts, replay_flat

TOLERANCE = {
    # name: (8,000 requests, 400 requests); the 99th percentile of 400 rests on 4 of them
    "requests/s": (0.01, 0.01), "input tokens, mean": (0.01, 0.02),
    "input tokens, p50": (0.01, 0.02), "input tokens, p99": (0.02, 0.10),
    "output tokens, mean": (0.01, 0.02), "output tokens, p50": (0.01, 0.02),
    "output tokens, p99": (0.02, 0.10), "follow-up share": (0.02, 0.03),
    # 400 requests begin with 60 that are too young to be followed: nothing makes up for them.
    "ideal hit rate": (0.02, 0.20),
}


@pytest.mark.parametrize(("requests", "qps", "seed", "column"), [
    (8_000, QWEN_BAILIAN_A.qps, 1, 0), (400, 4.0, 1, 1), (400, 4.0, 2, 1), (1000, 4.0, 3, 1)])
def test_the_fit_is_within_tolerance(requests, qps, seed, column):
    fit = measure_fit(generate(requests, qps, seed), qps)
    assert {row.name for row in fit} == set(TOLERANCE)
    off = {row.name: row.error for row in fit if abs(row.error) > TOLERANCE[row.name][column]}
    assert not off


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_trace_is_fitted_with_its_reuse_distances(name):
    """A shortened trace: distances are scaled by its share of the requests."""
    target = workload_statistics(name)
    workload = generate(4000, target.qps, 1, target, distance_scale=4000 / target.requests)
    fit = measure_fit(workload, target.qps, target, reuse_distance=True)
    assert len(fit) == 14
    # The 99th percentile of 4000 rests on 40 of them.
    off = {row.name: row.error for row in fit
           if abs(row.error) > (0.03 if "p99" in row.name else 0.01)}
    assert not off


def test_the_lru_rates_of_the_fit_are_those_of_the_policy():
    target = workload_statistics("qwen-bailian-thinking")
    workload = generate(300, 1.5, 4, target, distance_scale=300 / target.requests)
    fit = {row.name: row.produced for row in measure_fit(workload, 1.5, target,
                                                         reuse_distance=True)}
    stream = list(prompts(workload.requests))
    accesses = sum(len(blocks) for _, blocks in stream)
    distinct = len({block for _, blocks in stream for block in blocks})
    assert fit["LRU hit rate at 5% of the blocks"] == replay_flat(
        stream, round(0.05 * distinct), EVICTION_POLICIES["lru"]()) / accesses
    assert fit["ideal hit rate"] == 1 - distinct / accesses


def test_the_stack_knows_how_many_blocks_ago_a_prompt_was_used():
    stack = Stack(reach=1000)
    for index, blocks in enumerate((10, 20, 30, 40)):
        stack.push(Prompt(index, [(100 * index, blocks)], 16 * blocks, 1, index, 1))
    assert [stack.distance_of(k) for k in range(4)] == [100, 90, 70, 40]
    assert [stack.place_of(d) for d in (1, 40, 41, 70, 71, 100, 500)] == [3, 3, 2, 2, 1, 0, 0]
    stack.take(2, 25)
    assert stack.at(2) is None
    assert [stack.distance_of(k) for k in range(4)] == [75, 65, 45, 40]


def test_the_stack_forgets_what_is_out_of_reach_and_nothing_else():
    stack = Stack(reach=500)
    for index in range(10_000):
        stack.push(Prompt(index, [(index, 1)], 16, 1, index, 1))
    assert stack.at(stack.place_of(300)).index == 10_000 - 300
    assert stack.at(stack.place_of(1)).index == 9_999
    assert len(stack) < 9000


def test_many_requests_are_made_lazily_and_alike_each_time():
    workload = generate(21_000, 24.0, 3, workload_statistics("qwen-bailian-b"))
    assert isinstance(workload.requests, GeneratedStream)
    assert len(workload.requests) == 21_000
    first = [next(iter(workload.requests)) for _ in range(2)]
    assert first[0] == first[1]
    assert workload.native_qps == pytest.approx(24.0, rel=1e-3)
    rows = list(workload.requests)
    assert len(rows) == 21_000
    for known, made in ((workload.first, rows[0]), (workload.last, rows[-1]),
                        (workload.longest, max(rows, key=lambda r: r.kv_blocks))):
        assert (known.arrival_ps, known.kv_blocks, known.origin) == (
            made.arrival_ps, made.kv_blocks, made.origin)
    faster = workload.at_rate(48.0)
    assert next(iter(faster.requests)).arrival_ps == 0
    assert faster.native_qps == pytest.approx(48.0, rel=1e-6)


def test_conversations_are_chains_of_turns():
    rows = generate(1500, 5.98, 1).requests
    for request in rows:
        if request.parent < 0:
            assert (request.turn, request.session) == (1, request.chat)
            continue
        parent = rows[request.parent]
        assert (request.turn, request.session) == (parent.turn + 1, parent.session)
        whole = parent.input_tokens // 16
        assert request.block_ids[:whole] == parent.block_ids[:whole]
        assert request.input_tokens > parent.input_tokens + parent.output_tokens
        assert request.arrival_ps - parent.arrival_ps > 0
    assert max(r.turn for r in rows) > 3


def test_an_unknown_generator_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'qwen-bailian-coder'"):
        workload_statistics("qwen-bailian-code")


def test_the_length_distribution_is_monotone_and_meets_its_mean():
    for target in (t for s in WORKLOADS.values() for t in (s.input, s.output)):
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
    gaps = [r.arrival_ps - requests[r.parent].arrival_ps for r in requests if r.parent >= 0]
    assert len(gaps) > 200
    # 10 s at 5.98 requests/s are 60 requests, which take 15 s on average at 4.
    assert min(gaps) >= 7 * 10**12


@pytest.mark.parametrize(("requests", "qps", "seed", "message"), [
    (0, 4.0, 1, "requests"), (10, 0.0, 1, "qps"), (10, float("nan"), 1, "qps"),
    (10, 4.0, -1, "seed")])
def test_impossible_arguments_are_refused_by_name(requests, qps, seed, message):
    with pytest.raises(UserError, match=f"^{message}: expected"):
        generate(requests, qps, seed)
