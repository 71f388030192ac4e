"""The runtime's cycle model against simulations of jobs that its table was not made from.

The model is fitted on a cycle table as ``make sim`` makes it: attentions of one to three whole
waves, alone and among others of the same length, and merges of 2, 4 and 16 parts. Where there is
other traffic, the same lengths were simulated beside it, which ``make sim`` does not. Checked are
jobs drawn at random with a seed, of formats, head sizes and query heads that the table has: any
number of tokens from a wave on, jobs of different lengths behind one another, on one to eight
pseudo-channels, with or without reads of the GPU and block moves on the channel; and merges of
other numbers of parts. What was simulated for the check is no part of the table.

A run begins with no refresh outstanding and ends before postponed ones are forced, so what is
checked is the model without its factor for refresh. ``composition.long_max_error`` is that of a few
long runs without other traffic, where what refresh hides counts as well. Pseudo-channels share
nothing in the RTL that an attention uses, so those of a case are simulated one after the other, on
one slice, and the fullest counts, as in the runtime. The runtime lets neither GPU nor block moves
work during attention and charges nothing for them: ``composition.quiet_...`` are the errors without
such traffic. ``composition.unseen_...`` are those of a draw that nobody had looked at when the
model was finished.
"""

import json
import math
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from hdl.attention.merge import Merge
from hdl.slice import Slice
from model.spec.attention import BLOCK_TOKENS
from model.spec.presets import slice_spec
from model.spec.slice import SliceSpec
from runtime.cycle_table import CycleFile, CycleTable, Provenance
from runtime.steady import SteadyLine
from tb import bench_composition, cycles
from tb.build import ROOT, Built, build, run
from tb.figures.figure import Figure, Progress

OPTIONS: dict[str, Any] = {"pim_banks": 16, "capacity_banks": 1, "rows": 64, "group_max": 8,
                           "head_size_max": 256, "quantised": ["mxint8", "mxfp8"]}
SEED, UNSEEN_SEED = 2, 1123
"""Others, 20,240,731 and 77, were looked at while the model was made; once it changes, take one for
1123."""

CASES, MERGES = 16, 3

CHANNELS = (1, 1, 1, 1, 2, 3, 8)
"""How many pseudo-channels a case has, so often one that a case of eight can be afforded."""

FORMATS, HEAD_SIZES, GROUPS = ("bf16", "mxfp8"), (64, 128), (1, 2, 4, 8)
TRAFFIC = ((False, False), (False, False), (True, False), (False, True), (True, True))

SHORTEST, LONGEST = 256, 1024
"""Tokens of a job: from a wave on, as many between 256 and 512 as between 512 and 1,024. Fewer are
charged as a wave by the runtime, which is too much: not all banks have results to read."""

JOBS = 8
"""Most jobs of a pseudo-channel."""

INTERVALS = 6
"""Intervals of tREFI that all of them may take: before postponed refreshes are forced."""

FITTED_CLOCKS, FITTED_RUNS = 20_000, 3
"""Clocks of a run of attentions of one length beside other traffic, and such runs."""

LONG_SHAPES = (("bf16", 128, 8), ("mxfp8", 64, 2), ("bf16", 64, 4), ("mxfp8", 128, 4),
               ("bf16", 128, 1))
LONG_SEED, LONG_JOBS, LONG_LONGEST = 3, 4, 2048
"""Jobs that are repeated over many refreshes: their shapes, and how their lengths are drawn."""

SETTLING, LONG_CLOCKS = 9, 80_000
"""Intervals of tREFI until no refresh can be postponed any more; clocks of a long run, at least."""

P95_LIMIT, MAX_LIMIT = 0.02, 0.05

Row = dict[str, Any]


def drawn(seed: int = SEED) -> list[Row]:
    """The cases: what all pseudo-channels have in common, and the jobs of each."""
    draw = random.Random(seed)
    made = []
    for _ in range(CASES):
        gpu, dma = draw.choice(TRAFFIC)
        made.append({
            "format": draw.choice(FORMATS), "head_size": draw.choice(HEAD_SIZES),
            "group": draw.choice(GROUPS), "gpu": gpu, "dma": dma,
            "jobs": [[round(2 ** draw.uniform(math.log2(SHORTEST), math.log2(LONGEST)))
                      for _ in range(JOBS)] for _ in range(draw.choice(CHANNELS))]})
    return made


def table_of(rows: list[Row], spec: SliceSpec) -> CycleTable:
    """The runtime's table with these rows."""
    nobody = Provenance(preset=spec.timing.name, clock_ps=spec.timing.clock_ps, simulator="",
                        simulator_version="", rtl_sha256="", config_sha256="", config={}, seed=0,
                        git_revision="")
    made = msgspec.convert({"schema": 1, "provenance": nobody, "rows": rows}, CycleFile)
    return CycleTable(made, Path("composition"), "")


