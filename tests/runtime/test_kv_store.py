"""Where blocks live: worked cases, and books that balance after any sequence of requests."""

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.policies import EVICTION_POLICIES
from runtime.policies.eviction.lru import Lru
from runtime.systems import Tier
from runtime.tiers.kv_store import KvStore


def store(*capacities: int, policy=Lru) -> KvStore:
    return KvStore(policy=policy, tiers=[Tier(name=f"t{k}", kv_blocks=n)
                                         for k, n in enumerate(capacities)])


def serve(kv: KvStore, ids, extra=1):
    """Admits, publishes and releases one request whose prefix blocks are one KV block each."""
    admission = kv.admit(ids, len(ids) + extra)
    assert admission is not None
    hits = len(admission.hit_blocks)
    shared, released = kv.publish(ids[hits:], [1] * (len(ids) - hits))
    kv.release(admission.hit_blocks + shared, admission.private - released)
    kv.check()
    return admission


def test_a_second_request_hits_the_whole_prefix_of_the_first():
    kv = store(10)
    assert serve(kv, (1, 2, 3)).hits_by_tier == [0]
    assert serve(kv, (1, 2, 9)).hits_by_tier == [2]


def test_only_a_leading_run_counts():
    kv = store(10)
    serve(kv, (1, 2, 3))
    assert serve(kv, (7, 2, 3)).hits_by_tier == [0]


def test_tails_leave_before_the_prefixes_they_hang_on():
    kv = store(4)
    serve(kv, (1, 2, 3))
    serve(kv, (8,), extra=1)            # needs two, so one must go: block 3
    assert sorted(kv.entries) == [1, 2, 8]


def test_evicted_blocks_go_down_and_come_back_up_on_a_hit():
    kv = store(4, 3)
    serve(kv, (1, 2, 3))
    down = serve(kv, (4, 5, 6))
    assert (down.demoted, down.dropped) == (3, 0)
    assert [kv.entries[b].tier for b in (1, 2, 3)] == [1, 1, 1]
    up = serve(kv, (1, 2, 3))
    assert (up.hits_by_tier, up.promoted, up.demoted) == ([0, 3], 3, 3)
    assert [kv.entries[b].tier for b in (1, 2, 3)] == [0, 0, 0]


def test_the_last_tier_drops():
    kv = store(4, 1)
    serve(kv, (1, 2, 3))
    assert serve(kv, (4, 5, 6)).dropped == 2


def test_a_request_that_does_not_fit_beside_the_running_ones_waits_and_changes_nothing():
    kv = store(6)
    first = kv.admit((1, 2, 3), 4)
    assert first is not None
    before = (dict(kv.entries), kv.busy, kv.states[0].used)
    assert kv.admit((9,), 3) is None
    assert before == (dict(kv.entries), kv.busy, kv.states[0].used)
    kv.release([], first.private)
    assert kv.admit((9,), 3) is not None


def test_running_requests_share_a_block_that_both_computed():
    kv = store(10)
    a, b = kv.admit((1, 2), 3), kv.admit((1, 2), 3)
    assert a and b and (a.private, b.private) == (3, 3)
    shared_a, freed_a = kv.publish((1, 2), (1, 1))
    shared_b, freed_b = kv.publish((1, 2), (1, 1))
    assert kv.states[0].used == 4       # two shared, two private tails
    kv.release(shared_a, 3 - freed_a)
    kv.check()
    assert kv.entries[1].users == 1
    kv.release(shared_b, 3 - freed_b)
    kv.check()
    assert kv.busy == 0


def test_a_copy_that_sank_while_another_request_computed_it_is_replaced():
    kv = store(6, 6)
    slow = kv.admit((1,), 2)
    assert slow is not None
    serve(kv, (1, 2))
    serve(kv, (7, 8, 9))                # pushes 1 and 2 down
    assert kv.entries[1].tier == 1
    shared, freed = kv.publish((1,), (1,))
    assert kv.entries[1].tier == 0
    kv.check()
    kv.release(shared, slow.private - freed)
    kv.check()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), first=st.integers(11, 24), second=st.integers(0, 20),
       policy=st.sampled_from(sorted(EVICTION_POLICIES)))
def test_the_books_balance_whatever_happens(data, first, second, policy):
    kv = store(first, second, policy=EVICTION_POLICIES[policy])
    running = []
    for _ in range(data.draw(st.integers(1, 40))):
        if running and data.draw(st.booleans()):
            pinned, private = running.pop(data.draw(st.integers(0, len(running) - 1)))
            kv.release(pinned, private)
        else:
            chat = data.draw(st.integers(0, 4))
            length = data.draw(st.integers(1, 5))
            ids = [10 * chat + k for k in range(length)]
            sizes = [1 + (chat + k) % 2 for k in range(length)]
            total = sum(sizes) + data.draw(st.integers(0, 2))
            admission = kv.admit(ids, total)
            if admission is None:
                assert running, "an empty store must take every request that fits"
                continue
            hits = len(admission.hit_blocks)
            shared, released = kv.publish(ids[hits:], sizes[hits:]) if hits < length else ([], 0)
            running.append((admission.hit_blocks + shared, admission.private - released))
        kv.check()
    for pinned, private in running:
        kv.release(pinned, private)
    kv.check()
    assert kv.busy == 0
