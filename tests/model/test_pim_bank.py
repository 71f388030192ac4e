"""The golden PIM bank unit against hand-worked vectors and float64."""

import numpy as np
import pytest

from model.golden import floats
from model.golden.pim_bank import (
    accumulate,
    quantised_accumulate,
    quantised_scores,
    scaled,
    scores,
    tree_sum,
)
from model.golden.quantiser import dequantise, quantise
from model.spec.attention import BLOCK_TOKENS, RESCALE_CLEAR, PimSpec
from model.spec.formats import BF16, FP16
from model.spec.mx import MXFP8_E4M3, MXINT8

UNIT = 2.0 ** -24
"""Largest relative error of one FP32 rounding."""

EACH_KV_FORMAT = pytest.mark.parametrize("fmt", [BF16, FP16], ids=lambda fmt: fmt.name)


def as_kv(values, fmt=BF16):
    return np.asarray(values, np.float32).astype(floats.DTYPES[fmt])


def test_the_tree_adds_neighbours():
    big = np.float32(2.0 ** 24)
    addends = np.zeros(16, np.float32)
    addends[:4] = [big, 1, 1, -big]       # (2**24 + 1) + (1 - 2**24) = 2**24 - (2**24 - 1)
    assert tree_sum(addends) == 1
    addends[:4] = [big, -big, 1, 1]
    assert tree_sum(addends) == 2


def test_chunks_are_added_in_order():
    q, k = as_kv(np.zeros((1, 64))), as_kv(np.zeros((1, 64)))
    q[0, ::16], k[0, ::16] = 1, as_kv([2.0 ** 24, 1, 1, -2.0 ** 24])
    assert scores(q, k) == 0              # ((2**24 + 1) + 1) - 2**24, each 1 lost in a tie
    k[0, ::16] = as_kv([1, 1, 2.0 ** 24, -2.0 ** 24])
    assert scores(q, k) == 2


def test_a_score_of_negative_zeros_is_negative_zero():
    q, k = as_kv(np.full((1, 64), -0.0)), as_kv(np.zeros((1, 64)))
    assert np.signbit(scores(q, k)).all()


def test_an_output_worked_by_hand():
    v = as_kv([[3, -1], [np.nan, np.inf], [0.5, 2]])
    p = as_kv([[1, 0, 2]])
    before = np.array([[8, -4]], np.float32)
    assert accumulate(before, [2], p, v).tolist() == [[6, 2]]       # [2, -1] + [3, -1] + [1, 4]
    assert accumulate(before, [RESCALE_CLEAR], p, v).tolist() == [[4, 3]]


def test_outputs_are_added_token_by_token():
    v = as_kv([[2.0 ** 24], [1], [1], [-2.0 ** 24]])
    one = as_kv(np.ones((1, 4)))
    assert accumulate([[0]], [RESCALE_CLEAR], one, v) == 0      # 1 lost in a tie, twice
    assert accumulate([[0]], [RESCALE_CLEAR], one, v[[1, 2, 0, 3]]) == 2


@EACH_KV_FORMAT
@pytest.mark.parametrize("head_size", [64, 80, 128, 256])
def test_scores_are_close_to_float64(fmt, head_size):
    rng = np.random.default_rng(head_size)
    q, k = (as_kv(rng.normal(size=(n, head_size)), fmt) for n in (8, BLOCK_TOKENS))
    exact = q.astype(np.float64) @ k.astype(np.float64).T
    magnitude = np.abs(q.astype(np.float64)) @ np.abs(k.astype(np.float64)).T
    # an addend passes at most 4 levels of the tree and `chunks` - 1 further additions, each of
    # which is off by one rounding; (1 + u)**n - 1 < 1.01 n u. Products are exact.
    additions = 4 + head_size // PimSpec.LANES - 1
    assert (np.abs(scores(q, k) - exact) <= 1.01 * additions * UNIT * magnitude).all()


@EACH_KV_FORMAT
def test_outputs_are_close_to_float64(fmt):
    rng = np.random.default_rng(7)
    v = as_kv(rng.normal(size=(BLOCK_TOKENS, 96)), fmt)
    p = as_kv(rng.uniform(0, 2, (8, BLOCK_TOKENS)), fmt)
    before = rng.normal(size=(8, 96)).astype(np.float32)
    shift = np.arange(8)
    scaled = before * 2.0 ** -shift[:, None]
    exact = scaled + p.astype(np.float64) @ v.astype(np.float64)
    magnitude = np.abs(scaled) + p.astype(np.float64) @ np.abs(v.astype(np.float64))
    error = np.abs(accumulate(before, shift, p, v) - exact)
    assert (error <= 1.01 * BLOCK_TOKENS * UNIT * magnitude).all()


@pytest.mark.parametrize("fmt", [MXINT8, MXFP8_E4M3], ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("heavy", [False, True], ids=["normal", "heavy-tailed"])
def test_quantised_kv_is_as_if_dequantised_first(fmt, heavy):
    """To the last bit, in the same order of additions."""
    rng = np.random.default_rng(4)

    def draw(*shape):
        return as_kv(rng.standard_t(2, shape) if heavy else rng.normal(size=shape))

    q, kv, p = draw(4, 128), draw(2, BLOCK_TOKENS, 128), as_kv(rng.uniform(0, 2, (4, BLOCK_TOKENS)))
    p[:, 3] = 0
    stored = quantise(kv.reshape(-1, 32), fmt)
    codes, scales = stored.codes.reshape(2, BLOCK_TOKENS, 128), stored.scales.reshape(
        2, BLOCK_TOKENS, 4)
    wide = dequantise(stored.codes, stored.scales, fmt).values.reshape(2, BLOCK_TOKENS, 128)
    assert (quantised_scores(q, codes[0], scales[0], fmt)
            == scores(q, wide[0], block_chunks=2)).all()
    before, shift = draw(4, 128).astype(np.float32), np.array([0, 1, 5, RESCALE_CLEAR])
    assert (quantised_accumulate(before, shift, p, codes[1], scales[1], fmt)
            == accumulate(before, shift, p, wide[1])).all()


def test_scales_worked_by_hand():
    assert scaled(np.float32(3), [127, 128, 0]).tolist() == [3, 6, 1.5 * 2.0 ** -126]
    assert scaled(np.float32(1.5), [0, 254]).tolist() == [0, 1.5 * 2.0 ** 127]
    assert scaled(np.float32(2.0 ** -100), [101, 100]).tolist() == [2.0 ** -126, 0]
    assert np.signbit(scaled(np.float32(-2.0 ** -100), [100])).all()
    assert scaled(np.float32(-4), [254]) == -np.inf
    assert np.isnan(scaled(np.float32(0), [255]))
    assert scaled(as_kv(2.0 ** -126), [127, 126, 128]).tolist() == [2.0 ** -126, 0, 2.0 ** -125]


def test_a_scale_of_nan_makes_its_token_nan_unless_it_weighs_nothing():
    q, ones = as_kv(np.ones((1, 64))), np.full((2, 64), 64)
    scales = [[127, 127], [255, 127]]
    got = quantised_scores(q, ones, scales, MXINT8)[0]
    assert got[0] == 64 and np.isnan(got[1])
    before = np.zeros((1, 64), np.float32)
    assert (quantised_accumulate(before, [0], as_kv([[2, 0]]), ones, scales, MXINT8) == 2).all()
    got = quantised_accumulate(before, [0], as_kv([[2, 1]]), ones, scales, MXINT8)[0]
    assert np.isnan(got[:32]).all() and (got[32:] == 3).all()
