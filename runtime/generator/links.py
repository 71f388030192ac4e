"""Which request begins like which earlier one, so that the published reuse comes about.

Three quotas are kept as the requests go by, each in the way that a line is drawn on a raster: the
share of follow-ups, the share of blocks that an infinite cache holds, and of these the shares that
lie within the LRU distances of the published hit rates. A follow-up begins with all whole blocks of
its parent's prompt (its answer reappears as new blocks, as in real traces, where outputs carry no
ids); another request may begin with some blocks of an earlier one, as under a shared system prompt.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

from runtime.generator.stack import Prompt, Run, Stack
from runtime.generator.statistics import BLOCK_TOKENS, LRU_SHARES, WorkloadStatistics
from runtime.workload import Request

LEAST_GAP_S = 10
"""Seconds from a request to its follow-up at least, at the published rate; ours, about the time to
answer and to read."""

LEAST_DISTANCE = 1e-4
"""Share of the different blocks that lies between a prompt and the next one like it at least; ours,
a hundredth of the smallest cache of which a hit rate is published."""

WINDOW = 128
"""Prompts on each side of the wanted distance of which the best one is continued; ours."""

FOLLOW_UP_HITS = 0.9
"""Follow-ups stop looking for the longest parent when hits are this close to their quota or nearer;
ours, so that shared beginnings without a conversation have a part too."""


RESERVED = 1.5
"""Prompts that only a follow-up may continue, over the share of follow-ups; ours."""

RESERVED_GAPS = 2
"""For how long that is so, over the least gap before a follow-up; ours."""

CLOSE = 1.2
"""A prompt this much longer than wanted is taken at once; ours."""


class Linker:
    """Turns lengths and times into requests with prefix blocks.

    Parameters
    ----------
    target : WorkloadStatistics
    distance_scale : float
        Multiplies all reuse distances; 1 for those of the published trace.
    """

    def __init__(self, target: WorkloadStatistics, distance_scale: float) -> None:
        self._target = target
        distinct = target.distinct_blocks * distance_scale
        edges = (LEAST_DISTANCE, *LRU_SHARES, 1.0)
        self._bands = [(low * distinct, high * distinct) for low, high in pairwise(edges)]
        rates = (0.0, *target.lru_hit_rates, target.ideal_hit_rate)
        self._quotas = [(after - before) / target.ideal_hit_rate
                        for before, after in pairwise(rates)]
        self._stack = Stack(distinct)
        self._least_gap = LEAST_GAP_S * target.qps * min(1.0, distance_scale)
        self._reserved_for = RESERVED_GAPS * self._least_gap
        self._by_band = [0.0] * len(self._bands)
        self._hits = self._accesses = self._follow_ups = self._next_id = 0

    def link(self, index: int, arrival_ps: int, tokens: int, answer: int,
             draws: Sequence[float]) -> Request:
        """The next request; ``draws`` are two uniform numbers."""
        blocks = -(-tokens // BLOCK_TOKENS)
        self._accesses += blocks
        band = self._band_wanted()
        missing = self._target.ideal_hit_rate * self._accesses - self._hits
        place, shared, session, turn, parent = None, 0, index, 1, -1
        if self._follow_ups < self._target.follow_up_share * (index + 1):
            for wider in (band, *(k for k in range(len(self._bands)) if k != band)):
                place = self._parent(self._near(wider, draws[0]), index, tokens, missing)
                if place is not None:
                    break
        if place is not None:
            earlier = self._stack.at(place)
            assert earlier is not None
            shared, session, turn, parent = (earlier.whole_blocks, earlier.session,
                                             earlier.turn + 1, earlier.index)
            self._follow_ups += 1
        elif missing > 0 and len(self._stack):
            wanted = min(int(missing), blocks - 1)
            place, shared = self._alike(self._near(band, draws[0]), index, wanted)
        runs: list[Run] = []
        if place is not None and shared:
            band = self._band_of(self._stack.distance_of(place))
            runs = _first(self._stack.take(place, shared).runs, shared)
            self._hits += shared
            self._by_band[band] += shared
        if blocks > shared:
            runs.append((self._next_id, blocks - shared))
            self._next_id += blocks - shared
        reserved = draws[1] < RESERVED * self._target.follow_up_share
        self._stack.push(Prompt(index, runs, tokens, answer, session, turn, reserved))
        return Request(
            arrival_ps=arrival_ps, input_tokens=tokens, output_tokens=answer,
            block_ids=tuple(chain.from_iterable(range(a, a + n) for a, n in runs)),
            origin=f"generated request {index}", session=session, chat=index, parent=parent,
            turn=turn)

    def _band_wanted(self) -> int:
        """The band that is furthest behind its quota, of those that prompts have reached."""
        reached = [k for k, (low, _) in enumerate(self._bands) if low <= self._stack.depth or not k]
        return max(reached, key=lambda k: (
            self._quotas[k] * self._hits - self._by_band[k], -k))

    def _band_of(self, distance: float) -> int:
        return next((k for k, (_, high) in enumerate(self._bands) if distance <= high),
                    len(self._bands) - 1)

    def _near(self, band: int, draw: float) -> Iterator[int]:
        """Places within a band of distances, around one drawn from it, nearest first."""
        if not len(self._stack):
            return
        low, high = self._bands[band]
        oldest, youngest = self._stack.place_of(high), self._stack.place_of(low)
        middle = self._stack.place_of(low * (high / low) ** draw)
        for away in range(WINDOW):
            if oldest <= middle - away:
                yield middle - away
            if away and middle + away <= youngest:
                yield middle + away

    def _parent(self, near: Iterable[int], index: int, tokens: int, missing: float) -> int | None:
        """Place of a prompt that fits into this one with its answer, or None."""
        best, longest = None, 0
        room = tokens // BLOCK_TOKENS
        enough = missing < (1 - FOLLOW_UP_HITS) * self._hits * 0.01
        for place in near:
            prompt = self._stack.at(place)
            if (prompt is None or index - prompt.index < self._least_gap
                    or prompt.tokens + prompt.answer >= tokens):
                continue
            if prompt.whole_blocks > longest:
                best, longest = place, prompt.whole_blocks
                if enough or longest > 0.9 * room:
                    break
        return best

    def _alike(self, near: Iterable[int], index: int,
               wanted: int) -> tuple[int | None, int]:
        """Place of a prompt to begin like, and for how many blocks.

        Of those that are long enough the shortest, so that long ones are left for long ones.
        """
        best, most, shortest = None, 0, 0
        for place in near:
            prompt = self._stack.at(place)
            if prompt is None or (prompt.reserved and index - prompt.index < self._reserved_for):
                continue
            usable = min(wanted, prompt.blocks)
            if usable > most or (usable == most and prompt.blocks < shortest):
                best, most, shortest = place, usable, prompt.blocks
                if most == wanted and shortest <= CLOSE * wanted:
                    break
        return best, most


def _first(runs: list[Run], blocks: int) -> list[Run]:
    """The first ``blocks`` ids of runs."""
    taken: list[Run] = []
    for start, count in runs:
        if count >= blocks:
            taken.append((start, blocks))
            break
        taken.append((start, count))
        blocks -= count
    return taken
