"""AttAcc's GPU: a roofline with tiles that decide traffic and how many cores have work."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np

from model.spec.errors import unknown_name
from runtime.fixed.kernels import ELEMENT_BYTES, Kernel

L1_TILES = (8, 16, 32, 64, 128, 192, 256, 320, 384, 448, 512)
L1_DEPTH = 32
REGISTER_TILE = 16
L2_SLICES = 64          # an L2 tile is as deep as the product over this
FIT_BANDWIDTH = 1555e9  # of the A100 on which norms and activations were measured


@dataclass(frozen=True, kw_only=True)
class FixedGpu:
    """Rates of one GPU (its src/config.py:82-127) and the shares of them that kernels reach (:4-5).

    Attributes
    ----------
    flops, bandwidth, link_bandwidth : float
        A second; the link's is both directions together.
    cores : int
    l1_bytes, l2_bytes : int
    """

    name: str
    flops: float
    cores: int
    l1_bytes: int
    l2_bytes: int
    link_bandwidth: float
    bandwidth: float = 3352e9
    compute_share: float = 0.8
    bandwidth_share: float = 0.85

    def time(self, kernel: Kernel, devices: int) -> tuple[float, bool]:
        """Seconds, and whether memory bounds them."""
        if kernel.kind in ("reduce", "transfer"):
            return self._link_time(kernel, devices), True
        tiles = self._tiles(kernel)
        blocks = self._blocks(kernel, tiles[0]) if kernel.kind == "fc" else kernel.count
        busy = blocks / (ceil(blocks / self.cores) * self.cores)
        computing = kernel.flops / (self.flops * self.compute_share * busy)
        scale = FIT_BANDWIDTH / self.bandwidth      # the fits below are in microseconds
        if kernel.kind == "activation":
            moving = (4.47e-7 * scale * kernel.bytes + 8.29) * 1e-6
        elif kernel.kind == "norm":
            moving = (1.6e-6 * scale * kernel.bytes + 6.87) * 1e-6
        else:
            moving = self.traffic(kernel)[0] / (self.bandwidth * self.bandwidth_share * busy)
        return max(computing, moving), computing <= moving

    def _link_time(self, kernel: Kernel, devices: int) -> float:
        if kernel.kind == "transfer":
            return kernel.result_bytes / (self.link_bandwidth / 2)
        size = kernel.result_bytes / devices
        measured = (6060 + 0.009 * size * (600e9 / self.link_bandwidth)) * 1e-9
        return max(measured, size / (self.link_bandwidth / 2)) * (devices - 1)

    def traffic(self, kernel: Kernel) -> tuple[float, float, float, float]:
        """Bytes at memory, L2 and L1, and operands at registers."""
        if kernel.kind not in ("fc", "attention"):
            return kernel.bytes, kernel.bytes, kernel.bytes, kernel.bytes
        l1, l2 = self._tiles(kernel)
        scale = ELEMENT_BYTES * kernel.count
        register = (REGISTER_TILE, REGISTER_TILE)
        # Operands of a single product, in elements: as the simulator counts them.
        return (_traffic(kernel, l2) * scale, _traffic(kernel, l1) * scale,
                _traffic(kernel, register) * scale, 3 * kernel.m * kernel.n * kernel.k)

    def _blocks(self, kernel: Kernel, tile: tuple[float, float]) -> int:
        return ceil(kernel.m / tile[0]) * ceil(kernel.n / tile[1]) * kernel.count

    def _tiles(self, kernel: Kernel) -> tuple[tuple[float, float], tuple[float, float]]:
        return _choose_tiles(self, kernel)


def _traffic(kernel: Kernel, tile: tuple[float, float]) -> float:
    return (ceil(kernel.n / tile[1]) * kernel.m * kernel.k
            + ceil(kernel.m / tile[0]) * kernel.n * kernel.k + kernel.m * kernel.n)


@lru_cache(maxsize=1 << 16)
def _choose_tiles(gpu: FixedGpu, kernel: Kernel) -> tuple[tuple[float, float],
                                                          tuple[float, float]]:
    """(m, n) of an L1 and an L2 tile: the cheapest that fit, the first of equals."""
    m, n, k = kernel.m, kernel.n, kernel.k
    best, l1 = float("inf"), (0.0, 0.0)
    for tm in dict.fromkeys(min(t, m) for t in L1_TILES):
        for tn in dict.fromkeys(min(t, n) for t in L1_TILES):
            if ((tm + tn) * L1_DEPTH + tm * tn) * ELEMENT_BYTES > gpu.l1_bytes:
                continue
            blocks = kernel.count
            if kernel.kind == "fc":
                blocks *= ceil(m / tm) * ceil(n / tn)
            idle = ceil(blocks / gpu.cores) * gpu.cores / blocks
            cost = _traffic(kernel, (tm, tn)) * idle ** 2
            if cost < best:
                best, l1 = cost, (tm, tn)
    rows = np.array([l1[0] * i for i in range(1, int(m / l1[0]) + 1)] + [m])[:, None]
    columns = np.array([l1[1] * i for i in range(1, int(n / l1[1]) + 1)] + [n])[None, :]
    depth = k / L2_SLICES
    size = ((rows + columns) * depth + rows * columns) * ELEMENT_BYTES
    accesses = np.ceil(m / rows) * n * k + np.ceil(n / columns) * m * k + m * n
    allowed = size <= gpu.l2_bytes
    allowed[0, 0] = True        # the L1 tile itself, whatever the cache holds
    where = np.unravel_index(np.argmin(np.where(allowed, accesses, np.inf)), accesses.shape)
    return l1, (float(rows[where[0], 0]), float(columns[0, where[1]]))


FIXED_GPUS = {g.name: g for g in (
    FixedGpu(name="a100a", flops=312e12, cores=108, l1_bytes=192 << 10, l2_bytes=40 << 20,
             link_bandwidth=600e9),
    FixedGpu(name="h100", flops=989.4e12, cores=132, l1_bytes=256 << 10, l2_bytes=50 << 20,
             link_bandwidth=900e9),
)}


def fixed_gpu(name: str) -> FixedGpu:
    """The GPU of that name; one line with the nearest name if there is none."""
    if name.lower() not in FIXED_GPUS:
        raise unknown_name("gpu", name, FIXED_GPUS)
    return FIXED_GPUS[name.lower()]
