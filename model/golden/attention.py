"""Attention of one sequence over one pseudo-channel, in the order of docs/numerics.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.golden.floats import DTYPES
from model.golden.merge import Part, finalize, merge
from model.golden.pim_bank import accumulate, quantised_accumulate, quantised_scores, scores
from model.golden.quantiser import quantise
from model.golden.softmax import OnlineSoftmax
from model.spec.attention import BLOCK_TOKENS, PimSpec
from model.spec.errors import SpecError, require_int
from model.spec.mx import BLOCK_ELEMENTS, ElementFormat


@dataclass(frozen=True)
class Attention:
    """Result of one sequence.

    Attributes
    ----------
    output : array [head, element]
        In the KV format.
    merged : tuple of Part
        Per head, before the division: what other pseudo-channels or stacks may merge.
    """

    output: NDArray[Any]
    merged: tuple[Part, ...]


@dataclass(frozen=True)
class WideKv:
    """K or V as they are attended to: ``[block, token, element]`` in the KV format."""

    values: NDArray[Any]

    def scores(self, query: NDArray[Any], blocks: Sequence[int]) -> NDArray[np.float32]:
        """Scores ``[head, block, token]`` of some blocks as keys."""
        keys = self.values[list(blocks)]
        return scores(query, keys.reshape(-1, keys.shape[-1])).reshape(
            len(query), len(blocks), -1)

    def accumulate(self, o: ArrayLike, shift: ArrayLike, p: ArrayLike,
                   blocks: Sequence[int]) -> NDArray[np.float32]:
        """Outputs of several banks after a block each as values."""
        return accumulate(o, shift, p, self.values[list(blocks)])


@dataclass(frozen=True)
class StoredKv:
    """K or V in a quantised format: codes and scales, each ``[..., token, ...]``."""

    fmt: ElementFormat
    codes: NDArray[np.int64]
    scales: NDArray[np.int64]

    def scores(self, query: NDArray[Any], blocks: Sequence[int]) -> NDArray[np.float32]:
        """Scores ``[head, block, token]`` of some blocks as keys."""
        codes, scales = self.codes[list(blocks)], self.scales[list(blocks)]
        return quantised_scores(
            query, codes.reshape(-1, codes.shape[-1]), scales.reshape(-1, scales.shape[-1]),
            self.fmt).reshape(len(query), len(blocks), -1)

    def accumulate(self, o: ArrayLike, shift: ArrayLike, p: ArrayLike,
                   blocks: Sequence[int]) -> NDArray[np.float32]:
        """Outputs of several banks after a block each as values."""
        return quantised_accumulate(o, shift, p, self.codes[list(blocks)],
                                    self.scales[list(blocks)], self.fmt)


def stored_block(values: NDArray[Any], fmt: ElementFormat) -> StoredKv:
    """``values[..., token, element]`` as the quantiser stores them."""
    made = quantise(values.reshape(-1, BLOCK_ELEMENTS), fmt)
    return StoredKv(fmt, made.codes.reshape(values.shape),
                    made.scales.reshape(*values.shape[:-1], -1))


def attend(q: ArrayLike, k: ArrayLike, v: ArrayLike, *, pim_banks: int, scale: float,
           spec: PimSpec, stored: ElementFormat | None = None) -> Attention:
    """Attention of ``q[head, element]`` over ``k`` and ``v``, both ``[token, element]``.

    All three are rounded to the KV format; ``k`` and ``v`` are then quantised, if ``stored`` names
    a format. ``scale`` is rounded to FP32 and includes log2(e). Block ``n`` lies in bank ``n``
    modulo ``pim_banks``.
    """
    parts = bank_parts(q, k, v, pim_banks=pim_banks, scale=scale, spec=spec, stored=stored)
    merged = tuple(merge(head) for head in parts)
    return Attention(np.stack([finalize(part, spec.kv_format) for part in merged]), merged)


def bank_parts(q: ArrayLike, k: ArrayLike, v: ArrayLike, *, pim_banks: int, scale: float,
               spec: PimSpec, stored: ElementFormat | None = None) -> list[list[Part]]:
    """What the banks hold after the last wave: for every head the parts of the banks in order."""
    require_int("pim_banks", pim_banks, 1, 16)
    blocks = -(-len(np.asarray(k)) // BLOCK_TOKENS)
    waves = [{bank: start + bank for bank in range(min(pim_banks, blocks - start))}
             for start in range(0, blocks, pim_banks)]
    return wave_parts(q, k, v, waves=waves, scale=scale, spec=spec, stored=stored)


def wave_parts(q: ArrayLike, k: ArrayLike, v: ArrayLike, *, waves: Sequence[Mapping[int, int]],
               scale: float, spec: PimSpec, stored: ElementFormat | None = None
               ) -> list[list[Part]]:
    """Parts of the banks, in their order, for any distribution of blocks over waves and banks.

    Parameters
    ----------
    q : array [head, element]
    k, v : array [token, element]
        Block ``n`` is tokens ``16 n .. 16 n + 15``, the last one perhaps in part.
    waves : sequence of mapping
        For each wave bank -> block; at least one each.
    stored : ElementFormat, optional
        How ``k`` and ``v`` are quantised, each token by itself; not at all by default.
    """
    dtype = DTYPES[spec.kv_format]
    query, keys, values = (np.asarray(x).astype(dtype) for x in (q, k, v))
    if len(keys) == 0 or keys.shape != values.shape:
        raise SpecError("keys and values", (keys.shape, values.shape),
                        "two arrays of one shape with at least one token")
    size = query.shape[1]
    blocks = -(-len(keys) // BLOCK_TOKENS)
    padding = ((0, blocks * BLOCK_TOKENS - len(keys)), (0, 0))
    padded = [np.pad(x, padding).reshape(blocks, BLOCK_TOKENS, size) for x in (keys, values)]
    k_blocks, v_blocks = (stored_block(x, stored) if stored else WideKv(x) for x in padded)
    return block_parts(query, k_blocks, v_blocks, waves=waves, scale=scale, spec=spec, tokens=[
        min(BLOCK_TOKENS, len(keys) - BLOCK_TOKENS * n) for n in range(blocks)])


def block_parts(query: NDArray[Any], k_blocks: WideKv | StoredKv, v_blocks: WideKv | StoredKv, *,
                tokens: Sequence[int], waves: Sequence[Mapping[int, int]], scale: float,
                spec: PimSpec) -> list[list[Part]]:
    """The same of blocks as they lie in the banks, ``tokens`` of each being valid.

    ``query[head, element]`` is in the KV format.
    """
    heads, size = query.shape
    softmax = OnlineSoftmax(heads, np.float32(scale), spec)
    every = sorted({bank for wave in waves for bank in wave})
    outputs = np.zeros((len(every), heads, size), np.float32)
    for wave in waves:
        banks = sorted(wave)
        done = softmax.wave(
            k_blocks.scores(query, [wave[bank] for bank in banks]),
            [tokens[wave[bank]] for bank in banks])
        # A bank without a block takes part with weights 0.
        weights = np.zeros((len(every), heads, BLOCK_TOKENS), np.float32)
        weights[[every.index(bank) for bank in banks]] = np.moveaxis(done.weights, 1, 0)
        outputs = v_blocks.accumulate(outputs, done.rescale, weights,
                                      [wave.get(bank, 0) for bank in every])
    return [[Part(int(softmax.m[head]), softmax.l[head] if n == 0 else np.float32(0), output[head])
             for n, output in enumerate(outputs)] for head in range(heads)]
