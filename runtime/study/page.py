"""The page "published against measured", from the findings of a study."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from runtime import tables
from runtime.energy import PLACES, EnergyTable
from runtime.insight.explain import CAUSES, verdict
from runtime.plots import energy_stack
from runtime.study import figures
from runtime.study.plan import Findings, StudyPlan
from runtime.study.reasons import reasons
from runtime.study.summary import (
    BASELINES,
    FULL,
    PUBLISHED,
    combination_name,
    compare,
    compared_rate,
    grid_rows,
    price,
    values_of,
)

Record = dict[str, Any]
TEMPLATES = Path(__file__).parents[1] / "templates"


def capital(text: str) -> str:
    """With a capital at its beginning; acronyms stay."""
    return text[0].upper() + text[1:]


def text_of(metric: str, value: float) -> str:
    """A ratio as the paper puts it: energy as what is saved."""
    if metric != "energy":
        return f"{value:.2f}x"
    return f"{100 * (1 - value):.0f} % less" if value <= 1 else f"{100 * (value - 1):.0f} % more"


def cell_of(metric: str, found: Record) -> Record:
    """A comparison as the page's table shows it."""
    mean, missing = found["mean"], {}
    for why in found["without"].values():
        missing[why] = missing.get(why, 0) + 1
    cell: Record = {"mean": mean, "missing": ", ".join(f"{n} {why}" for why, n in missing.items())}
    if mean:
        cell["text"] = text_of(metric, mean["mean"])
        ends = [text_of(metric, mean[end]) for end in ("low", "high")]
        cell["interval"] = f"[{ends[0]} .. {ends[1]}]"
    return cell


def headline(plan: StudyPlan, comparisons: Record, ours: str) -> list[Record]:
    """Rows of the table at the top."""
    rows = []
    for metric, claim in PUBLISHED.items():
        rate = compared_rate(plan, metric)
        found = comparisons[metric].get(rate)
        if found:
            at = f" at {rate} requests/s" if rate else ""
            rows.append({"metric": metric, "title": claim["title"] + at,
                         "published": claim["text"],
                         "cells": [cell_of(metric, found[ours][b]) for b in found[ours]]})
    return rows


def verdicts(plan: StudyPlan, comparisons: Record, ours: str) -> list[str]:
    """For each claim, under which AttAcc it is met; one sentence each."""
    sentences = []
    for metric, claim in PUBLISHED.items():
        found = comparisons[metric].get(compared_rate(plan, metric))
        if not found:
            continue
        means = {b: c["mean"]["mean"] for b, c in found[ours].items() if c["mean"]}
        met = [b for b, m in means.items()
               if (m <= claim["high"] if metric == "energy" else m >= claim["low"])]
        values = ", ".join(f"{text_of(metric, m)} over {b}" for b, m in means.items())
        reach = ("is reached or exceeded over " + ", ".join(met) if met else
                 "is reached over none of these baselines")
        sentences.append(f"{capital(claim['title'])}: the published {claim['text']} {reach}. "
                         f"Measured: {values or 'no combination has both'}.")
    return sentences


def beside_gpu(plan: StudyPlan, findings: Findings, table: EnergyTable, ours: str) -> list[str]:
    """What ours gains over GPUs without any PIM, which the paper does not compare with."""
    if "gpu" not in plan.systems or ours == "gpu":
        return []
    told = []
    for metric, claim in PUBLISHED.items():
        rate = compared_rate(plan, metric)
        if metric == "capacity" and plan.slo is None:
            continue
        mine, theirs = (values_of(plan, findings, table, metric, float(rate or 0), s)
                        for s in (ours, "gpu"))
        mean = compare(mine, theirs)["mean"]
        if mean:
            told.append(f"{text_of(metric, mean['mean'])} {claim['title']}")
    return [(f"Over GPUs alone, whose five stacks are all plain, {ours} has {', '.join(told)}. "
             "The paper is not known to compare with that.")] if told else []


def _shared(plan: StudyPlan, findings: Findings, rate: float) -> list[Any]:
    """Combinations that every system with any feasible run can do."""
    able = [s for s in plan.systems if any(
        findings.grid[w, s, rate]["feasible"] for w in plan.combinations())]
    return [w for w in plan.combinations()
            if all(findings.grid[w, s, rate]["feasible"] for s in able)]


def _means(plan: StudyPlan, findings: Findings, rate: float, value: Any) -> Record:
    """Mean over the shared combinations of a function of the record that gives numbers by name."""
    where = _shared(plan, findings, rate)
    found: Record = {}
    for system in plan.systems:
        records = [findings.grid[w, system, rate] for w in where]
        if not records or not all(r["feasible"] for r in records):
            continue
        each = [value(r) for r in records]
        names = dict.fromkeys(n for values in each for n in values)
        found[system] = {n: sum(v.get(n, 0.0) for v in each) / len(each) for n in names}
    return found


