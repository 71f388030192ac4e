"""cocotb tests of the PIM unit on KV that is multiplied as it is stored, to the last bit.

Parameters: those of :mod:`tb.bench_pim_bank`, ``quantised`` (formats), and ``mutant``, the number
of a planted fault, which only :mod:`tests.rtl.test_pim_quantised` builds.
"""

import itertools
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from hdl.layouts import AttentionShape
from model.golden import pim_bank as golden
from model.golden.floats import pack
from model.golden.quantiser import quantise
from model.spec.attention import (
    BLOCK_TOKENS,
    RESCALE_CLEAR,
    MacMode,
    PimSpec,
    QuantisedKvLayout,
    Register,
)
from model.spec.mx import BLOCK_ELEMENTS, SCALE_NAN, ElementFormat
from model.spec.timing import HBM4_8000
from tb.bench import Bench, parameters
from tb.bench_pim_bank import ROW_CHANGE, Data, Unit, spec


class Stored:
    """K or V of a block as codes and scales, ``[token, element]`` and ``[token, block]``."""

    def __init__(self, codes: NDArray[Any], scales: NDArray[Any], head_size: int) -> None:
        self.codes = np.reshape(codes, (BLOCK_TOKENS, head_size)).astype(np.int64)
        self.scales = np.reshape(scales, (BLOCK_TOKENS, -1)).astype(np.int64)

    @classmethod
    def of(cls, values: NDArray[Any], fmt: ElementFormat) -> "Stored":
        """Quantised as the quantiser does."""
        made = quantise(values.reshape(-1, BLOCK_ELEMENTS), fmt)
        return cls(made.codes, made.scales, values.shape[1])

    def columns(self) -> list[int]:
        """The words of its elements."""
        return [pack(block, 8) for block in self.codes.reshape(-1, BLOCK_ELEMENTS)]


class QuantisedUnit(Unit):
    """Drives blocks of scales, K and V; the slots of scales take turns as in an attention."""

    def __init__(self, tb: Bench, fmt: ElementFormat, head_size: int, group: int) -> None:
        super().__init__(tb, head_size, group)
        self.fmt, self.slot = fmt, 0
        self.spacing = self.pim.column_spacing(
            group, HBM4_8000.clocks(HBM4_8000.nCCDAB), passes=2)
        self.dut.shape.value = AttentionShape(self.pim).const({
            "last_chunk": self.layout.chunks - 1, "last_head": group - 1,
            "format": fmt.code}).as_bits()
        assert QuantisedKvLayout(head_size=head_size).half_columns % 2 == 0

    async def scales(self, slot: int, k: Stored, v: Stored) -> None:
        """Columns of scales, as close as the DRAM allows."""
        self.dut.bank__slot.value = slot
        every = np.concatenate([k.scales.ravel(), v.scales.ravel()])
        for n, word in enumerate(every.reshape(-1, 32)):
            await self.column(pack(word, 8), MacMode.SCALE, n == 0)
            await self.tb.clocks(1)

    async def elements(self, mode: MacMode, slot: int, stored: Stored) -> None:
        """Columns of K or V; returns one clock after the last."""
        self.dut.bank__slot.value = slot
        for n, word in enumerate(stored.columns()):
            if n:
                await self.tb.clocks((self.spacing if n % 32 else ROW_CHANGE) - 1)
            await self.column(word, mode, n == 0)

    async def attend(self, q: NDArray[Any], shifts: NDArray[Any], p: NDArray[Any], k: Stored,
                     v: Stored, other: Stored) -> None:
        """Scales, K, the scales of the block after it, V: what two waves do to a bank."""
        await self.write(Register.SCORE, 0, parameters().get("mutant", 0))  # ignored without
        await self.write_lanes(Register.QUERY, q)
        await self.write_lanes(Register.WEIGHT, p)
        await self.write_shifts(shifts)
        await self.scales(self.slot, k, v)
        await self.elements(MacMode.DOT, self.slot, k)
        await self.drained()
        await self.check(Register.SCORE, golden.quantised_scores(q, k.codes, k.scales, self.fmt))
        await self.scales(self.slot ^ 1, other, other)
        await self.elements(MacMode.AXPY, self.slot, v)
        await self.drained()
        self.outputs = golden.quantised_accumulate(
            self.outputs, shifts, p, v.codes, v.scales, self.fmt)
        await self.check(Register.OUTPUT, self.outputs)
        self.slot ^= 1


def shapes(pim: PimSpec) -> list[tuple[ElementFormat, int, int]]:
    """(format, head size, group) of every attention that a test should try."""
    sizes = [size for size in (64, 128, 256) if size <= pim.head_size_max]
    groups: list[int] = parameters().get("groups", list(range(1, pim.group_max + 1)))
    return list(itertools.product(pim.quantised, sizes, groups))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def quantised_blocks_of_every_shape(dut: Any) -> None:
    async with Bench(dut) as tb:
        pim = spec()
        for fmt, size, group in shapes(pim):
            unit, data = QuantisedUnit(tb, fmt, size, group), Data(tb, pim)
            for shifts in (np.full(group, RESCALE_CLEAR), 3 + np.arange(group)):
                k, v, other = (Stored.of(data.normal(BLOCK_TOKENS, size), fmt) for _ in range(3))
                await unit.attend(data.normal(group, size), shifts,
                                  data.weights(group, BLOCK_TOKENS), k, v, other)
            unit.watcher.cancel()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def every_code_and_every_scale(dut: Any) -> None:
    """All 256 codes, NaN among them, and all scales, so that sums overflow and vanish."""
    async with Bench(dut) as tb:
        pim = spec()
        for fmt in pim.quantised:
            unit, data = QuantisedUnit(tb, fmt, 64, 2), Data(tb, pim)
            every = np.arange(1 << 8)
            ordered = Stored(np.tile(every, 4), np.full(32, 127), 64)
            finite = every if fmt.nan is None else every[(every & 0x7F) < fmt.nan]
            for turn in range(4):
                scales = 64 * turn + data.rng.permutation(64)
                k = Stored(data.rng.choice(every if turn == 3 else finite, 1024), scales[:32], 64)
                v = Stored(data.rng.choice(finite, 1024), scales[32:], 64)
                p = data.weights(2, BLOCK_TOKENS)
                if SCALE_NAN in v.scales:
                    p[:, :3] = 0
                await unit.attend(data.normal(2, 64), np.full(2, RESCALE_CLEAR), p, k, v, k)
            await unit.attend(data.normal(2, 64), np.full(2, RESCALE_CLEAR),
                              data.weights(2, BLOCK_TOKENS), ordered, ordered, ordered)
            unit.watcher.cancel()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def wide_blocks_follow_quantised_ones(dut: Any) -> None:
    """The same unit multiplies 16-bit KV as one that knows nothing else."""
    async with Bench(dut) as tb:
        pim = spec()
        size, group = pim.head_size_max, pim.group_max
        for _ in range(2):
            data = Data(tb, pim)
            unit = QuantisedUnit(tb, pim.quantised[0], size, group)
            k = Stored.of(data.normal(BLOCK_TOKENS, size), pim.quantised[0])
            await unit.attend(data.normal(group, size), np.full(group, RESCALE_CLEAR),
                              data.weights(group, BLOCK_TOKENS), k, k, k)
            unit.watcher.cancel()
            wide = Unit(tb, size, group)
            await wide.dot(data.normal(group, size), data.normal(BLOCK_TOKENS, size))
            await wide.axpy(np.full(group, RESCALE_CLEAR), data.weights(group, BLOCK_TOKENS),
                            data.normal(BLOCK_TOKENS, size))
            wide.watcher.cancel()
