"""Eviction policies, a file each, and their catalogue."""

from collections.abc import Callable

from runtime import plugins
from runtime.policies.base import EvictionPolicy
from runtime.policies.eviction.arc import Arc
from runtime.policies.eviction.cost_aware import CostAware
from runtime.policies.eviction.fifo import Fifo
from runtime.policies.eviction.lfu import Lfu
from runtime.policies.eviction.lru import Lru
from runtime.policies.eviction.s3fifo import S3Fifo
from runtime.policies.eviction.slru import Slru
from runtime.policies.eviction.survival import Survival
from runtime.policies.eviction.workload_aware import WorkloadAware

EVICTION_POLICIES: dict[str, Callable[[], EvictionPolicy]] = {
    "lru": Lru, "fifo": Fifo, "lfu": Lfu, "slru": Slru, "arc": Arc, "s3fifo": S3Fifo,
    "cost_aware": CostAware, "workload_aware": WorkloadAware, "survival": Survival}
"""Policies that need nothing but what has happened."""


def eviction_policy(name: str) -> Callable[[], EvictionPolicy]:
    """Constructor of the policy of that name, built in or not (:mod:`runtime.plugins`)."""
    return plugins.find("eviction", name, EVICTION_POLICIES,
                        ("insert", "touch", "pin", "unpin", "remove", "victim"))