def _others(plan: StudyPlan, comparisons: Record, ours: str) -> list[Record]:
    """Tables of what the headline leaves out: other rates and other systems."""
    made = []
    for metric, by_rate in comparisons.items():
        rows, head = [], "requests/s, system"
        for at, by_ours in by_rate.items():
            for name, found in by_ours.items():
                if name.startswith(f"{FULL}-"):
                    continue        # has a table of its own
                if (name, at) != (ours, compared_rate(plan, metric)):
                    cells = [cell_of(metric, c) for c in found.values()]
                    rows.append({"name": f"{at}, {name}" if at else name, "cells": [
                        f"{c['text']} {c['interval']}" if c["mean"] else c["missing"] or "-"
                        for c in cells]})
        if rows:
            made.append({"title": f"{capital(PUBLISHED[metric]['title'])}: "
                         "other systems and rates over AttAcc", "head": head, "rows": rows})
    return made


def _ablation(plan: StudyPlan, comparisons: Record) -> list[Record]:
    """What each mechanism is worth: systems without it, or with it alone, over TokenStack."""
    rows = []
    for system in plan.systems:
        if system.startswith(f"{FULL}-") and FULL in plan.systems:
            cells = [cell_of(metric, comparisons[metric][rate][system][FULL])
                     for metric in PUBLISHED
                     if (rate := compared_rate(plan, metric)) in comparisons[metric]]
            rows.append({"name": system, "cells": [
                f"{c['text']} {c['interval']}" if c["mean"] else c["missing"] or "-"
                for c in cells]})
    return rows


def render_study(plan: StudyPlan, findings: Findings, comparisons: Record, table: EnergyTable,
                 provenance: list[tuple[str, str]], counts: Mapping[str, int]) -> str:
    """The page; the same findings give the same page."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"ms": tables.milliseconds, "percent": tables.percent,
                            "rate": lambda value: f"{value:g}"}
    rate, low = max(plan.rates), min(plan.rates)
    ours = next((s for s in ("tokenstack", "tokenstack_base") if s in plan.systems),
                next(s for s in plan.systems if s not in BASELINES))
    baselines = [s for s in plan.systems if s in BASELINES]
    intervals = []
    for metric, label in (("throughput", "times the tokens/s"), ("capacity", "times the rate"),
                          ("energy", "J a token over AttAcc's")):
        found = comparisons[metric].get(compared_rate(plan, metric))
        if found and found[ours]:
            intervals.append(figures.ratio_intervals(
                found[ours], (PUBLISHED[metric]["low"], PUBLISHED[metric]["high"]), ours,
                capital(PUBLISHED[metric]["title"]), label))
    shares = _means(plan, findings, rate, lambda r: verdict(r).shares)
    places = _means(plan, findings, low, lambda r: price(r, table)["places"])
    capacity, drawn = _capacities(plan, findings)
    return environment.get_template("study.html.j2").render(
        plan=plan, slo=plan.slo, energy=table, ours=ours, baselines=baselines, counts=counts,
        requests=", ".join(dict.fromkeys(
            "all" if t.requests is None else f"{t.requests:,}" for t in plan.traces)),
        top_rate=f"{rate:g}", low_rate=f"{low:g}",
        verdicts=[*verdicts(plan, comparisons, ours), *beside_gpu(plan, findings, table, ours)],
        headline=headline(plan, comparisons, ours), interval_figures=intervals,
        reasons=reasons(plan, findings, shares),
        cause_figure=figures.cause_shares(shares, CAUSES, "Where the time goes") if shares else "",
        energy_figure=energy_stack(
            {s: {p: v for p, v in places[s].items() if p in PLACES} for s in places},
            "Energy by place") if places else "",
        capacity=capacity, capacity_figure=figures.capacity_bars(drawn) if drawn else "",
        ablation=_ablation(plan, comparisons),
        ablation_head=[capital(claim["title"]) for metric, claim in PUBLISHED.items()
                       if compared_rate(plan, metric) in comparisons[metric]],
        others=_others(plan, comparisons, ours), rows=grid_rows(plan, findings, table),
        provenance=provenance)


def _capacities(plan: StudyPlan, findings: Findings) -> tuple[Record, Record]:
    """As text for the table, and as numbers for the plot."""
    texts: Record = {}
    numbers: Record = {}
    if plan.slo is not None:
        for where in plan.combinations():
            name = combination_name(where)
            found = {s: findings.capacity[where, s] for s in plan.systems}
            numbers[name] = {s: c and c.holds for s, c in found.items()}
            texts[name] = {s: "-" if c is None else
                           f"{'>= ' if c.fails is None else ''}{c.holds:.3g}"
                           for s, c in found.items()}
    return texts, numbers
