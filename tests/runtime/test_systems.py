"""What each system makes of five stacks: capacities and rates against DESIGN.md and facts.md."""

from dataclasses import replace

import pytest

from model.spec.errors import SpecError, UserError
from model.spec.timing import HBM3_5200, HBM4_8000
from runtime.models import DEVSTRAL_2_123B, GPT_3_175B, LLAMA_3_8B, QWEN3_32B
from runtime.systems import (
    DEFAULT_SYSTEMS,
    SYSTEMS,
    Infeasible,
    SystemSpec,
    ablations,
    build_system,
    build_tiers,
    least_cards,
    profile_by_name,
    system_by_name,
)
from tests.runtime.common import system_named, table_in

GIB = 2**30


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_in(tmp_path_factory.mktemp("cycles"))


def gib(system):
    return {t["name"]: t["gib"] for t in system.figures["tiers"]}


def test_capacities_follow_layers_density_and_weights(table):
    weights = LLAMA_3_8B.weight_bytes / GIB
    expected = {
        "gpu": {"hbm": 160 * 0.99 - weights}, "attacc": {"pim": 160 * 0.99},
        "attacc_split1": {"pim": 16 * 0.99}, "attacc_split4": {"pim": 64 * 0.99},
        "uniform": {"pim": 80 * 0.99 - weights},
        "tokenstack": {"pim": 40 * 0.99, "capacity": 80 * 0.99 - weights}}
    for name, tiers in expected.items():
        assert gib(system_named(name, table)) == pytest.approx(
            {**tiers, "host": 512}, abs=0.02), name


def test_quantised_layers_hold_nearly_twice_as_many_blocks(table):
    plain, cold = (system_named(n, table).tiers for n in ("tokenstack_base", "tokenstack"))
    assert [t.kv_format for t in cold] == ["bf16", "mxfp8", "mxfp8"]
    assert cold[0] == plain[0]
    assert cold[1].kv_blocks / plain[1].kv_blocks == pytest.approx(256 / 132, rel=1e-4)


