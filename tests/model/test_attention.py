"""The golden attention against float64 softmax attention."""

from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest

from model.golden.attention import attend, bank_parts, wave_parts
from model.golden.float64_attention import KINDS, exact_attention, inputs, relative_error
from model.golden.merge import finalize, merge
from model.spec.attention import PimSpec, padded_head_size, softmax_scale
from model.spec.errors import SpecError
from model.spec.formats import BF16, FP16
from model.spec.mx import MXFP8_E4M3, MXINT8

BOUND = 2.0 ** -8
"""Half a unit in the last place of bfloat16. Weights and the output are rounded to that, so twice
as much is the worst that a few unlucky tokens can do; the errors of many average out."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [64, 80, 96, 128, 256])
@pytest.mark.parametrize("tokens", [1, 2, 15, 16, 17, 100, 257, 513, 2048])
def test_attention_is_within_the_bound_of_float64(kind, size, tokens):
    q, k, v = inputs(kind, size=size, tokens=tokens)
    spec = PimSpec(head_size_max=256)
    got = attend(q, k, v, pim_banks=16, scale=softmax_scale(size), spec=spec)
    assert relative_error(got.output, exact_attention(q, k, v)) <= BOUND


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [4096, 32768])
def test_attention_over_long_contexts_is_within_the_bound(kind, tokens):
    q, k, v = inputs(kind, size=128, tokens=tokens)
    got = attend(q, k, v, pim_banks=16, scale=softmax_scale(128), spec=PimSpec())
    assert relative_error(got.output, exact_attention(q, k, v)) <= BOUND


@pytest.mark.parametrize("tokens", [17, 300])
def test_pytorch_agrees_that_it_is_within_the_bound(tokens):
    torch = pytest.importorskip("torch")
    q, k, v = inputs("normal", tokens=tokens)
    want = torch.nn.functional.scaled_dot_product_attention(
        *(torch.from_numpy(x.astype(np.float64))[None] for x in (q, k, v)))[0].numpy()
    assert np.allclose(want, exact_attention(q, k, v), rtol=1e-12, atol=1e-14)
    got = attend(q, k, v, pim_banks=16, scale=softmax_scale(128), spec=PimSpec())
    assert relative_error(got.output, want) <= BOUND


@pytest.mark.parametrize("kind", ["normal", "heavy-tailed"])
def test_short_contexts_in_which_few_weights_decide_are_within_it_too(kind):
    errors = np.array([relative_error(
        attend(q, k, v, pim_banks=16, scale=softmax_scale(64), spec=PimSpec()).output,
        exact_attention(q, k, v))
        for seed in range(60) for tokens in (2, 9, 33, 64)
        for q, k, v in [inputs(kind, size=64, tokens=tokens, seed=seed)]])
    assert errors.max() <= BOUND


@pytest.mark.parametrize("tokens", [1, 100, 300])
def test_fp16_attention_is_closer_still(tokens):
    q, k, v = inputs("normal", tokens=tokens, fmt=FP16)
    got = attend(q, k, v, pim_banks=16, scale=softmax_scale(128), spec=PimSpec(kv_format=FP16))
    assert relative_error(got.output, exact_attention(q, k, v)) <= BOUND / 4


@pytest.mark.parametrize("pim_banks", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("kind", ["normal", "one-hot"])
def test_any_number_of_banks_stays_within_the_bound(pim_banks, kind):
    q, k, v = inputs(kind, tokens=16 * 18 + 5)      # banks sit out the last wave
    got = attend(q, k, v, pim_banks=pim_banks, scale=softmax_scale(128), spec=PimSpec())
    assert relative_error(got.output, exact_attention(q, k, v)) <= BOUND


@pytest.mark.parametrize("cuts", [[1], [16], [17, 18], [64, 100, 130], list(range(8, 200, 8))])
def test_a_sequence_may_be_cut_anywhere_and_merged(cuts):
    q, k, v = inputs("heavy-tailed", tokens=200)
    edges = [0, *cuts, len(k)]
    pieces = [bank_parts(q, k[a:b], v[a:b], pim_banks=4, scale=softmax_scale(128), spec=PimSpec())
              for a, b in pairwise(edges)]
    want = exact_attention(q, k, v)
    flat = [merge(part for piece in pieces for part in piece[head]) for head in range(len(q))]
    tree = [merge(merge(piece[head]) for piece in pieces) for head in range(len(q))]
    for merged in (flat, tree):
        output = np.stack([finalize(part, BF16) for part in merged])
        assert relative_error(output, want) <= BOUND


def test_order_of_operations_on_a_case_worked_by_hand():
    # Scores 0, 1, 3, so m = 0, 1, 3 wave after wave in the only bank; weights 1, 1, 1 there.
    size = 64
    q = np.zeros((1, size))
    q[0, 0] = 1
    k = np.zeros((33, size))
    k[16:32, 0], k[32, 0] = 1, 3
    v = np.ones((33, size))
    got = attend(q, k, v, pim_banks=1, scale=1.0, spec=PimSpec())
    part = got.merged[0]
    assert (part.m, part.l) == (3, (16 / 2 + 16) / 4 + 1)
    assert set(part.o) == {7.0} and set(got.output.ravel().astype(float)) == {1.0}


def test_a_bank_without_a_block_in_the_last_wave_follows_its_maximum():
    k = np.zeros((33, 64))
    k[32, 0] = 5
    q = np.eye(1, 64)
    parts = bank_parts(q, k, np.ones((33, 64)), pim_banks=2, scale=1.0, spec=PimSpec())[0]
    assert [p.m for p in parts] == [5, 5]
    assert [float(p.l) for p in parts] == [2.0, 0.0]
    assert [float(p.o[0]) for p in parts] == [1.5, 0.5]


def test_blocks_may_lie_in_any_bank_and_wave():
    q, k, v = inputs("heavy-tailed", tokens=16 * 5 + 3)
    want = exact_attention(q, k, v)
    for waves in ([{3: 0, 1: 4}, {1: 5}, {0: 1, 3: 2, 9: 3}], [{7: n} for n in (5, 0, 3, 1, 4, 2)]):
        parts = wave_parts(q, k, v, waves=waves, scale=softmax_scale(128), spec=PimSpec())
        output = np.stack([finalize(merge(head), BF16) for head in parts])
        assert relative_error(output, want) <= BOUND


@pytest.mark.parametrize("fmt", [MXINT8, MXFP8_E4M3], ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("size", [80, 96])
def test_padded_heads_are_those_heads_dequantised_first(size, fmt):
    """ml_dtypes casts and float64 attention see the elements of the head alone."""
    wide = padded_head_size(size)
    rng = np.random.default_rng(size)
    q, k, v = (rng.standard_normal((rows, size)).astype(ml_dtypes.bfloat16)
               for rows in (4, 300, 300))
    padded = [np.pad(x, ((0, 0), (0, wide - size))) for x in (q, k, v)]
    got = attend(*padded, pim_banks=16, scale=softmax_scale(size), stored=fmt,
                 spec=PimSpec(quantised=(fmt,))).output
    assert got.shape == (4, wide) and not got[:, size:].any()
    back = []
    for x in padded[1:]:
        blocks = x.astype(np.float64).reshape(-1, 32)
        largest = np.abs(blocks).max(axis=1, keepdims=True)
        shift = np.floor(np.log2(np.where(largest == 0, 1, largest))) - fmt.exponent_max
        most = 448 if fmt is MXFP8_E4M3 else 127 / 64
        kept = np.clip(blocks / 2.0 ** shift, -most, most)
        codes = (kept.astype(ml_dtypes.float8_e4m3fn).astype(np.float64) if fmt is MXFP8_E4M3
                 else np.rint(kept * 64) / 64)
        back.append((codes * 2.0 ** shift).reshape(-1, wide)[:, :size])
    assert relative_error(got[:, :size], exact_attention(q, *back)) < 2 ** -8


@pytest.mark.parametrize(("size", "stored"), [(64, 64), (80, 128), (96, 128), (128, 128),
                                              (144, 192), (256, 256)])
def test_heads_are_padded_to_whole_rows(size, stored):
    assert padded_head_size(size) == stored


def test_an_empty_context_is_refused():
    with pytest.raises(SpecError, match="at least one token"):
        attend(np.ones((1, 64)), np.ones((0, 64)), np.ones((0, 64)), pim_banks=1, scale=1.0,
               spec=PimSpec())
