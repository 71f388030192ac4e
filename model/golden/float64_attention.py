"""Attention in float64, which bounds the error of the hardware's, and inputs that try it."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.golden.floats import DTYPES
from model.spec.errors import unknown_name
from model.spec.formats import BF16, FloatFormat

KINDS = ("normal", "heavy-tailed", "one-hot", "constant")
"""Normal; Student's t with three degrees of freedom; one score that is 100 and far above all
others; all queries, keys and values alike."""


def inputs(kind: str, *, heads: int = 2, size: int = 128, tokens: int = 100,
           fmt: FloatFormat = BF16, seed: int = 1) -> tuple[NDArray[Any], ...]:
    """Queries ``[head, element]``, keys and values ``[token, element]``, in the KV format."""
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    draw = np.random.default_rng([seed, size, tokens])
    q, k, v = (draw.normal(0, 1, (n, size)) for n in (heads, tokens, tokens))
    if kind == "heavy-tailed":
        q, k, v = (draw.standard_t(3, x.shape) for x in (q, k, v))
    elif kind == "one-hot":
        k[tokens // 2] = q[0] * (100 * np.sqrt(size) / (q[0] @ q[0]))
        q[:] = q[0]
    elif kind == "constant":
        q[:], k[:], v[:] = 0.5, -0.25, 3.140625
    return tuple(x.astype(DTYPES[fmt]) for x in (q, k, v))


def exact_attention(q: ArrayLike, k: ArrayLike, v: ArrayLike) -> NDArray[np.float64]:
    """Outputs ``[head, element]`` in float64, of inputs that are KV numbers already."""
    queries, keys, values = (np.asarray(x).astype(np.float64) for x in (q, k, v))
    s = queries @ keys.T / np.sqrt(queries.shape[1])
    p = np.exp(s - s.max(axis=1, keepdims=True))
    return p @ values / p.sum(axis=1, keepdims=True)


def relative_error(got: ArrayLike, want: NDArray[np.float64]) -> float:
    """The largest relative L2 error of a head's outputs."""
    difference = np.linalg.norm(np.asarray(got).astype(np.float64) - want, axis=1)
    return float((difference / np.linalg.norm(want, axis=1)).max())
