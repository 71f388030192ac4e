"""cocotb tests of the PIM unit against model.golden.pim_bank, to the last bit."""

import itertools
import time
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from hdl.layouts import BEAT_WIDTH, AttentionShape
from model.golden import pim_bank as golden
from model.golden.floats import from_bits, from_weight_bits, pack, to_bits, weight_bits
from model.spec.attention import BLOCK_TOKENS, RESCALE_CLEAR, KvLayout, MacMode, PimSpec, Register
from model.spec.formats import FP32, KV_FORMATS, weight_format
from model.spec.mx import element_format
from model.spec.timing import HBM4_8000
from tb.bench import Bench, parameters

ROW_CHANGE = sum(HBM4_8000.clocks(n) for n in (HBM4_8000.nRTP, HBM4_8000.nRP, HBM4_8000.nRCDRD))
"""Clocks from a row's last column to the next row's first (SliceSpec)."""


def spec() -> PimSpec:
    """The unit under test."""
    given = parameters()
    return PimSpec(kv_format=KV_FORMATS[given["kv_format"]],
                   head_size_max=given["head_size_max"], group_max=given["group_max"],
                   lanes=given.get("lanes", PimSpec.LANES),
                   quantised=tuple(map(element_format, given.get("quantised", ()))))


def shapes(pim: PimSpec) -> list[tuple[int, ...]]:
    """(head size, group) of every attention that a test should try."""
    sizes = [size for size in (32, 64, 80, 96, 128, 256) if size <= pim.head_size_max]
    groups = parameters().get("groups", list(range(1, pim.group_max + 1)))
    return list(itertools.product(sizes, groups))


class Data:
    """Seeded operands, as arrays in the KV format."""

    def __init__(self, tb: Bench, pim: PimSpec) -> None:
        self.rng = np.random.default_rng(tb.rng.getrandbits(32))
        self.fmt = pim.kv_format

    def normal(self, *shape: int) -> NDArray[Any]:
        """What attention sees: a normal distribution."""
        return self.rng.normal(size=shape).astype(np.float32).astype(from_bits(0, self.fmt).dtype)

    def wild(self, *shape: int, special: float = 0.02) -> NDArray[Any]:
        """Any exponent; now and then zeros, subnormals, Inf and NaN."""
        f, width = self.fmt.fraction_bits, self.fmt.width
        top = ((1 << self.fmt.exponent_bits) - 1) << f
        corners = np.array([0, 1, (1 << f) - 1, 1 << f, top - 1, top, top | 1], np.int64)
        bits = self.rng.integers(0, top, shape)
        chosen = np.where(self.rng.random(shape) < special,
                          self.rng.choice(corners, shape), bits)
        return from_bits(chosen | self.rng.integers(0, 2, shape) << width - 1, self.fmt)

    def weights(self, *shape: int) -> NDArray[Any]:
        """2^-8 to 2, a quarter of them 0."""
        fmt = weight_format(self.fmt)
        bits = self.rng.integers(fmt.bias - 8 << fmt.fraction_bits,
                                 (fmt.bias + 1 << fmt.fraction_bits) + 1, shape)
        return from_weight_bits(bits * (self.rng.random(shape) < 0.75), fmt)


