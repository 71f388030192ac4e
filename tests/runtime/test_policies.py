"""Eviction policies against worked streams and naive models; pins; names."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.spec.errors import UserError
from runtime.policies import EVICTION_POLICIES, Access, count_hits, eviction_policy
from runtime.policies.eviction.belady import Belady, Future
from runtime.policies.eviction.slru import Slru
from runtime.policies.eviction.workload_aware import WorkloadAware
from runtime.policies.replay import (
    PrefixHits,
    replay_flat,
    replay_rows,
    replay_tiers,
)
from runtime.workload import PS_PER_SECOND
from tests.runtime import naive

STREAM = (1, 2, 3, 1, 4, 1, 2, 5, 1, 2, 3, 4)
"""Worked by hand. With 3 slots LRU hits 1, 1, 1, 2; FIFO has lost the first 1 to 4."""

WORKED = {("lru", 1): 0, ("lru", 2): 1, ("lru", 3): 4, ("lru", 4): 5, ("lru", 5): 7,
          ("fifo", 1): 0, ("fifo", 2): 1, ("fifo", 3): 3, ("fifo", 4): 3, ("fifo", 5): 7,
          # LFU, 2 slots: 1 2 3 all once, then 1 (used twice) stays: hits at 1 (6th), 1 (9th).
          ("lfu", 2): 2, ("lfu", 5): 7,
          # SLRU, 3 slots: 1 is protected at its second use, 2 when it comes back in time.
          ("slru", 3): 4, ("arc", 5): 7, ("s3fifo", 5): 7, ("cost_aware", 5): 7,
          ("workload_aware", 5): 7}


@pytest.mark.parametrize(("name", "capacity"), WORKED)
def test_hits_on_a_stream_worked_by_hand(name, capacity):
    assert count_hits(STREAM, capacity, EVICTION_POLICIES[name]()) == WORKED[name, capacity]


streams = st.lists(st.integers(0, 8), max_size=60)


@pytest.mark.parametrize("name", ["lru", "fifo", "lfu", "slru", "arc", "s3fifo"])
@given(streams, st.integers(1, 9))
def test_hits_equal_naive_models_on_any_stream(name, stream, capacity):
    assert count_hits(stream, capacity, EVICTION_POLICIES[name]()) == getattr(
        naive, f"{name}_hits")(stream, capacity)


def flat(stream):
    return [(Access(request=k), (block,)) for k, block in enumerate(stream)]


@pytest.mark.parametrize("bypass", [False, True])
@given(st.lists(st.integers(0, 5), max_size=14), st.integers(1, 4))
def test_belady_finds_the_best_of_all_choices(bypass, stream, capacity):
    policy = Belady(Future((block,) for block in stream))
    assert replay_flat(flat(stream), capacity, policy, bypass=bypass) == naive.best_hits(
        stream, capacity, bypass)


@given(streams, st.integers(1, 9), st.sampled_from(sorted(EVICTION_POLICIES)), st.booleans())
def test_no_policy_passes_belady(stream, capacity, name, bypass):
    bound = replay_flat(flat(stream), capacity, Belady(Future((b,) for b in stream)), bypass=bypass)
    assert replay_flat(flat(stream), capacity, EVICTION_POLICIES[name](), bypass=bypass) <= bound


def test_belady_looks_past_the_request_that_is_being_served():
    prompts = [(1, 2), (3, 1), (2, 3)]
    stream = [(Access(request=k), blocks) for k, blocks in enumerate(prompts)]
    # With 2 slots: 3 takes the place of 2 (used after 1), 2 that of 1 (never again), 3 hits.
    assert replay_flat(stream, 2, Belady(Future(prompts))) == 2


ROWS = [(Access(request=k), blocks)
        for k, blocks in enumerate([(0, 1, 2), (0, 3), (0, 1, 2), (4, 5, 6)])]


def test_rows_count_leading_hits_and_drop_tails_first():
    # 4 slots: 0 hits; after (0, 3) all of 0 1 2 3 are held; 0 1 2 hit; then 4 5 6 leave only 0.
    found = replay_rows(ROWS, 4, EVICTION_POLICIES["lru"](), [40, 32, 40, 48], block_tokens=16)
    assert (found.blocks, found.tokens, found.prompts) == (4, 16 + 40, 2)
    # 2 slots: of (0, 1, 2) the tail leaves; 0 hits; then 0 and 3 are held: 0 hits.
    assert replay_rows(ROWS, 2, EVICTION_POLICIES["lru"]()).blocks == 2


def test_a_hit_behind_a_miss_is_of_no_use():
    usable = PrefixHits()
    stream = [(Access(request=k), row) for k, row in enumerate([(1, 2), (3,), (1, 2)])]
    # 2 slots: 3 takes the place of 1, which takes that of 2, so nothing hits; 3 slots: both do.
    assert replay_flat(stream, 2, EVICTION_POLICIES["lru"](), usable=usable) == 0
    assert replay_flat(stream, 3, EVICTION_POLICIES["lru"](), usable=usable) == 2
    assert usable.blocks == 2
    usable = PrefixHits()
    stream = [(Access(request=k), row) for k, row in enumerate([(1, 2), (2,), (3,), (1, 2)])]
    assert replay_flat(stream, 2, EVICTION_POLICIES["fifo"](), usable=usable) == 1
    assert usable.blocks == 1


@given(streams, st.integers(1, 4), st.integers(1, 4))
def test_tiers_of_lru_hit_together_like_one_of_their_size(stream, first, second):
    hits = replay_tiers(flat(stream), (first, second), EVICTION_POLICIES["lru"]).hits
    assert hits[0] == naive.lru_hits(stream, first)
    assert sum(hits) == naive.lru_hits(stream, first + second)


@pytest.mark.parametrize("name", EVICTION_POLICIES)
def test_a_pinned_block_is_never_the_victim(name):
    policy = EVICTION_POLICIES[name]()
    for block in (1, 2, 3):
        policy.insert(block)
    policy.pin(1)
    assert policy.victim() == 2
    policy.pin(3)
    assert policy.victim() is None
    policy.unpin(3)
    policy.unpin(1)
    # What survival has learned of two blocks is too little to say which.
    assert policy.victim() in {"fifo": {1}, "survival": {1, 3}}.get(name, {3})


@pytest.mark.parametrize("name", EVICTION_POLICIES)
def test_a_removed_block_is_not_evicted_later(name):
    policy = EVICTION_POLICIES[name]()
    policy.insert(1)
    policy.insert(2)
    policy.remove(1)
    policy.insert(1)
    assert [policy.victim(), policy.victim(), policy.victim()] == [2, 1, None]


@pytest.mark.parametrize("name", EVICTION_POLICIES)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=80))
def test_whatever_a_tier_does_each_block_leaves_once(name, steps):
    """Random but valid calls; the policy's books must agree with a plain set."""
    policy, idle, pinned = EVICTION_POLICIES[name](), set(), set()
    for time, (block, what) in enumerate(steps):
        access = Access(time_ps=time, request=time, session=block % 2, turn=what)
        if block in pinned:
            policy.unpin(block, 0, access)
            pinned.remove(block)
            idle.add(block)
        elif block not in idle:
            policy.insert(block, 0, access)
            idle.add(block)
        elif what == 0:
            policy.touch(block, 0, access)
        elif what == 1:
            policy.pin(block, 0, access)
            idle.remove(block)
            pinned.add(block)
        elif what == 2:
            policy.remove(block)
            idle.remove(block)
        else:
            victim = policy.victim()
            assert victim in idle
            idle.remove(victim)
    left = [policy.victim() for _ in range(len(idle))]
    assert set(left) == idle
    assert policy.victim() is None


