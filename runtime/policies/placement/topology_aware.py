"""Balanced attention, near the request's home."""

import numpy as np

from runtime.tiers.units import WAVE_BLOCKS, Extent, PimUnits

STEP = 4
"""Numbers of parts that are tried are powers of this: a finer choice gains little."""

FULL = np.iinfo(np.int64).max // 4


class TopologyAware:
    """Puts a request where its attention ends earliest beside what the units do already.

    Head ``h`` lies in the stack ``h`` places after the request's home, so heads use all stacks and
    each head's parts are merged within one. There it gets the least loaded units, one or more: more
    parts end earlier but have to be merged, so they are only taken where the fullest unit of the
    card would otherwise be fuller. Both stack IDs of a stack of two PIM stack IDs are candidates.
    """

    moves_ahead = True

    def __init__(self) -> None:
        self._heads_in: np.ndarray | None = None        # heads by home and stack

    def home(self, units: PimUnits, request: int) -> int:
        if self._heads_in is None:
            places = (np.arange(units.stacks)[:, None] + np.arange(units.heads)) % units.stacks
            self._heads_in = np.stack([np.bincount(row, minlength=units.stacks)
                                       for row in places])
        by_stack = units.planned.reshape(units.stacks, units.per_stack).sum(axis=1)
        costs = (self._heads_in @ by_stack).tolist()
        loads = by_stack.tolist()
        stacks = range(units.stacks)
        # Requests without load yet would all have the first home.
        return min(stacks, key=lambda k: (costs[k], loads[k], (k - request) % units.stacks))

    def place(self, units: PimUnits, kv_blocks: int, key: int,
              home: int) -> list[tuple[Extent, int]]:
        array, per_stack = units.array, units.per_stack
        refresh = array.refresh
        stacks = (home + np.arange(units.heads)) % units.stacks
        turn = np.arange(units.heads) // units.stacks       # place among the heads of its stack
        rivals = int(turn[-1]) + 1
        waves = -(-kv_blocks // WAVE_BLOCKS)
        peak, most_room = int(units.planned.max()), int(units.free.max())
        load = units.planned.reshape(units.stacks, per_stack)
        free = units.free.reshape(units.stacks, per_stack)
        best: tuple[int, np.ndarray, int] | None = None
        parts = 1
        while True:
            share = -(-waves // parts)
            needed = min(kv_blocks, share * WAVE_BLOCKS)
            if needed <= most_room:
                masked = np.where(free >= needed, load, FULL)
                order = np.argsort(masked, axis=1, kind="stable")
                columns = (turn + np.arange(0, parts * rivals, rivals)[:, None]) % per_stack
                chosen = order[stacks, columns]
                level = int(masked[stacks, chosen].max())
                attending = max(peak, level + array.attend_cycles(share))
                end = (attending * refresh.numerator // refresh.denominator
                       + array.merge_cycles(parts - 1))
                if level < FULL and (best is None or end < best[0]):
                    best = (end, chosen + stacks * per_stack, share)
                elif best is not None:
                    break
            if share == 1 or rivals * parts * STEP > per_stack:
                break
            parts *= STEP
        if best is None:
            return units.spill_near(kv_blocks, home)
        _, rows, share = best
        placed: list[tuple[Extent, int]] = []
        left = kv_blocks
        for row in rows:
            size = min(left, share * WAVE_BLOCKS)
            if size:
                placed.append((Extent(row, home, True), size))
                left -= size
        return placed
