"""Eviction policies against worked streams, an outside reference file, and naive models."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.spec.errors import UserError
from runtime.policies import EVICTION_POLICIES, count_hits, eviction_policy
from runtime.trace import read_rows
from tests.runtime.common import FIRST_1000, TRACES

REFERENCE = TRACES / "reference_stats.json"

STREAM = (1, 2, 3, 1, 4, 1, 2, 5, 1, 2, 3, 4)
"""Worked by hand. With 3 slots LRU hits 1, 1, 1, 2; FIFO has lost the first 1 to 4."""

WORKED = {("lru", 1): 0, ("lru", 2): 1, ("lru", 3): 4, ("lru", 4): 5, ("lru", 5): 7,
          ("fifo", 1): 0, ("fifo", 2): 1, ("fifo", 3): 3, ("fifo", 4): 3, ("fifo", 5): 7}


@pytest.mark.parametrize(("name", "capacity"), WORKED)
def test_hits_on_a_stream_worked_by_hand(name, capacity):
    assert count_hits(STREAM, capacity, EVICTION_POLICIES[name]()) == WORKED[name, capacity]


@pytest.mark.skipif(not REFERENCE.exists(), reason="the public traces are not beside the checkout")
@pytest.mark.parametrize("name", ["lru", "fifo"])
def test_hits_on_the_mooncake_stream_equal_the_reference_at_all_capacities(name):
    reference = json.loads(Path(REFERENCE).read_text())["mooncake_conversation_first1000"]
    stream = [block for _, row in read_rows(FIRST_1000) for block in row.hash_ids]
    assert len(stream) == reference["accesses"]
    counted = {capacity: count_hits(stream, int(capacity), EVICTION_POLICIES[name]())
               for capacity in reference["by_capacity"]}
    assert counted == {capacity: figures[f"{name}_hits"]
                       for capacity, figures in reference["by_capacity"].items()}
    assert len(counted) == 12


def naive_lru_hits(stream, capacity):
    """An access hits if fewer than ``capacity`` others came since the last one of the block."""
    hits = 0
    for k, block in enumerate(stream):
        earlier = [j for j in range(k) if stream[j] == block]
        hits += bool(earlier) and len(set(stream[earlier[-1] + 1:k])) < capacity
    return hits


def naive_fifo_hits(stream, capacity):
    queue, hits = [], 0
    for block in stream:
        if block in queue:
            hits += 1
        else:
            queue = [*queue, block][-capacity:]
    return hits


@given(st.lists(st.integers(0, 8), max_size=60), st.integers(1, 9))
def test_hits_equal_naive_models_on_any_stream(stream, capacity):
    assert count_hits(stream, capacity, eviction_policy("lru")()) == naive_lru_hits(
        stream, capacity)
    assert count_hits(stream, capacity, eviction_policy("fifo")()) == naive_fifo_hits(
        stream, capacity)


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
    assert policy.victim() == {"lru": 3, "fifo": 1}[name]


def test_a_removed_block_is_not_evicted_later():
    for name in EVICTION_POLICIES:
        policy = EVICTION_POLICIES[name]()
        policy.insert(1)
        policy.insert(2)
        policy.remove(1)
        policy.insert(1)
        assert [policy.victim(), policy.victim(), policy.victim()] == [2, 1, None]


def test_an_unknown_policy_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="eviction: expected one of fifo, lru, not 'lrv'; did you"):
        eviction_policy("lrv")
