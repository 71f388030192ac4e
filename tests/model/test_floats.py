"""The golden scalar operations against vectors worked by hand and other references."""

import math
from fractions import Fraction

import numpy as np
import pytest

from model.golden import floats
from model.spec.attention import RESCALE_CLEAR
from model.spec.formats import BF16, FP16, FP32

NAN, INF = 0x7FC00000, 0x7F800000


def bits_of(value):
    return int(floats.to_bits(value))


@pytest.mark.parametrize("a, b, want", [        # worked by hand
    (0x3F800000, 0x33800000, 0x3F800000),       # 1 + 2**-24: a tie, to even
    (0x3F800001, 0x33800000, 0x3F800002),       # one unit more: a tie, to even, upwards
    (0x3F800000, 0x33800001, 0x3F800001),       # just above the tie
    (0x3F800000, 0xBF800000, 0x00000000),       # x - x is +0
    (0x80000000, 0x80000000, 0x80000000),       # -0 + -0
    (0x80000000, 0x00000000, 0x00000000),
    (0x00800000, 0x80000001, 0x007FFFFF),       # into the subnormal numbers
    (0x7F7FFFFF, 0x7F7FFFFF, INF),
    (0x7F7FFFFF, 0x73000000, INF),              # half a unit of the largest number
    (INF, 0xFF800000, NAN), (INF, 0xBF800000, INF), (0xFFFFFFFF, 0, NAN),
])
def test_sums_worked_by_hand(a, b, want):
    assert bits_of(floats.add(floats.from_bits(a), floats.from_bits(b))) == want
    assert bits_of(floats.add(floats.from_bits(b), floats.from_bits(a))) == want


@pytest.mark.parametrize("fmt, a, b, want", [
    (BF16, 0x3FC0, 0x4020, 0x40700000),         # 1.5 x 2.5 = 3.75
    (BF16, 0x0001, 0x3F80, 0x00010000),         # 2**-133 x 1
    (BF16, 0x0080, 0x3380, 0x00000000),         # 2**-126 x 2**-24 = 2**-150: a tie, to 0
    (BF16, 0x0081, 0x3380, 0x00000001),         # above the tie
    (BF16, 0x8080, 0x3400, 0x80000001),         # -2**-149
    (BF16, 0x7F7F, 0x7F7F, INF), (BF16, 0x7F80, 0x0000, NAN), (BF16, 0xFF80, 0x3F80, 0xFF800000),
    (FP16, 0x0001, 0x0001, 0x27800000),         # 2**-24 x 2**-24 = 2**-48
    (FP16, 0x7BFF, 0xFBFF, 0xCF7FC004),         # -(2047 x 2**5)**2 = -0x3FF001 x 2**10, exact
    (FP16, 0x7C00, 0x8000, NAN),
])
def test_products_worked_by_hand(fmt, a, b, want):
    assert bits_of(floats.product(floats.from_bits(a, fmt), floats.from_bits(b, fmt))) == want


@pytest.mark.parametrize("x, shift, want", [
    (0x40000000, 1, 0x3F800000), (0xC0400000, 2, 0xBF400000),
    (0x00800000, 0, 0x00800000), (0x00800000, 1, 0), (0x01000000, 1, 0x00800000),
    (0x00000001, 0, 0x00000001), (0x00000001, 1, 0), (0x80000000, 0, 0x80000000),
    (0x80000000, 1, 0), (0xBF800000, 126, 0x80800000), (0xBF800000, 127, 0),
    (0x3F800000, 65534, 0), (INF, 65534, INF), (NAN, 3, NAN),
    (NAN, RESCALE_CLEAR, 0), (0xBF800000, RESCALE_CLEAR, 0),
])
def test_rescaled_values_worked_by_hand(x, shift, want):
    assert bits_of(floats.rescale(floats.from_bits(x), shift)) == want


@pytest.mark.parametrize("fmt, x, want", [
    (BF16, 0x3F808000, 0x3F80), (BF16, 0x3F818000, 0x3F82), (BF16, 0x3F808001, 0x3F81),
    (BF16, 0x7F7F8000, 0x7F80), (BF16, 0x00008000, 0), (BF16, 0xFFC12345, 0x7FC0),
    (FP16, 0x477FF000, 0x7C00),                 # 65520: a tie, overflows to even
    (FP16, 0x477FEFFF, 0x7BFF), (FP16, 0x33000000, 0), (FP16, 0x33000001, 1),
    (FP16, 0x33C00000, 2),                      # 1.5 x 2**-24: a tie, to even
    (FP16, 0x7F800001, 0x7E00), (FP16, 0xFF800000, 0xFC00),
])
def test_rounding_worked_by_hand(fmt, x, want):
    assert int(floats.to_bits(floats.kv_round(floats.from_bits(x), fmt), fmt)) == want


def test_sums_and_products_are_the_nearest_to_the_exact_ones():
    rng = np.random.default_rng(1)
    a, b = (floats.from_bits(rng.integers(0, 1 << 32, 300)) for _ in range(2))
    checked = 0
    for x, y in zip(a, b, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        for got, exact in ((floats.add(x, y), Fraction(float(x)) + Fraction(float(y))),
                           (floats.product(x, y), Fraction(float(x)) * Fraction(float(y)))):
            if np.isfinite(got):
                neighbours = [float(np.nextafter(got, np.float32(s))) for s in (-np.inf, np.inf)]
                error = abs(Fraction(float(got)) - exact)
                assert all(error <= abs(Fraction(n) - exact)
                           for n in neighbours if math.isfinite(n))
                checked += 1
    assert checked > 300


def test_bits_and_values_are_inverse():
    for fmt in (BF16, FP16):
        bits = np.arange(1 << fmt.width)
        assert (floats.to_bits(floats.from_bits(bits, fmt), fmt) == bits).all()
    assert floats.pack([0x1234, 0xABCD], 16) == 0xABCD1234


def test_an_array_of_another_format_is_refused():
    with pytest.raises(TypeError, match="expected an array of float32, not float64"):
        floats.to_bits(np.zeros(1), FP32)
