"""First fit."""

import numpy as np

from runtime.tiers.units import Extent, PimUnits


class FirstFit:
    """Puts each head into the first unit with room for it, whatever that unit has to do."""

    moves_ahead = False

    def home(self, units: PimUnits, request: int) -> int:
        return 0

    def place(self, units: PimUnits, kv_blocks: int, key: int,
              home: int) -> list[tuple[Extent, int]]:
        fitting = np.cumsum(np.maximum(units.free // kv_blocks, 0))
        if fitting[-1] < units.heads:
            return units.spill(kv_blocks)
        chosen = np.searchsorted(fitting, np.arange(units.heads), side="right")
        return [(units.extent(chosen), kv_blocks)]
