"""Bench of the softmax unit: weights, rescale words and (m, l) against the golden model.

Parameters: ``format`` (KV format), ``group_max``, ``fraction_bits`` (of the exponent), ``random``
(attentions of the random test).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from hdl.attention.softmax import RESCALE_WIDTH, Softmax
from hdl.layouts import AttentionShape, SoftmaxState, score_layout, weight_layout
from model.golden.floats import pack, to_bits, weight_bits
from model.golden.softmax import OnlineSoftmax, Wave
from model.spec.attention import BLOCK_TOKENS, PimSpec
from model.spec.formats import kv_format
from tb.bench import Bench, StreamDriver, StreamMonitor, parameters

SCALE = np.float32(np.log2(np.e) / np.sqrt(128))
ONE = np.float32(1)
HALF = BLOCK_TOKENS // 2
Scores = NDArray[np.float32]


def softmax_spec(format: str, group_max: int, fraction_bits: int, **_: Any) -> PimSpec:
    """The specification that a set of bench parameters stands for."""
    return PimSpec(kv_format=kv_format(format), group_max=group_max,
                   exponent_fraction_bits=fraction_bits)


@dataclass(frozen=True)
class Attention:
    """Scores of one attention, wave by wave: ``[head, block, token]`` and how many are valid."""

    waves: list[tuple[Scores, int]]
    scale: np.float32 = SCALE


def in_blocks(tokens: int, *, blocks: int) -> NDArray[np.int64]:
    """How many of so many tokens lie in each block."""
    return np.clip(tokens - BLOCK_TOKENS * np.arange(blocks), 0, BLOCK_TOKENS)


class SoftmaxBench(Bench):
    """Drives attentions and expects what the golden model says."""

    def __init__(self, dut: Any, *, idle: float = 0.0, stall: float = 0.0) -> None:
        super().__init__(dut)
        self.pim = softmax_spec(**parameters())
        self.np_rng = np.random.default_rng(self.rng.getrandbits(64))
        self.idle, self.stall = idle, stall
        self.weights, self.rescales = self.scoreboard(), self.scoreboard()
        self.nans = self.nans_expected = 0
        self.held = False
        self.rescale_cycle = self.first_end = self.busy_cycle = 0
        self.weight_cycles: list[int] = []
        self.set = 0

    async def __aenter__(self) -> "SoftmaxBench":
        await super().__aenter__()
        self.driver = StreamDriver(self, "score", idle=self.idle)
        StreamMonitor(self, "weight", self._weight, stall=self.stall)
        StreamMonitor(self, "rescale", self._rescale, stall=self.stall)
        cocotb.start_soon(self._observe())
        return self

    async def __aexit__(self, kind: object, *exc: object) -> None:
        await super().__aexit__(kind, *exc)
        if kind is None:
            self.check(self.nans, self.nans_expected, "beats with a NaN")

    async def _observe(self) -> None:
        """Counts NaN pulses; `ready` falls only while a whole wave is held.

        Notes when the first head of a wave ended and when the unit was last busy.
        """
        dut = self.dut
        head, last = (score_layout(self.pim)[name] for name in ("head", "last"))
        fields = (1 << head.width) - 1 << head.offset | 1 << last.offset
        while True:
            await RisingEdge(dut.clk)
            if (int(dut.score__valid.value) and int(dut.score__ready.value)
                    and int(dut.score__payload.value) & fields == 1 << last.offset):
                self.first_end = self.cycle      # last beat of head 0
            if int(dut.busy.value):
                self.busy_cycle = self.cycle
            self.nans += int(dut.nan.value)
            if not int(dut.score__ready.value):
                assert self.held, f"cycle {self.cycle}: not ready though no whole wave is held"
            if not int(dut.busy.value):
                self.held = False

    def _weight(self, payload: int) -> None:
        assert self.weights, f"cycle {self.cycle}: weights that no score asked for"
        self.weight_cycles.append(self.cycle)
        self.check(payload, self.weights.popleft(), "weights")

    def _rescale(self, payload: int) -> None:
        assert self.rescales, f"cycle {self.cycle}: a rescale word too many"
        self.rescale_cycle = self.cycle
        self.check(payload, self.rescales.popleft(), "rescale word")

    def _expect(self, scores: Scores, tokens: int, want: Wave) -> None:
        layout = weight_layout(self.pim)
        for head, blocks in enumerate(weight_bits(want.weights, self.pim.weight_format)):
            for block, bits in enumerate(blocks):
                self.weights.append(layout.const(
                    {"head": head, "block": block, "data": pack(bits, 16)}).as_bits())
        self.rescales.append(pack(want.rescale, RESCALE_WIDTH))
        valid = np.arange(scores[0].size).reshape(scores[0].shape) < tokens
        nan_beats = (np.isnan(scores) & valid).reshape(len(scores), -1, HALF).any(axis=2)
        self.nans_expected += int(nan_beats.sum())

    async def _drive(self, scores: Scores, tokens: int, *, first: bool) -> None:
        layout = score_layout(self.pim)
        heads, blocks, _ = scores.shape
        beats = to_bits(scores).reshape(heads, 2 * blocks, HALF)
        for head in range(heads):
            for beat in range(2 * blocks):
                count = min(max(tokens - beat * HALF, 0), HALF)
                last, last_head = beat == 2 * blocks - 1, head == heads - 1
                await self.driver.put(layout.const({
                    "head": head, "data": pack(beats[head, beat], 32), "count": count,
                    "last": last, "last_head": last_head,
                    "first_wave": first, "set": self.set}).as_bits())
        self.held = True

    async def idle_again(self) -> None:
        """Waits until the unit is not busy."""
        while int(self.dut.busy.value):
            await RisingEdge(self.dut.clk)

    def check_state(self, golden: OnlineSoftmax) -> None:
        """Compares (m, l) of every head."""
        layout = SoftmaxState()
        word = int(self.dut.state.value) >> self.set * layout.size * self.pim.group_max
        for head in range(len(golden.m)):
            state = layout.from_bits(word >> head * layout.size & (1 << layout.size) - 1)
            self.check(state.m, int(golden.m[head]), f"m of head {head}")
            self.check(state.l, int(to_bits(golden.l)[head]), f"l of head {head}")

    async def attend(self, attention: Attention, *, eager: bool = False) -> None:
        """Runs one attention; ``eager`` offers a wave while the one before is under way."""
        heads = len(attention.waves[0][0])
        golden = OnlineSoftmax(heads, attention.scale, self.pim)
        self.dut.shape.value = AttentionShape(self.pim).const(
            {"last_head": heads - 1, "last_chunk": 7}).as_bits()
        self.dut.scale.value = int(to_bits(attention.scale))
        self.set ^= 1
        for index, (scores, tokens) in enumerate(attention.waves):
            counts = in_blocks(tokens, blocks=scores.shape[1])
            self._expect(scores, tokens, golden.wave(scores, counts))
            await self._drive(scores, tokens, first=index == 0)
            if not eager or index == len(attention.waves) - 1:
                await self.idle_again()
                assert not self.weights and not self.rescales, "not busy, but output missing"
                self.check_state(golden)


def _scores(values: object, blocks: int = 1, heads: int = 1) -> Scores:
    """Scores whose first ones are ``values``; NaN, which must not matter, behind them."""
    scores = np.full((heads, blocks * BLOCK_TOKENS), np.nan, np.float32)
    given = np.asarray(values, np.float32)
    scores[:, :given.shape[-1]] = given
    return scores.reshape(heads, blocks, BLOCK_TOKENS)


def corners(pim: PimSpec) -> Iterator[Attention]:
    """Attentions that each aim at one rule of docs/numerics.md, 3 to 7."""
    inf, nan = np.inf, np.nan
    tiny = 2.0 ** -pim.exponent_fraction_bits
    rows: list[list[float]] = [
        [0.0], [-0.0], [1.5] * 16, [-3.25] * 9, [inf, 1.0], [-inf, -inf], [-inf, 5.0],
        [nan], [nan, 2.0, inf], [1.0, nan], [16383.5, 16384.0, 3e38], [-16384.0, -16384.5, -3e38],
        [100.0, 12.0, 0.0, -20.0, -27.0], [1e-45, -1e-45, 1e-38], [2.0, -2.0, 1.0, -1.0],
        [0.5 * tiny, 1.5 * tiny, 2.5 * tiny, -0.5 * tiny, -1.5 * tiny, 0.499 * tiny],
        [1 - tiny, 1 - 0.5 * tiny, 1 - 0.49 * tiny, -1 + 0.5 * tiny],
        [7.0, 7.0 - 80.0, 7.0 - 88.0],
    ]
    lowest = pim.weight_format.exponent_min
    rows += [[0.0] + [lowest - 1 + k / 1024 for k in range(start, start + 15)]
             for start in (1012, 1020)]      # where a weight becomes 0
    rows += [[0.0, lowest, lowest - 0.5, lowest - 1, lowest - 2]]
    for row in rows:
        yield Attention([(_scores(row), len(row))], ONE)
    climb = [0.0, 3.0, 3.5, -2.0, 40.0, 41.0, 41.0, 200.0, 16383.0, 5.0]
    yield Attention([(_scores([top, top - 1.3, 0.7]), 3) for top in climb], ONE)
    yield Attention([(_scores([-16384.0]), 1), (_scores([16383.0, -16384.0]), 2)], ONE)
    yield Attention([(_scores([nan, -inf]), 2), (_scores([-16000.0, 1.0]), 2)], ONE)
    yield Attention([(_scores(np.full(256, 0.25), 16), 256)] * 2, ONE)
    for heads in range(1, pim.group_max + 1):       # every group size, every head its own scores
        ramp = np.arange(heads)[:, None] * 7.0 - np.arange(37) * 0.31
        yield Attention([(_scores(ramp, 3, heads), 37), (_scores(-ramp[:, :17], 2, heads), 17)])
    for tokens in range(1, 33):                     # every partial block
        yield Attention([(_scores(np.linspace(-2, 9, tokens), -(-tokens // 16)), tokens)])


def random_attention(rng: np.random.Generator, pim: PimSpec) -> Attention:
    """A few waves of any size with scores of any kind."""
    heads = int(rng.integers(1, pim.group_max + 1))
    draw: Callable[[tuple[int, ...]], NDArray[Any]] = [
        lambda size: rng.normal(0, 20, size),
        lambda size: rng.standard_t(2, size) * 30,
        lambda size: rng.integers(-3, 4, size) * rng.choice([1.0, 50.0]),
        lambda size: rng.integers(0, 1 << 32, size, np.uint32).view(np.float32),
    ][rng.integers(4)]
    waves: list[tuple[Scores, int]] = []
    for _ in range(rng.integers(1, 4)):
        blocks = int(rng.choice([1, 1, 2, 3, 16]))
        tokens = 16 * (blocks - 1) + int(rng.integers(1, 17))
        waves.append((draw((heads, blocks, 16)).astype(np.float32), tokens))
    scale = [SCALE, ONE, np.float32(rng.uniform(0.01, 8))][rng.integers(3)]
    return Attention(waves, np.float32(scale))


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(("idle", [0.0, 0.3]), ("stall", [0.0, 0.5]))
async def corners_match_the_golden_model(dut: Any, idle: float, stall: float) -> None:
    async with SoftmaxBench(dut, idle=idle, stall=stall) as tb:
        for attention in corners(tb.pim):
            await tb.attend(attention)


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(("idle", [0.0, 0.3]), ("stall", [0.0, 0.9]))
async def random_attentions_match_the_golden_model(dut: Any, idle: float, stall: float) -> None:
    async with SoftmaxBench(dut, idle=idle, stall=stall) as tb:
        for index in range(parameters()["random"]):
            await tb.attend(random_attention(tb.np_rng, tb.pim), eager=index % 2 == 1)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_wave_takes_four_clocks_a_block_and_head(dut: Any) -> None:
    async with SoftmaxBench(dut) as tb:
        for heads in sorted({1, min(2, tb.pim.group_max), tb.pim.group_max}):
            for blocks in (1, 2, 3, 16):
                scores = tb.np_rng.normal(0, 9, (heads, blocks, 16)).astype(np.float32)
                tb.weight_cycles.clear()
                await tb.attend(Attention([(scores, 16 * blocks)]))
                shape = f"{blocks} blocks, {heads} heads"
                tb.check(tb.busy_cycle + 1 - tb.first_end,
                         4 * blocks * heads + Softmax.WAVE_LATENCY,
                         f"clocks of a wave of {shape}")
                tb.check(np.unique(np.diff(tb.weight_cycles)).tolist(),
                         [4] if blocks * heads > 1 else [], f"clocks a block, {shape}")
                tb.check(tb.rescale_cycle - tb.first_end - 2 * blocks * (heads - 1),
                         Softmax.RESCALE_LATENCY, f"clocks to the rescale word, {shape}")
