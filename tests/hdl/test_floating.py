"""The floating-point primitives against NumPy and ml_dtypes, bit for bit."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from amaranth import Elaboratable, Module, Signal
from amaranth.back import rtlil
from amaranth.sim import Simulator
from numpy.typing import NDArray

from hdl.floating import Adder, KvRound, Product, rescale
from model.golden import floats
from model.spec.attention import RESCALE_CLEAR, PimSpec
from model.spec.formats import BF16, FP16, FP32, FloatFormat

EACH_KV_FORMAT = pytest.mark.parametrize("fmt", [BF16, FP16], ids=lambda fmt: fmt.name)
PERIOD = 1e-9


def corners(fmt: FloatFormat) -> NDArray[np.uint64]:
    """Patterns where an implementation is most likely to be wrong, both signs."""
    f, top = fmt.fraction_bits, (1 << fmt.exponent_bits) - 1
    positive = {e << f | fraction
                for e in (0, 1, 2, fmt.bias - 1, fmt.bias, fmt.bias + 1, fmt.bias + f + 1, top - 1)
                for fraction in (0, 1, (1 << f) - 1)}
    positive |= {1 << f - 1, (1 << f - 1) + 1, fmt.bias << f | 1 << f - 1,
                 fmt.bias + f << f | 1, top << f, top << f | 1, top << f | 1 << f - 1}
    return np.array(sorted(positive | {x | 1 << fmt.width - 1 for x in positive}), np.uint64)


def pairs(fmt: FloatFormat, n: int) -> NDArray[np.uint64]:
    """All pairs of corners; ``n`` pairs of any bits; ``n`` of close exponents and few set bits."""
    values = corners(fmt)
    crossed = np.stack([a.ravel() for a in np.meshgrid(values, values)], axis=1)
    rng = np.random.default_rng(1)
    f, top = fmt.fraction_bits, (1 << fmt.exponent_bits) - 1
    any_bits = rng.integers(0, 1 << fmt.width, (n, 2), np.uint64)

    exponent = rng.integers(0, top, n)
    near = np.clip(exponent + rng.integers(-f - 3, f + 4, n), 0, top - 1)
    sparse = rng.integers(0, 1 << f, (n, 2)) & rng.integers(0, 1 << f, (n, 2)) \
        & np.where(rng.random((n, 2)) < 0.5, -1, rng.integers(0, 1 << f, (n, 2)))
    sign = rng.integers(0, 2, (n, 2))
    close = sign << fmt.width - 1 | np.stack([exponent, near], axis=1) << f | sparse
    return np.concatenate([crossed, any_bits, close.astype(np.uint64)])


def clocked(dut: Elaboratable, inputs: Sequence[Signal], output: Signal,
            vectors: NDArray[np.uint64], latency: int) -> NDArray[np.uint64]:
    """Outputs of back-to-back vectors, ``latency`` clocks after each."""
    out: list[int] = []

    async def bench(ctx: Any) -> None:
        for vector in [*vectors.tolist(), *[[0] * len(inputs)] * (latency - 1)]:
            for signal, bits in zip(inputs, vector, strict=True):
                ctx.set(signal, bits)
            await ctx.tick()
            out.append(ctx.get(output))

    simulator = Simulator(dut)
    simulator.add_clock(PERIOD)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(out[latency - 1:], np.uint64)


def settled(dut: Elaboratable, inputs: Sequence[Signal], output: Signal,
            vectors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Outputs of a combinational circuit."""
    out: list[int] = []

    async def bench(ctx: Any) -> None:
        for vector in vectors.tolist():
            for signal, bits in zip(inputs, vector, strict=True):
                ctx.set(signal, bits)
            await ctx.delay(PERIOD)
            out.append(ctx.get(output))

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(out, np.uint64)


