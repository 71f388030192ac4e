"""The golden online softmax against values worked by hand and against float64."""

import numpy as np
import pytest

from model.golden.floats import weight_bits
from model.golden.softmax import OnlineSoftmax, exponents, wave_sum, weights
from model.spec.attention import RESCALE_CLEAR, PimSpec
from model.spec.formats import BF16, FP16, weight_format

ONE = np.float32(1)
F = 10


def wave_of(rows, blocks=1):
    scores = np.full((len(rows), 16 * blocks), np.nan, np.float32)
    for head, row in enumerate(rows):
        scores[head, :len(row)] = row
    return scores.reshape(len(rows), blocks, 16)


@pytest.mark.parametrize("score, x", [
    (0.0, 0), (1.0, 1024), (-1.0, -1024), (0.5 / 1024, 0), (1.5 / 1024, 2), (2.5 / 1024, 2),
    (-1.5 / 1024, -2), (16384.0, 2 ** 24 - 1), (np.inf, 2 ** 24 - 1), (-16385.0, -2 ** 24),
    (-np.inf, -2 ** 24), (np.nan, -2 ** 24), (16383.999, 2 ** 24 - 1), (1e-45, 0),
])
def test_exponent_is_rounded_to_even_and_clamped(score, x):
    assert exponents(np.float32(score), ONE, F) == x


@pytest.mark.parametrize("x, m, fmt, bits", [
    # 2^0.5 = 1 + 106.04 / 256 = 1 + 848.3 / 2048; 2^(1023 / 1024) = 1 + 255.65 / 256
    (0, 0, BF16, 0x7F00), (1024, 1, BF16, 0x7F00), (1023, 0, BF16, 0x8000), (512, 0, BF16, 0x7F6A),
    # just below the smallest normal number: 255.65 / 256, 255.48 / 256 of it
    (-126 * 1024, 0, BF16, 0x0100), (-126 * 1024 - 2, 0, BF16, 0x0100),
    (-126 * 1024 - 3, 0, BF16, 0), (0, 0, FP16, 0x7800), (512, 0, FP16, 0x7B50),
    (-14 * 1024, 0, FP16, 0x0800), (-14 * 1024 - 1, 0, FP16, 0), (-(1 << 24), 16383, BF16, 0),
])
def test_weights_worked_by_hand(x, m, fmt, bits):
    unsigned = weight_format(fmt)
    assert weight_bits(weights(x, m, F, unsigned), unsigned) == bits


@pytest.mark.parametrize("value", [-1.0, 2.0 ** -127, 1 + 2.0 ** -9, np.inf, np.nan])
def test_what_is_no_weight_has_no_bits(value):
    with pytest.raises(ValueError, match="no bf16_weight"):
        weight_bits([1.0, value], weight_format(BF16))


@pytest.mark.parametrize("fmt", [BF16, FP16], ids=lambda f: f.name)
def test_weight_error_is_half_a_unit_in_the_last_place(fmt):
    x = np.arange(-13 * 1024, 1024)
    exact = np.exp2(x / 1024.0)
    unsigned = weight_format(fmt)
    error = np.abs(weights(x, 0, F, unsigned).astype(np.float64) / exact - 1)
    assert error.max() <= 2.0 ** -(unsigned.fraction_bits + 1)


def test_quads_go_by_turns_into_two_accumulators():
    # 2^24 and its neighbours: in FP32 the order decides which of the ones are lost
    p = np.zeros((1, 2, 16), np.float32)
    p[0, 0, 0] = p[0, 0, 8] = 2.0 ** 23      # quads 0 and 2: accumulator 0 reaches 2^24
    p[0, 0, 4::8] = 1                        # quads 1 and 3: accumulator 1 counts 2
    p[0, 1, 0] = 1                           # quad 4: lost in accumulator 0 (tie to even)
    assert wave_sum(p)[0] == 2.0 ** 24 + 2


def test_first_wave_clears_and_later_waves_shift_by_the_growth_of_the_maximum():
    softmax = OnlineSoftmax(2, ONE, PimSpec())
    first = softmax.wave(wave_of([[3.0, 2.0], [-5.5]]), [1])
    assert list(first.rescale) == [RESCALE_CLEAR] * 2 and not first.nan
    assert list(softmax.m) == [3, -6] and list(softmax.l) == [1.0, 2 ** 0.5 // 2 ** -8 * 2 ** -8]
    second = softmax.wave(wave_of([[1.0], [-4.0]]), [1])
    assert list(second.rescale) == [0, 2]
    assert list(softmax.m) == [3, -4]
    assert list(softmax.l) == [1.25, 1.4140625 / 4 + 1]


def test_tokens_that_are_not_valid_have_no_weight_and_raise_no_error():
    softmax = OnlineSoftmax(1, ONE, PimSpec())
    wave = softmax.wave(wave_of([[0.0] * 17], blocks=2), [16, 1])
    assert wave.weights.sum() == 17 and not wave.nan
    assert OnlineSoftmax(1, ONE, PimSpec()).wave(wave_of([[0.0]]), [2]).nan


def test_sum_and_maximum_agree_with_float64_over_many_waves():
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 10, (5, 2, 3, 16)).astype(np.float32)
    softmax = OnlineSoftmax(2, ONE, PimSpec())
    for wave in scores:
        softmax.wave(wave, [16] * 3)
    exact = np.exp2(scores.astype(np.float64)).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(softmax.l * 2.0 ** softmax.m, exact, rtol=2 ** -9)
    assert list(softmax.m) == list(np.floor(scores.max(axis=(0, 2, 3))))


def test_every_bfloat16_exponent_is_within_an_ulp():
    """What ``make bench`` measures on the hardware: the step of the exponent costs little of it."""
    x = (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32)
    x = x[np.isfinite(x) & (np.abs(x) < 1 << 14)]
    m = np.floor(x).astype(np.int64)
    exact = np.exp2(x.astype(np.float64) - m)                   # 1 to 2, so an ulp is 2^-7
    p = weights(exponents(x, ONE, F), m, F, weight_format(BF16)).astype(np.float64)
    error = np.abs(p - exact) * 2 ** 7
    assert 0.25 < error.max() < 0.35
