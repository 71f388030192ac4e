"""Eviction policies by name, and their replay on a plain stream of block accesses."""

from collections.abc import Callable, Iterable

from model.spec.errors import require_int, unknown_name
from runtime.policies.base import EvictionPolicy
from runtime.policies.fifo import Fifo
from runtime.policies.lru import Lru

EVICTION_POLICIES: dict[str, Callable[[], EvictionPolicy]] = {"lru": Lru, "fifo": Fifo}


def eviction_policy(name: str) -> Callable[[], EvictionPolicy]:
    """Constructor of the policy of that name."""
    if name not in EVICTION_POLICIES:
        raise unknown_name("eviction", name, EVICTION_POLICIES)
    return EVICTION_POLICIES[name]


def count_hits(accesses: Iterable[int], capacity: int, policy: EvictionPolicy) -> int:
    """Hits of a cache of ``capacity`` blocks, empty at first, that takes in every missed block."""
    require_int("capacity", capacity, 1, 1 << 62)
    resident: set[int] = set()
    hits = 0
    for block in accesses:
        if block in resident:
            hits += 1
            policy.touch(block)
            continue
        if len(resident) >= capacity:
            victim = policy.victim()
            assert victim is not None, "nothing is pinned here"
            resident.remove(victim)
        resident.add(block)
        policy.insert(block)
    return hits
