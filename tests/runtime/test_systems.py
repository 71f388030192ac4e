"""What each system makes of five stacks: capacities and rates against DESIGN.md and facts.md."""

from dataclasses import replace

import pytest

from model.spec.errors import SpecError, UserError
from model.spec.timing import HBM3_5200, HBM4_8000
from runtime.models import LLAMA_3_8B, QWEN3_32B
from runtime.systems import (
    SYSTEMS,
    Infeasible,
    SystemSpec,
    build_system,
    least_cards,
    system_by_name,
)
from tests.runtime.common import system_named, table_in

GIB = 2**30


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_in(tmp_path_factory.mktemp("cycles"))


def gib(system):
    block = system.model.kv_block_bytes
    return {t.name: t.kv_blocks * block / GIB for t in system.tiers}


def test_capacities_follow_layers_and_density(table):
    weights = LLAMA_3_8B.weight_bytes / GIB
    assert gib(system_named("gpu", table)) == pytest.approx(
        {"hbm": 160 * 0.99 - weights}, abs=0.01)
    assert gib(system_named("attacc_split4", table)) == pytest.approx({"pim": 64 * 0.99}, abs=0.01)
    assert gib(system_named("tokenstack_base", table)) == pytest.approx(
        {"pim": 40 * 0.99, "capacity": 80 * 0.99 - weights}, abs=0.01)


def test_bandwidth_and_units_are_those_of_the_stacks_in_each_role(table):
    stack = 2_048_000_000_000       # 64 pseudo-channels x 32 bytes a ns
    gpu, attacc, base = (system_named(n, table) for n in SYSTEMS)
    assert [s.gpu.weight_bandwidth for s in (gpu, attacc, base)] == [5 * stack, stack, 5 * stack]
    assert [s.gpu.kv_bandwidth for s in (gpu, attacc, base)] == [5 * stack, 4 * stack, 5 * stack]
    assert gpu.pim is None and gpu.dma is None and attacc.dma is None
    assert attacc.pim and base.pim and base.dma
    assert (attacc.pim.units, base.pim.units, base.dma.channels) == (512, 320, 320)


def test_hbm3_has_its_own_geometry(table):
    system = build_system(SYSTEMS["gpu"], LLAMA_3_8B, HBM3_5200, table)
    assert system.gpu.weight_bandwidth == pytest.approx(3352e9, rel=0.01)     # facts.md 7
    assert gib(system)["hbm"] == pytest.approx(80 * 0.99 - LLAMA_3_8B.weight_bytes / GIB, abs=0.01)


def test_weights_that_do_not_fit_are_infeasible_with_both_sizes(table):
    with pytest.raises(Infeasible, match=r"attacc_split4: qwen3-32b does not fit: its weights "
                       r"need 61.0 GiB, the plain layers of 1 card offer 31.7 GiB"):
        build_system(SYSTEMS["attacc_split4"], QWEN3_32B, HBM4_8000, table)


def test_the_fewest_cards_are_those_of_the_most_demanding_system():
    every, one = SYSTEMS.values(), [SYSTEMS["gpu"]]
    assert least_cards(every, LLAMA_3_8B, HBM4_8000) == 1
    assert least_cards(one, QWEN3_32B, HBM4_8000) == 1
    assert least_cards(every, QWEN3_32B, HBM4_8000) == 2      # 61 GiB on plain stacks of 32
    giant = replace(QWEN3_32B, layers=5000)
    assert least_cards(every, giant, HBM4_8000) == 8           # infeasible, and said to be


def test_unknown_names_and_impossible_cards_are_refused(table):
    with pytest.raises(UserError, match="did you mean 'tokenstack_base'"):
        system_by_name("tokenstack-base")
    with pytest.raises(SpecError, match="cards: expected a divisor of the 8 KV heads"):
        build_system(SYSTEMS["gpu"], LLAMA_3_8B, HBM4_8000, table, cards=5)
    with pytest.raises(SpecError, match="system x: expected 5 stacks, not 4"):
        SystemSpec(name="x", title="four", plain=4)
