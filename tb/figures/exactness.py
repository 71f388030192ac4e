"""The golden model, which the hardware equals to the last bit, against attention in float64.

``attend.error.<kind>`` is the largest relative L2 error of a head's outputs, bfloat16 KV, over all
head sizes and contexts, for one kind of input (:mod:`model.golden.float64_attention`).
"""

from collections.abc import Iterator

import numpy as np

from model.golden.attention import attend
from model.golden.float64_attention import KINDS, exact_attention, inputs, relative_error
from model.spec.attention import PimSpec, softmax_scale
from tb.figures.figure import Figure, Progress

HEAD_SIZES = (64, 80, 96, 128, 256)
CONTEXTS = (1, 2, 16, 17, 64, 128, 512, 2048, 4096, 32768, 131072)
SEEDED = 4096
"""Contexts up to this are drawn ``SEEDS`` times, longer ones once."""

SEEDS = 8
BOUND = 2.0 ** -8


def error(kind: str, size: int, tokens: int, seed: int) -> float:
    """Of one attention of one query head."""
    q, k, v = inputs(kind, heads=1, size=size, tokens=tokens, seed=seed)
    got = attend(q, k, v, pim_banks=16, scale=softmax_scale(size), spec=PimSpec(head_size_max=256))
    return relative_error(got.output, exact_attention(q, k, v))


def figures(progress: Progress) -> Iterator[Figure]:
    """The worst error of each kind, and the share of contexts up to 4,096 tokens within 2^-8."""
    within: list[bool] = []
    for kind in KINDS:
        worst, where = 0.0, ""
        for size in HEAD_SIZES:
            for tokens in CONTEXTS:
                errors = [error(kind, size, tokens, seed)
                          for seed in range(SEEDS if tokens <= SEEDED else 1)]
                within += [value <= BOUND for value in errors]
                if max(errors) > worst:
                    worst, where = max(errors), f"heads of {size}, {tokens} tokens"
        progress(f"{kind}: {worst / BOUND:.3f} of 2^-8{', ' * bool(where)}{where}")
        yield Figure(f"attend.error.{kind.replace('-', '_')}", worst, "relative L2", BOUND,
                     lower_is_better=True)
    yield Figure("attend.error.within_bound", float(np.mean(within)), "of the attentions", 1.0)