class Unit:
    """Drives the bank's side of the unit and keeps its expected outputs.

    Attributes
    ----------
    outputs : numpy.ndarray, (heads, head size)
        What OUTPUT should hold.
    hazards : int
        Clocks with ``hazard``. Any is an error unless ``hazards_allowed``.
    """

    def __init__(self, tb: Bench, head_size: int, group: int) -> None:
        self.tb, self.dut, self.pim = tb, tb.dut, spec()
        self.layout = KvLayout(head_size=head_size)
        self.group = group
        self.spacing = self.pim.column_spacing(group, HBM4_8000.clocks(HBM4_8000.nCCDAB))
        self.outputs = np.zeros((group, head_size), np.float32)
        self.hazards, self.hazards_allowed = 0, False
        self.dut.shape.value = AttentionShape(self.pim).const({
            "last_chunk": self.layout.chunks - 1, "last_head": group - 1}).as_bits()
        self.watcher = cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            if int(self.dut.bank__hazard.value):
                self.hazards += 1
                assert self.hazards_allowed, f"cycle {self.tb.cycle}: hazard"

    async def write(self, register: Register, address: int, data: int) -> None:
        """One register write, in one clock."""
        bank = self.dut
        bank.bank__write_register.value, bank.bank__write_address.value = register, address
        bank.bank__write_data.value, bank.bank__write_valid.value = data, 1
        await RisingEdge(bank.clk)
        bank.bank__write_valid.value = 0

    async def write_lanes(self, register: Register, values: NDArray[Any]) -> None:
        """Rows of 16 elements or weights to consecutive addresses."""
        every = (weight_bits(values, self.pim.weight_format) if register == Register.WEIGHT
                 else to_bits(values, self.pim.kv_format))
        bits = every.reshape(-1, self.pim.LANES)
        for address, lanes in enumerate(bits):
            await self.write(register, address, pack(lanes, self.pim.kv_format.width))

    async def write_shifts(self, shifts: NDArray[Any]) -> None:
        """RESCALE."""
        await self.write(Register.RESCALE, 0, pack(shifts, 16))

    async def column(self, data: int, mode: MacMode, start: bool) -> None:
        """One column; returns one clock later."""
        bank = self.dut
        bank.bank__column_data.value, bank.bank__column_valid.value = data, 1
        bank.bank__mode.value, bank.bank__start.value = mode, int(start)
        await RisingEdge(bank.clk)
        bank.bank__column_valid.value = 0

    async def block(self, mode: MacMode, elements: NDArray[Any], *, gaps: float = 0.0) -> None:
        """All columns of a block's K or V, row by row; returns one clock after the last."""
        columns = to_bits(elements, self.pim.kv_format).reshape(-1, self.pim.LANES)
        for n, lanes in enumerate(columns):
            if n:
                wait = self.spacing if n % self.layout.columns else ROW_CHANGE
                while self.tb.rng.random() < gaps:
                    wait += self.tb.rng.randrange(1, 9)
                await self.tb.clocks(wait - 1)
            await self.column(pack(lanes, self.pim.kv_format.width), mode, n == 0)

    async def drained(self) -> None:
        """Until results are readable, from one clock after the last column."""
        await self.tb.clocks(self.pim.drain_clocks - 1)

    async def read(self, register: Register, addresses: list[int]) -> list[int]:
        """Words of a register file, one a clock."""
        bank, words = self.dut, []
        for address in [*addresses, None]:
            if address is not None:
                bank.bank__read_register.value, bank.bank__read_address.value = register, address
            await RisingEdge(bank.clk)
            words.append(bank.bank__read_data.value)
        # the word of an address is out in the clock after it; the last one is sampled too
        return [int(word) for word in words[1:]]

    async def check(self, register: Register, want: NDArray[np.float32]) -> None:
        """Reads all heads, the last one first, since it was ready last."""
        beats = to_bits(want).reshape(self.group, -1, self.pim.SCORES_PER_BEAT)
        per_head = beats.shape[1]
        order = [head * per_head + n for head in reversed(range(self.group))
                 for n in reversed(range(per_head))]
        for address, word in zip(order, await self.read(register, order), strict=True):
            head, n = divmod(address, per_head)
            for slot in range(self.pim.SCORES_PER_BEAT):
                self.tb.check(word >> slot * FP32.width & 0xFFFFFFFF, int(beats[head, n, slot]),
                              f"{register.name} head {head}, element "
                              f"{n * self.pim.SCORES_PER_BEAT + slot}, group {self.group}, "
                              f"head size {self.layout.head_size}")

    async def dot(self, q: NDArray[Any], k: NDArray[Any], *, gaps: float = 0.0) -> None:
        """Loads queries, scores a block, checks."""
        await self.write_lanes(Register.QUERY, q)
        await self.block(MacMode.DOT, k, gaps=gaps)
        await self.drained()
        await self.check(Register.SCORE, golden.scores(q, k))

    async def axpy(self, shifts: NDArray[Any], p: NDArray[Any], v: NDArray[Any], *,
                   gaps: float = 0.0) -> None:
        """Loads weights, accumulates a block, checks."""
        await self.write_lanes(Register.WEIGHT, p)
        await self.write_shifts(shifts)
        await self.block(MacMode.AXPY, v, gaps=gaps)
        await self.drained()
        self.outputs = golden.accumulate(self.outputs, shifts, p, v)
        await self.check(Register.OUTPUT, self.outputs)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def scores_of_every_shape(dut):
    async with Bench(dut) as tb:
        for head_size, group in shapes(spec()):
            unit, data = Unit(tb, head_size, group), Data(tb, spec())
            await unit.dot(data.normal(group, head_size), data.normal(BLOCK_TOKENS, head_size))
            unit.watcher.cancel()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def outputs_of_every_shape(dut):
    async with Bench(dut) as tb:
        for head_size, group in shapes(spec()):
            unit, data = Unit(tb, head_size, group), Data(tb, spec())
            clear = np.full(group, RESCALE_CLEAR)
            for shifts in (clear, data.rng.integers(0, 4, group)):
                await unit.axpy(shifts, data.weights(group, BLOCK_TOKENS),
                                data.normal(BLOCK_TOKENS, head_size))
            unit.watcher.cancel()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def special_values_and_gaps(dut):
    async with Bench(dut) as tb:
        pim = spec()
        for head_size, group in ((64, 1), (pim.head_size_max, pim.group_max)):
            unit, data = Unit(tb, head_size, group), Data(tb, pim)
            for special in (0.0, 0.002, 0.02):
                q = data.wild(group, head_size, special=special)
                k = data.wild(BLOCK_TOKENS, head_size, special=special)
                q[:, 1::2] = data.normal(group, head_size // 2)     # most sums stay finite
                k[:, 0::2] = data.normal(BLOCK_TOKENS, head_size // 2)
                await unit.dot(q, k, gaps=0.2)
            for shift in (RESCALE_CLEAR, 0, 1, 100, 126, 0xFFFE, 3):
                v = data.wild(BLOCK_TOKENS, head_size)
                v[:, 2::3] = data.normal(*v[:, 2::3].shape)
                await unit.axpy(np.full(group, shift), data.weights(group, BLOCK_TOKENS), v,
                                gaps=0.1)
            unit.watcher.cancel()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def signed_zeros(dut):
    """A score of nothing but -0 stays -0; an output starts at +0."""
    async with Bench(dut) as tb:
        pim = spec()
        unit, data = Unit(tb, 64, 1), Data(tb, pim)
        q, k = data.normal(1, 64), data.normal(BLOCK_TOKENS, 64)
        q[:], k[::2] = -0.0, 0.0
        await unit.dot(q, k)
        await unit.dot(np.abs(q), -np.abs(k))
        p, v = data.weights(1, BLOCK_TOKENS), data.normal(BLOCK_TOKENS, 64)
        v[:] = -0.0
        await unit.axpy(np.array([RESCALE_CLEAR]), p, v)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def outputs_below_the_normal_range_vanish(dut):
    async with Bench(dut) as tb:
        unit, data = Unit(tb, 64, 1), Data(tb, spec())
        p, v = data.weights(1, BLOCK_TOKENS), data.normal(BLOCK_TOKENS, 64)
        await unit.axpy(np.array([RESCALE_CLEAR]), p, v)
        p[:] = 0
        await unit.axpy(np.array([126]), p, v)      # for some the exponent becomes just 0
        assert np.any(unit.outputs == 0) and np.any(unit.outputs)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def start_abandons_the_block_before(dut):
    async with Bench(dut) as tb:
        unit, data = Unit(tb, 64, 1), Data(tb, spec())
        for n in range(unit.layout.chunks + 1):      # stops in the middle of the second token
            await unit.column(0, MacMode.DOT, n == 0)
            await tb.clocks(unit.spacing - 1)
        await unit.drained()
        await unit.dot(data.normal(1, 64), data.normal(BLOCK_TOKENS, 64))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_weight_of_zero_hides_its_value(dut):
    async with Bench(dut) as tb:
        pim = spec()
        unit, data = Unit(tb, 64, pim.group_max), Data(tb, pim)
        p, v = data.weights(pim.group_max, BLOCK_TOKENS), data.normal(BLOCK_TOKENS, 64)
        p[:, 5] = p[:, 9] = 0
        v[5], v[9] = np.nan, np.inf
        await unit.axpy(np.full(pim.group_max, RESCALE_CLEAR), p, v)
        assert np.isfinite(unit.outputs).all()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def modes_alternate_a_row_change_apart(dut):
    async with Bench(dut) as tb:
        pim = spec()
        size, group = pim.head_size_max, pim.group_max
        unit, data = Unit(tb, size, group), Data(tb, pim)
        q, p = data.normal(group, size), data.weights(group, BLOCK_TOKENS)
        shifts = np.full(group, RESCALE_CLEAR)
        await unit.write_lanes(Register.QUERY, q)
        await unit.write_lanes(Register.WEIGHT, p)
        await unit.write_shifts(shifts)
        outputs, want = unit.outputs, np.zeros((group, BLOCK_TOKENS), np.float32)
        for _ in range(2):
            k, v = data.normal(BLOCK_TOKENS, size), data.normal(BLOCK_TOKENS, size)
            await unit.block(MacMode.DOT, k)
            await tb.clocks(ROW_CHANGE - 1)
            await unit.block(MacMode.AXPY, v)
            await tb.clocks(ROW_CHANGE - 1)
            outputs, want = golden.accumulate(outputs, shifts, p, v), golden.scores(q, k)
        # a row of the next block's K, which the results must survive
        await unit.column(0, MacMode.DOT, True)
        await unit.drained()
        await unit.check(Register.OUTPUT, outputs)
        await unit.check(Register.SCORE, want)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def hazards_are_reported(dut):
    async with Bench(dut) as tb:
        pim = spec()
        unit = Unit(tb, 64, pim.group_max)
        unit.hazards_allowed = True

        async def provoked(want: int, what: str) -> None:
            await unit.drained()
            tb.check(unit.hazards, want, what)
            unit.hazards = 0

        async def columns(*modes: MacMode, spacing: int) -> None:
            for mode in modes:
                await unit.column(0, mode, True)
                await tb.clocks(spacing - 1)

        dot, axpy = MacMode.DOT, MacMode.AXPY
        await columns(dot, dot, dot, spacing=unit.spacing)
        await provoked(0, "columns at the closest allowed spacing")
        await columns(dot, dot, spacing=unit.spacing - 1)
        await provoked(1, "a column one clock too early")
        await columns(dot, axpy, spacing=pim.drain_clocks - 3)
        await provoked(1, "the other mode before the adders have drained")
        await columns(dot, axpy, dot, spacing=pim.drain_clocks)
        await provoked(0, "the other mode after the drain")
        for mode, register, want in (
                (dot, Register.QUERY, 1), (dot, Register.WEIGHT, 0), (dot, Register.RESCALE, 0),
                (axpy, Register.QUERY, 0), (axpy, Register.WEIGHT, 1), (axpy, Register.RESCALE, 1)):
            for late in range(pim.heads_per_unit):
                await columns(mode, spacing=1 + late)
                await unit.write(register, 0, 0)
                await provoked(want, f"{register.name} written {late + 1} clocks after a column "
                                     f"of {mode.name}")
            await columns(mode, spacing=pim.drain_clocks)
            await unit.write(register, 0, 0)
            await provoked(0, f"{register.name} written after the drain")


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def simulation_speed(dut):
    """Clocks a second of a busy unit, for the record: printed, with no bound."""
    async with Bench(dut) as tb:
        pim = spec()
        unit, data = Unit(tb, pim.head_size_max, pim.group_max), Data(tb, pim)
        columns = to_bits(data.normal(BLOCK_TOKENS, pim.head_size_max), pim.kv_format)
        words = [pack(c, pim.kv_format.width) for c in columns.reshape(-1, pim.LANES)]
        await unit.write_lanes(Register.QUERY, data.normal(pim.group_max, pim.head_size_max))
        await unit.write_lanes(Register.WEIGHT, data.weights(pim.group_max, BLOCK_TOKENS))
        first, began = tb.cycle, time.perf_counter()
        for mode in MacMode:
            for n, word in enumerate(words):
                await unit.column(word, mode, n == 0)
                await tb.clocks(unit.spacing - 1)
            await unit.drained()
        clocks, seconds = tb.cycle - first, time.perf_counter() - began
        tb.check(unit.hazards, 0, "hazards")
        dut._log.info("busy: %d clocks in %.3f s, %.0f clocks/s", clocks, seconds,
                      clocks / seconds)
        assert len(dut.bank__column_data) == BEAT_WIDTH
