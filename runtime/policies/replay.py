"""Replay of eviction policies on the block stream of a workload, with no engine around it.

*Flat*: each block of each prompt is one access, front to back, and a missed block is taken in.
*Row*: what prefix caches of serving engines do. The hits of a prompt are its leading blocks that
are resident; then all its blocks become resident, the first one last, so that tails are older than
the prefixes they hang on; then victims leave until the rest fits.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from model.spec.errors import require_int
from runtime.policies.base import UNKNOWN, Access, EvictionPolicy
from runtime.workload import Request

Prompt = tuple[Access, Sequence[int]]
"""What is known of a request, and its prefix blocks."""


def prompts(requests: Iterable[Request]) -> Iterable[Prompt]:
    """Prompts of requests, at the time of arrival."""
    for place, request in enumerate(requests):
        yield Access(time_ps=request.arrival_ps, request=place, session=request.session,
                     turn=request.turn, request_class=request.request_class,
                     prompt_blocks=len(request.block_ids)), request.block_ids


def count_hits(accesses: Iterable[int], capacity: int, policy: EvictionPolicy) -> int:
    """Hits of a plain stream of blocks of which nothing else is known."""
    return replay_flat(((UNKNOWN, (block,)) for block in accesses), capacity, policy)


@dataclass(slots=True)
class PrefixHits:
    """Hits of which the whole prefix was resident too, which alone are of use."""

    blocks: int = 0
    tokens: int = 0
    prompts: int = 0


def replay_flat(stream: Iterable[Prompt], capacity: int, policy: EvictionPolicy, *,
                bypass: bool = False, usable: PrefixHits | None = None) -> int:
    """Hits of a cache of ``capacity`` blocks, empty at first, block by block.

    Parameters
    ----------
    bypass : bool
        The missed block itself may be the victim: it is inserted first.
    usable : PrefixHits or None
        Is given the hits that follow an unbroken run of hits from the prompt's first block on.
    """
    require_int("capacity", capacity, 1, 1 << 62)
    resident: set[int] = set()
    touch, insert, choose = policy.touch, policy.insert, policy.victim
    hits = run = 0
    room = capacity + bypass
    for access, blocks in stream:
        unbroken = True
        for index, block in enumerate(blocks):
            if block in resident:
                hits += 1
                run += unbroken
                touch(block, index, access)
                continue
            unbroken = False
            if bypass:
                insert(block, index, access)
                resident.add(block)
                if len(resident) == room:
                    resident.remove(_chosen(choose(block)))
                continue
            if len(resident) == room:
                resident.remove(_chosen(choose(block)))
            resident.add(block)
            insert(block, index, access)
    if usable is not None:
        usable.blocks += run
    return hits


def replay_rows(stream: Iterable[Prompt], capacity: int, policy: EvictionPolicy,
                input_tokens: Iterable[int] = (), block_tokens: int = 0) -> PrefixHits:
    """Hits of a prefix cache of ``capacity`` blocks; tokens too if the prompts' are given."""
    require_int("capacity", capacity, 1, 1 << 62)
    resident: set[int] = set()
    found = PrefixHits()
    for (access, blocks), tokens in zip(stream, chain(input_tokens, repeat(0)), strict=False):
        leading = 0
        for block in blocks:
            if block not in resident:
                break
            leading += 1
        found.blocks += leading
        found.tokens += min(leading * block_tokens, tokens)
        found.prompts += leading > 0
        for index in range(len(blocks) - 1, -1, -1):
            block = blocks[index]
            if block in resident:
                policy.touch(block, index, access)
            else:
                resident.add(block)
                policy.insert(block, index, access)
        while len(resident) > capacity:
            resident.remove(_chosen(policy.victim()))
    return found


@dataclass(frozen=True, slots=True)
class TierHits:
    """Hits of each tier, and blocks that each pushed out (from the last one: lost)."""

    hits: tuple[int, ...]
    demotions: tuple[int, ...]


def replay_tiers(stream: Iterable[Prompt], capacities: Sequence[int],
                 policy: Callable[[], EvictionPolicy]) -> TierHits:
    """Hits of exclusive tiers: a hit moves the block to the first, a victim goes one down."""
    for capacity in capacities:
        require_int("capacity", capacity, 1, 1 << 62)
    policies = [policy() for _ in capacities]
    sizes, hits, demotions = ([0] * len(capacities) for _ in range(3))
    where: dict[int, int] = {}
    for access, blocks in stream:
        for index, block in enumerate(blocks):
            tier = where.pop(block, None)
            if tier is not None:
                hits[tier] += 1
                sizes[tier] -= 1
                policies[tier].remove(block)
            moving, place = block, index
            for k, capacity in enumerate(capacities):
                policies[k].insert(moving, place, access)
                where[moving] = k
                sizes[k] += 1
                if sizes[k] <= capacity:
                    break
                moving = _chosen(policies[k].victim())
                del where[moving]
                sizes[k] -= 1
                demotions[k] += 1
    return TierHits(tuple(hits), tuple(demotions))


def _chosen(victim: int | None) -> int:
    assert victim is not None, "nothing is pinned in a replay"
    return victim
