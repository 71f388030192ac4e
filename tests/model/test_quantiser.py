"""The golden quantiser against ml_dtypes, exact fractions and vectors worked by hand."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from model.golden import quantiser as q
from model.golden.floats import DTYPES, from_bits, to_bits
from model.spec.errors import SpecError, UserError
from model.spec.formats import BF16, FP16, FP32, KV_FORMATS
from model.spec.mx import (
    BLOCK_ELEMENTS,
    ELEMENT_FORMATS,
    INT4,
    MXFP4,
    MXFP6_E2M3,
    MXFP6_E3M2,
    MXFP8_E4M3,
    MXFP8_E5M2,
    MXINT8,
    QuantisedRegion,
    QuantiserSpec,
    Status,
    StoredFormat,
    element_format,
)

EVERY = list(ELEMENT_FORMATS.values())
FLOATS = [f for f in EVERY if not f.twos_complement]
E8M0 = [f for f in EVERY if f.scale_bits == 8]
ALL_BITS = np.arange(1 << 16)


def named(fmt):
    return fmt.name


def finite(wide):
    with np.errstate(invalid="ignore"):
        values = from_bits(ALL_BITS, wide).astype(np.float64)
    return values[np.isfinite(values)]


def block(*values):
    return np.array([[*values, *[0.0] * (BLOCK_ELEMENTS - len(values))]])


def cast(values, fmt):
    """ml_dtypes' codes; two's complement is NumPy's nearest-even integer."""
    dtype = q.ELEMENT_DTYPES[fmt.code]
    if fmt.twos_complement:
        values = np.rint(np.ldexp(values, fmt.mantissa_bits)).astype(np.int8)
        return values.astype(dtype).astype(np.int64) & (1 << fmt.bits) - 1
    return values.astype(dtype).view(np.uint8).astype(np.int64)


@pytest.mark.parametrize("wide", [BF16, FP16], ids=named)
@pytest.mark.parametrize("fmt", EVERY, ids=named)
def test_every_finite_number_becomes_the_element_that_ml_dtypes_makes_of_it(fmt, wide):
    values = finite(wide)
    largest = q.magnitude_values(fmt.largest, fmt)
    codes, beyond = q.encode(values, fmt)
    np.testing.assert_array_equal(codes, cast(np.clip(values, -largest, largest), fmt))
    np.testing.assert_array_equal(beyond, np.abs(q.rounded(values, fmt, half_away=False)) > largest)


@pytest.mark.parametrize("fmt", [MXFP8_E4M3, MXFP8_E5M2], ids=named)
def test_with_overflow_fp8_is_the_plain_cast_of_ml_dtypes(fmt):
    values = finite(BF16)
    np.testing.assert_array_equal(q.encode(values, fmt, overflow=True)[0], cast(values, fmt))


@pytest.mark.parametrize("fmt", [MXINT8, MXFP6_E3M2, MXFP6_E2M3, MXFP4, INT4], ids=named)
def test_formats_without_infinity_and_nan_saturate_in_any_case(fmt):
    values = finite(BF16)
    np.testing.assert_array_equal(q.encode(values, fmt, overflow=True)[0], q.encode(values, fmt)[0])


@pytest.mark.parametrize("fmt", FLOATS, ids=named)
def test_every_code_has_the_value_that_ml_dtypes_gives_it(fmt):
    codes = np.arange(1 << fmt.bits)
    values = codes.astype(np.uint8).view(q.ELEMENT_DTYPES[fmt.code]).astype(np.float64)
    np.testing.assert_array_equal(q.decode(codes, fmt), values)


def test_integers_are_twos_complement_and_mxint8_counts_in_sixty_fourths():
    assert q.decode([0, 1, 64, 127, 128, 255], MXINT8).tolist() == [
        0, 1 / 64, 1, 1.984375, -2, -1 / 64]
    assert q.decode([0, 1, 7, 8, 15], INT4).tolist() == [0, 1, 7, -8, -1]


@pytest.mark.parametrize("fmt", EVERY, ids=named)
def test_ties_go_to_even_codes_or_away_from_zero(fmt):
    codes = np.arange(fmt.largest)
    low, high = (q.magnitude_values(c, fmt) for c in (codes, codes + 1))
    middle = (low + high) / 2
    even = np.where(codes % 2, codes + 1, codes)
    for sign in (1, -1):
        for half_away, want in ((False, even), (True, codes + 1)):
            got = q.decode(q.encode(sign * middle, fmt, half_away=half_away)[0], fmt)
            np.testing.assert_array_equal(got, sign * q.magnitude_values(want, fmt))
    near = np.nextafter(middle, 0), np.nextafter(middle, np.inf)
    for half_away in (False, True):
        np.testing.assert_array_equal(
            [q.encode(x, fmt, half_away=half_away)[0] for x in near], [codes, codes + 1])