def test_protected_blocks_go_back_on_probation_when_they_are_too_many():
    policy = Slru(protected_share=0.5)
    for block in (1, 2, 3, 4):
        policy.insert(block)
    for block in (1, 2, 3):
        policy.touch(block)
    # Four blocks, two may be protected: 1 goes back, behind 4.
    assert [policy.victim() for _ in range(4)] == [4, 1, 2, 3]


def test_cost_aware_keeps_what_is_dear_to_compute_again():
    policy = EVICTION_POLICIES["cost_aware"]()
    for index, block in enumerate((10, 11, 12)):
        policy.insert(block, index, Access(recompute_ps=100, recompute_step_ps=5))
    policy.insert(20, 0, Access(move_ps=50, recompute_ps=100))
    policy.touch(10, 0, Access(recompute_ps=100))
    # Values 200, 105, 110 and 50; then 30 is inserted at clock 105 with 105 + 90.
    assert [policy.victim(), policy.victim()] == [20, 11]
    policy.insert(30, 0, Access(recompute_ps=90))
    assert [policy.victim() for _ in range(3)] == [12, 30, 10]


def seconds(time: float, **known) -> Access:
    return Access(time_ps=round(time * PS_PER_SECOND), request=round(time), **known)


def test_the_workload_aware_score_is_the_sum_of_its_terms():
    policy = WorkloadAware()
    policy.insert(1, 0, seconds(0, session=7, turn=1))
    policy.insert(2, 0, seconds(0, session=8, turn=1))
    policy.touch(1, 0, seconds(10, session=7, turn=2))      # teaches (single turn) a gap of 10 s
    policy.insert(3, 0, seconds(40, session=9, turn=1))
    # At 40 s: 1 has 1/16 + 1/2 + 1 + exp(-30/10), 2 has 1/2 + 1/2 + exp(-40/10), 3 has 1 + 1.
    assert 1 / 16 + 0.5 + 1 + math.exp(-3) > 1 + math.exp(-4)
    assert policy.victim() == 2
    assert policy.victim() == 1
    assert policy.victim() == 3


