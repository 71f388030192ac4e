"""Bench of the quantiser: both directions against the golden model, to the last bit.

Parameters: ``wide`` (bf16 or fp16), ``formats`` (names; all by default), ``blocks_max``,
``exhaustive`` (the share of all inputs that the exhaustive tests take: every so many), ``regions``
(of a random test).
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, Timer
from numpy.typing import NDArray

from hdl.quantiser.dequantise_path import DequantisePath
from hdl.quantiser.layouts import request_layout, result_layout
from hdl.quantiser.quantise_path import QuantisePath
from hdl.quantiser.tally import REGIONS
from model.golden import quantiser as golden
from model.golden.floats import DTYPES, from_bits
from model.spec.formats import kv_format
from model.spec.mx import (
    BLOCK_ELEMENTS,
    ELEMENT_FORMATS,
    ElementFormat,
    QuantisedRegion,
    QuantiserSpec,
    Status,
    StoredFormat,
    element_format,
)
from tb.bench import PERIOD_NS, Bench, StreamDriver, StreamMonitor, parameters

LAST, SCALE, OUTPUT_LAST = 1 << 256, 1 << 256, 1 << 257
"""Bits of a payload above the data."""

POLL_CLOCKS = 16
NEAR_SHARE, AWAY_SHARE = 4, 5
"""One in so many blocks of neighbours, and one in so many numbers with the other rounding."""


def quantiser_spec(*, wide: str = "bf16", formats: list[str] | None = None,
                   blocks_max: int = 256, **_: Any) -> QuantiserSpec:
    """The specification that a set of bench parameters stands for."""
    return QuantiserSpec(wide=kv_format(wide), blocks_max=blocks_max, formats=tuple(
        element_format(name) for name in formats or ELEMENT_FORMATS))


class QuantiserBench(Bench):
    """Feeds requests and beats, and expects what the golden model says."""

    def __init__(self, dut: Any, *, idle: float = 0.0, stall: float = 0.0) -> None:
        super().__init__(dut, drain_clocks=200_000, settle=64)
        self.spec = quantiser_spec(**parameters())
        self.np_rng = np.random.default_rng(self.rng.getrandbits(64))
        self.idle, self.stall = idle, stall
        self.requests: deque[int] = deque()
        self.beats: deque[int] = deque()
        self.outputs, self.results = self.scoreboard(), self.scoreboard()
        self.input_cycles: list[int] = []
        self.output_cycles: list[int] = []
        self.totals: dict[str, int] = {"saturated": 0, "nan": 0, "flushed": 0}
        self.regions_out = 0

    async def __aenter__(self) -> "QuantiserBench":
        await super().__aenter__()
        for port, queue, cycles in (("request", self.requests, []),
                                    ("i", self.beats, self.input_cycles)):
            cocotb.start_soon(self._feed(StreamDriver(self, port, idle=self.idle), queue, cycles))
        StreamMonitor(self, "o", self._output, stall=self.stall)
        StreamMonitor(self, "result", self._result, stall=self.stall)
        return self

    async def _feed(self, driver: StreamDriver, queue: deque[int], cycles: list[int]) -> None:
        while True:
            if queue:
                await driver.put(queue.popleft())
                cycles.append(self.cycle)
            else:
                await RisingEdge(self.dut.clk)

    def _output(self, payload: int) -> None:
        assert self.outputs, f"cycle {self.cycle}: an output beat too many"
        self.output_cycles.append(self.cycle)
        want, what = self.outputs.popleft()
        self.check(payload, want, what)
        self.regions_out += bool(payload & OUTPUT_LAST)

    def _result(self, payload: int) -> None:
        assert self.results, f"cycle {self.cycle}: a result too many"
        want, regions, what = self.results.popleft()
        self.check(payload, want, what)
        assert self.regions_out >= regions, f"cycle {self.cycle}: {what} before its last beat"
        self.regions_wanted = regions

    def request(self, source: StoredFormat, target: StoredFormat, blocks: int, *,
                counts: golden.Counts | None = None, misplaced: bool = False,
                half_away: bool = False, overflow: bool = False) -> Status:
        """Asks for a conversion and expects its result; what is refused counts nothing."""
        layout, answer = request_layout(self.spec), result_layout(self.spec)
        self.requests.append(layout.const({
            "source": source, "target": target, "blocks": blocks, "half_away": half_away,
            "overflow": overflow}).as_bits())
        status = golden.expected_status(self.spec, source, target, blocks)
        counted: dict[str, Any] = {}
        if status is Status.DONE:
            assert counts is not None
            counted = dict(vars(counts))
            status = Status.LAST_MISPLACED if misplaced else status
            self.regions = getattr(self, "regions", 0) + 1
            for name, count in counted.items():
                self.totals[name] += count
        what = f"result of {source.name} to {target.name}, {blocks} blocks"
        self.results.append((answer.const({"status": status, **counted}).as_bits(),
                             getattr(self, "regions", 0) if counted else 0, what))
        return status

    def quantise(self, values: NDArray[Any], fmt: ElementFormat, *, last_at: int | None = None,
                 half_away: bool = False, overflow: bool = False) -> None:
        """A region in the 16-bit format, ``[block, element]``, to format ``fmt``."""
        made = golden.quantise(values, fmt, half_away=half_away, overflow=overflow)
        self.request(StoredFormat.WIDE, fmt.code, len(values), counts=made.counts,
                     half_away=half_away, overflow=overflow, misplaced=last_at is not None)
        self._beats(golden.packed(values.view(np.uint16), 16), last_at)
        columns = golden.to_columns(made, fmt)
        elements = QuantisedRegion(fmt=fmt, blocks=len(values)).element_columns
        for number, column in enumerate(columns):
            last = number == len(columns) - 1
            self.outputs.append((
                column | SCALE * (number >= elements) | OUTPUT_LAST * last,
                f"{fmt.name}, {len(values)} blocks, column {number}"))

    def dequantise(self, codes: NDArray[Any], scales: NDArray[Any], fmt: ElementFormat, *,
                   last_at: int | None = None) -> None:
        """A region in format ``fmt`` to the 16-bit format; columns of scales go first."""
        made = golden.dequantise(codes, scales, fmt, self.spec.wide)
        self.request(fmt.code, StoredFormat.WIDE, len(scales), counts=made.counts,
                     misplaced=last_at is not None)
        columns = golden.to_columns(golden.Quantised(codes, scales, made.counts), fmt)
        elements = QuantisedRegion(fmt=fmt, blocks=len(scales)).element_columns
        self._beats(columns[elements:] + columns[:elements], last_at)
        beats = golden.packed(made.values.view(np.uint16), 16)
        self.outputs.extend(
            (beat | OUTPUT_LAST * (number == len(beats) - 1),
             f"from {fmt.name}, {len(scales)} blocks, beat {number}")
            for number, beat in enumerate(beats))

    def _beats(self, beats: list[int], last_at: int | None) -> None:
        last_at = len(beats) - 1 if last_at is None else last_at
        self.beats.extend(beat | LAST * (number == last_at) for number, beat in enumerate(beats))

    async def finished(self) -> None:
        """Waits until all that is expected has come; compares the totals."""
        while self.outputs or self.results:
            await Timer(POLL_CLOCKS * PERIOD_NS, "ns")
        await self.clocks(2)
        for name, total in self.totals.items():
            self.check(int(getattr(self.dut, name).value), total % (1 << 32), f"total of {name}")

    def pieces(self, blocks: int) -> Iterator[slice]:
        """So many blocks in regions of the largest size."""
        for start in range(0, blocks, self.spec.blocks_max):
            yield slice(start, min(start + self.spec.blocks_max, blocks))

    def random_values(self, blocks: int) -> NDArray[Any]:
        """Blocks of several kinds: any bits, smooth ones, nearly zero, with a bad element."""
        bits = self.np_rng.integers(0, 1 << 16, (blocks, BLOCK_ELEMENTS))
        smooth = self.np_rng.normal(0, 1, bits.shape) * np.exp2(
            self.np_rng.integers(-20, 20, (blocks, 1)))
        kind = self.np_rng.integers(0, 8, (blocks, 1))
        smooth_bits = smooth.astype(from_bits([0], self.spec.wide).dtype).view(np.uint16)
        tiny = bits & 0x81FF if self.spec.wide.exponent_bits == 8 else bits & 0x87FF
        top = 1 << 15 - 1
        return from_bits(np.select(
            [kind == 0, kind == 1, kind == 2, kind == 3],
            [bits, tiny, bits & 0x8000, np.where(bits & top, bits & ~top, smooth_bits)],
            smooth_bits), self.spec.wide)

    def random_region(self, blocks: int, fmt: ElementFormat) -> None:
        """One region of that format, in a random direction."""
        rng = self.np_rng
        if rng.random() < 0.5:
            self.quantise(self.random_values(blocks), fmt, half_away=bool(rng.random() < 0.3),
                          overflow=bool(rng.random() < 0.3))
            return
        codes = rng.integers(0, 1 << fmt.bits, (blocks, BLOCK_ELEMENTS))
        scales = rng.integers(0, 1 << fmt.scale_bits, blocks)
        self.dequantise(codes, scales, fmt)


def every(tb: QuantiserBench, count: int) -> NDArray[np.int64]:
    """Numbers below ``count``, or every so many of them."""
    return np.arange(0, count, parameters()["exhaustive"])


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(("half_away", [False, True]))
async def every_number_in_every_format(dut: Any, half_away: bool) -> None:
    """All 65,536 bit patterns beside an element that pins the scale, some among neighbours."""
    async with QuantiserBench(dut) as tb:
        for fmt in tb.spec.formats:
            bits = every(tb, 1 << 16)[::AWAY_SHARE if half_away else 1]
            near = bits[:len(bits) // BLOCK_ELEMENTS * BLOCK_ELEMENTS].reshape(-1, BLOCK_ELEMENTS)
            near = near[tb.rng.randrange(NEAR_SHARE)::NEAR_SHARE]
            # Scale 1 for what is not above it, else the largest scale; NaN among neighbours only.
            exponents = bits >> tb.spec.wide.fraction_bits & (1 << tb.spec.wide.exponent_bits) - 1
            unit = tb.spec.wide.bias + fmt.exponent_max
            top = (1 << tb.spec.wide.exponent_bits) - 2
            low, high = bits[exponents <= min(unit, top)], bits[
                (exponents > unit) & (exponents <= top)]
            pinned = []
            for group, exponent in ((low, min(unit, top)), (high, top)):
                group = np.pad(group, (0, -len(group) % (BLOCK_ELEMENTS - 1)), mode="edge"
                               ) if len(group) else group
                rows = group.reshape(-1, BLOCK_ELEMENTS - 1)
                pin = np.full((len(rows), 1), exponent << tb.spec.wide.fraction_bits)
                if fmt.scale_bits == 16:        # 7 times a power of two: such a scale has ties
                    pin |= 3 << tb.spec.wide.fraction_bits - 2
                pinned.append(np.hstack([rows, pin]))
            blocks = from_bits(np.vstack([near, *pinned]), tb.spec.wide)
            for piece in tb.pieces(len(blocks)):
                tb.quantise(blocks[piece], fmt, half_away=half_away)
            await tb.finished()


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(("half_away", [False, True]), ("overflow", [False, True]))
async def ties_and_overflows_of_every_format(dut: Any, half_away: bool, overflow: bool) -> None:
    """At scale 1: the middles between neighbouring elements, and numbers beyond the largest."""
    async with QuantiserBench(dut) as tb:
        for fmt in tb.spec.formats:
            elements = golden.magnitude_values(np.arange(fmt.largest + 1), fmt)
            pin = 7.0 if fmt.scale_bits == 16 else np.exp2(fmt.exponent_max)
            beyond = [] if fmt.scale_bits == 16 else np.linspace(elements[-1], 2 * pin, 17)[:-1]
            numbers = np.concatenate([(elements[1:] + elements[:-1]) / 2, beyond])
            numbers = np.concatenate([numbers, -numbers])
            numbers = np.pad(numbers, (0, -len(numbers) % (BLOCK_ELEMENTS - 1)))
            rows = numbers.reshape(-1, BLOCK_ELEMENTS - 1)
            blocks = np.hstack([rows, np.full((len(rows), 1), pin)])
            blocks = blocks.astype(DTYPES[tb.spec.wide])
            for piece in tb.pieces(len(blocks)):
                tb.quantise(blocks[piece], fmt, half_away=half_away, overflow=overflow)
        await tb.finished()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def every_element_at_every_scale(dut: Any) -> None:
    """E8M0: all. INT4: all elements at all exponents, and at all fractions of some exponents."""
    async with QuantiserBench(dut) as tb:
        for fmt in tb.spec.formats:
            scales = every(tb, 256)
            if fmt.scale_bits == 16:
                some = np.concatenate([np.arange(1 << 16)[64::128], np.arange(1 << 16)[127::128],
                                       np.arange(1 << 7), 0x3F80 + np.arange(1 << 7),
                                       0x7F00 + np.arange(1 << 8)])
                scales = some[::parameters()["exhaustive"]]
            codes, scales = np.meshgrid(np.arange(max(1 << fmt.bits, BLOCK_ELEMENTS))
                                        % (1 << fmt.bits), scales)
            codes = codes.reshape(-1, BLOCK_ELEMENTS)
            scales = scales.reshape(-1, BLOCK_ELEMENTS)[:, 0]
            for piece in tb.pieces(len(scales)):
                tb.dequantise(codes[piece], scales[piece], fmt)
            await tb.finished()


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(("idle", [0.0, 0.4]), ("stall", [0.0, 0.6]))
async def random_regions_of_any_length_format_and_direction(dut: Any, idle: float,
                                                            stall: float) -> None:
    async with QuantiserBench(dut, idle=idle, stall=stall) as tb:
        for _ in range(parameters()["regions"]):
            blocks = min(int(tb.np_rng.choice([1, 2, 3, 4, 5, 7, 16, 33, 70])), tb.spec.blocks_max)
            tb.random_region(blocks, tb.rng.choice(tb.spec.formats))
        await tb.finished()


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(("stall", [0.0, 0.5]))
async def columns_that_are_full_in_part(dut: Any, stall: float) -> None:
    """Each format at 1 to 7 blocks and at 33: partial columns of elements and scales."""
    async with QuantiserBench(dut, stall=stall) as tb:
        for fmt in tb.spec.formats:
            for blocks in sorted({min(n, tb.spec.blocks_max) for n in (*range(1, 8), 33)}):
                values = tb.random_values(blocks)
                tb.quantise(values, fmt)
                made = golden.quantise(values, fmt)
                tb.dequantise(made.codes, made.scales, fmt)
        await tb.finished()


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(("stall", [0.0, 0.5]))
async def what_is_quantised_already_is_refused_and_takes_no_beats(dut: Any, stall: float) -> None:
    """All pairs of formats; the regions between them are converted as if nothing had been."""
    async with QuantiserBench(dut, stall=stall) as tb:
        refused = 0
        for source in StoredFormat:
            for target in StoredFormat:
                if golden.expected_status(tb.spec, source, target, 1) is not Status.DONE:
                    tb.request(source, target, 1)
                    refused += 1
            tb.random_region(2, tb.rng.choice(tb.spec.formats))
        assert refused >= 50, "49 pairs of quantised formats, one of 16-bit ones"
        await tb.finished()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def no_blocks_and_too_many_are_refused(dut: Any) -> None:
    async with QuantiserBench(dut) as tb:
        fmt = tb.spec.formats[0]
        for blocks in (0, tb.spec.blocks_max + 1):
            if blocks < 1 << tb.spec.blocks_max.bit_length():
                tb.check(tb.request(StoredFormat.WIDE, fmt.code, blocks), Status.BAD_LENGTH,
                         f"status of {blocks} blocks")
                tb.request(fmt.code, StoredFormat.WIDE, blocks)
        tb.random_region(1, fmt)
        await tb.finished()


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(("stall", [0.0, 0.5]))
async def a_misplaced_last_is_reported_and_the_length_of_the_request_counts(
        dut: Any, stall: float) -> None:
    async with QuantiserBench(dut, stall=stall) as tb:
        for fmt in tb.spec.formats:
            values = tb.random_values(3)
            made = golden.quantise(values, fmt)
            beats = 2 * len(values)
            columns = QuantisedRegion(fmt=fmt, blocks=3).columns
            for last_at in (0, beats - 2, beats):
                tb.quantise(values, fmt, last_at=last_at)
            for last_at in (0, columns - 2, columns):
                tb.dequantise(made.codes, made.scales, fmt, last_at=last_at)
            tb.quantise(values, fmt)
            tb.dequantise(made.codes, made.scales, fmt)
        await tb.finished()


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(("back", [False, True]))
async def a_beat_a_clock_without_gaps_between_blocks_and_regions(dut: Any, back: bool) -> None:
    """16 elements a clock: the beats that enter, or those that leave when dequantising."""
    async with QuantiserBench(dut) as tb:
        for fmt in tb.spec.formats:
            for blocks in sorted({min(n, tb.spec.blocks_max) for n in (1, 2, 3, 5, 33, 1 << 12)}):
                regions = max(2, 24 // blocks)
                tb.input_cycles.clear()
                tb.output_cycles.clear()
                for _ in range(regions):
                    values = tb.random_values(blocks)
                    if back:
                        made = golden.quantise(values, fmt)
                        tb.dequantise(made.codes, made.scales, fmt)
                    else:
                        tb.quantise(values, fmt)
                await tb.finished()
                cycles = tb.output_cycles if back else tb.input_cycles
                tb.check(len(cycles), 2 * blocks * regions, "beats")
                tb.check(cycles[-1] - cycles[0] + 1, len(cycles),
                         f"clocks of {regions} regions of {blocks} blocks, {fmt.name}")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def latencies_are_as_stated(dut: Any) -> None:
    async with QuantiserBench(dut) as tb:
        for fmt in tb.spec.formats:
            values = tb.random_values(1)
            made = golden.quantise(values, fmt)
            for back in (False, True):
                tb.input_cycles.clear()
                tb.output_cycles.clear()
                if back:
                    tb.dequantise(made.codes, made.scales, fmt)
                else:
                    tb.quantise(values, fmt)
                await tb.finished()
                stated = DequantisePath.LATENCY if back else QuantisePath.LATENCY
                tb.check(tb.output_cycles[0] - tb.input_cycles[-1], stated,
                         f"clocks, {fmt.name}, back {back}")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def results_that_are_not_taken_hold_requests_back_and_lose_nothing(dut: Any) -> None:
    async with QuantiserBench(dut) as tb:
        tb.dut.result__ready.value = 0
        for _ in range(REGIONS + 2):
            tb.random_region(2, tb.rng.choice(tb.spec.formats))
        await tb.clocks(200)
        tb.check(len(tb.results), REGIONS + 2, "results that wait")
        tb.dut.result__ready.value = 1
        await tb.finished()