def assert_same(vectors: NDArray[np.uint64], got: NDArray[np.uint64],
                want: NDArray[Any]) -> None:
    assert len(got) == len(want) == len(vectors) > 0
    wrong = np.flatnonzero(got != want)
    assert not wrong.size, (
        f"{wrong.size} of {len(vectors)} wrong, the first at {[hex(x) for x in vectors[wrong[0]]]}:"
        f" got {int(got[wrong[0]]):#x}, want {int(want[wrong[0]]):#x}")


def enabled(dut: Product | Adder) -> Module:
    m = Module()
    m.submodules.dut = dut
    m.d.comb += dut.en.eq(1)
    return m


@pytest.mark.parametrize("fmt, n", [(BF16, 6000), (FP16, 6000), (FP32, 3000)],
                         ids=["bf16", "fp16", "fp32"])
def test_products_are_those_of_numpy(fmt, n):
    dut, vectors = Product(fmt), pairs(fmt, n)
    got = clocked(enabled(dut), [dut.a, dut.b], dut.o, vectors, PimSpec.MULTIPLIER_LATENCY)
    a, b = (floats.from_bits(vectors[:, i], fmt) for i in (0, 1))
    assert_same(vectors, got, floats.to_bits(floats.product(a, b)))


def _longer(bits: int, more: int, fmt: FloatFormat) -> float:
    """The number of a pattern with one more bit of fraction behind it."""
    fraction = (bits & (1 << fmt.fraction_bits) - 1) << 1 | more
    exponent = bits >> fmt.fraction_bits & (1 << fmt.exponent_bits) - 1
    if exponent == (1 << fmt.exponent_bits) - 1:
        magnitude = math.nan if fraction else math.inf
    else:
        significand = fraction | bool(exponent) << fmt.fraction_bits + 1
        magnitude = math.ldexp(significand, max(exponent, 1) - fmt.bias - fmt.fraction_bits - 1)
    return -magnitude if bits >> fmt.width - 1 else magnitude


@EACH_KV_FORMAT
def test_products_with_a_longer_fraction_are_exact_too(fmt):
    longer = FloatFormat(name="longer", exponent_bits=fmt.exponent_bits,
                         fraction_bits=fmt.fraction_bits + 1)
    dut, other = Product(longer, fmt), pairs(fmt, 3000)
    more = np.random.default_rng(6).integers(0, 2, len(other), np.uint64)
    vectors = np.stack([other[:, 0] << 1 | more, other[:, 1]], axis=1).astype(np.uint64)
    got = clocked(enabled(dut), [dut.a, dut.b], dut.o, vectors, PimSpec.MULTIPLIER_LATENCY)
    a = [_longer(int(bits), int(bit), fmt) for bits, bit in zip(other[:, 0], more, strict=True)]
    b = floats.from_bits(other[:, 1], fmt)
    want = floats.product(np.array(a, np.float32), b)
    assert_same(vectors, got, floats.to_bits(want))


def test_products_that_vanish_are_rounded_to_subnormals():
    rng = np.random.default_rng(3)
    exponents = rng.integers(0, 70, 4000)          # sums of exponents near the underflow
    partner = np.clip(rng.integers(95, 135, 4000) - exponents, 0, 254)
    fractions, sign = rng.integers(0, 128, (4000, 2)), rng.integers(0, 2, (4000, 2))
    vectors = (sign << 15 | np.stack([exponents, partner], axis=1) << 7 | fractions
               ).astype(np.uint64)
    dut = Product(BF16)
    got = clocked(enabled(dut), [dut.a, dut.b], dut.o, vectors, PimSpec.MULTIPLIER_LATENCY)
    a, b = (floats.from_bits(vectors[:, i], BF16) for i in (0, 1))
    want = floats.product(a, b)
    assert np.count_nonzero((want != 0) & (np.abs(want) < np.finfo(np.float32).tiny)) > 500
    assert_same(vectors, got, floats.to_bits(want))