@pytest.mark.parametrize("wide", [BF16, FP16], ids=named)
@pytest.mark.parametrize("fmt", E8M0, ids=named)
def test_the_scale_is_that_of_the_specification_for_every_largest_magnitude(fmt, wide):
    values = finite(wide)
    scales = q.block_scales(values[:, None], fmt)
    want = np.exp2(np.floor(np.log2(np.abs(values[values != 0]))) - fmt.exponent_max)
    clamped = np.maximum(want, 2.0 ** -127).astype(ml_dtypes.float8_e8m0fnu).view(np.uint8)
    np.testing.assert_array_equal(scales[values != 0], clamped)
    assert scales[values == 0].tolist() == [0, 0], "a block of zeros takes the smallest scale"


def test_the_int4_scale_is_the_largest_magnitude_over_seven_to_the_nearest_bfloat16():
    values = finite(BF16)
    values = values[values > 0][::7]
    grid = from_bits(np.arange(0x7F80), BF16).astype(np.float64)
    for value, bits in zip(values, q.block_scales(values[:, None], INT4), strict=True):
        exact = max(Fraction(value) / 7, Fraction(1, 1 << 126))
        near = [n for n in (bits - 1, bits, bits + 1) if 0x80 <= n < 0x7F80]
        assert bits == min(near, key=lambda n: (abs(Fraction(grid[n]) - exact), n % 2))


@pytest.mark.parametrize("fmt", EVERY, ids=named)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_block_with_nan_or_infinity_is_nan_and_its_neighbours_are_not(fmt, bad):
    values = np.concatenate([block(1.0, 2.0), block(1.0, bad, bad), block(1.0, 2.0)])
    made = q.quantise(values, fmt)
    assert made.scales[1] == (0x7FC0 if fmt is INT4 else 0xFF)
    assert not made.codes[1].any() and made.counts == q.Counts(0, 2, 0)
    back = q.dequantise(made.codes, made.scales, fmt)
    np.testing.assert_array_equal(to_bits(back.values, BF16)[1], 0x7FC0)
    assert back.counts == q.Counts(0, BLOCK_ELEMENTS, 0)
    np.testing.assert_allclose(back.values[[0, 2]].astype(float), values[[0, 2]], rtol=0.25)


@pytest.mark.parametrize("fmt", EVERY, ids=named)
def test_a_block_of_zeros_stays_zeros_and_counts_nothing(fmt):
    made = q.quantise(block(0.0, -0.0), fmt)
    assert made.scales[0] == (0x0080 if fmt is INT4 else 0)
    assert made.counts == q.Counts(0, 0, 0)
    signed = 0 if fmt.twos_complement else 1 << fmt.bits - 1
    assert made.codes[0, :2].tolist() == [0, signed], "the sign of zero stays where it can"
    back = q.dequantise(made.codes, made.scales, fmt)
    assert not back.values.astype(float).any() and back.counts == q.Counts(0, 0, 0)


def test_a_scale_below_the_range_is_clamped_and_elements_vanish():
    tiny = 2.0 ** -133                              # bfloat16's smallest subnormal number
    made = q.quantise(block(tiny, 3 * tiny), MXFP4)
    assert made.scales[0] == 0 and not made.codes.any()
    assert made.counts == q.Counts(0, 0, 2)
    made = q.quantise(block(2.0 ** -127, -(2.0 ** -128)), MXFP4)      # 1 and -1/2 of the scale
    assert made.codes[0, :2].tolist() == [2, 9]
    made = q.quantise(block(tiny), MXFP8_E5M2)      # its range reaches further down
    assert (made.scales[0], made.codes[0, 0]) == (0, 0x24)
    made = q.quantise(block(7 * 2.0 ** -127, 2.0 ** -127, 3 * 2.0 ** -127), INT4)
    assert made.scales[0] == 0x0080 and made.codes[0, :3].tolist() == [4, 0, 2]


