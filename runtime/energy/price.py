"""Prices a result again, with any table, from the operations that it counted."""

from collections.abc import Mapping
from typing import Any

from runtime.energy.account import Energy, account
from runtime.energy.tables import EnergyTable
from runtime.systems import STACKS_PER_CARD, system_by_name


def energy_of(system: str, result: Mapping[str, Any], table: EnergyTable) -> Energy:
    """Energy of a system's run, background included, by its result's own counts."""
    cards = result["figures"]["cards"]
    return account(result["counts"], seconds=result["simulated_seconds"], cards=cards,
                   stacks=cards * (STACKS_PER_CARD + system_by_name(system).remote), table=table)


def joules_per_token(system: str, result: Mapping[str, Any], table: EnergyTable) -> dict[str, Any]:
    """The same for each output token: in all, by place and by activity."""
    energy, tokens = energy_of(system, result, table), result["output_tokens"]
    return {"total": energy.total / tokens,
            "places": {k: v / tokens for k, v in energy.by_place.items()},
            "activities": {k: v / tokens for k, v in energy.by_activity.items()}}
