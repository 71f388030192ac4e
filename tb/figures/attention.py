"""Attention on one pseudo-channel of 16 PIM banks: clocks against the bound of its banks.

``attend.<format>.g<group>.ctx<context>`` is what an attention costs when others wait behind it,
refresh included; ``attend_alone....`` from its start to its last result beat with nothing before
or behind it. Softmax, merge and gather add ``attend.overhead.ctx<context>`` to the time of the
banks. Every result is compared with the golden model.
"""

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hdl.attention.softmax import WeightLanes
from hdl.slice import Slice
from model.spec.attention import PimSpec
from model.spec.attention_bounds import alone_clocks, attend_clocks
from model.spec.presets import slice_spec
from model.spec.slice import SliceSpec
from tb import bench_attend, bench_exponent
from tb.build import ROOT, SIMULATORS, build, run
from tb.figures.figure import Figure, Progress

OPTIONS: dict[str, Any] = {"pim_banks": 16, "capacity_banks": 1, "rows": 32, "group_max": 8,
                           "head_size_max": 128}
HEAD_SIZE = 128
GROUPS = (1, 8)
CONTEXTS = (512, 2048, 4096, 32768)

OVERHEADS = {4096: 0.05, 32768: 0.02}
"""Contexts, and what softmax, merge and gather may at most add to the time of the banks."""

SETTLING = 9
"""Intervals of tREFI in which refreshes of the PIM banks can be postponed."""

MEASURED = 20
"""Intervals of tREFI that are measured at least."""

SPEED_CONTEXTS = {"verilator": 8192, "icarus": 256}
"""Context of the attention by which the speed of a simulator is measured."""

SPEED_AIM = 100_000
"""Clocks a second that are aimed for on Verilator."""


def cases(spec: SliceSpec) -> list[dict[str, int]]:
    """What is simulated: groups, contexts, and how many attentions of each."""
    def case(group: int, context: int) -> dict[str, int]:
        bound = attend_clocks(spec, context=context, head_size=HEAD_SIZE, group=group)
        interval = spec.timing.refresh_interval
        return {"group": group, "context": context,
                "settling": math.ceil(SETTLING * interval / bound),
                "measured": math.ceil((MEASURED + 1) * interval / bound)}

    return [case(group, context) for group in GROUPS for context in CONTEXTS]


def steady_clocks(ends: list[int], interval: int) -> float:
    """Clocks of an attention among others, from the ends of several.

    Refreshes come in whole numbers. So of all windows of at least ``MEASURED`` intervals of tREFI
    that begin with the first end, the one is taken whose length is nearest to a whole number of
    intervals, or, of longer attentions, the only one.
    """
    lengths = {end - ends[0]: n for n, end in enumerate(ends) if n}
    long = [length for length in lengths if length >= MEASURED * interval] or [max(lengths)]
    best = min(long, key=lambda length: abs(length / interval - round(length / interval)))
    return best / lengths[best]


def attentions(simulator: str, measured: list[dict[str, int]]) -> list[dict[str, Any]]:
    """Simulates attentions and returns what each case cost."""
    built = build(Slice(slice_spec(**OPTIONS)), "slice", simulator=simulator)
    with tempfile.TemporaryDirectory(prefix="attend-", dir=ROOT / "build") as work:
        run(built, "tb.bench_attend", Path(work), parameters={
            "spec": OPTIONS, "head_size": HEAD_SIZE, "cases": measured})
        return json.loads((Path(work) / bench_attend.RECORD).read_text())


def speed(simulator: str) -> Figure:
    """Clocks of the whole pseudo-channel, attending, that a second of processor time simulates.

    Data, bench and comparison included; processor time, so that a busy machine changes nothing.
    """
    record, = attentions(simulator, [{"group": 1, "context": SPEED_CONTEXTS[simulator],
                                      "settling": 0, "measured": 0}])
    return Figure(f"sim.channel_cycles_per_s.{simulator}",
                  record["alone_simulated"] / record["alone_cpu_s"], "clocks/s",
                  SPEED_AIM if simulator == "verilator" else None)


def exponent_error() -> float:
    """The largest error of 2^x over all bfloat16 numbers, in units in the last place."""
    built = build(WeightLanes(PimSpec()), "weight_lanes")
    with tempfile.TemporaryDirectory(prefix="exponent-", dir=ROOT / "build") as work:
        run(built, "tb.bench_exponent", Path(work), parameters={"format": "bf16"})
        errors = json.loads((Path(work) / bench_exponent.RECORD).read_text())
    return max(error["ulp"] for error in errors.values())


def figures(progress: Progress) -> Iterator[Figure]:
    """All figures of attention."""
    spec = slice_spec(**OPTIONS)
    (ROOT / "build").mkdir(exist_ok=True)
    progress("every bfloat16 number as exponent")
    yield Figure("softmax.exp_max_ulp", exponent_error(), "ulp", 1.0, lower_is_better=True)
    progress(f"contexts {', '.join(map(str, CONTEXTS))} for 1 and 8 query heads; minutes")
    excess: dict[int, float] = {}
    for case in attentions("verilator", cases(spec)):
        group, context = case["group"], case["context"]
        shape = {"context": context, "head_size": HEAD_SIZE, "group": group}
        name = f"{spec.pim.kv_format.name}.g{group}.ctx{context}"
        clocks = steady_clocks(case["ends"], spec.timing.refresh_interval)
        bound = attend_clocks(spec, **shape)
        excess[context] = max(excess.get(context, 0.0), clocks / bound - 1)
        yield Figure(f"attend.{name}", clocks, "clocks", bound, lower_is_better=True)
        yield Figure(f"attend_alone.{name}", case["alone"], "clocks",
                     alone_clocks(spec, **shape), lower_is_better=True)
    for context, most in OVERHEADS.items():
        yield Figure(f"attend.overhead.ctx{context}", excess[context], "of the banks' time", most,
                     lower_is_better=True)
    for simulator in SIMULATORS:
        progress(f"speed of {simulator}")
        yield speed(simulator)