def test_the_time_to_live_is_a_moving_average_of_the_gaps_of_a_class():
    policy = WorkloadAware()
    policy.insert(1, 0, seconds(0, request_class="a"))
    policy.touch(1, 0, seconds(10, request_class="a"))
    policy.touch(1, 0, seconds(15, request_class="b"))
    policy.touch(1, 0, seconds(16, request_class="b"))
    assert {key[0]: ttl / PS_PER_SECOND for key, ttl in policy._ttl_ps.items()} == pytest.approx(
        {"a": 10 + 0.2 * (5 - 10), "b": 1})


def test_an_unknown_policy_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"eviction: expected one of arc, .* not 'lrv'; "
                                        r"did you mean 'lru'"):
        eviction_policy("lrv")


def test_a_policy_of_ones_own_is_taken_by_module_and_class(tmp_path, monkeypatch):
    (tmp_path / "mine_for_test.py").write_text(
        "from runtime.policies.eviction.lru import Lru\nclass Mine(Lru):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = eviction_policy("mine_for_test:Mine")()
    assert type(made).__name__ == "Mine"
    for name in ("mine_for_test:Other", "no_such_module_here:Mine", "mine_for_test:"):
        with pytest.raises(UserError, match=r"^eviction: expected"):
            eviction_policy(name)
    monkeypatch.delitem(sys.modules, "mine_for_test")


def test_an_installed_package_offers_a_policy_by_entry_point(tmp_path, monkeypatch):
    info = tmp_path / "mypolicies-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypolicies\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[tokenstack.eviction]\nmine = mine_installed:Mine\nbroken = mine_installed:None_\n"
        "number = mine_installed:NUMBER\n")
    (tmp_path / "mine_installed.py").write_text(
        "from runtime.policies.eviction.fifo import Fifo\nNUMBER = 3\n"
        "class Mine(Fifo):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert type(eviction_policy("mine")()).__name__ == "Mine"
    with pytest.raises(UserError, match="expected 'broken' to be a class that can be imported"):
        eviction_policy("broken")
    with pytest.raises(UserError, match="expected 'number' to be a class, not 3"):
        eviction_policy("number")
    with pytest.raises(UserError, match=r"expected one of arc, .*mine.* not 'mime'"):
        eviction_policy("mime")
    monkeypatch.delitem(sys.modules, "mine_installed")
