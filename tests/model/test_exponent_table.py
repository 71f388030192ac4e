"""The weight table against NumPy's exp2, rounded as fractions; it is made with neither."""


from fractions import Fraction

import numpy as np
import pytest

from model.spec.exponent_table import exponent_table, first_promoted
from model.spec.formats import BF16, FP16, weight_format

FORMATS = [BF16, weight_format(BF16), weight_format(FP16)]


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
@pytest.mark.parametrize("fraction_bits", [8, 10, 11])
def test_every_entry_is_two_to_the_f_correctly_rounded(fmt, fraction_bits):
    exact = np.exp2(np.arange(1 << fraction_bits) / 2.0 ** fraction_bits)
    rounded = [round(Fraction(float(x) - 1) * 2 ** fmt.fraction_bits) for x in exact]
    assert list(exponent_table(fmt, fraction_bits)) == rounded


def test_a_few_entries_worked_by_hand():
    table = exponent_table(BF16, 10)
    # 2^0.5 = 1.41421 = 1 + 53.02 / 128; 2^0.25 = 1.18921 = 1 + 24.22 / 128
    assert (table[0], table[512], table[256]) == (0, 53, 24)
    # 2^(1023 / 1024) = 1.99865 is nearer to 2 than to 1 + 127 / 128
    assert table[1023] == 128


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
@pytest.mark.parametrize("fraction_bits", [8, 10, 12])
def test_promotion_starts_where_a_subnormal_rounds_to_the_smallest_normal(fmt, fraction_bits):
    below = np.exp2(np.arange(1 << fraction_bits) / 2.0 ** fraction_bits - 1)
    one = 1 << fmt.fraction_bits                  # units that subnormals are apart
    promoted = sum(round(Fraction(float(x)) * one) == one for x in below)
    assert promoted == (1 << fraction_bits) - first_promoted(fmt, fraction_bits)
