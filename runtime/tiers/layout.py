"""Where in the first tier blocks lie, for systems in which that matters."""

from collections import Counter
from collections.abc import Mapping, Sequence

from runtime.policies.placement.base import PlacementPolicy
from runtime.tiers.units import Extent, PimUnits


class Layout:
    """A first tier whose blocks are all alike, wherever they lie."""

    matters = False

    def home(self, request: int) -> int:
        """The stack that a request should lie near."""
        return 0

    def place(self, kv_blocks: int, key: int, home: int) -> list[tuple[Extent, int]]:
        """Chooses extents for new KV blocks and takes the room."""
        return []

    def fits(self, extent: Extent, kv_blocks: int) -> bool:
        """Whether an extent's units have room for so many KV blocks (more)."""
        return True

    def occupy(self, extent: Extent, kv_blocks: int) -> None:
        """Takes room in an extent's units; negative numbers give it back."""

    def vacate(self, extent: Extent, kv_blocks: int) -> None:
        """Gives room back at the next :meth:`settle`: many blocks of an extent leave at a time."""

    def settle(self) -> None:
        """Books what was given back."""

    def plan(self, parts: Mapping[Extent, int], sign: int) -> None:
        """A request will attend so many waves of each extent (or will do so no longer)."""

    def gather(self, taken: Sequence[tuple[Extent, int]]) -> Extent | None:
        """Makes one place of several, the first: a prefix block lies in one extent."""
        return None


class PimLayout(Layout):
    """Blocks in PIM units, where a policy puts them.

    Parameters
    ----------
    units : PimUnits
    policy : PlacementPolicy
    """

    matters = True

    def __init__(self, units: PimUnits, policy: PlacementPolicy) -> None:
        self.units, self.policy = units, policy
        self._left: Counter[Extent] = Counter()

    def home(self, request: int) -> int:
        return self.policy.home(self.units, request)

    def place(self, kv_blocks: int, key: int, home: int) -> list[tuple[Extent, int]]:
        placed = self.policy.place(self.units, kv_blocks, key, home)
        self.units.occupy_all(placed)
        return placed

    def fits(self, extent: Extent, kv_blocks: int) -> bool:
        return int(self.units.free[extent.units].min()) >= kv_blocks

    def occupy(self, extent: Extent, kv_blocks: int) -> None:
        self.units.occupy(extent, kv_blocks)

    def vacate(self, extent: Extent, kv_blocks: int) -> None:
        self._left[extent] += kv_blocks

    def settle(self) -> None:
        if self._left:
            self.units.occupy_all([(extent, -n) for extent, n in self._left.items()])
            self._left.clear()

    def plan(self, parts: Mapping[Extent, int], sign: int) -> None:
        if parts:
            self.units.plan(parts, sign)

    def gather(self, taken: Sequence[tuple[Extent, int]]) -> Extent | None:
        first = taken[0][0]
        for extent, kv_blocks in taken[1:]:
            self._left[extent] += kv_blocks
            self._left[first] -= kv_blocks
        return first
