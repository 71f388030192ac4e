"""What a block stream itself says about reuse, whatever the policy."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from runtime.workload import Request


@dataclass(slots=True)
class ReuseStatistics:
    """Reuse in a stream of block accesses; a *reuse* is an access that an infinite cache hits.

    Attributes
    ----------
    accesses, distinct_blocks, used_once, most_uses : int
        Accesses; different blocks; those accessed once; most accesses of one block.
    hits, hit_tokens, prompt_tokens : int
        Hits of an infinite cache in blocks and tokens; tokens of all prompts.
    distances : array of int
        LRU stack distance of each reuse: different blocks since the last access, itself included.
    times_ps : array of int
        Time since the last access, of each reuse.
    """

    accesses: int
    distinct_blocks: int
    used_once: int
    most_uses: int
    hits: int
    hit_tokens: int
    prompt_tokens: int
    distances: np.ndarray = field(repr=False)
    times_ps: np.ndarray = field(repr=False)

    def stack_distance_percentiles(self, percents: Iterable[int]) -> dict[int, int]:
        """Percentiles of the stack distance, each a distance that occurs."""
        ordered = np.sort(self.distances)
        return {p: int(ordered[p * (len(ordered) - 1) // 100]) for p in percents if len(ordered)}


def reuse_statistics(requests: Iterable[Request], block_tokens: int) -> ReuseStatistics:
    """Statistics of the blocks of all prompts, in order."""
    last: dict[int, tuple[int, int]] = {}       # block: its last access and when
    uses: dict[int, int] = {}
    before: list[int] = []                      # last access of the same block, or -1
    times: list[int] = []
    hit_tokens = prompt_tokens = 0
    for request in requests:
        now, left = request.arrival_ps, request.input_tokens
        for block in request.block_ids:
            tokens = min(block_tokens, left)
            left -= tokens
            prompt_tokens += tokens
            place, when = last.get(block, (-1, 0))
            if place >= 0:
                hit_tokens += tokens
                times.append(now - when)
            last[block] = (len(before), now)
            uses[block] = uses.get(block, 0) + 1
            before.append(place)
    return ReuseStatistics(
        accesses=len(before), distinct_blocks=len(uses),
        used_once=sum(n == 1 for n in uses.values()), most_uses=max(uses.values(), default=0),
        hits=len(times), hit_tokens=hit_tokens, prompt_tokens=prompt_tokens,
        distances=_stack_distances(before), times_ps=np.array(times, dtype=np.int64))


def _stack_distances(before: list[int]) -> np.ndarray:
    """Stack distances of all reuses.

    A Fenwick tree holds a one at each block's latest access, so that a distance is a sum over the
    accesses since the block's last one.
    """
    size = len(before)
    tree = [0] * (size + 1)
    distances = []
    held = 0
    for now, place in enumerate(before):
        if place >= 0:
            older, at = 0, place
            while at > 0:
                older += tree[at]
                at &= at - 1
            distances.append(held - older)
            at = place + 1
            while at <= size:
                tree[at] -= 1
                at += at & -at
            held -= 1
        at = now + 1
        while at <= size:
            tree[at] += 1
            at += at & -at
        held += 1
    return np.array(distances, dtype=np.int64)
