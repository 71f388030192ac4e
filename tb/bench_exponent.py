"""cocotb test of the softmax lanes with every bfloat16 number as exponent: how far off 2^x is.

Leaves the largest error in units in the last place of bfloat16, and where it lies.
"""

import json
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from hdl.attention.score_buffer import place_layout
from hdl.attention.softmax import WeightLanes
from model.golden.floats import from_bits, from_weight_bits, to_bits, weight_bits
from model.golden.softmax import exponents, weights
from model.spec.attention import PimSpec
from model.spec.formats import BF16, kv_format
from tb.bench import Bench, parameters

RECORD = "exponent.json"

Numbers = NDArray[np.float32]


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_bfloat16_number_as_exponent(dut: Any) -> None:
    """Under the maximum 0, as weights below the largest are made, and each under its own."""
    pim = PimSpec(kv_format=kv_format(parameters()["format"]))
    codes = np.arange(0, 1 << 16, parameters().get("step", 1))
    every = from_bits(codes.astype(np.uint16), BF16).astype(np.float32)
    x = every[np.isfinite(every)]
    floor = np.clip(np.floor(x.astype(np.float64)), -(1 << 14), (1 << 14) - 1).astype(int)
    # Above 2^14 exponents are clamped, so there 2^x cannot be told (docs/numerics.md, 3).
    own = np.abs(x) < 1 << 14
    async with Bench(dut) as tb:
        below = x[x <= 0]
        errors = {
            "maximum_0": await _errors(tb, pim, below, np.zeros(len(below), int)),
            "own_maximum": await _errors(tb, pim, x[own], floor[own])}
    Path(RECORD).write_text(json.dumps(errors))


async def _errors(tb: Bench, pim: PimSpec, x: Numbers, m: NDArray[Any]) -> dict[str, float]:
    """The largest error of ``2^(x - m)``, an exponent and its maximum at a time."""
    fmt, fraction_bits = pim.weight_format, pim.exponent_fraction_bits
    bits = np.array(await _weights(tb, pim, x, m))
    want = weights(exponents(x, np.float32(1), fraction_bits), m, fraction_bits, fmt)
    tb.check(int((bits != weight_bits(want, fmt)).sum()), 0,
             "weights that differ from the golden model")
    exact = np.exp2(x.astype(np.float64) - m)
    smallest = 2.0 ** fmt.exponent_min
    # Below the smallest normal number a weight is 0, as stated; half an ulp above it may be, too.
    normal = exact >= smallest
    unit = 2.0 ** (np.floor(np.log2(np.maximum(exact, smallest))) - pim.kv_format.fraction_bits)
    values = from_weight_bits(bits, fmt).astype(np.float64)
    tb.check(bool((values[~normal] <= smallest).all()), True, "weights below 2^-126")
    error = np.where(normal, np.abs(values - exact) / unit, 0)
    return {"ulp": float(error.max()), "at": float(x[error.argmax()]), "numbers": len(x)}


async def _weights(tb: Bench, pim: PimSpec, x: Numbers, m: NDArray[Any]) -> list[int]:
    """One score a clock in the first lane; heads by turns, so that each has its own maximum."""
    dut, place, words = tb.dut, place_layout(pim), []
    dut.scale.value = int(to_bits(np.float32(1)))
    maxima = [0] * pim.group_max
    bits = to_bits(x)
    for n in range(len(x) + WeightLanes.LATENCY):
        dut.en.value = int(n < len(x))
        if n < len(x):
            head = n % pim.group_max
            maxima[head] = int(m[n]) & 0xFFFF
            dut.score.value = int(bits[n])
            dut.place.value = place.const({"mask": 1, "head": head}).as_bits()
            dut.maximum.value = sum(one << 16 * h for h, one in enumerate(maxima))
        await RisingEdge(dut.clk)
        if int(dut.valid.value):
            words.append(int(dut.weight.value) & 0xFFFF)
    dut.en.value = 0
    while len(words) < len(x):
        await RisingEdge(dut.clk)
        if int(dut.valid.value):
            words.append(int(dut.weight.value) & 0xFFFF)
    tb.check(len(words), len(x), "weights")
    return words
