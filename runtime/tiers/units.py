"""What lies in the PIM units of a card and what they have to do.

All cards work alike: each holds an equal share of the KV heads, so one card, of those with most
heads, stands for all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.cycle_table import COMPLETE_PIM_BANKS
from runtime.systems.pim import PimArray

WAVE_BLOCKS = COMPLETE_PIM_BANKS
"""KV blocks of a wave: one in each bank of a unit, so all bank groups work alike."""

Units = np.ndarray
"""One unit for each KV head of a card."""


@dataclass(frozen=True, slots=True, eq=False)
class Extent:
    """Consecutive KV blocks of one request, each head's in one unit.

    Attributes
    ----------
    units : array of int
        The unit of each KV head.
    home : int
        Stack that head 0 lies in.
    regular : bool
        Whether head ``h`` lies in the stack ``h`` places after the home, and around.
    """

    units: Units
    home: int
    regular: bool = False


class PimUnits:
    """Room and attention load of every unit.

    Parameters
    ----------
    array : PimArray
    kv_blocks : int
        Capacity of the tier in KV blocks of the whole model.

    Attributes
    ----------
    load, merging : array of int
        Cycles a layer that each unit needs in one step, for attention and to merge.
    planned : array of int
        What ``load`` will be when all requests that are in work decode; placement goes by it.
    free : array of int
        Room of each unit, in KV blocks of one head. A running request takes whole waves; where
        room is that short, a unit may be overbooked by less than one.
    """

    def __init__(self, array: PimArray, kv_blocks: int) -> None:
        self.array = array
        self.stacks, self.per_stack, self.heads = array.stacks, array.units_per_stack, array.heads
        self.load = np.zeros(array.units, dtype=np.int64)
        self.merging = np.zeros(array.units, dtype=np.int64)
        self.planned = np.zeros(array.units, dtype=np.int64)
        self.capacity = -(-kv_blocks * array.heads // array.units)
        self.free = np.full(array.units, self.capacity, dtype=np.int64)

    def occupy(self, extent: Extent, kv_blocks: int) -> None:
        """Takes room for KV blocks of each head; negative numbers give it back."""
        np.subtract.at(self.free, extent.units, kv_blocks)

    def attend(self, extent: Extent, cycles: int) -> None:
        """Adds cycles of attention for each head; negative numbers take them away."""
        np.add.at(self.load, extent.units, cycles)

    def attend_all(self, parts: Mapping[Extent, int], sign: int) -> None:
        """Adds (or takes away) attention of a job: waves of each extent."""
        self._add(self.load, parts, sign)

    def plan(self, parts: Mapping[Extent, int], sign: int) -> None:
        """The same for what is planned."""
        self._add(self.planned, parts, sign)

    def _add(self, array: np.ndarray, parts: Mapping[Extent, int], sign: int) -> None:
        cycles = [sign * self.array.attend_cycles(waves) for waves in parts.values()]
        np.add.at(array, np.array([e.units for e in parts]),
                  np.array(cycles, dtype=np.int64)[:, None])

    def occupy_all(self, places: Sequence[tuple[Extent, int]]) -> None:
        """Takes room for KV blocks of each head in several extents."""
        np.subtract.at(self.free, np.array([e.units for e, _ in places]),
                       np.array([n for _, n in places], dtype=np.int64)[:, None])

    def merge(self, extent: Extent, cycles: int) -> None:
        """Adds cycles of merging where the extent lies."""
        np.add.at(self.merging, extent.units, cycles)

    def layer_cycles(self) -> int:
        """Cycles of one layer's attention over all requests."""
        refresh, fullest = self.array.refresh, int(self.load.max())
        attending = -(-fullest * refresh.numerator // refresh.denominator)
        return attending + (self.array.ends if fullest else 0) + int(self.merging.max())

    def extent(self, units: np.ndarray) -> Extent:
        """The extent in these units."""
        return Extent(units, int(units[0]) // self.per_stack)

    def spill(self, kv_blocks: int,
              free: np.ndarray | None = None) -> list[tuple[Extent, int]]:
        """Pieces wherever there is most room, for what fits nowhere in one piece.

        ``free`` is the room to go by, if not all that there is.
        """
        heads = self.heads
        free = self.free if free is None else free
        order = np.argsort(-free, kind="stable")
        order = order[np.arange(max(len(order) // heads, 1) * heads) % len(order)]
        pieces: list[tuple[Extent, int]] = []
        for chosen, room in zip(order.reshape(-1, heads),
                                free[order[heads - 1::heads]].tolist(), strict=True):
            size = min(kv_blocks, room)
            if size <= 0:
                break
            pieces.append((self.extent(chosen), size))
            kv_blocks -= size
        if kv_blocks:       # all units are full but for remainders: the emptiest are overbooked
            pieces.append((self.extent(order[:heads]), kv_blocks))
        return pieces


    def spill_near(self, kv_blocks: int, home: int) -> list[tuple[Extent, int]]:
        """The same with each head in its stack from ``home`` on, as far as there is room."""
        stacks = (home + np.arange(self.heads)) % self.stacks
        rivals = -(-self.heads // self.stacks)      # heads of the fullest stack
        free = self.free.reshape(self.stacks, self.per_stack)
        order = np.argsort(-free, axis=1, kind="stable")
        turn = np.arange(self.heads) // self.stacks
        columns = turn + np.arange(0, self.per_stack - rivals + 1, rivals)[:, None]
        local = order[stacks, columns]              # piece by head
        rooms = free[stacks, local].min(axis=1).tolist()
        pieces: list[tuple[Extent, int]] = []
        for row, room in enumerate(rooms):
            size = min(kv_blocks, room)
            if size <= 0:
                break
            pieces.append((Extent(local[row] + stacks * self.per_stack, home, True), size))
            kv_blocks -= size
        if kv_blocks:
            left = self.free.copy()
            for extent, size in pieces:
                left[extent.units] -= size
            pieces += self.spill(kv_blocks, left)
        return pieces


class Pieces:
    """Extents of consecutive KV blocks, taken from the front.

    Parameters
    ----------
    places : iterable of (Extent, int)
        Extents with sizes.
    """

    def __init__(self, places: Iterable[tuple[Extent, int]]) -> None:
        self._places = iter(places)
        self._extent: Extent | None = None
        self._left = 0

    def at_once(self, kv_blocks: int) -> Extent | None:
        """The extent of the next KV blocks if they lie in one; takes them then."""
        if self._left < kv_blocks:
            return None
        self._left -= kv_blocks
        return self._extent

    def take(self, kv_blocks: int) -> list[tuple[Extent, int]]:
        """The next KV blocks; empty if there are no places at all."""
        taken: list[tuple[Extent, int]] = []
        while kv_blocks:
            if not self._left:
                following = next(self._places, None)
                if following is None:
                    break
                self._extent, self._left = following
            assert self._extent is not None
            size = min(kv_blocks, self._left)
            taken.append((self._extent, size))
            self._left -= size
            kv_blocks -= size
        return taken
