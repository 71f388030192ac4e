"""Attention of one sequence over one pseudo-channel, in the order of docs/numerics.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.golden.floats import DTYPES
from model.golden.merge import Part, finalize, merge
from model.golden.pim_bank import accumulate, scores
from model.golden.softmax import OnlineSoftmax
from model.spec.attention import BLOCK_TOKENS, PimSpec
from model.spec.errors import SpecError, require_int


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


def attend(q: ArrayLike, k: ArrayLike, v: ArrayLike, *, pim_banks: int, scale: float,
           spec: PimSpec) -> Attention:
    """Attention of ``q[head, element]`` over ``k`` and ``v``, both ``[token, element]``.

    All three are rounded to the KV format. ``scale`` is rounded to FP32 and includes log2(e).
    Block ``n`` lies in bank ``n`` modulo ``pim_banks``.
    """
    parts = bank_parts(q, k, v, pim_banks=pim_banks, scale=scale, spec=spec)
    merged = tuple(merge(head) for head in parts)
    return Attention(np.stack([finalize(part, spec.kv_format) for part in merged]), merged)


def bank_parts(q: ArrayLike, k: ArrayLike, v: ArrayLike, *, pim_banks: int, scale: float,
               spec: PimSpec) -> list[list[Part]]:
    """What the banks hold after the last wave: for every head the parts of the banks in order."""
    require_int("pim_banks", pim_banks, 1, 16)
    blocks = -(-len(np.asarray(k)) // BLOCK_TOKENS)
    waves = [{bank: start + bank for bank in range(min(pim_banks, blocks - start))}
             for start in range(0, blocks, pim_banks)]
    return wave_parts(q, k, v, waves=waves, scale=scale, spec=spec)


def wave_parts(q: ArrayLike, k: ArrayLike, v: ArrayLike, *, waves: Sequence[Mapping[int, int]],
               scale: float, spec: PimSpec) -> list[list[Part]]:
    """Parts of the banks, in their order, for any distribution of blocks over waves and banks.

    Parameters
    ----------
    q : array [head, element]
    k, v : array [token, element]
        Block ``n`` is tokens ``16 n .. 16 n + 15``, the last one perhaps in part.
    waves : sequence of mapping
        For each wave bank -> block; at least one each.
    """
    dtype = DTYPES[spec.kv_format]
    query, keys, values = (np.asarray(x).astype(dtype) for x in (q, k, v))
    if len(keys) == 0 or keys.shape != values.shape:
        raise SpecError("keys and values", (keys.shape, values.shape),
                        "two arrays of one shape with at least one token")
    heads, size = query.shape
    blocks = -(-len(keys) // BLOCK_TOKENS)
    padding = ((0, blocks * BLOCK_TOKENS - len(keys)), (0, 0))
    k_blocks, v_blocks = (np.pad(x, padding).reshape(blocks, BLOCK_TOKENS, size)
                          for x in (keys, values))

    softmax = OnlineSoftmax(heads, np.float32(scale), spec)
    outputs = {bank: np.zeros((heads, size), np.float32)
               for bank in sorted({bank for wave in waves for bank in wave})}
    idle = np.zeros((heads, BLOCK_TOKENS), dtype)
    for wave in waves:
        banks = sorted(wave)
        done = softmax.wave(
            np.stack([scores(query, k_blocks[wave[bank]]) for bank in banks], axis=1),
            [min(BLOCK_TOKENS, len(keys) - BLOCK_TOKENS * wave[bank]) for bank in banks])
        for bank, output in outputs.items():
            # A bank without a block takes part with weights 0.
            p = done.weights[:, banks.index(bank)] if bank in wave else idle
            outputs[bank] = accumulate(output, done.rescale, p, v_blocks[wave.get(bank, 0)])
    first = min(outputs)
    return [[Part(int(softmax.m[head]), softmax.l[head] if bank == first else np.float32(0),
                  output[head]) for bank, output in outputs.items()] for head in range(heads)]