def test_bandwidth_and_units_are_those_of_the_stacks_in_each_role(table):
    stack = 2_048_000_000_000       # 64 pseudo-channels x 32 bytes a ns
    named = {n: system_named(n, table) for n in SYSTEMS}
    weights = {n: s.gpu.weight_bandwidth // stack for n, s in named.items()}
    assert weights == {"gpu": 5, "attacc": 5, "attacc_split1": 4, "attacc_split2": 3,
                       "attacc_split3": 2, "attacc_split4": 1, "uniform": 5,
                       "tokenstack_base": 5, "tokenstack": 5}
    units = {n: s.pim.units if s.pim else 0 for n, s in named.items()}
    assert units == {"gpu": 0, "attacc": 640, "attacc_split1": 128, "attacc_split2": 256,
                     "attacc_split3": 384, "attacc_split4": 512, "uniform": 640,
                     "tokenstack_base": 320, "tokenstack": 320}
    assert named["attacc"].gpu.kv_bandwidth == 900_000_000_000          # its own link
    assert {n for n, s in named.items() if s.routes.get((0, 1)) and s.routes[0, 1].engine == "dma"
            } == {"tokenstack_base", "tokenstack"}


def test_each_mechanism_can_be_left_out_and_stand_alone():
    full = SYSTEMS["tokenstack"]
    for name in ablations():
        spec = system_by_name(name)
        assert spec.name == name and spec != full
    assert system_by_name("tokenstack-no-dma").base_die_dma is False
    assert system_by_name("tokenstack-no-translation").addressing == "host"
    assert system_by_name("tokenstack-no-heterogeneity").uniform == 5
    alone = system_by_name("tokenstack-only-replication")
    assert (alone.replication, alone.eviction, alone.placement, alone.uniform) == (
        "hot_set", "lru", "hash", 5)
    with pytest.raises(UserError, match="did you mean 'tokenstack-no-eviction'"):
        system_by_name("tokenstack-no-evicton")


def test_what_was_not_simulated_is_named(table):
    def named(name):
        return " ".join(system_named(name, table).derived)

    assert named("gpu") == named("attacc") == ""
    assert "mxfp8" in named("tokenstack") and "translation" in named("tokenstack")
    assert "mxfp8" not in named("tokenstack-no-quantisation")
    assert "wave tables" in named("tokenstack-no-translation")


def test_profiles_give_machines():
    paper = profile_by_name("paper")
    assert (paper.preset, paper.cards, paper.gpu.flops, paper.max_batch) == (
        "hbm3_5200", 8, 312 * 10**12, 16)
    with pytest.raises(UserError, match="profile: expected one of hbm4, paper, not 'papre'; "
                       "did you mean 'paper'"):
        profile_by_name("papre")


def test_a_uniform_system_is_infeasible_if_the_weights_need_more_than_its_layers(table):
    """facts.md 1.2: 40 GiB a card; GPT-3 175B needs 326 GiB, and eight cards have 320."""
    with pytest.raises(Infeasible, match=r"uniform: gpt-3-175b does not fit.* PIM layers of 8"):
        build_tiers(SYSTEMS["uniform"], GPT_3_175B, HBM3_5200, cards=8)


def test_hbm3_has_its_own_geometry(table):
    system = build_system(SYSTEMS["gpu"], LLAMA_3_8B, HBM3_5200, table)
    assert system.gpu.weight_bandwidth == pytest.approx(3352e9, rel=0.01)     # facts.md 7
    assert gib(system)["hbm"] == pytest.approx(80 * 0.99 - LLAMA_3_8B.weight_bytes / GIB, abs=0.01)


def test_weights_that_do_not_fit_are_infeasible_with_both_sizes(table):
    with pytest.raises(Infeasible, match=r"attacc_split4: qwen3-32b does not fit: its weights "
                       r"need 61.0 GiB, the plain layers of 1 card offer 31.7 GiB"):
        build_system(SYSTEMS["attacc_split4"], QWEN3_32B, HBM4_8000, table)


def test_the_fewest_cards_are_those_of_the_most_demanding_system():
    every, one = [SYSTEMS[n] for n in DEFAULT_SYSTEMS], [SYSTEMS["gpu"]]
    assert least_cards(every, LLAMA_3_8B, HBM4_8000) == 1
    assert least_cards(one, QWEN3_32B, HBM4_8000) == 1
    assert least_cards(every, QWEN3_32B, HBM4_8000) == 2      # 61 GiB on plain stacks of 32
    assert least_cards(every, DEVSTRAL_2_123B, HBM4_8000) == 8      # 6 KV heads: 6 are too few
    giant = replace(QWEN3_32B, layers=5000)
    assert least_cards(every, giant, HBM4_8000) == 8           # infeasible, and said to be


def test_kv_heads_that_cards_do_not_divide_leave_some_of_them_short(table):
    """Six KV heads on eight cards: one or none each, so KV is served as by six cards."""
    for name in ("gpu", "attacc_split2", "tokenstack"):
        six, eight = (build_system(SYSTEMS[name], DEVSTRAL_2_123B, HBM4_8000, table, cards=n)
                      for n in (6, 8))
        assert eight.gpu.decode_ps_per_token == six.gpu.decode_ps_per_token
        assert eight.gpu.kv_memory_ps(10**9) == six.gpu.kv_memory_ps(10**9)
        assert eight.gpu.prefill_attention(512, 4000).ps == six.gpu.prefill_attention(512, 4000).ps
        assert eight.gpu.dense(64, 1).matrix.ps < six.gpu.dense(64, 1).matrix.ps
        assert "6 KV heads on 8 cards" in " ".join(eight.derived)
        for place in eight.routes:
            assert eight.routes[place].cost(100) == six.routes[place].cost(100)
        if eight.pim is not None and six.pim is not None:
            assert (eight.pim.heads, six.pim.heads) == (1, 1)
            assert abs(eight.tiers[0].kv_blocks - six.tiers[0].kv_blocks) <= 1
    uneven = build_system(SYSTEMS["attacc_split4"], LLAMA_3_8B, HBM4_8000, table, cards=3)
    assert uneven.pim is not None and uneven.pim.heads == 3
    one = build_system(SYSTEMS["attacc_split4"], LLAMA_3_8B, HBM4_8000, table, cards=1)
    assert uneven.tiers[0].kv_blocks == pytest.approx(one.tiers[0].kv_blocks * 8 / 3, abs=2)


def test_query_heads_that_were_not_measured_together_are_attended_in_turns(table):
    line, eight = table.attend(128, 16), table.attend(128, 8)
    assert table.passes(128, 16) == (8, 8)
    assert [line.cycles(w) for w in (1, 3, 50)] == [2 * eight.cycles(w) for w in (1, 3, 50)]
    assert (table.passes(128, 12), table.passes(128, 6), table.passes(128, 4)) == (
        (8, 4), (8,), (4,))
    system = build_system(SYSTEMS["tokenstack"], DEVSTRAL_2_123B, HBM4_8000, table, cards=6)
    assert system.pim is not None and system.pim.passes == 2
    assert "the sum of attentions of 8 and 8" in " ".join(system.derived)
    assert "attention of" not in " ".join(system_named("tokenstack", table).derived)


def test_unknown_names_and_impossible_cards_are_refused(table):
    with pytest.raises(UserError, match="did you mean 'tokenstack_base'"):
        system_by_name("tokenstack-base")
    with pytest.raises(SpecError, match=r"cards: expected an integer in 1\.\.64, not 65"):
        build_system(SYSTEMS["gpu"], LLAMA_3_8B, HBM4_8000, table, cards=65)
    with pytest.raises(SpecError, match="system x: expected 5 stacks, not 4"):
        SystemSpec(name="x", title="four", plain=4)
