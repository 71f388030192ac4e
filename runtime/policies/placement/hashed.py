"""By a hash of the block, as vStack does (facts.md 1.2)."""

import numpy as np

from runtime.tiers.units import WAVE_BLOCKS, Extent, PimUnits

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: multiplying by it spreads consecutive numbers (Knuth)."""


class Hashed:
    """Puts each wave of each head into the unit that a hash names, or the next one with room."""

    moves_ahead = False

    def home(self, units: PimUnits, request: int) -> int:
        return request % units.stacks

    def place(self, units: PimUnits, kv_blocks: int, key: int,
              home: int) -> list[tuple[Extent, int]]:
        count = len(units.free)
        free = units.free.copy()
        waves = -(-kv_blocks // WAVE_BLOCKS)
        numbers = (np.arange(waves * units.heads, dtype=np.uint64)
                   + np.uint64(key % (1 << 44)) * np.uint64(units.heads))
        named = ((numbers * GOLDEN) >> np.uint64(32)) % np.uint64(count)
        rows = named.astype(np.int64).reshape(waves, units.heads)
        placed: list[tuple[Extent, int]] = []
        for wave in range(waves):
            size = min(WAVE_BLOCKS, kv_blocks - wave * WAVE_BLOCKS)
            chosen = rows[wave]
            for _ in range(count):
                full = free[chosen] < size
                if not full.any():
                    break
                chosen = np.where(full, (chosen + 1) % count, chosen)
            else:
                return units.spill(kv_blocks)
            np.subtract.at(free, chosen, size)
            placed.append((units.extent(chosen), size))
        return placed
