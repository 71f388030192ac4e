"""Placement and replication: where KV goes, and that no policy loses or doubles any."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.spec.errors import UserError
from runtime.models import LLAMA_3_8B
from runtime.policies.placement import PLACEMENT_POLICIES, placement_policy
from runtime.policies.replication import replication_policy
from runtime.serving import Engine, EngineConfig
from runtime.systems.pim import PimArray
from runtime.tiers.units import PimUnits
from tests.runtime.common import system_named, table_in, workload_of


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_in(tmp_path_factory.mktemp("cycles"))


def units_of(table, kv_blocks=20_000, stacks=5, per_stack=64):
    return PimUnits(PimArray(table, LLAMA_3_8B, cards=1, stacks=stacks,
                             units_per_stack=per_stack), kv_blocks)


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(PLACEMENT_POLICIES)),
       sizes=st.lists(st.integers(1, 600), min_size=1, max_size=12))
def test_every_block_gets_a_unit_and_none_is_overbooked_while_there_is_room(table, name, sizes):
    units, policy = units_of(table), PLACEMENT_POLICIES[name]()
    for request, size in enumerate(sizes):
        placed = policy.place(units, size, request << 12, policy.home(units, request))
        assert sum(n for _, n in placed) == size and all(n > 0 for _, n in placed)
        assert all(e.units.shape == (8,) and e.units.min() >= 0 and e.units.max() < 320
                   for e, _ in placed)
        units.occupy_all(placed)
    assert units.free.min() >= 0
    assert (units.capacity - units.free).sum() == 8 * sum(sizes)


@pytest.mark.parametrize("name", PLACEMENT_POLICIES)
def test_a_full_tier_still_places_what_fits_in_all_units_together(table, name):
    units, policy = units_of(table), PLACEMENT_POLICIES[name]()
    units.free[:] = np.arange(320) % 3          # one block a unit on average
    placed = policy.place(units, 20, 0, 0)
    assert sum(n for _, n in placed) == 20


def test_first_fit_fills_the_first_units(table):
    units = units_of(table)
    (extent, size), = placement_policy("first_fit")().place(units, 100, 0, 3)
    assert size == 100
    assert extent.units.tolist() == [0] * 5 + [1] * 3       # 500 blocks a unit


def test_hash_spreads_waves_and_names_the_same_unit_again(table):
    units, policy = units_of(table), placement_policy("hash")()
    placed = policy.place(units, 16 * 200, 77, 0)
    again = policy.place(units, 16 * 200, 77, 4)
    assert all((a.units == b.units).all() for (a, _), (b, _) in zip(placed, again, strict=True))
    assert [n for _, n in placed] == [16] * 200
    counts = np.bincount(np.concatenate([e.units for e, _ in placed]), minlength=320)
    assert counts.sum() == 1600 and counts.max() <= 16 and (counts > 0).sum() > 280


def test_topology_aware_keeps_each_head_in_one_stack_and_spreads_heads_from_its_home(table):
    units, policy = units_of(table), placement_policy("topology_aware")()
    placed = policy.place(units, 16 * 80, 0, 2)
    assert len(placed) > 1                      # a lone request uses many units
    for extent, _ in placed:
        assert (extent.units // 64).tolist() == [(2 + h) % 5 for h in range(8)]
        assert extent.home == 2
    everything = np.concatenate([e.units for e, _ in placed])
    assert len(set(everything.tolist())) == len(everything)     # no unit twice


def test_topology_aware_avoids_busy_units_and_homes(table):
    units, policy = units_of(table), placement_policy("topology_aware")()
    units.planned[:320:2] = 10**6
    (extent, _), = policy.place(units, 16, 0, 0)
    assert (extent.units % 2 == 1).all()
    units.planned[:64] = 10**8
    # two heads in each of three stacks from the home on, one in the other two
    assert policy.home(units, 0) in (1, 2)


def batch(requests, shared=0):
    """Requests at the same time; each prompt begins with the same ``shared`` blocks."""
    rows = [(20.0, 16 * 100, 40, (*range(shared), *range(1000 * k, 1000 * k + 100 - shared)))
            for k in range(1, requests + 1)]
    return workload_of([(0.0, 16 * shared, 2, tuple(range(shared))), *rows] if shared else rows)


def attention(table, workload, **config):
    result = Engine(system_named("tokenstack_base", table), workload, EngineConfig(**config)).run()
    return result.time_ps["decode_attention"], result


def test_balanced_placement_attends_sooner_than_hash_and_hash_sooner_than_first_fit(table):
    aware, hashed, first = (attention(table, batch(40), placement=name)[0]
                            for name in ("topology_aware", "hash", "first_fit"))
    assert aware < hashed < first


def test_balanced_placement_comes_near_the_bound_of_its_work(table):
    """Work of all requests spread evenly, without a single merge."""
    system = system_named("tokenstack_base", table)
    _, result = attention(table, batch(40))
    waves = result.counts["pim_macs"] / system.gpu.decode_macs_per_token / 256
    work = waves * 8 / 320 * 1400 * (3900 / 3450) * 32 * 1000
    assert work < result.time_ps["decode_attention"] < 2.5 * work


def test_copies_of_a_block_that_all_read_relieve_its_units(table):
    one, alone = attention(table, batch(40, shared=16))
    many, copied = attention(table, batch(40, shared=16), replication="hot_set")
    assert alone.counts["spread_kv_blocks"] == 0
    assert copied.counts["spread_kv_blocks"] > 0
    assert many < one


def test_copies_stay_within_their_pool(table):
    engine = Engine(system_named("tokenstack_base", table, tiers=(5000, 100, 0)),
                    batch(40, shared=90), EngineConfig(replication="hot_set"))
    assert engine.store.copies.pool == 250
    engine.run()
    assert 0 < engine.store.copies.used <= 250


def test_the_thresholds_of_the_hot_set_are_those_of_the_paper_s_simulator():
    wants = replication_policy("hot_set")().wants_copy
    assert wants(3, 8)
    assert not wants(2, 8) and not wants(3, 7)
    assert not replication_policy("none")().wants_copy(5, 1000)


@pytest.mark.parametrize("find, message", [
    (placement_policy, "placement: .*did you mean 'topology_aware'"),
    (replication_policy, "replication: expected one of hot_set, none")])
def test_unknown_policies_are_refused(find, message):
    with pytest.raises(UserError, match=message):
        find("topology-aware")


def test_warm_blocks_are_moved_up_before_the_use_that_is_expected(table):
    """A chat comes back every 5 s; between its turns others push its blocks down."""
    chat, others = tuple(range(20)), iter(range(1000, 10**6))
    rows = []
    for turn in range(6):
        rows.append((5.0 * turn, 320, 2, chat))
        rows.append((5.0 * turn + 1, 320, 2, tuple(next(others) for _ in range(20))))
        rows.append((5.0 * turn + 2, 16, 900, (next(others),)))    # its end leaves empty room
    system = system_named("tokenstack_base", table, tiers=(60, 400, 0))
    ahead = Engine(system, workload_of(rows), EngineConfig()).run()
    without = Engine(system, workload_of(rows), EngineConfig(placement="hash")).run()
    assert ahead.counts["moved_ahead_kv_blocks"] > 0 == without.counts["moved_ahead_kv_blocks"]
    assert ahead.counts["hits_pim"] > without.counts["hits_pim"]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 400), home=st.integers(0, 4))
def test_pieces_near_home_fill_units_that_have_room_and_stay_in_their_stacks(
        table, seed, size, home):
    units = units_of(table)
    units.free[:] = np.random.default_rng(seed).integers(0, 30, 320)
    pieces = units.spill_near(size, home)
    assert sum(n for _, n in pieces) == size
    for extent, _ in pieces:
        if extent.regular:
            assert (extent.units // 64).tolist() == [(home + h) % 5 for h in range(8)]
    if size < 100:
        units.occupy_all(pieces)
        assert units.free.min() >= 0
