"""Parts of the quantiser that stand alone: element decoder, scale finder, request check."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from hdl.quantiser.element_decoder import ElementDecoder
from hdl.quantiser.quantiser import RequestCheck
from hdl.quantiser.scale_finder import ScaleFinder
from model.golden import quantiser as golden
from model.golden.floats import from_bits, pack
from model.spec.formats import BF16, FP16
from model.spec.mx import ELEMENT_FORMATS, INT4, MXFP4, MXINT8, QuantiserSpec, StoredFormat

EVERY = tuple(ELEMENT_FORMATS.values())


def simulated(dut, bench, *, clocked=False):
    sim = Simulator(dut)
    if clocked:
        sim.add_clock(1e-9)
    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("formats", [EVERY, *((fmt,) for fmt in EVERY)],
                         ids=["all", *ELEMENT_FORMATS])
def test_every_code_is_taken_apart_into_its_value(formats):
    dut = ElementDecoder(formats)

    async def bench(ctx):
        for fmt in formats:
            ctx.set(dut.format, fmt.code if len(formats) > 1 else StoredFormat.WIDE)
            for code, want in enumerate(golden.decode(np.arange(1 << fmt.bits), fmt)):
                ctx.set(dut.code, code | 0xFF << fmt.bits & 0xFF)
                o = dut.o
                assert ctx.get(o.nan) == np.isnan(want) and ctx.get(o.inf) == np.isinf(want)
                if np.isfinite(want):
                    value = np.ldexp(float(ctx.get(o.significand)), ctx.get(o.exponent))
                    assert value == abs(want) and (want == 0 or ctx.get(o.sign) == (want < 0))

    simulated(dut, bench)


@pytest.mark.parametrize("wide", [BF16, FP16], ids=lambda fmt: fmt.name)
def test_the_scale_of_every_largest_magnitude_comes_after_the_stated_clocks(wide):
    """A different place in the block for every magnitude; block after block without a gap."""
    bits = np.arange(0, 1 << 15, 11)
    blocks = np.zeros((len(bits), 32), np.int64)
    blocks[np.arange(len(bits)), bits % 32] = bits | bits % 2 << 15
    with np.errstate(invalid="ignore"):
        values = from_bits(blocks, wide).astype(np.float64)
    formats = (MXINT8, MXFP4, INT4)
    dut = ScaleFinder(QuantiserSpec(wide=wide, formats=formats))
    want = [golden.block_scales(values[n::3], fmt) for n, fmt in enumerate(formats)]
    got = [[], [], []]

    async def bench(ctx):
        ctx.set(dut.en, 1)
        for clock in range(2 * len(bits) + dut.LATENCY):
            if clock < 2 * len(bits):
                block, half = divmod(clock, 2)
                ctx.set(dut.beat, pack(blocks[block, 16 * half:16 * half + 16], 16))
                ctx.set(dut.format, formats[block % 3].code)
            else:
                ctx.set(dut.en, 0)
            done = clock - dut.LATENCY - 1
            assert ctx.get(dut.valid) == (done >= 0 and done % 2 == 0)
            if ctx.get(dut.valid):
                got[done // 2 % 3].append(ctx.get(dut.scale))
            await ctx.tick()

    simulated(dut, bench, clocked=True)
    for mine, right in zip(got, want, strict=True):
        np.testing.assert_array_equal(mine, right)


@pytest.mark.parametrize("spec", [QuantiserSpec(), QuantiserSpec(formats=(MXFP4,), blocks_max=3)],
                         ids=["all", "mxfp4"])
def test_every_pair_of_formats_is_carried_out_or_refused_for_its_reason(spec):
    dut = RequestCheck(spec)

    async def bench(ctx):
        lengths = [n for n in (0, 1, spec.blocks_max, spec.blocks_max + 1)
                   if n < 1 << spec.blocks_max.bit_length()]
        for source in StoredFormat:
            for target in StoredFormat:
                for blocks in lengths:
                    ctx.set(dut.request, {"source": source, "target": target, "blocks": blocks})
                    want = golden.expected_status(spec, source, target, blocks)
                    assert ctx.get(dut.status) == want, (source, target, blocks)

    simulated(dut, bench)
