"""Replication policies, a file each, and their catalogue."""

from collections.abc import Callable

from runtime import plugins
from runtime.policies.replication.base import ReplicationPolicy
from runtime.policies.replication.hot_set import HotSet
from runtime.policies.replication.none import SingleCopy

REPLICATION_POLICIES: dict[str, Callable[[], ReplicationPolicy]] = {
    "none": SingleCopy, "hot_set": HotSet}


def replication_policy(name: str) -> Callable[[], ReplicationPolicy]:
    """Constructor of the policy of that name, built in or not (:mod:`runtime.plugins`)."""
    return plugins.find("replication", name, REPLICATION_POLICIES,
                        ("pool_percent", "wants_copy"))
