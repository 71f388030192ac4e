"""The learned policy: its estimates, what it does with them, and that it knows only the past."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.policies import Access
from runtime.policies.eviction.hazard import BINS, EDGES, STARTS, WIDTHS, Hazards, bin_of
from runtime.policies.eviction.lru import Lru
from runtime.policies.eviction.survival import Survival
from runtime.policies.replay import prompts, replay_flat
from runtime.traces import load_trace
from runtime.workload import PS_PER_SECOND
from tests.runtime.common import TRACES

MOONCAKE = TRACES / "mooncake" / "mooncake_conversation_trace.jsonl.gz"


def at(seconds, request, **known):
    return Access(time_ps=round(seconds * PS_PER_SECOND), request=request, **known)


def test_an_age_lies_in_its_bin():
    for age in (0.0, 0.4, 1.0, 3.0, 59.0, 5000.0):
        assert STARTS[bin_of(age)] <= age + 1e-9 < STARTS[bin_of(age) + 1] + 1e-6
    assert bin_of(1e9) == BINS - 1


def test_a_known_hazard_is_found_again():
    """Things that are used again at 0.01 a second, whatever their age, are worth just that."""
    hazards, rng = Hazards(), np.random.default_rng(7)
    for age in rng.exponential(100.0, 20_000):
        place = bin_of(age)
        for k in range(place):
            hazards.idle((1,), k, WIDTHS[k])
        hazards.idle((1,), place, age - EDGES[place])
        hazards.reused((1,), place)
    hazards.refresh()
    assert hazards.value((1,))[4:14] == pytest.approx([0.01] * 10, rel=0.1)


def test_a_class_without_evidence_leans_on_its_kin():
    hazards = Hazards()
    for key, reuses in (((1, 0), 900), ((2, 0), 10)):
        for k in range(20):
            hazards.idle(key, k, 1000 * WIDTHS[k])
            for _ in range(reuses // 20):
                hazards.reused(key, k)
    hazards.refresh()
    assert hazards.value((1, 5))[6] == pytest.approx(hazards.value((1, 0))[6], rel=0.3)
    assert hazards.value((1, 5))[6] > 3 * hazards.value((2, 5))[6]


def conversations(count, lively):
    """Every tenth prompt is of a conversation that goes on after 20 s, if lively; others end."""
    stream, block = [], 1
    begun = {}
    for k in range(count):
        follow = begun.pop(k - 20, None)
        blocks = (0, *range(block, block + 6)) if follow is None else (
            *follow[:-1], *range(block, block + 2))
        block += 6
        if lively and (follow is not None or k % 10 == 0):
            begun[k] = blocks
        stream.append((at(k, k, prompt_blocks=len(blocks)), blocks))
    return stream


def test_conversations_that_go_on_are_kept_and_others_are_not():
    stream = conversations(2500, lively=True)
    capacity = 100
    ours = replay_flat(stream, capacity, Survival(), bypass=True)
    assert ours > 1.3 * replay_flat(stream, capacity, Lru())


def test_a_public_prefix_stays_whatever_comes():
    policy = Survival()
    stream = [(at(k, k, prompt_blocks=3), (0, 2 * k + 1, 2 * k + 2)) for k in range(300)]
    assert replay_flat(stream, 2, policy, bypass=True) >= 295


class Recorded(Survival):
    """Notes every victim."""

    def __init__(self):
        super().__init__()
        self.victims = []

    def victim(self, incoming=None):
        self.victims.append(super().victim(incoming))
        return self.victims[-1]


def victims(stream, capacity):
    policy = Recorded()
    replay_flat(stream, capacity, policy, bypass=True)
    return policy.victims


@settings(max_examples=8, deadline=None)
@given(st.integers(100, 500), st.integers(0, 500), st.booleans())
def test_decisions_do_not_depend_on_what_comes_later(cut, other, lively):
    whole = conversations(500, lively=True)
    past = victims(whole[:cut], 60)
    assert victims(whole, 60)[:len(past)] == past
    # Another future after the same past changes nothing either.
    twisted = whole[:cut] + [
        (at(cut + k, cut + k, prompt_blocks=len(b)), b)
        for k, (_, b) in enumerate(conversations(other, lively))]
    assert victims(twisted, 60)[:len(past)] == past


def test_memory_is_bounded_by_the_blocks_that_are_resident():
    policy = Survival()
    stream = [(at(k, k, prompt_blocks=4), tuple(range(4 * k, 4 * k + 4))) for k in range(16_000)]
    replay_flat(stream, 50, policy, bypass=True)
    assert len(policy._index) == 50
    assert len(policy._chain) < 18_000
    assert len(policy._ghosts) < 18_000
    assert sum(map(len, policy._ages)) < 20_000        # of 32,000


@pytest.mark.skipif(not MOONCAKE.exists(), reason="the public traces are not beside the checkout")
def test_the_figures_of_the_page_on_eviction():
    stream = list(prompts(load_trace(MOONCAKE).requests))
    assert replay_flat(stream, 4096, Survival(), bypass=True) == 44_400
    past = stream[:1200]
    decided = victims(past, 4096)
    assert victims(past + stream[8000:8300], 4096)[:len(decided)] == decided
