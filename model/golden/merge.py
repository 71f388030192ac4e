"""Merging of partial attention results, docs/numerics.md points 9 and 10."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.golden.floats import add, canonical, kv_round, product, rescale
from model.spec.formats import FloatFormat


@dataclass(frozen=True)
class Part:
    """A partial result of one head.

    Attributes
    ----------
    m : int
        The maximum to which ``l`` and ``o`` refer.
    l : float32
        Sum of the weights.
    o : array of float32
        Weighted sum of the values.
    """

    m: int
    l: np.float32
    o: NDArray[np.float32]


def merge(parts: Iterable[Part]) -> Part:
    """Merges parts in order; at least one. Whoever has nothing to add sends no part."""
    merged: Part | None = None
    for part in parts:
        merged = part if merged is None else _merged(merged, part)
    if merged is None:
        raise ValueError("parts: expected at least one, not an empty sequence")
    return merged


def _merged(old: Part, new: Part) -> Part:
    m = max(old.m, new.m)
    l, o = (add(rescale(a, m - old.m), rescale(b, m - new.m))
            for a, b in ((old.l, new.l), (old.o, new.o)))
    return Part(m, np.float32(l), o)


def finalize(part: Part, fmt: FloatFormat) -> NDArray[Any]:
    """The attention output of a head in the KV format: ``o / l`` by way of the reciprocal."""
    with np.errstate(all="ignore"):
        reciprocal = canonical(np.float32(1) / np.float32(part.l))
    return kv_round(product(part.o, reciprocal), fmt)