def test_the_largest_bfloat16_has_a_scale_in_every_format():
    largest = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
    for fmt in EVERY:
        made = q.quantise(block(largest, -largest), fmt)
        # 1.9921875 * 2**127 / 7 = 1.1383... * 2**125
        assert made.scales[0] == (0x7E12 if fmt is INT4 else 254 - fmt.exponent_max)
        assert q.decode(made.codes, fmt)[0, 0] == q.magnitude_values(fmt.largest, fmt)
        assert made.counts.saturated == (0 if fmt is INT4 else 2)


def test_vectors_worked_by_hand():
    # 6.5 / 2**0 in E2M1: between 6 and 8, clamped; 2.5 ties to 2; 0.25 ties to 0.
    made = q.quantise(block(6.5, 2.5, -3.5, 0.25, 0.75, -5), MXFP4)
    assert made.scales[0] == 127
    assert made.codes[0, :6].tolist() == [0b0111, 0b0100, 0b1110, 0b0000, 0b0010, 0b1110]
    assert made.counts == q.Counts(0, 0, 1)
    made = q.quantise(block(7, 2.5, -3.5, 0.25, 0.75, -5), MXFP4, half_away=True)
    assert made.codes[0, :6].tolist() == [0b0111, 0b0101, 0b1110, 0b0001, 0b0010, 0b1111]
    assert made.counts == q.Counts(1, 0, 0)
    # 1.9921875 = 127.5 / 64 rounds to 128, which INT8 does not use.
    made = q.quantise(block(1.9921875, -1.9921875, -1, 1 / 128, 3 / 128), MXINT8)
    assert made.codes[0, :5].tolist() == [127, 129, 192, 0, 2]
    assert made.counts == q.Counts(2, 0, 1)
    # 480 = 15 * 32 is beyond 448; with the scale 2**-8 in front, 1.875 is.
    made = q.quantise(block(1.875, -1.75, 2.0 ** -18), MXFP8_E4M3)
    assert made.scales[0] == 119 and made.codes[0, :3].tolist() == [0x7E, 0xFE, 0x00]
    assert made.counts == q.Counts(1, 0, 1)
    made = q.quantise(block(1.875), MXFP8_E4M3, overflow=True)
    assert made.codes[0, 0] == 0x7F and np.isnan(q.dequantise(
        made.codes, made.scales, MXFP8_E4M3).values.astype(float)[0, 0])
    # 10 / 7 = 1.428... -> 1.4296875; 10 / that = 6.99 -> 7, -2.2 -> -1.54 -> -2.
    made = q.quantise(block(10, -2.1875, 0.7), INT4)
    assert made.scales[0] == 0x3FB7 and made.codes[0, :3].tolist() == [7, 14, 0]