def test_sums_are_those_of_numpy():
    dut, vectors = Adder(), pairs(FP32, 9000)
    got = clocked(enabled(dut), [dut.a, dut.b], dut.o, vectors, PimSpec.ADDER_LATENCY)
    a, b = (floats.from_bits(vectors[:, i]) for i in (0, 1))
    assert_same(vectors, got, floats.to_bits(floats.add(a, b)))


def test_results_are_kept_until_the_next_operands():
    adder, product = Adder(), Product(BF16)
    m = Module()
    m.submodules.adder, m.submodules.product = adder, product
    one_and_two = [(adder.a, 0x3F800000), (adder.b, 0x40000000),
                   (product.a, 0x3F80), (product.b, 0x4000)]
    seen: list[tuple[int, int]] = []

    async def bench(ctx: Any) -> None:
        for clock in range(6):
            for signal, bits in one_and_two:
                ctx.set(signal, bits if clock == 0 else 0x7F80)
            ctx.set(adder.en, clock == 0)
            ctx.set(product.en, clock in (0, 4))
            ctx.set(product.clear, clock in (2, 4))
            await ctx.tick()
            seen.append((ctx.get(adder.o), ctx.get(product.o)))

    simulator = Simulator(m)
    simulator.add_clock(PERIOD)
    simulator.add_testbench(bench)
    simulator.run()
    two, three = 0x40000000, 0x40400000
    assert seen == [(0, two), (three, two), (three, two), (three, two), (three, 0), (three, 0)]


def test_rescale_is_exact_or_zero():
    x, shift, o = Signal(FP32.width), Signal(16), Signal(FP32.width)
    m = Module()
    m.d.comb += o.eq(rescale(x, shift))
    shifts = [0, 1, 2, 3, 10, 126, 127, 128, 253, 254, 255, 256, 257, 511, 512, 65534,
              RESCALE_CLEAR]
    rng = np.random.default_rng(4)
    crossed = np.stack([a.ravel() for a in np.meshgrid(
        corners(FP32), np.array(shifts, np.uint64))], axis=1)
    drawn = np.stack([rng.integers(0, 1 << 32, 6000, np.uint64),
                      rng.integers(0, 300, 6000, np.uint64)], axis=1)
    vectors = np.concatenate([crossed, drawn])
    want = floats.rescale(floats.from_bits(vectors[:, 0]), vectors[:, 1])
    assert_same(vectors, settled(m, [x, shift], o, vectors), floats.to_bits(want))


@EACH_KV_FORMAT
def test_rounding_to_a_kv_format_is_that_of_ml_dtypes(fmt):
    dut = KvRound(fmt)
    half = 1 << FP32.fraction_bits - fmt.fraction_bits - 1
    numbers = np.arange(0, 1 << fmt.width, 61)
    exact = floats.to_bits(floats.from_bits(numbers, fmt).astype(np.float32)).astype(np.int64)
    subnormal = np.ldexp(np.arange(1, 4096) / 64, fmt.exponent_min - fmt.fraction_bits)
    vectors = np.concatenate([
        corners(FP32).astype(np.int64), np.random.default_rng(5).integers(0, 1 << 32, 4000),
        *(exact + offset for offset in (-half, -1, 0, 1, half - 1, half, half + 1)),
        floats.to_bits(subnormal.astype(np.float32)).astype(np.int64),
    ])[:, None].astype(np.uint64) & 0xFFFFFFFF
    want = floats.to_bits(floats.kv_round(floats.from_bits(vectors[:, 0]), fmt), fmt)
    assert_same(vectors, settled(dut, [dut.i], dut.o, vectors), want)


@pytest.mark.parametrize("component, arguments", [
    (Adder, ()), (Product, (BF16,)), (Product, (FP16,)), (KvRound, (BF16,)), (KvRound, (FP16,))])
def test_no_combinational_loop_and_no_double_driver(component, arguments):
    assert "module" in rtlil.convert(component(*arguments))
