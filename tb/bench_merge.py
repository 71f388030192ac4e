"""Bench of the merge unit: results and partial results against the golden model.

Parameters: ``format`` (KV format), ``head_size_max``, ``random`` (merges of the random test).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from hdl.attention.merge import Merge
from hdl.layouts import AttentionShape, PartHeader, part_layout, result_layout
from model.golden.floats import from_bits, kv_round, pack, product, to_bits
from model.golden.merge import Part, finalize, merge
from model.spec.attention import PimSpec
from model.spec.formats import FloatFormat, kv_format
from tb.bench import Bench, StreamDriver, StreamMonitor, parameters

LANES = PimSpec.SCORES_PER_BEAT


def merge_spec(format: str, head_size_max: int, **_: Any) -> PimSpec:
    """The specification that a set of bench parameters stands for."""
    return PimSpec(kv_format=kv_format(format), head_size_max=head_size_max)


class MergeBench(Bench):
    """Drives merges and expects what the golden model says."""

    def __init__(self, dut: Any, *, idle: float = 0.0, stall: float = 0.0) -> None:
        super().__init__(dut)
        self.pim = merge_spec(**parameters())
        self.np_rng = np.random.default_rng(self.rng.getrandbits(64))
        self.idle, self.stall = idle, stall
        self.results = self.scoreboard()
        self.result_cycles: list[int] = []
        self.header_cycle = self.beat_cycle = self.stalled = 0

    async def __aenter__(self) -> "MergeBench":
        await super().__aenter__()
        self.driver = StreamDriver(self, "part", idle=self.idle)
        StreamMonitor(self, "result", self._result, stall=self.stall)
        cocotb.start_soon(self._observe())
        return self

    async def _observe(self) -> None:
        """Notes when parts come, counts stalls, and demands ``busy`` while a result is due."""
        dut, header = self.dut, 1 << part_layout()["header"].offset
        while True:
            await RisingEdge(dut.clk)
            if int(dut.part__valid.value):
                self.stalled += not int(dut.part__ready.value)
                if int(dut.part__ready.value):
                    if int(dut.part__payload.value) & header:
                        self.header_cycle = self.cycle
                    else:
                        self.beat_cycle = self.cycle
            if int(dut.result__valid.value):
                assert int(dut.busy.value), f"cycle {self.cycle}: a result, but not busy"

    def _result(self, payload: int) -> None:
        assert self.results, f"cycle {self.cycle}: a result too many"
        self.result_cycles.append(self.cycle)
        self.check(payload, self.results.popleft(), f"result beat, {len(self.results)} to come")

    async def merge(self, parts: list[Part], *, partial: bool = False, wait: bool = True) -> None:
        """Merges parts of one head; with ``wait`` until the result has left."""
        size = len(parts[0].o)
        if wait:
            self.dut.shape.value = AttentionShape(self.pim).const(
                {"last_chunk": size // self.pim.LANES - 1}).as_bits()
            self.dut.partial.value = int(partial)
        self._expect(merge(parts), partial)
        for index, part in enumerate(parts):
            header = PartHeader().const({
                "m": part.m, "l": int(to_bits(part.l)),
                "first": index == 0, "last": index == len(parts) - 1}).as_bits()
            await self.driver.put(part_layout().const({"header": 1, "data": header}).as_bits())
            for beat in to_bits(part.o).reshape(-1, LANES):
                await self.driver.put(
                    part_layout().const({"header": 0, "data": pack(beat, 32)}).as_bits())
        if wait:
            await self.finished()

    async def finished(self) -> None:
        """Waits until the unit is not busy; then no result may be missing."""
        await RisingEdge(self.dut.clk)
        while int(self.dut.busy.value):
            await RisingEdge(self.dut.clk)
        assert not self.results, f"cycle {self.cycle}: not busy, but results are missing"

    def _expect(self, merged: Part, partial: bool) -> None:
        if partial:
            header = PartHeader().const({"m": merged.m, "l": int(to_bits(merged.l))}).as_bits()
            words = [header, *(pack(b, 32) for b in to_bits(merged.o).reshape(-1, LANES))]
        else:
            fmt = self.pim.kv_format
            output = to_bits(finalize(merged, fmt), fmt)
            words = [pack(b, 16) for b in output.reshape(-1, self.pim.LANES)]
        self.results.extend(
            result_layout().const({"data": word, "last": index == len(words) - 1}).as_bits()
            for index, word in enumerate(words))


def part(m: int, l: float, o: object, size: int = 64) -> Part:
    """A part whose outputs are ``o``, over and over."""
    values = np.resize(np.asarray(o, np.float32), size)
    return Part(m, np.float32(l), values)


def last_bit_matters(l: float, fmt: FloatFormat) -> NDArray[np.float32]:
    """Outputs that round differently if the last bit of ``1 / l`` is wrong."""
    r = np.float32(1) / np.float32(l)
    middles = 1 + (np.arange(1 << fmt.fraction_bits) + 0.5) / (1 << fmt.fraction_bits)
    near = to_bits((middles / r).astype(np.float32))[:, None] + np.arange(-1, 2)
    o = from_bits(near).ravel()
    low, right, high = (kv_round(product(o, x), fmt) for x in (
        np.nextafter(r, np.float32(0)), r, np.nextafter(r, np.float32(np.inf))))
    return o[(low != right) | (right != high)]


def corners(pim: PimSpec) -> Iterator[list[Part]]:
    """Merges that each aim at one rule of docs/numerics.md, 7, 9 and 10."""
    inf, nan, tiny = np.inf, np.nan, float(np.finfo(np.float32).tiny)
    special = [0.0, -0.0, 1e-45, -1e-45, tiny, -tiny, 3e38, -3e38, inf, -inf, 1.0, -2.5, 2e-38]
    yield [part(0, 1, special)]
    yield [part(0, 1, [*special, nan])]
    for l in (1.0, 3.0, 1.5, 1e-45, 1e-39, 3e38, 0.0, inf, nan, -2.0, 7.0, 1 / 3):
        yield [part(-5, l, special)]
    for gap in (0, 1, 23, 24, 126, 127, 256, 32767):
        yield [part(0, 2, special), part(gap, 1.25, [1.5, *special])]
        yield [part(gap, 1.25, [1.5, *special]), part(0, 2, special)]
        yield [part(gap - 16384, 1, special), part(-16384, 0, special), part(gap - 16384, 0, [1])]
    yield [part(-32768, 1, special), part(32767, 1, [7.0]), part(-32768, 1, [8.0])]
    for l in (3.0, 7.0, 1.1, 1.9, 1 / 3, 11.0):
        yield [part(0, l, last_bit_matters(l, pim.kv_format))]
    half = 2.0 ** -24
    yield [part(0, 1, [1.0]), *[part(0, 0, [half, 3 * half, -half])] * 5]     # ties to even
    yield [part(0, 1, [2.0 ** 24]), part(0, half, [1.0]), part(0, half, [1.0])]
    yield [part(m, 1 / (m + 1), [1.1 * m, -m]) for m in range(20)]            # growing maxima
    yield [part(-m, 1 / (m + 1), [1.1 * m, -m]) for m in range(20)]
    yield [part(0, 1, [65504.0, 65520.0, 6e-8, 2.9e-8, 1.00390625, 1.01171875])]   # KV rounding
    for size in range(64, pim.head_size_max + 1, 16):
        ramp = np.arange(size, dtype=np.float32) + 1
        yield [part(1, 2, ramp, size), part(2, 3, -ramp[::-1], size), part(0, 3, ramp, size)]


def random_parts(rng: np.random.Generator, pim: PimSpec, size: int = 0) -> list[Part]:
    """Parts of any number and kind."""
    size = size or int(rng.choice(np.arange(64, pim.head_size_max + 1, 16)))
    kind = rng.integers(3)

    def values(shape: int) -> NDArray[np.float32]:
        if kind == 0:
            return from_bits(rng.integers(0, 1 << 32, shape, np.uint32))
        return (rng.normal(0, 1, shape) * 10.0 ** rng.integers(-2, 3)).astype(np.float32)

    spread = int(rng.choice([1, 4, 200]))
    parts = [Part(int(rng.integers(-spread, spread + 1)),
                  np.float32(rng.uniform(0.1, 40) if kind < 2 else rng.choice([0.0, 1.0])),
                  values(size)) for _ in range(rng.integers(1, 18))]
    # What the banks of a channel send: only the first carries l.
    return [replace(p, l=np.float32(1.5 if i == 0 else 0)) for i, p in enumerate(parts)
            ] if kind == 2 else parts


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(("idle", [0.0, 0.3]), ("stall", [0.0, 0.7]), ("partial", [False, True]))
async def corners_match_the_golden_model(dut: Any, idle: float, stall: float,
                                         partial: bool) -> None:
    async with MergeBench(dut, idle=idle, stall=stall) as tb:
        for parts in corners(tb.pim):
            await tb.merge(parts, partial=partial)


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(("idle", [0.0, 0.4]), ("stall", [0.0, 0.9]))
async def random_merges_match_the_golden_model(dut: Any, idle: float, stall: float) -> None:
    async with MergeBench(dut, idle=idle, stall=stall) as tb:
        for _ in range(parameters()["random"]):
            await tb.merge(random_parts(tb.np_rng, tb.pim), partial=tb.rng.random() < 0.3)


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(("partial", [False, True]), ("stall", [0.0, 0.8]))
async def heads_may_follow_each_other_at_once(dut: Any, partial: bool, stall: float) -> None:
    async with MergeBench(dut, stall=stall) as tb:
        await tb.merge(random_parts(tb.np_rng, tb.pim, 64), partial=partial)
        for _ in range(6):
            await tb.merge(random_parts(tb.np_rng, tb.pim, 64), partial=partial, wait=False)
        await tb.finished()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_partial_result_is_a_valid_part(dut: Any) -> None:
    """Merging in two levels, through the hardware's own partial results."""
    async with MergeBench(dut) as tb:
        groups = [random_parts(tb.np_rng, tb.pim, 64) for _ in range(3)]
        for parts in groups:
            await tb.merge(parts, partial=True)
        await tb.merge([merge(parts) for parts in groups])


