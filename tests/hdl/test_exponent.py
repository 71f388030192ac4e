"""Exponents and weights of the hardware against the golden model, one unit at a time."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hdl.attention.exponent import Exponent, Weight
from model.golden import softmax
from model.golden.floats import from_bits, to_bits, weight_bits
from model.spec.attention import PimSpec
from model.spec.formats import BF16, FP16


def pipelined(dut, inputs, latency):
    """What a unit makes of ``inputs``, ``{port: values}``, one set a clock."""
    count = len(next(iter(inputs.values())))
    outputs = []

    async def bench(ctx):
        ctx.set(dut.en, 1)
        for clock in range(count + latency):
            if clock < count:
                for port, values in inputs.items():
                    ctx.set(getattr(dut, port), int(values[clock]))
            else:
                ctx.set(dut.en, 0)
            if clock >= latency:
                outputs.append(ctx.get(dut.o))
            await ctx.tick()
        before = ctx.get(dut.o)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.o) == before, "the last result is kept"

    sim = Simulator(dut)
    sim.add_clock(1e-9)
    sim.add_testbench(bench)
    sim.run()
    return np.array(outputs)


@pytest.mark.parametrize("fmt", [BF16, FP16], ids=lambda fmt: fmt.name)
def test_every_fraction_under_every_kind_of_maximum_gives_the_golden_weight(fmt):
    pim = PimSpec(kv_format=fmt)
    fraction = np.arange(1 << pim.exponent_fraction_bits)
    lowest = fmt.exponent_min
    cases = [(0, 0), (lowest, 0), (lowest - 1, 0), (lowest - 2, 0), (-16384, 16383), (5, 6),
             (-16384 - lowest, -16384 - 2 * lowest)]
    x = np.concatenate([(power << pim.exponent_fraction_bits) + fraction for power, _ in cases])
    m = np.repeat([m for _, m in cases], len(fraction))
    fmt = pim.weight_format
    want = weight_bits(softmax.weights(x, m, pim.exponent_fraction_bits, fmt), fmt)
    got = pipelined(Weight(pim), {"x": x, "m": m}, Weight.LATENCY)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("fraction_bits", [8, 10, 14])
def test_exponents_are_rounded_and_clamped_as_in_the_golden_model(fraction_bits):
    rng = np.random.default_rng(1)
    step = 2.0 ** -fraction_bits
    ties = (np.arange(-40, 40) + 0.5) * step
    near = np.nextafter(ties.astype(np.float32), np.float32(np.inf))
    edges = np.concatenate([2.0 ** np.arange(-30, 20), 2.0 ** 14 - np.arange(1, 9) * 2.0 ** -10,
                            [0, 1e-45, 3e38, np.inf, np.nan]])
    scores = np.concatenate([ties, near, edges, -edges, rng.normal(0, 50, 200)]).astype(np.float32)
    scores = np.concatenate([scores, from_bits(rng.integers(0, 1 << 32, 300))])
    scales = np.where(rng.random(len(scores)) < 0.7, 1, rng.uniform(0.01, 9, len(scores)))
    scales = scales.astype(np.float32)
    want = [softmax.exponents(s, scale, fraction_bits)
            for s, scale in zip(scores, scales, strict=True)]
    got = pipelined(Exponent(PimSpec(exponent_fraction_bits=fraction_bits)),
                    {"score": to_bits(scores), "scale": to_bits(scales)}, Exponent.LATENCY)
    np.testing.assert_array_equal(got, want)