@pytest.mark.parametrize("wide", [BF16, FP16], ids=named)
@pytest.mark.parametrize("fmt", E8M0, ids=named)
def test_every_element_at_every_scale_is_its_product_correctly_rounded(fmt, wide):
    codes, scales = np.meshgrid(np.arange(1 << fmt.bits), np.arange(256))
    codes = np.pad(codes, ((0, 0), (0, -codes.shape[1] % BLOCK_ELEMENTS)))
    repeated = np.repeat(scales[:, 0], codes.shape[1] // BLOCK_ELEMENTS)
    back = q.dequantise(codes, repeated, fmt, wide).values.reshape(codes.shape)
    scale = np.arange(256).astype(np.uint8).view(ml_dtypes.float8_e8m0fnu).astype(np.float64)
    with np.errstate(all="ignore"):
        want = (q.decode(codes, fmt) * scale[:, None]).astype(DTYPES[wide]).astype(float)
    np.testing.assert_array_equal(back.astype(float), want)


def test_int4_products_are_correctly_rounded_for_every_scale():
    codes = np.tile(np.arange(32) % 16, (1 << 16, 1))
    back = q.dequantise(codes, ALL_BITS, INT4).values
    with np.errstate(all="ignore"):
        products = q.decode(codes, INT4).astype(np.float32) * from_bits(ALL_BITS, BF16).astype(
            np.float32)[:, None]
    np.testing.assert_array_equal(back.astype(np.float32),
                                  products.astype(ml_dtypes.bfloat16).astype(np.float32))


@pytest.mark.parametrize("fmt", EVERY, ids=named)
def test_what_was_quantised_once_is_the_same_when_it_was_dequantised_between(fmt):
    """Otherwise a block that moves up and down would lose a little each time."""
    rng = np.random.default_rng(3)
    values = rng.normal(0, 3, (200, BLOCK_ELEMENTS)).astype(ml_dtypes.bfloat16)
    once = q.quantise(values, fmt)
    seen = q.dequantise(once.codes, once.scales, fmt)
    again = q.quantise(seen.values, fmt)
    back = q.dequantise(again.codes, again.scales, fmt)
    if fmt is not INT4:
        np.testing.assert_array_equal(to_bits(back.values, BF16), to_bits(seen.values, BF16))
    else:       # 7 s and 7 s / 7 round apart: within one unit in the last place of bfloat16
        np.testing.assert_allclose(back.values.astype(float), seen.values.astype(float),
                                   rtol=2.0 ** -7)


@pytest.mark.parametrize("fmt", EVERY, ids=named)
@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 5, 32, 33, 50])
def test_columns_are_elements_then_scales_without_gaps(fmt, blocks):
    rng = np.random.default_rng(blocks)
    made = q.quantise(rng.normal(0, 1, (blocks, BLOCK_ELEMENTS)), fmt)
    columns = q.to_columns(made, fmt)
    region = QuantisedRegion(fmt=fmt, blocks=blocks)
    assert len(columns) == region.columns == region.element_columns + region.scale_columns
    assert all(0 <= column < 1 << 256 for column in columns)
    codes, scales = q.from_columns(columns, fmt, blocks)
    np.testing.assert_array_equal(codes, made.codes)
    np.testing.assert_array_equal(scales, made.scales)
    memory = sum(column << 256 * number for number, column in enumerate(columns))
    for places, width, numbers in ((region.element_place, fmt.bits, made.codes.ravel()),
                                   (region.scale_place, fmt.scale_bits, made.scales)):
        for number, want in enumerate(numbers):
            column, bit = places(number)
            mask = (1 << width) - 1
            assert memory >> 256 * column + bit & mask == want
            memory &= ~(mask << 256 * column + bit)
    assert memory == 0, "padding"


def test_places_worked_by_hand():
    region = QuantisedRegion(fmt=MXFP8_E4M3, blocks=128)       # K and V of 16 tokens, heads of 128
    assert (region.wide_beats, region.element_columns, region.scale_columns) == (256, 128, 4)
    assert region.element_place(33) == (1, 8) and region.scale_place(33) == (129, 8)
    region = QuantisedRegion(fmt=MXFP6_E3M2, blocks=5)
    assert (region.element_columns, region.scale_columns) == (4, 1)
    assert region.element_place(42) == (0, 252), "goes on in column 1"
    region = QuantisedRegion(fmt=INT4, blocks=17)
    assert (region.element_columns, region.scale_columns) == (9, 2)
    assert region.scale_place(16) == (10, 0)
    assert [f.bits_per_element for f in EVERY] == [8.25, 8.25, 8.25, 6.25, 6.25, 4.25, 4.5]


def test_requests_are_refused_for_their_reason():
    spec = QuantiserSpec(formats=(MXFP4, MXINT8), blocks_max=8)
    wide, fp4, int8 = StoredFormat.WIDE, StoredFormat.MXFP4, StoredFormat.MXINT8
    for source, target, blocks, want in (
            (wide, fp4, 1, Status.DONE), (int8, wide, 8, Status.DONE),
            (fp4, int8, 1, Status.ALREADY_QUANTISED), (fp4, fp4, 1, Status.ALREADY_QUANTISED),
            (wide, wide, 1, Status.NOT_QUANTISED), (wide, fp4, 9, Status.BAD_LENGTH),
            (wide, fp4, 0, Status.BAD_LENGTH), (wide, StoredFormat.INT4, 1, Status.NO_SUCH_FORMAT)):
        assert q.expected_status(spec, source, target, blocks) == want


def test_names_and_parameters_that_make_no_sense_are_refused():
    assert element_format("mxfp8") is MXFP8_E4M3
    assert set(KV_FORMATS).isdisjoint(ELEMENT_FORMATS)
    with pytest.raises(UserError, match="did you mean 'mxint8'"):
        element_format("mxint9")
    with pytest.raises(SpecError, match="a format of 16 bits"):
        QuantiserSpec(wide=FP32)
    with pytest.raises(SpecError, match="different formats"):
        QuantiserSpec(formats=(MXFP4, MXFP4))
    with pytest.raises(SpecError, match="blocks"):
        QuantisedRegion(fmt=MXFP4, blocks=0)
