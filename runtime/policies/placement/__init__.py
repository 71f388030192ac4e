"""Placement policies, a file each, and their catalogue."""

from collections.abc import Callable

from runtime import plugins
from runtime.policies.placement.base import PlacementPolicy
from runtime.policies.placement.first_fit import FirstFit
from runtime.policies.placement.hashed import Hashed
from runtime.policies.placement.topology_aware import TopologyAware

PLACEMENT_POLICIES: dict[str, Callable[[], PlacementPolicy]] = {
    "first_fit": FirstFit, "hash": Hashed, "topology_aware": TopologyAware}


def placement_policy(name: str) -> Callable[[], PlacementPolicy]:
    """Constructor of the policy of that name, built in or not (:mod:`runtime.plugins`)."""
    return plugins.find("placement", name, PLACEMENT_POLICIES, ("moves_ahead", "home", "place"))
