"""The reciprocal against NumPy, which divides as IEEE-754 has it."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hdl.attention.fp32_reciprocal import Fp32Reciprocal
from model.golden.floats import from_bits, to_bits

CORNERS = [
    0x00000000, 0x00000001, 0x00000002, 0x001FFFFF, 0x00200000, 0x00200001, 0x00400000, 0x007FFFFF,
    0x00800000, 0x00800001, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x3FFFFFFF, 0x40000000, 0x40400000,
    0x7E7FFFFF, 0x7E800000, 0x7E800001, 0x7EFFFFFF, 0x7F000000, 0x7F000001, 0x7F7FFFFF, 0x7F800000,
    0x7F800001, 0x7FC00000,
]
"""Zero, subnormals around 2^-128 where the result overflows, one, and 2^126 and up."""


def numpy_reciprocal(bits):
    with np.errstate(all="ignore"):
        exact = np.float32(1) / from_bits(bits)
    return np.where(np.isnan(exact), 0x7FC00000, to_bits(exact.astype(np.float32)))


def hardware_reciprocal(operands, *, stall):
    """(results, clocks from every operand to its result)."""
    dut = Fp32Reciprocal()
    results, clocks = [], []

    async def bench(ctx):
        for operand in operands:
            ctx.set(dut.i.payload, int(operand))
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            waited = 1
            while not ctx.get(dut.o.valid):
                await ctx.tick()
                waited += 1
            await ctx.tick().repeat(1 + stall)
            ctx.set(dut.o.ready, 1)
            results.append(ctx.get(dut.o.payload))
            clocks.append(waited)
            await ctx.tick()
            ctx.set(dut.o.ready, 0)

    sim = Simulator(dut)
    sim.add_clock(1e-9)
    sim.add_testbench(bench)
    sim.run()
    return results, clocks


@pytest.mark.parametrize("operand, result", [      # worked by hand
    (0x3F800000, 0x3F800000), (0xC0000000, 0xBF000000), (0x40400000, 0x3EAAAAAB),
    (0x00200001, 0x7F7FFFF8), (0x80000000, 0xFF800000), (0x7F000000, 0x00400000),
])
def test_reciprocals_worked_by_hand(operand, result):
    assert numpy_reciprocal(np.array([operand]))[0] == result
    assert hardware_reciprocal([operand], stall=0)[0] == [result]


@pytest.mark.parametrize("stall", [0, 3])
def test_every_corner_of_either_sign_is_correctly_rounded(stall):
    operands = np.array(CORNERS + [c | 1 << 31 for c in CORNERS])
    results, clocks = hardware_reciprocal(operands, stall=stall)
    assert results == list(numpy_reciprocal(operands))
    assert set(clocks) == {Fp32Reciprocal.LATENCY}


def test_random_operands_of_every_exponent_are_correctly_rounded():
    rng = np.random.default_rng(1)
    operands = np.concatenate([np.repeat(np.arange(256), 2) << 23 | rng.integers(0, 1 << 23, 512),
                               rng.integers(0, 1 << 32, 200)])
    assert hardware_reciprocal(operands, stall=0)[0] == list(numpy_reciprocal(operands))
