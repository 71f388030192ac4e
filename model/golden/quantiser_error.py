"""What quantising KV costs in accuracy: the numbers of the table in docs/quantiser.md.

Every error is against the numbers before they were rounded to bfloat16, so the row of bfloat16
shows what is lost without quantising.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.golden.floats import DTYPES
from model.golden.quantiser import dequantise, quantise
from model.spec.formats import BF16
from model.spec.mx import BLOCK_ELEMENTS, ELEMENT_FORMATS, ElementFormat

TOKENS, HEAD_SIZE, QUERIES = 1024, 128, 16

OUTLIER_CHANNELS, OUTLIER = 4, 10.0
"""Channels of a head's keys that are so many times larger: KIVI and KVQuant found that keys have a
few such channels (facts.md 8); how many and how large is our choice."""

DEGREES = 3
"""Of freedom, of Student's t: the fourth moment is infinite."""

Array = NDArray[np.float64]


def _normal(rng: np.random.Generator) -> Array:
    return rng.standard_normal((TOKENS, HEAD_SIZE))


def _heavy_tailed(rng: np.random.Generator) -> Array:
    return rng.standard_t(DEGREES, (TOKENS, HEAD_SIZE)) / np.sqrt(DEGREES / (DEGREES - 2))


def _outlier_channels(rng: np.random.Generator) -> Array:
    values = _normal(rng)
    values[:, rng.choice(HEAD_SIZE, OUTLIER_CHANNELS, replace=False)] *= OUTLIER
    return values


KINDS: dict[str, Callable[[np.random.Generator], Array]] = {
    "normal": _normal, "heavy-tailed": _heavy_tailed, "outlier channels": _outlier_channels}
"""How keys, ``[token, element]``, are drawn. Values are too, but without outlier channels."""


@dataclass(frozen=True)
class Loss:
    """One format on one kind of data.

    Attributes
    ----------
    snr : float
        Power of the keys over that of their error after a round trip, in decibels.
    attention : float
        Length of the error of attention outputs over that of the outputs, keys and values being
        stored in the format.
    """

    snr: float
    attention: float


def attention(q: Array, k: Array, v: Array) -> Array:
    """Softmax attention in float64: ``[query, element]``."""
    scores = q @ k.T / np.sqrt(q.shape[1])
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights @ v / weights.sum(axis=1, keepdims=True)


def round_trip(values: Array, fmt: ElementFormat | None) -> Array:
    """Values in bfloat16, and if ``fmt`` is given there and back."""
    wide = values.astype(DTYPES[BF16])
    if fmt is None:
        return wide.astype(np.float64)
    made = quantise(wide.reshape(-1, BLOCK_ELEMENTS), fmt)
    return dequantise(made.codes, made.scales, fmt).values.astype(np.float64).reshape(values.shape)


def loss(kind: str, fmt: ElementFormat | None, seed: int = 1) -> Loss:
    """The loss of one format; the data depend on ``kind`` and ``seed`` only."""
    rng = np.random.default_rng(seed)
    keys = KINDS[kind](rng)
    values = _heavy_tailed(rng) if kind == "heavy-tailed" else _normal(rng)
    queries = rng.standard_normal((QUERIES, HEAD_SIZE))
    seen_keys, seen_values = round_trip(keys, fmt), round_trip(values, fmt)
    right = attention(queries, keys, values)
    error = attention(queries, seen_keys, seen_values) - right
    noise = float(np.sum((seen_keys - keys) ** 2))
    return Loss(10 * np.log10(float(np.sum(keys ** 2)) / noise),
                float(np.linalg.norm(error) / np.linalg.norm(right)))


def table() -> Iterator[str]:
    """The lines of the table, in Markdown."""
    yield ("| format | bits an element | "
           + " | ".join(f"SNR, {kind}" for kind in KINDS) + " | "
           + " | ".join(f"attention error, {kind}" for kind in KINDS) + " |")
    yield "| --- |" + " ---: |" * (1 + 2 * len(KINDS))
    formats: list[ElementFormat | None] = [None, *ELEMENT_FORMATS.values()]
    for fmt in formats:
        losses = [loss(kind, fmt) for kind in KINDS]
        name, bits = ("bf16", 16.0) if fmt is None else (fmt.name, fmt.bits_per_element)
        yield (f"| `{name}` | {bits:g} | "
               + " | ".join(f"{one.snr:.1f} dB" for one in losses) + " | "
               + " | ".join(f"{100 * one.attention:.2g} %" for one in losses) + " |")