def traffic_of(case: Row) -> str:
    """Who else uses the pseudo-channel, as the table names it; empty for nobody."""
    return "+".join(name for name in ("gpu", "dma") if case[name])


def beside_traffic(built: Built, spec: SliceSpec, cases: list[Row],
                   table: CycleTable) -> list[Row]:
    """Rows of attentions beside other traffic, for the shapes that the cases have there.

    One runs alone, and as many of the same length one after another as end before refreshes are
    forced, some times over; what one adds is the mean of those with others before and behind them.
    """
    rows: list[Row] = []
    work: list[Row] = []
    for name, head_size, group, gpu, dma in sorted({
            (case["format"], case["head_size"], case["group"], case["gpu"], case["dma"])
            for case in cases if traffic_of(case)}):
        line, = table.steady(head_size, group, name)
        shape = {"format": name, "head_size": head_size, "group": group}
        others = {"gpu": gpu, "dma": dma}
        for waves in cycles.WAVES:
            context = waves * cycles.wave_tokens(spec)
            rows.append({"operation": "attend", **shape, "pim_banks": spec.geometry.pim_banks,
                         "context": context, "traffic": traffic_of(others)})
            work += [{**shape, **others, "stored": "" if name == "bf16" else name,
                      "contexts": [context] * count}
                     for count in (1, *[max(3, FITTED_CLOCKS // line.cycles(waves))] * FITTED_RUNS)]
    records = iter(simulated(built, work))
    for row in rows:
        (alone,), *runs = (next(records)["ends"] for _ in range(1 + FITTED_RUNS))
        took = sum(ends[-2] - ends[0] for ends in runs)
        row |= {"cycles": alone, "run": f"{cycles.run_name(row)}.{row['traffic']}",
                "steady": -(-took // sum(len(ends) - 2 for ends in runs))}
    return rows


def fitted(built: Built, merge: Built, spec: SliceSpec, cases: list[Row]) -> CycleTable:
    """A cycle table with the rows that ``make sim`` would make for the shapes of the cases."""
    shapes = sorted({(case["format"], case["head_size"], case["group"]) for case in cases}
                    | set(LONG_SHAPES))
    wave = cycles.wave_tokens(spec)
    rows: list[Row] = []
    for name, head_size, group in shapes:
        plan = [{"operation": "attend", "format": name, "head_size": head_size, "group": group,
                 "pim_banks": spec.geometry.pim_banks, "context": wave * n} for n in cycles.WAVES]
        rows += cycles.attention_rows(built, plan, OPTIONS)
    for head_size in sorted({head_size for _, head_size, _ in shapes}):
        rows += cycles.measure(merge, [
            {"operation": "merge", "format": "bf16", "head_size": head_size, "parts": parts}
            for parts in cycles.MERGE_PARTS], OPTIONS, seed=1)
    rows += beside_traffic(built, spec, cases, table_of(rows, spec))
    return table_of(rows, spec)


def simulated(built: Built, work: list[Row]) -> list[Row]:
    """When the jobs of each pseudo-channel end."""
    with tempfile.TemporaryDirectory(prefix="composition-", dir=ROOT / "build") as folder:
        run(built, "tb.bench_composition", Path(folder),
            parameters={"spec": OPTIONS, "cases": work})
        return json.loads((Path(folder) / bench_composition.RECORD).read_text())


def without_refresh(line: SteadyLine) -> SteadyLine:
    """The same where no refresh comes in between."""
    return replace(line, refresh=Fraction(1))


def fitting(contexts: list[int], line: SteadyLine, spec: SliceSpec) -> tuple[list[int], int]:
    """As many of the jobs as end before refreshes are forced, and the clocks predicted for them."""
    most = INTERVALS * spec.timing.refresh_interval
    jobs: list[int] = []
    clocks = math.ceil(line.end)
    for context in contexts:
        cost = line.cycles(Fraction(-(-context // BLOCK_TOKENS), spec.geometry.pim_banks))
        if jobs and clocks + cost > most:
            break
        jobs.append(context)
        clocks += cost
    return jobs, clocks


def attention_errors(built: Built, table: CycleTable, cases: list[Row]) -> list[float]:
    """Relative error of each case: its fullest pseudo-channel, predicted against simulated."""
    spec = slice_spec(**OPTIONS)
    work, predicted = [], []
    for number, case in enumerate(cases):
        line, = table.steady(case["head_size"], case["group"], case["format"], traffic_of(case))
        for contexts in case["jobs"]:
            jobs, clocks = fitting(contexts, without_refresh(line), spec)
            predicted.append((number, clocks))
            work.append({**case, "stored": "" if case["format"] == "bf16" else case["format"],
                         "contexts": jobs})
    measured = [record["ends"][-1] for record in simulated(built, work)]
    errors = []
    for number in range(len(cases)):
        pairs = [(want, got) for (n, want), got in zip(predicted, measured, strict=True)
                 if n == number]
        errors.append(max(want for want, _ in pairs) / max(got for _, got in pairs) - 1)
    return errors


def long_errors(built: Built, table: CycleTable) -> list[float]:
    """Relative errors of runs of many refreshes, of the same few jobs again and again.

    Measured are whole rounds of the jobs, from when no refresh can be postponed any more; not the
    last round, behind which nothing waits.
    """
    spec, draw, errors = slice_spec(**OPTIONS), random.Random(LONG_SEED), []
    wave, interval = cycles.wave_tokens(spec), spec.timing.refresh_interval
    for name, head_size, group in LONG_SHAPES:
        line, = table.steady(head_size, group, name)
        jobs = [round(2 ** draw.uniform(math.log2(SHORTEST), math.log2(LONG_LONGEST)))
                for _ in range(LONG_JOBS)]
        predicted = sum(line.cycles(-(-job // wave)) for job in jobs)
        rounds = -(-LONG_CLOCKS // predicted) + 1
        record, = simulated(built, [{
            "group": group, "head_size": head_size, "stored": "" if name == "bf16" else name,
            "contexts": jobs * rounds, "gpu": False, "dma": False}])
        ends = record["ends"][LONG_JOBS - 1::LONG_JOBS]
        settled = [end for end in ends[:-1] if end >= SETTLING * interval]
        errors.append(predicted * (len(settled) - 1) / (settled[-1] - settled[0]) - 1)
    return errors


def merge_errors(merge: Built, table: CycleTable, cases: list[Row],
                 seed: int = SEED) -> list[float]:
    """Relative errors of merges of other numbers of parts."""
    draw = random.Random(seed)
    sizes = sorted({case["head_size"] for case in cases})
    others = [n for n in range(2, 41) if n not in cycles.MERGE_PARTS]
    rows = [row for size in sizes for row in cycles.measure(merge, [
        {"operation": "merge", "format": "bf16", "head_size": size, "parts": parts}
        for parts in draw.sample(others, MERGES)], OPTIONS, seed=2)]
    return [table.merge(row["head_size"], 1).cycles(row["parts"] - 1) / row["cycles"] - 1
            for row in rows]


def p95(errors: list[float]) -> float:
    """The smallest error that at least 95 % of them do not exceed."""
    return sorted(map(abs, errors))[math.ceil(0.95 * len(errors)) - 1]


def figures(progress: Progress) -> Iterator[Figure]:
    """The errors of all cases of a draw together, and of those without other traffic."""
    spec, seeds = slice_spec(**OPTIONS), {"": SEED, "unseen_": UNSEEN_SEED}
    draws = {name: drawn(seed) for name, seed in seeds.items()}
    (ROOT / "build").mkdir(exist_ok=True)
    merge = build(Merge(spec.pim), "merge", simulator="verilator", waves="ports")
    progress("building the slice; minutes, unless that was done before")
    built = build(Slice(spec), "slice", simulator="verilator")
    progress("the cycle table of the shapes that were drawn; minutes")
    table = fitted(built, merge, spec, [case for cases in draws.values() for case in cases])
    progress("long runs with refresh")
    yield Figure("composition.long_max_error", max(map(abs, long_errors(built, table))),
                 "of the simulated clocks", MAX_LIMIT, lower_is_better=True)
    for draw, cases in draws.items():
        progress(f"{sum(len(case['jobs']) for case in cases)} pseudo-channels; minutes")
        attentions = attention_errors(built, table, cases)
        for case, error in zip(cases, attentions, strict=True):
            progress(f"{error:+.2%}: {case['format']}, heads of {case['head_size']}, "
                     f"{case['group']} query heads, {len(case['jobs'])} pseudo-channels"
                     f"{', GPU' * case['gpu']}{', DMA' * case['dma']}")
        merges = merge_errors(merge, table, cases, seeds[draw])
        quiet = [error for case, error in zip(cases, attentions, strict=True)
                 if not traffic_of(case)]
        for name, errors in (("", attentions + merges), ("quiet_", quiet + merges)):
            yield Figure(f"composition.{draw}{name}p95_error", p95(errors),
                         "of the simulated clocks", P95_LIMIT, lower_is_better=True)
            yield Figure(f"composition.{draw}{name}max_error", max(map(abs, errors)),
                         "of the simulated clocks", MAX_LIMIT, lower_is_better=True)
