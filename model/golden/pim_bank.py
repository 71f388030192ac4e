"""What a PIM bank unit computes, in the order of docs/numerics.md, points 1, 2, 7 and 8."""

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.golden.floats import add, canonical, product, rescale
from model.golden.quantiser import decode
from model.spec.attention import PimSpec
from model.spec.mx import BLOCK_ELEMENTS, SCALE_BIAS, SCALE_NAN, ElementFormat


def tree_sum(addends: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over the last axis, a power of two long: neighbours, then neighbours of those."""
    while addends.shape[-1] > 1:
        addends = add(addends[..., ::2], addends[..., 1::2])
    return addends[..., 0]


def scores(q: ArrayLike, k: ArrayLike, *, block_chunks: int = 1) -> NDArray[np.float32]:
    """Scores of a block.

    Parameters
    ----------
    q : array_like, (heads, head size)
        Query vectors in the KV format.
    k : array_like, (tokens, head size)
        Keys in the KV format.
    block_chunks : int
        Chunks that are added to one another before they are added to the score: 2 with quantised
        keys, so that their scale is applied once a block.

    Returns
    -------
    numpy.ndarray, (heads, tokens)
    """
    queries, keys = np.asarray(q), np.asarray(k)
    products = product(queries[:, None, :], keys[None, :, :])
    chunks = tree_sum(products.reshape(*products.shape[:2], -1, PimSpec.LANES))
    return _in_order(tree_sum(chunks.reshape(*chunks.shape[:2], -1, block_chunks)))


def _in_order(addends: NDArray[np.float32]) -> NDArray[np.float32]:
    total = addends[..., 0]
    for index in range(1, addends.shape[-1]):
        total = add(total, addends[..., index])
    return total


def scaled(x: ArrayLike, scales: ArrayLike) -> NDArray[Any]:
    """``x`` times E8M0 scales, given as bytes, in the format of ``x`` (docs/numerics.md, 11).

    Below the normal range, before or after, it is a zero of its sign.
    """
    number, code = np.asarray(x), np.asarray(scales, np.int64)
    smallest = float(ml_dtypes.finfo(number.dtype).smallest_normal)
    with np.errstate(all="ignore"):
        wide = number.astype(np.float64)
        result = np.ldexp(wide, code - SCALE_BIAS)
        tiny = (np.abs(wide) < smallest) | (np.abs(result) < smallest)
        result = np.where(tiny, np.copysign(0.0, wide), result)
        return np.where(code == SCALE_NAN, np.nan, result).astype(number.dtype)


def quantised_scores(q: ArrayLike, codes: ArrayLike, scales: ArrayLike,
                     fmt: ElementFormat) -> NDArray[np.float32]:
    """Scores of a block whose keys are multiplied as they are stored.

    Parameters
    ----------
    q : array_like, (heads, head size)
        Query vectors in bfloat16.
    codes, scales : array_like, (tokens, head size), (tokens, head size / 32)
        Keys.
    fmt : ElementFormat
        One of 8 bits with E8M0 scales.

    Returns
    -------
    numpy.ndarray, (heads, tokens)
    """
    queries = np.asarray(q)
    elements = decode(codes, fmt).astype(queries.dtype)
    products = product(queries[:, None, :], elements[None, :, :])
    blocks = tree_sum(tree_sum(products.reshape(
        *products.shape[:2], -1, 2, PimSpec.LANES)))
    return _in_order(canonical(scaled(blocks, np.asarray(scales)[None])))


def quantised_accumulate(o: ArrayLike, shift: ArrayLike, p: ArrayLike, codes: ArrayLike,
                         scales: ArrayLike, fmt: ElementFormat) -> NDArray[np.float32]:
    """Outputs after a block whose values are multiplied as they are stored.

    Parameters
    ----------
    o, shift, p
        As of :func:`accumulate`.
    codes, scales, fmt
        Values, as the keys of :func:`quantised_scores`; several blocks as in :func:`accumulate`.
    """
    weights, every = np.asarray(p), np.asarray(scales)
    elements = decode(codes, fmt).astype(weights.dtype)
    outputs = rescale(o, np.asarray(shift)[:, None])
    for token in range(every.shape[-2]):
        weight = weights[..., token, None]
        factor = np.repeat(scaled(weight, every[..., None, token, :]), BLOCK_ELEMENTS, axis=-1)
        addend = np.where((weight == 0) | (factor == 0), np.float32(0),
                          product(factor, elements[..., None, token, :]))
        outputs = add(outputs, addend)
    return outputs


def accumulate(o: ArrayLike, shift: ArrayLike, p: ArrayLike, v: ArrayLike) -> NDArray[np.float32]:
    """Outputs after a block, or after one block each in several banks.

    Parameters
    ----------
    o : array_like, (..., heads, head size)
        Outputs before it, FP32; of several banks if there is an axis in front.
    shift : array_like, (heads,)
        Rescale distance or ``RESCALE_CLEAR``.
    p : array_like, (..., heads, tokens)
        Weights, FP32 numbers of their format; a zero takes its token out, whatever its value holds.
    v : array_like, (..., tokens, head size)
        Values in the KV format.
    """
    weights, values = np.asarray(p), np.asarray(v)
    outputs = rescale(o, np.asarray(shift)[:, None])
    for token in range(values.shape[-2]):
        weight = weights[..., token, None]
        addend = np.where(weight == 0, np.float32(0), product(weight, values[..., None, token, :]))
        outputs = add(outputs, addend)
    return outputs
