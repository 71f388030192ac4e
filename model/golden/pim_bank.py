"""What a PIM bank unit computes, in the order of docs/numerics.md, points 1, 2, 7 and 8."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.golden.floats import add, product, rescale
from model.spec.attention import PimSpec


def tree_sum(addends: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum over the last axis, a power of two long: neighbours, then neighbours of those."""
    while addends.shape[-1] > 1:
        addends = add(addends[..., ::2], addends[..., 1::2])
    return addends[..., 0]


def scores(q: ArrayLike, k: ArrayLike) -> NDArray[np.float32]:
    """Scores of a block.

    Parameters
    ----------
    q : array_like, (heads, head size)
        Query vectors in the KV format.
    k : array_like, (tokens, head size)
        Keys in the KV format.

    Returns
    -------
    numpy.ndarray, (heads, tokens)
    """
    queries, keys = np.asarray(q), np.asarray(k)
    products = product(queries[:, None, :], keys[None, :, :])
    chunks = tree_sum(products.reshape(*products.shape[:2], -1, PimSpec.LANES))
    total = chunks[..., 0]
    for chunk in range(1, chunks.shape[-1]):
        total = add(total, chunks[..., chunk])
    return total


def accumulate(o: ArrayLike, shift: ArrayLike, p: ArrayLike, v: ArrayLike) -> NDArray[np.float32]:
    """Outputs after a block.

    Parameters
    ----------
    o : array_like, (heads, head size)
        Outputs before it, FP32.
    shift : array_like, (heads,)
        Rescale distance or ``RESCALE_CLEAR``.
    p : array_like, (heads, tokens)
        Weights in the KV format; a zero takes its token out, whatever its value holds.
    v : array_like, (tokens, head size)
        Values in the KV format.
    """
    weights, values = np.asarray(p), np.asarray(v)
    outputs = rescale(o, np.asarray(shift)[:, None])
    for token in range(values.shape[0]):
        weight = weights[:, token, None]
        addend = np.where(weight == 0, np.float32(0), product(weight, values[token]))
        outputs = add(outputs, addend)
    return outputs
