"""The serving engine: hand-computed runs, conservation, and the step-by-step reference."""

from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.spec.errors import UserError
from runtime.files import encode
from runtime.generator import generate
from runtime.metrics import summarise
from runtime.models import LLAMA_3_8B
from runtime.policies.placement import PLACEMENT_POLICIES
from runtime.serving import Engine, EngineConfig, EngineResult
from runtime.serving.transfers import Transfers
from runtime.systems import SYSTEMS, ablations
from runtime.tiers.layout import PimLayout
from tests.runtime.common import system_named, table_in, unshared, workload_of
from tests.runtime.reference_steps import ReferenceEngine


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
    served = run(system, unshared([(0.0, 510, 6)]), placement="first_fit").served[0]
    assert system.pim is not None
    fixed = system.gpu.dense(1, 1).ps + system.gpu.vector_exchange(1).ps
    # Contexts 511 and 512 are two waves, 513 to 515 three; all eight heads in the first unit.
    refresh = system.pim.refresh

    def layer(waves):
        return ceil(8 * system.pim.attend.cycles(waves) * refresh)

    attention = 32 * 1000 * (2 * layer(2) + 3 * layer(3))
    assert served.finished_ps - served.first_token_ps == 5 * fixed + attention


def test_a_request_with_one_output_token_ends_with_its_prefill(table):
    served = run(system_named("gpu", table), unshared([(0.0, 100, 1)])).served[0]
    assert served.finished_ps == served.first_token_ps > 0


def test_a_fully_cached_prompt_still_computes_its_last_token(table):
    ids = tuple(range(4))
    result = run(system_named("gpu", table), workload_of([(0, 64, 2, ids), (9, 64, 2, ids)]))
    assert result.counts["prefill_tokens"] == 64 + 1
    assert result.served[1].prefix_hit_tokens == 64


REUSED = workload_of([(0, 320, 2, tuple(range(20))), (5, 320, 2, tuple(range(100, 120))),
                      (9, 320, 2, tuple(range(20)))])
"""The third request finds blocks of the first one where the second one has pushed them."""


def test_a_hit_in_the_capacity_tier_is_promoted_and_its_time_charged(table):
    system = system_named("tokenstack_base", table, tiers=(24, 100, 0))
    result = run(system, REUSED, no_overlap=("dma",))
    counts = result.counts
    assert counts["hits_capacity"] + counts["hits_pim"] == 20
    assert counts["hits_capacity"] >= 16
    assert counts["promoted_kv_blocks"] == counts["hits_capacity"]
    (_, up), = system.routes[1, 0].cost(counts["promoted_kv_blocks"])
    assert 0 < up < counts["dma_busy_ps"]
    # what found its units full was moved to others, by kernels
    spread = counts["hbm_read_busy_ps"] + counts["hbm_write_busy_ps"]
    assert counts["dma_busy_ps"] + spread == result.time_ps["dma_wait"]
    moved = counts["promoted_kv_blocks"] + counts["demoted_kv_blocks"]
    assert counts["migrated_bytes"] == moved * LLAMA_3_8B.kv_block_bytes


def test_an_overlapping_dma_delays_only_the_request_that_waits_for_it(table):
    system = system_named("tokenstack_base", table, tiers=(24, 100, 0))
    strict, overlapping = (run(system, REUSED, no_overlap=o) for o in (("dma",), ()))
    assert overlapping.time_ps["dma_wait"] == 0
    assert [s.finished_ps for s in strict.served] == [s.finished_ps for s in overlapping.served]


