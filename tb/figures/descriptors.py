"""Attention by descriptors on one pseudo-channel of 16 PIM banks: what the engine costs.

``attend.descriptors.g<group>.ctx<context>`` is what an attention costs when it and those behind it
come from a descriptor ring, against the bound of the banks; every block has to be translated anew.
``attend.append_cost...`` is how much more of it is spent when each also appends its new token.
"""

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.spec.attention_bounds import attend_clocks
from model.spec.presets import slice_spec
from tb import bench_descriptor_clocks
from tb.attention_system import AttentionSystem
from tb.bench_descriptor_clocks import ENGINE, HEAD_SIZE, translator_spec
from tb.build import ROOT, build, run
from tb.figures.attention import MEASURED, SETTLING, steady_clocks
from tb.figures.figure import Figure, Progress

OPTIONS: dict[str, Any] = {"pim_banks": 16, "capacity_banks": 1, "rows": 80, "group_max": 8,
                           "head_size_max": HEAD_SIZE}
GROUPS, CONTEXTS = (1, 8), (512, 2048)

APPEND_CONTEXT, APPEND_MOST = 2048, 0.01
"""Where the cost of appending is measured, and how much it may be."""

Case = dict[str, Any]


def cases() -> list[Case]:
    """Every group and context without appending, and those with it."""
    spec, found = slice_spec(**OPTIONS), []
    interval = spec.timing.refresh_interval
    for group in GROUPS:
        for context in CONTEXTS:
            bound = attend_clocks(spec, context=context, head_size=HEAD_SIZE, group=group,
                                  quantised=False)
            found += [{
                "group": group, "context": context, "append": append,
                "settling": math.ceil(SETTLING * interval / bound),
                "measured": math.ceil((MEASURED + 1) * interval / bound), "bound": bound,
            } for append in (False, True) if not append or context == APPEND_CONTEXT]
    return found


def measured(made: list[Case]) -> list[list[int]]:
    """When the attentions of each case ended."""
    spec = slice_spec(**OPTIONS)
    built = build(AttentionSystem(spec, ENGINE, translator=translator_spec(spec)),
                  "attention_system")
    with tempfile.TemporaryDirectory(prefix="descriptors-", dir=ROOT / "build") as work:
        run(built, bench_descriptor_clocks.__name__, Path(work),
            parameters={"options": OPTIONS, "cases": made})
        return json.loads((Path(work) / bench_descriptor_clocks.RECORD).read_text())


def figures(progress: Progress) -> Iterator[Figure]:
    """All figures of attention by descriptors."""
    made, interval = cases(), slice_spec(**OPTIONS).timing.refresh_interval
    progress(f"{len(made)} cases of 1 and 8 query heads; minutes")
    clocks = {(case["group"], case["context"], case["append"]): steady_clocks(ends, interval)
              for case, ends in zip(made, measured(made), strict=True)}
    for case in made:
        if not case["append"]:
            group, context = case["group"], case["context"]
            yield Figure(f"attend.descriptors.g{group}.ctx{context}",
                         clocks[group, context, False], "clocks", case["bound"],
                         lower_is_better=True)
    costs = {group: clocks[group, APPEND_CONTEXT, True] / clocks[group, APPEND_CONTEXT, False] - 1
             for group in GROUPS}
    for group, cost in costs.items():
        yield Figure(f"attend.append_cost.g{group}.ctx{APPEND_CONTEXT}", cost,
                     "of an attention", APPEND_MOST, lower_is_better=True)
    yield Figure(f"attend.append_cost.ctx{APPEND_CONTEXT}", max(costs.values()),
                 "of an attention", APPEND_MOST, lower_is_better=True)
