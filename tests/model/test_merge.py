"""The golden merge against values worked by hand."""

import numpy as np
import pytest

from model.golden.floats import to_bits
from model.golden.merge import Part, finalize, merge
from model.spec.formats import BF16, FP16


def part(m, l, *o):
    return Part(m, np.float32(l), np.array(o, np.float32))


def test_a_single_part_is_copied_even_its_subnormals():
    lone = part(-3, 1.5, 1e-45, -0.0)
    merged = merge([lone])
    assert (merged.m, merged.l) == (-3, 1.5)
    assert list(to_bits(merged.o)) == [1, 0x80000000]


def test_the_part_with_the_smaller_maximum_is_scaled_down():
    assert_part(merge([part(1, 1, 4), part(3, 1, 8)]), 3, 1.25, 9)
    assert_part(merge([part(3, 1, 8), part(1, 1, 4)]), 3, 1.25, 9)
    assert_part(merge([part(0, 1, 1), part(200, 1, 2)]), 200, 1, 2)    # below the normal range: 0


def assert_part(merged, m, l, *o):
    assert (merged.m, merged.l, *merged.o) == (m, l, *o)


def test_parts_are_taken_in_order():
    parts = [part(0, 1, 2.0 ** 24), part(0, 1, 1), part(0, 1, 1)]
    assert merge(parts).o == 2.0 ** 24
    assert merge(parts[::-1]).o == 2.0 ** 24 + 2


def test_nothing_to_merge_is_an_error():
    with pytest.raises(ValueError, match="parts: expected at least one"):
        merge([])


@pytest.mark.parametrize("fmt, bits", [(BF16, [0x3EAB, 0xBF80, 0x7F80]),
                                       (FP16, [0x3555, 0xBC00, 0x7C00])])
def test_output_is_the_product_with_the_reciprocal_rounded_once(fmt, bits):
    output = finalize(part(0, 3, 1, -3, np.inf), fmt)
    assert list(to_bits(output, fmt)) == bits
