"""Energy tables against their sources, and the account of a run by hand."""

import pytest

from model.spec.errors import UserError
from runtime.energy import (
    ACTIVITIES,
    ATTACC,
    ENERGY_TABLES,
    PLACES,
    account,
    energy_joules,
    energy_table,
)
from runtime.energy.account import prices

SLIP, HBM4 = ENERGY_TABLES["attacc_slip"], ENERGY_TABLES["hbm4"]


def test_the_tables_add_up_to_what_their_sources_say():
    assert ATTACC.gpu_access_bit == pytest.approx(3.59)             # facts.md 2.2
    assert ATTACC.bank_access_bit * 8 == pytest.approx(4.4)
    assert 2 * ATTACC.stack_access_bit == pytest.approx(6.58)       # facts.md 9, a migration
    data_path = HBM4.gpu_access_bit - HBM4.activate_bit - 0.25
    assert data_path == pytest.approx(5.149, abs=1e-3)              # facts.md 6.2, random data
    assert HBM4.activate_bit * 1024 * 8 == pytest.approx(909)
    assert HBM4.stack_watts == pytest.approx(6.1, abs=0.05)


def test_attention_in_banks_costs_what_the_simulator_was_seen_to_take():
    """facts.md 2.3: 4.44 pJ a KV byte in banks, 29.2 on the GPU, 6.6 times as much."""
    tokens, size = 2112, 128
    kv_bytes, macs = 2 * tokens * size * 2, 2 * tokens * size
    banks = account({"pim_bank_bytes": kv_bytes, "pim_macs": macs // 2, "pim_scores": tokens},
                    table=SLIP).total / kv_bytes / 1e-12
    assert banks == pytest.approx(4.44, rel=0.02)
    gpu = account({"gpu_kv_bytes": kv_bytes}, table=ATTACC).total / kv_bytes / 1e-12
    assert gpu == pytest.approx(29.2 + ATTACC.gpu_l2_byte, rel=0.02)    # it counts caches apart


def test_each_operation_by_hand():
    for count, expected in {
        "gpu_bytes": 3.59 * 8 + 2.4, "gpu_kv_bytes": 3.59 * 8 + 2.4,
        "gpu_macs": 0.32 + 3 * 0.0675 + 1.28 / 4, "pim_bank_bytes": 4.4, "pim_macs": 0.32,
        "pim_io_bytes": 3.04 * 8, "pim_scores": 0.8 + 4 * 0.0034 + 4 * 2.74 * 8,
        "migrated_bytes": 2 * 3.29 * 8 + 2 * 0.0034, "link_bytes": 10.4,
        "card_bytes": 2 * 3.59 * 8 + 2.4, "host_bytes": 3.59 * 8 + 35.2 + 48,
    }.items():
        assert account({count: 10**12}).total == pytest.approx(expected), count
    assert set(prices(ATTACC)) | {"background"} == set(ACTIVITIES)


def test_the_slip_counts_an_eighth_of_the_transfers_and_nothing_else_less():
    counts = dict.fromkeys(prices(ATTACC), 10**9)
    meant, slipped = account(counts).by_activity, account(counts, table=SLIP).by_activity
    for name in ACTIVITIES.values():
        if name == "PIM queries and outputs":
            assert slipped[name] == pytest.approx(meant[name] / 8)
        elif name == "softmax on the base die":
            assert slipped[name] < meant[name]
        else:
            assert slipped[name] == meant[name]


def test_places_and_activities_are_two_views_of_one_sum():
    counts = {name: 10**9 * (k + 1) for k, name in enumerate(prices(HBM4))} | {"steps": 5}
    energy = account(counts, seconds=2.0, cards=3, stacks=15, table=HBM4)
    assert sum(energy.by_place.values()) == pytest.approx(energy.total)
    assert sum(energy.by_activity.values()) == pytest.approx(energy.total)
    assert tuple(energy.by_place) == PLACES
    drawn = 2.0 * (3 * HBM4.gpu_watts + 15 * HBM4.stack_watts + HBM4.host_watts)
    assert energy.by_activity["background"] == pytest.approx(drawn)
    assert energy.by_place["background"] == pytest.approx(drawn - 2.0 * HBM4.host_watts)
    assert account(counts, seconds=2.0, cards=3, stacks=15).by_place["background"] == 0


def test_the_short_form_leaves_background_out():
    joules = energy_joules({"gpu_bytes": 10**12}, 10**12)
    assert joules["weights and activations"] == pytest.approx(31.12)
    assert joules["migration in stacks"] == pytest.approx(52.6468)
    assert "background" not in joules


def test_an_unknown_table_is_refused_in_one_line():
    assert energy_table("hbm4") is HBM4
    with pytest.raises(UserError, match=r"energy: expected one of attacc, .*did you mean 'hbm4'"):
        energy_table("hbm3")
