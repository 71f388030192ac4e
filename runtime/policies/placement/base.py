"""What a placement policy must offer."""

from typing import Protocol

from runtime.tiers.units import Extent, PimUnits


class PlacementPolicy(Protocol):
    """Decides in which stack, stack ID and pseudo-channel KV lies. One object serves one run.

    Blocks of a wave lie in all banks of a unit, one in each, so bank groups are balanced by the
    layout. A new policy is one file; see docs/runtime.md.

    Attributes
    ----------
    moves_ahead : bool
        Whether blocks are moved up before the use that is expected of them.
    """

    moves_ahead: bool

    def home(self, units: PimUnits, request: int) -> int:
        """The stack that a request's first head should lie in."""
        ...

    def place(self, units: PimUnits, kv_blocks: int, key: int,
              home: int) -> list[tuple[Extent, int]]:
        """Extents for ``kv_blocks`` new KV blocks of a request, in order, with their sizes.

        The caller takes the room. There is enough of it in all units together; where no single one
        has enough, :meth:`PimUnits.spill` helps. ``key`` is a number of the first block.
        """
        ...
