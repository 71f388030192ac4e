"""Attention of one sequence over one pseudo-channel, in the order of docs/numerics.md."""

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
    """
    parts = bank_parts(q, k, v, pim_banks=pim_banks, scale=scale, spec=spec)
    merged = tuple(merge(head) for head in parts)
    return Attention(np.stack([finalize(part, spec.kv_format) for part in merged]), merged)


def bank_parts(q: ArrayLike, k: ArrayLike, v: ArrayLike, *, pim_banks: int, scale: float,
               spec: PimSpec) -> list[list[Part]]:
    """What the banks hold after the last wave: for every head the parts of the banks in order."""
    dtype = DTYPES[spec.kv_format]
    query, keys, values = (np.asarray(x).astype(dtype) for x in (q, k, v))
    require_int("pim_banks", pim_banks, 1, 16)
    if len(keys) == 0 or keys.shape != values.shape:
        raise SpecError("keys and values", (keys.shape, values.shape),
                        "two arrays of one shape with at least one token")
    heads, size = query.shape
    blocks = -(-len(keys) // BLOCK_TOKENS)
    padding = ((0, blocks * BLOCK_TOKENS - len(keys)), (0, 0))
    k_blocks, v_blocks = (np.pad(x, padding).reshape(blocks, BLOCK_TOKENS, size)
                          for x in (keys, values))

    softmax = OnlineSoftmax(heads, np.float32(scale), spec)
    outputs = [np.zeros((heads, size), np.float32) for _ in range(min(pim_banks, blocks))]
    in_wave = 0
    for start in range(0, blocks, pim_banks):
        in_wave = min(pim_banks, blocks - start)
        wave = softmax.wave(
            np.stack([scores(query, k_blocks[start + b]) for b in range(in_wave)], axis=1),
            len(keys) - start * BLOCK_TOKENS)
        for bank in range(in_wave):
            outputs[bank] = accumulate(outputs[bank], wave.rescale, wave.weights[:, bank],
                                       v_blocks[start + bank])
    return [[Part(int((softmax.m if bank < in_wave else softmax.m_before)[head]),
                  softmax.l[head] if bank == 0 else np.float32(0), output[head])
             for bank, output in enumerate(outputs)] for head in range(heads)]