def test_a_move_beside_a_step_is_hidden_only_where_the_step_leaves_the_buses_idle(table):
    system = system_named("tokenstack_base", table)
    transfers = Transfers(system, (), EngineResult())
    done = transfers.move(0, {(0, 1): 5})
    assert transfers.stall_ps == 0
    assert transfers.delay(0, idle_ps=done // 3) == done - done // 3
    assert transfers.delay(0, idle_ps=0) == 0                    # charged once
    done = transfers.move(done, {(1, 0): 5})
    assert transfers.delay(done - 7, idle_ps=0) == 7             # the rest was over before


def test_transfers_wait_for_the_resource_that_they_share_and_for_no_other(table):
    system = system_named("tokenstack_base", table)
    transfers = Transfers(system, (), EngineResult())
    first = transfers.move(0, {(0, 1): 5})
    second = transfers.move(0, {(1, 0): 5})
    (_, up), = system.routes[1, 0].cost(5)
    assert second == first + up
    from_host = dict(system.routes[2, 0].cost(5))
    alone = Transfers(system, (), EngineResult()).move(0, {(2, 0): 5})
    assert alone == max(from_host.values()) == from_host["pcie"]
    # beside moves within stacks: its wire is free, the stacks' buses are not
    assert transfers.move(0, {(2, 0): 5}) == second + from_host["pcie"]


def test_without_the_base_die_kernels_move_blocks_and_steps_wait(table):
    system = system_named("tokenstack-no-dma", table, tiers=(24, 100, 0))
    result = run(system, REUSED)
    read, write = result.counts["hbm_read_busy_ps"], result.counts["hbm_write_busy_ps"]
    assert result.time_ps["dma_wait"] == read + write > 0
    assert result.counts["dma_busy_ps"] == result.counts["migrated_bytes"] == 0
    assert result.counts["card_bytes"] > 0


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_requests_that_outgrow_the_tier_are_preempted_and_still_make_every_token(
        table, preemption):
    system = system_named("tokenstack_base", table, tiers=(40, 400, 0))
    workload = unshared([(0, 200, 300)] * 3)
    result = run(system, workload, preemption=preemption)
    check_conservation(system, workload, result)
    assert result.counts["preemptions"] >= 1
    assert (result.counts["swapped_out_kv_blocks"] > 0) == (preemption == "swap")
    assert (result.counts["recomputed_tokens"] > 0) == (preemption == "recompute")
    assert result.counts["swapped_in_kv_blocks"] == result.counts["swapped_out_kv_blocks"]


def test_reserving_everything_at_admission_preempts_nobody(table):
    system = system_named("tokenstack_base", table, tiers=(40, 400, 0))
    result = run(system, unshared([(0, 200, 300)] * 3), preemption="none")
    assert result.counts["preemptions"] == 0
    assert result.served[1].admitted_ps == result.served[0].finished_ps


def test_a_static_batch_admits_nobody_until_it_is_done(table):
    result = run(system_named("gpu", table), unshared([(0, 64, 40), (0, 64, 4), (0.001, 64, 4)]),
                 batching="static")
    first, second, third = result.served
    assert third.admitted_ps == first.finished_ps > second.finished_ps


def test_a_system_as_published_moves_vectors_over_its_link(table):
    result = run(system_named("attacc", table), unshared([(0, 300, 20)]))
    assert result.counts["link_bytes"] == result.counts["pim_io_bytes"] > 0


def test_an_observer_sees_all_time_and_changes_nothing(table):
    class Notes:
        def __init__(self):
            self.spans, self.states, self.blocks = [], [], []

        def span(self, resource, what, start_ps, end_ps, *, busy_ps, steps=1):
            self.spans.append((resource, what, start_ps, end_ps, busy_ps, steps))

        def request(self, index, served, state, start_ps, end_ps):
            self.states.append((index, state, start_ps, end_ps))

        def residency(self, now_ps, kv_blocks, busy):
            self.blocks.append((now_ps, tuple(kv_blocks), busy))

    system, workload = system_named("tokenstack", table), generate(40, 6.0, 3)
    system = replace(system, tiers=tuple(
        replace(t, kv_blocks=n) for t, n in zip(system.tiers, (1500, 700, 50), strict=True)))
    notes = Notes()
    seen = Engine(system, workload, EngineConfig(), notes).run()
    assert encode(summarise(system, seen)) == encode(summarise(system, run(system, workload)))
    assert sum(s[5] for s in notes.spans if s[0] == "gpu") == seen.counts["steps"]
    assert all(start <= start + busy <= end for _, _, start, end, busy, _ in notes.spans)
    assert {s[0] for s in notes.spans} >= {"gpu", "pim.stack0", "pim.stack4"}
    for index, served in enumerate(seen.served):
        mine = [(a, b) for k, _, a, b in notes.states if k == index]
        assert mine[0][0] == served.request.arrival_ps and mine[-1][1] == served.finished_ps
        assert all(a[1] == b[0] for a, b in pairwise(mine))
    assert notes.blocks[-1][2] == 0


def test_the_batch_limit_and_the_capacity_hold_requests_back_in_order(table):
    rows = [(0, 64, 40)] * 6
    for system, config in ((system_named("gpu", table), {"max_batch": 2}),
                           (system_named("gpu", table, tiers=(14,)), {"preemption": "none"})):
        served = run(system, unshared(rows), **config).served
        admitted = [s.admitted_ps for s in served]
        assert admitted == sorted(admitted)
        assert admitted[0] == admitted[1] == 0
        assert admitted[2] >= min(s.finished_ps for s in served[:2])


def test_waits_are_told_by_what_caused_them(table):
    rows = [(0, 64, 40)] * 6
    for cause, system, config in (
            ("batch", system_named("gpu", table), {"max_batch": 2}),
            ("capacity", system_named("gpu", table, tiers=(14,)), {"preemption": "none"})):
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
    counts = result.counts
    assert [s.request for s in result.served] == list(workload.requests)
    outputs = sum(r.output_tokens for r in workload.requests)
    computed = sum(max(1, r.input_tokens - s.prefix_hit_tokens)
                   for r, s in zip(workload.requests, result.served, strict=True))
    attended = sum(sum(r.input_tokens + k for k in range(1, r.output_tokens))
                   for r in workload.requests)
    if counts["preemptions"]:       # a prompt that is computed again makes a token, too
        assert counts["decode_tokens"] + len(workload.requests) <= outputs
        assert counts["prefill_tokens"] <= computed + counts["recomputed_tokens"]
        assert counts["context_tokens"] <= attended
    else:
        assert counts["decode_tokens"] + len(workload.requests) == outputs
        assert counts["prefill_tokens"] == computed
        assert counts["context_tokens"] == attended
    for s in result.served:
        assert s.request.arrival_ps <= s.admitted_ps < s.first_token_ps <= s.finished_ps
    first = workload.requests[0].arrival_ps
    span = max(s.finished_ps for s in result.served) - first
    assert sum(result.time_ps.values()) <= span
    assert sum(result.waits_ps.values()) == sum(
        s.admitted_ps - s.request.arrival_ps for s in result.served)
    hits = sum(counts[f"hits_{t.name}"] for t in system.tiers)
    assert hits <= counts["prompt_blocks"]


def check_nothing_is_left(engine):
    """The store's books balance, and the units hold what the store says."""
    store = engine.store
    store.check()
    assert store.busy == 0
    if isinstance(store.layout, PimLayout):
        units = store.layout.units
        assert not units.load.any() and not units.merging.any() and not units.planned.any()
        resident = sum(e.kv_blocks for e in store.entries.values() if e.tier == 0)
        assert ((units.capacity - units.free).sum()
                == (resident + store.copies.used) * units.heads)


def check_against_reference(system, workload, **config):
    """Runs both engines; every byte of the results must be the same."""
    settings = EngineConfig(**config)
    fast, slow = Engine(system, workload, settings), ReferenceEngine(system, workload, settings)
    result = fast.run()
    check_conservation(system, workload, result)
    check_nothing_is_left(fast)
    reference = slow.run()
    assert encode(summarise(system, result)) == encode(summarise(system, reference))
    assert result.served == reference.served
    return result


@st.composite
def workloads(draw):
    """Few chats with growing prompts, arriving in bursts or far apart."""
    rows, time = [], 0.0
    for _ in range(draw(st.integers(1, 14))):
        time += draw(st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.3]))
        tokens = draw(st.one_of(st.integers(1, 200), st.integers(1, 1100)))
        chat = draw(st.integers(0, 3))
        rows.append((time, tokens, draw(st.integers(1, 90)),
                     tuple(100 * chat + k for k in range(-(-tokens // 16)))))
    return workload_of(rows)


@settings(max_examples=50, deadline=None)
@given(workload=workloads(), name=st.sampled_from(sorted((*SYSTEMS, *ablations()))),
       tiers=st.none() | st.tuples(st.sampled_from([76, 80, 140]), st.sampled_from([10, 70]),
                                   st.sampled_from([0, 60])),
       batch=st.sampled_from([1, 3, 64]), step=st.sampled_from([65, 512]),
       batching=st.sampled_from(["continuous", "continuous", "static"]),
       preemption=st.sampled_from(["recompute", "swap", "none"]),
       eviction=st.sampled_from([None, "lru", "fifo"]),
       placement=st.sampled_from([None, *PLACEMENT_POLICIES]),
       replication=st.sampled_from([None, "hot_set"]),
       no_overlap=st.sampled_from([(), ("dma",), ("pcie", "nvlink")]))
def test_every_byte_is_that_of_the_step_by_step_reference(
        table, workload, name, tiers, batch, step, **config):
    system = system_named(name, table)
    if tiers:
        system = replace(system, tiers=tuple(
            replace(t, kv_blocks=n) for t, n in zip(system.tiers, tiers, strict=False)))
    check_against_reference(system, workload, max_batch=batch, step_tokens=step, **config)


@pytest.mark.parametrize("name", ["gpu", "attacc", "uniform", "tokenstack"])
def test_a_generated_minute_is_that_of_the_reference(table, name):
    check_against_reference(system_named(name, table), generate(20, 6.0, 3))


def test_preempted_requests_are_those_of_the_reference(table):
    for preemption in ("recompute", "swap"):
        system = system_named("tokenstack", table, tiers=(60, 100, 30))
        workload = unshared([(0.01 * k, 150 + 40 * (k % 4), 200 + 30 * (k % 3))
                             for k in range(12)])
        result = check_against_reference(system, workload, preemption=preemption)
        assert result.counts["preemptions"] > 3


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


def test_cost_grows_with_events_and_not_with_tokens(table):
    """Ten times the tokens of an undisturbed request are no more runs of steps."""
    def runs(tokens):
        engine = Engine(system_named("gpu", table), unshared([(0, 100, tokens)]), EngineConfig())
        calls = []
        advance = engine.steps.run
        engine.steps.run = lambda *a, **k: calls.append(1) or advance(*a, **k)
        engine.run()
        return len(calls)

    assert runs(20_000) == runs(2_000) <= 3


def test_a_prompt_beyond_the_model_s_context_is_refused(table):
    short = replace(LLAMA_3_8B, context_limit=1000)
    with pytest.raises(UserError, match=r"^row 0: input_length \+ output_length: expected at most "
                       r"1000 tokens, the longest context of llama-3-8b, not 1001$"):
        Engine(system_named("gpu", table, model=short), unshared([(0, 900, 101)]), EngineConfig())
