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
VARIANTS: dict[str, Any] = {**OPTIONS, "quantised": ["mxfp8"], "head_size_min": 32}
"""The same with units that multiply MXFP8 in place, and slices of a head as AttAcc has them."""

HEAD_SIZE = 128
GROUPS = (1, 8)
CONTEXTS = (512, 2048, 4096, 32768)

OVERHEADS = {4096: 0.05, 32768: 0.02}
"""Contexts, and what softmax, merge and gather may at most add to the time of the banks."""

ATTACC_BANKS = 4
"""Banks over which AttAcc spreads a head (facts.md 2.2)."""

ATTACC_CONTEXTS = (128, 512, 2048, 4096, 32768)

SETTLING = 9
"""Intervals of tREFI in which refreshes of the PIM banks can be postponed."""

MEASURED = 20
"""Intervals of tREFI that are measured at least."""

SPEED_CONTEXTS = {"verilator": 8192, "icarus": 256}
"""Context of the attention by which the speed of a simulator is measured."""

SPEED_AIM = 100_000
"""Clocks a second that are aimed for on Verilator."""

Case = dict[str, Any]


def shape(case: Case) -> dict[str, Any]:
    """What the bounds need to know of a case."""
    return {"context": case["context"], "head_size": case["head_size"], "group": case["group"],
            "quantised": bool(case["stored"])}


def with_counts(spec: SliceSpec, case: Case) -> Case:
    """A case and how many attentions of it are to be simulated."""
    bound, interval = attend_clocks(spec, **shape(case)), spec.timing.refresh_interval
    return {**case, "settling": math.ceil(SETTLING * interval / bound),
            "measured": math.ceil((MEASURED + 1) * interval / bound)}


def cases(spec: SliceSpec, stored: str = "") -> list[Case]:
    """All groups and contexts of a format."""
    return [with_counts(spec, {"group": group, "head_size": HEAD_SIZE, "stored": stored,
                               "context": context}) for group in GROUPS for context in CONTEXTS]


def attacc_cases(spec: SliceSpec) -> list[Case]:
    """The commands of AttAcc's layout, whose banks hold a quarter of each of four times as many.

    The slices of four banks' heads pass for heads of four times as many tokens (docs/attention.md).
    """
    return [with_counts(spec, {"group": 1, "head_size": HEAD_SIZE // ATTACC_BANKS, "stored": "",
                               "context": ATTACC_BANKS * context}) for context in ATTACC_CONTEXTS]


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


def attentions(simulator: str, measured: list[Case], options: dict[str, Any]) -> list[Case]:
    """Simulates attentions and returns what each case cost."""
    built = build(Slice(slice_spec(**options)), "slice", simulator=simulator)
    with tempfile.TemporaryDirectory(prefix="attend-", dir=ROOT / "build") as work:
        run(built, "tb.bench_attend", Path(work), parameters={"spec": options, "cases": measured})
        return json.loads((Path(work) / bench_attend.RECORD).read_text())


def speed(simulator: str) -> Figure:
    """Clocks of the whole pseudo-channel, attending, that a second of processor time simulates.

    Data, bench and comparison included; processor time, so that a busy machine changes nothing.
    """
    record, = attentions(simulator, [{
        "group": 1, "head_size": HEAD_SIZE, "stored": "", "context": SPEED_CONTEXTS[simulator],
        "settling": 0, "measured": 0}], OPTIONS)
    return Figure(f"sim.channel_cycles_per_s.{simulator}",
                  record["alone_simulated"] / record["alone_cpu_s"], "clocks/s",
                  SPEED_AIM if simulator == "verilator" else None)


def exponent_error() -> float:
    """The largest error of 2^x over all bfloat16 numbers, in ulps of bfloat16."""
    built = build(WeightLanes(PimSpec()), "weight_lanes")
    with tempfile.TemporaryDirectory(prefix="exponent-", dir=ROOT / "build") as work:
        run(built, "tb.bench_exponent", Path(work), parameters={"format": "bf16"})
        errors = json.loads((Path(work) / bench_exponent.RECORD).read_text())
    return max(error["ulp"] for error in errors.values())


def attention_figures(spec: SliceSpec, records: list[Case], name: str) -> Iterator[Figure]:
    """Steady and alone, and how much more than the banks' time the worse group of each takes."""
    excess: dict[int, float] = {}
    for case in records:
        group, context = case["group"], case["context"]
        clocks = steady_clocks(case["ends"], spec.timing.refresh_interval)
        bound = attend_clocks(spec, **shape(case))
        excess[context] = max(excess.get(context, 0.0), clocks / bound - 1)
        yield Figure(f"attend.{name}.g{group}.ctx{context}", clocks, "clocks", bound,
                     lower_is_better=True)
        yield Figure(f"attend_alone.{name}.g{group}.ctx{context}", case["alone"], "clocks",
                     alone_clocks(spec, **shape(case)), lower_is_better=True)
    if not records[0]["stored"]:
        for context, most in OVERHEADS.items():
            yield Figure(f"attend.overhead.ctx{context}", excess[context], "of the banks' time",
                         most, lower_is_better=True)


def variant_figures(records: list[Case]) -> Iterator[Figure]:
    """MXFP8 in place, and AttAcc's layout."""
    spec = slice_spec(**VARIANTS)
    stored = [case for case in records if case["stored"]]
    yield from attention_figures(spec, stored, "mxfp8")
    for case in records:
        if not case["stored"]:
            yield Figure(f"attend.attacc_layout.ctx{case['context'] // ATTACC_BANKS}",
                         steady_clocks(case["ends"], spec.timing.refresh_interval), "clocks",
                         attend_clocks(spec, **shape(case)), lower_is_better=True)


def figures(progress: Progress) -> Iterator[Figure]:
    """All figures of attention."""
    spec, variants = slice_spec(**OPTIONS), slice_spec(**VARIANTS)
    (ROOT / "build").mkdir(exist_ok=True)
    progress("every bfloat16 number as exponent")
    yield Figure("softmax.exp_max_ulp", exponent_error(), "ulp of bfloat16", 1.0,
                 lower_is_better=True)
    progress(f"contexts {', '.join(map(str, CONTEXTS))} for 1 and 8 query heads; minutes")
    yield from attention_figures(spec, attentions("verilator", [
        *cases(spec), with_counts(spec, {"group": 1, "head_size": HEAD_SIZE, "stored": "",
                                         "context": ATTACC_CONTEXTS[0]})], OPTIONS),
        spec.pim.kv_format.name)
    progress("MXFP8 in place, and AttAcc's layout; minutes")
    yield from variant_figures(attentions(
        "verilator", [*cases(variants, "mxfp8"), *attacc_cases(variants)], VARIANTS))
    for simulator in SIMULATORS:
        progress(f"speed of {simulator}")
        yield speed(simulator)
