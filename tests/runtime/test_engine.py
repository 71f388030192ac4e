"""The serving engine: hand-computed runs, conservation, and equal results however it advances."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.spec.errors import UserError
from runtime.engine import Engine
from runtime.experiment import encode
from runtime.generator import generate
from runtime.metrics import summarise
from runtime.serving import EngineConfig, EngineResult
from runtime.systems import SYSTEMS
from tests.runtime.common import system_named, table_in, unshared, workload_of


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_in(tmp_path_factory.mktemp("cycles"))


def run(system, workload, **config) -> EngineResult:
    return Engine(system, workload, EngineConfig(**config)).run()


def test_one_request_alone_takes_the_sum_of_its_steps_on_the_gpu(table):
    system = system_named("gpu", table)
    gpu = system.gpu
    served = run(system, unshared([(1.0, 1000, 4)])).served[0]

    def dense(tokens, logits):
        step = gpu.dense(tokens, logits)
        return step.matrix.ps + step.elementwise.ps + step.reduce.ps

    prefill = (dense(512, 0) + gpu.prefill_attention(512, 0).ps
               + dense(488, 1) + gpu.prefill_attention(488, 512).ps)
    assert served.first_token_ps == 10**12 + prefill
    decode = 3 * dense(1, 1) + gpu.decode_ps_per_token * (1001 + 1002 + 1003)
    assert served.finished_ps == served.first_token_ps + decode


def test_one_request_alone_crosses_into_a_new_wave_when_its_context_does(table):
    system = system_named("tokenstack_base", table)
    served = run(system, unshared([(0.0, 510, 6)])).served[0]
    assert system.pim is not None
    step = system.gpu.dense(1, 1)
    fixed = step.matrix.ps + step.elementwise.ps + system.gpu.vector_exchange(1).ps
    # contexts 511 and 512 are two waves, 513 to 515 three
    attention = 32 * 1000 * (2 * system.pim.layer([2]).cycles + 3 * system.pim.layer([3]).cycles)
    assert served.finished_ps - served.first_token_ps == 5 * fixed + attention


def test_a_request_with_one_output_token_ends_with_its_prefill(table):
    served = run(system_named("gpu", table), unshared([(0.0, 100, 1)])).served[0]
    assert served.finished_ps == served.first_token_ps > 0


def test_a_fully_cached_prompt_still_computes_its_last_token(table):
    ids = tuple(range(4))
    result = run(system_named("gpu", table), workload_of([(0, 64, 2, ids), (9, 64, 2, ids)]))
    assert result.counts["prefill_tokens"] == 64 + 1
    assert result.served[1].prefix_hit_tokens == 64


def test_a_hit_in_the_capacity_tier_is_promoted_and_its_time_charged(table):
    ids = tuple(range(20))
    rows = [(0, 320, 2, ids), (5, 320, 2, tuple(range(100, 120))), (9, 320, 2, ids)]
    system = system_named("tokenstack_base", table, tiers=(24, 100))
    result = run(system, workload_of(rows))
    assert result.counts["hits_capacity"] + result.counts["hits_pim"] == 20
    assert result.counts["hits_capacity"] >= 17
    assert result.counts["promoted_kv_blocks"] == result.counts["hits_capacity"]
    assert system.dma is not None
    up = system.dma.cycles(result.counts["promoted_kv_blocks"], "capacity_to_pim") * 1000
    assert 0 < up < result.counts["dma_busy_ps"] == result.time_ps["dma_wait"]


def test_an_overlapping_dma_delays_only_the_request_that_waits_for_it(table):
    ids = tuple(range(20))
    rows = [(0, 320, 2, ids), (5, 320, 2, tuple(range(100, 120))), (9, 320, 2, ids)]
    system = system_named("tokenstack_base", table, tiers=(24, 100))
    strict, overlapping = (run(system, workload_of(rows), dma_overlap=o) for o in (False, True))
    assert overlapping.time_ps["dma_wait"] == 0
    assert [s.finished_ps for s in strict.served] == [s.finished_ps for s in overlapping.served]


def test_the_batch_limit_and_the_capacity_hold_requests_back_in_order(table):
    rows = [(0, 64, 40)] * 6
    for system, config in ((system_named("gpu", table), {"max_batch": 2}),
                           (system_named("gpu", table, tiers=(14,)), {})):
        served = run(system, unshared(rows), **config).served
        admitted = [s.admitted_ps for s in served]
        assert admitted == sorted(admitted)
        assert admitted[0] == admitted[1] == 0
        assert admitted[2] >= min(s.finished_ps for s in served[:2])


def test_waits_are_told_by_what_caused_them(table):
    rows = [(0, 64, 40)] * 6
    for cause, system, config in (
            ("batch", system_named("gpu", table), {"max_batch": 2}),
            ("capacity", system_named("gpu", table, tiers=(14,)), {})):
        result = run(system, unshared(rows), **config)
        waited = sum(s.admitted_ps - s.request.arrival_ps for s in result.served)
        assert +result.waits_ps == {cause: waited}
    late = run(system_named("gpu", table), unshared([(0, 2000, 40), (0.001, 64, 40)]))
    assert set(+late.waits_ps) == {"step"}


def test_a_request_that_never_fits_is_refused_before_the_run_with_its_origin(table):
    system = system_named("gpu", table, tiers=(14,))
    with pytest.raises(UserError, match=r"^row 1: input_length \+ output_length: expected at most "
                       r"224 tokens, all that gpu holds in its hbm tier with llama-3-8b, not 225"):
        Engine(system, unshared([(0, 10, 10), (0, 200, 25)]), EngineConfig())


@pytest.mark.parametrize("bad", [{"max_batch": 0}, {"step_tokens": 64}, {"eviction": "x"}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(UserError, match=f"^{next(iter(bad))}: expected"):
        EngineConfig(**bad)


def check_conservation(system, workload, result):
    assert [s.request for s in result.served] == list(workload.requests)
    outputs = sum(r.output_tokens for r in workload.requests)
    assert result.counts["decode_tokens"] + len(workload.requests) == outputs
    computed = sum(max(1, r.input_tokens - s.prefix_hit_tokens)
                   for r, s in zip(workload.requests, result.served, strict=True))
    assert result.counts["prefill_tokens"] == computed
    attended = sum(sum(r.input_tokens + k for k in range(1, r.output_tokens))
                   for r in workload.requests)
    assert result.counts["context_tokens"] == attended
    for s in result.served:
        assert s.request.arrival_ps <= s.admitted_ps < s.first_token_ps <= s.finished_ps
    first = workload.requests[0].arrival_ps
    span = max(s.finished_ps for s in result.served) - first
    assert sum(result.time_ps.values()) <= span
    assert sum(result.waits_ps.values()) == sum(
        s.admitted_ps - s.request.arrival_ps for s in result.served)
    hits = sum(result.counts[f"hits_{t.name}"] for t in system.tiers)
    assert hits <= result.counts["prompt_blocks"]


@st.composite
def workloads(draw):
    """Few chats with growing prompts, arriving in bursts or far apart."""
    rows, time = [], 0.0
    for _ in range(draw(st.integers(1, 14))):
        time += draw(st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.3]))
        tokens = draw(st.integers(1, 1100))
        chat = draw(st.integers(0, 3))
        rows.append((time, tokens, draw(st.integers(1, 90)),
                     tuple(100 * chat + k for k in range(-(-tokens // 16)))))
    return workload_of(rows)


@settings(max_examples=60, deadline=None)
@given(workload=workloads(), name=st.sampled_from(sorted(SYSTEMS)), tight=st.booleans(),
       overlap=st.booleans(), batch=st.sampled_from([1, 3, 64]),
       eviction=st.sampled_from(["lru", "fifo"]))
def test_closed_form_equals_step_by_step_and_nothing_is_lost(
        table, workload, name, tight, overlap, batch, eviction):
    tiers = (() if not tight else (90, 70) if name == "tokenstack_base" else (90,))
    system = system_named(name, table, tiers=tiers)
    config = {"max_batch": batch, "dma_overlap": overlap, "eviction": eviction}
    fast = Engine(system, workload, EngineConfig(**config))
    result = fast.run()
    check_conservation(system, workload, result)
    fast.store.check()
    assert fast.store.busy == 0
    slow = run(system, workload, closed_form=False, **config)
    assert encode(summarise(system, result)) == encode(summarise(system, slow))
    assert result.served == slow.served


@pytest.mark.parametrize("name", SYSTEMS)
def test_closed_form_equals_step_by_step_on_a_generated_hour_in_small(table, name):
    system, workload = system_named(name, table), generate(60, 6.0, 3)
    assert encode(summarise(system, run(system, workload))) == encode(
        summarise(system, run(system, workload, closed_form=False)))


def test_little_s_law_holds_for_a_run(table):
    system, workload = system_named("gpu", table), generate(300, 4.0, 1)
    result = run(system, workload)
    record = summarise(system, result)
    moments = sorted([(s.admitted_ps, 1) for s in result.served]
                     + [(s.finished_ps, -1) for s in result.served])
    area = running = 0
    for (now, change), (following, _) in pairwise(moments):
        running += change
        area += running * (following - now)
    span = moments[-1][0] - workload.requests[0].arrival_ps
    assert record["mean_running_requests"] == pytest.approx(area / span)


def test_faster_attention_never_slows_a_lone_request(table):
    rows = unshared([(0.0, 40_000, 100)])
    gpu, base, attacc = (run(system_named(n, table), rows).served[0] for n in
                         ("gpu", "tokenstack_base", "attacc_split4"))
    assert base.finished_ps - base.first_token_ps < gpu.finished_ps - gpu.first_token_ps
    # a fifth of the bandwidth for weights costs more than PIM attention gains
    assert attacc.finished_ps - attacc.first_token_ps > gpu.finished_ps - gpu.first_token_ps


def test_a_replaced_clock_scales_attention_alone(table):
    system = system_named("tokenstack_base", table)
    slow = replace(system, clock_ps=2000)
    rows = unshared([(0.0, 600, 50)])
    fast_result, slow_result = run(system, rows), run(slow, rows)
    assert fast_result.time_ps["matrix"] == slow_result.time_ps["matrix"]
    exchange = 49 * system.gpu.vector_exchange(1).ps
    assert (slow_result.time_ps["decode_attention"] - exchange
            == 2 * (fast_result.time_ps["decode_attention"] - exchange))
