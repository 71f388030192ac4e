"""Policies by name, and the replay of eviction policies on a plain stream of block accesses."""

from runtime.policies.base import UNKNOWN, Access, EvictionPolicy
from runtime.policies.eviction import EVICTION_POLICIES, eviction_policy
from runtime.policies.replay import count_hits

__all__ = ["EVICTION_POLICIES", "UNKNOWN", "Access", "EvictionPolicy", "count_hits",
           "eviction_policy"]