@cocotb.test(timeout_time=100, timeout_unit="us")
async def clocks_are_as_stated(dut: Any) -> None:
    async with MergeBench(dut) as tb:
        for size in (64, tb.pim.head_size_max):
            for count in (1, 2, 16):
                for partial in (False, True):
                    tb.result_cycles.clear()
                    tb.stalled = 0
                    parts = [part(n, 1, [n, 1.0], size) for n in range(count)]
                    await tb.merge(parts, partial=partial)
                    name = f"{count} parts of {size}, partial {partial}"
                    tb.check(tb.stalled, 0, f"clocks in which a part waited, {name}")
                    tb.check(tb.beat_cycle - tb.header_cycle, size // LANES,
                             f"clocks from header to last beat, {name}")
                    offered = tb.beat_cycle + Merge.PARTIAL_LATENCY if partial else max(
                        tb.header_cycle + Merge.RESULT_LATENCY,
                        tb.beat_cycle + Merge.DRAIN_LATENCY)
                    tb.check(tb.result_cycles[0], offered, f"cycle of the first result, {name}")
                    tb.check(np.unique(np.diff(tb.result_cycles)).tolist(),
                             [1, 2] if partial else [2], f"clocks a result beat, {name}")
                    tb.check(tb.result_cycles[-1] - tb.result_cycles[0],
                             size // LANES + 1 if partial else size // LANES - 2,
                             f"clocks from first to last result, {name}")
