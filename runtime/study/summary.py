"""From the cells of a study to its tables: rows, comparisons, and what was published."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from runtime.energy import EnergyTable
from runtime.energy.price import joules_per_token
from runtime.study.plan import Combination, Findings, StudyPlan
from runtime.study.slo import met
from runtime.study.statistics import geometric_mean

Record = dict[str, Any]

BASELINES = ("attacc", "attacc_split1", "attacc_split2", "attacc_split3", "attacc_split4")
FULL = "tokenstack"

PUBLISHED = {
    "throughput": {"title": "throughput", "text": "1.62x, geometric mean", "low": 1.62,
                   "high": 1.62},
    "capacity": {"title": "SLO capacity", "text": "1.70x, average", "low": 1.70, "high": 1.70},
    "energy": {"title": "energy a token", "text": "30 to 47 % less", "low": 0.53, "high": 0.70},
}
"""TokenStack over AttAcc as its abstract says (facts.md 1.1); energy as what is left of it."""


def compared_rate(plan: StudyPlan, metric: str) -> str:
    """Rate at which a metric is compared; capacity has none.

    Throughput at the highest, where systems are full; energy at the lowest, where they serve most
    alike: a full system batches more and so reads its weights less often.
    """
    if metric == "capacity":
        return ""
    return f"{max(plan.rates) if metric == 'throughput' else min(plan.rates):g}"


def combination_name(where: Combination) -> str:
    """Short, for tables."""
    seed = f" seed {where.seed}" if where.trace.sha256 is None else ""
    return f"{where.model}, {where.trace.name}{seed}"


def price(record: Record, table: EnergyTable) -> Record:
    """Joules a token of a cell, by place and activity."""
    return joules_per_token(record["cell"]["system"], record, table)


def grid_rows(plan: StudyPlan, findings: Findings, table: EnergyTable) -> list[Record]:
    """A row for each run of the grid, flat, as the CSV has it."""
    rows = []
    for (where, system, rate), record in findings.grid.items():
        row: Record = {"model": where.model, "trace": where.trace.name, "seed": where.seed,
                       "qps": rate, "system": system, "feasible": record["feasible"]}
        if not record["feasible"]:
            rows.append(row | {"reason": record["reason"]})
            continue
        unloaded = findings.unloaded.get(where)
        share = None
        if plan.slo is not None and unloaded is not None and unloaded["feasible"]:
            verdicts = met(plan.slo, unloaded, record)
            share = sum(verdicts) / len(verdicts)
        energy = price(record, table)
        row |= {"requests": record["requests"],
                "tokens_per_second": record["output_tokens_per_second"],
                "requests_per_second": record["requests_per_second"],
                "slo_share": share,
                "goodput_requests_per_second":
                    None if share is None else share * record["requests_per_second"]}
        for name in ("ttft_ms", "tpot_ms", "e2e_ms"):
            for point in ("p50", "p90", "p99"):
                row[f"{name[:-3]}_{point}_ms"] = record[name] and record[name][point]
        row |= {"joules_per_token": energy["total"],
                "first_tier_hit_rate": record.get("pim_hit_rate"),
                "prefix_hit_rate": record["prefix_hit_rate"],
                "migrated_gib": record["migrated_bytes"] / 2**30}
        rows.append(row | {f"j_{place.lower().replace(' ', '_')}": joules
                           for place, joules in energy["places"].items()})
    return rows


def capacity_rows(findings: Findings) -> list[Record]:
    """A row for each search, flat."""
    return [{"model": where.model, "trace": where.trace.name, "seed": where.seed,
             "system": system, "feasible": found is not None,
             "capacity_qps": found.holds if found else None,
             "fails_at_qps": found.fails if found else None,
             "runs": len(found.tried) if found else 0}
            for (where, system), found in findings.capacity.items()]


def compare(ours: Mapping[Combination, float | None],
            theirs: Mapping[Combination, float | None]) -> Record:
    """Ours over theirs: each combination's ratio, their geometric mean, and who is missing."""
    ratios: dict[str, float] = {}
    without: dict[str, str] = {}
    for where, value in ours.items():
        other, name = theirs.get(where), combination_name(where)
        if value is None or other is None:
            without[name] = "infeasible"
        elif not value or not other:
            without[name] = ("neither reaches it" if not value and not other else
                             "only ours reaches it" if value else "only theirs reaches it")
        else:
            ratios[name] = value / other
    mean = geometric_mean(list(ratios.values()))
    return {"ratios": ratios, "without": without, "mean": mean and asdict(mean)}


def values_of(plan: StudyPlan, findings: Findings, table: EnergyTable, metric: str, rate: float,
            system: str) -> dict[Combination, float | None]:
    """A metric of one system on each combination; None where it is infeasible."""
    found: dict[Combination, float | None] = {}
    for where in plan.combinations():
        if metric == "capacity":
            capacity = findings.capacity[where, system]
            found[where] = None if capacity is None else capacity.holds
            continue
        record = findings.grid[where, system, rate]
        found[where] = None
        if record["feasible"]:
            found[where] = (record["output_tokens_per_second"] if metric == "throughput"
                            else price(record, table)["total"])
    return found


def comparisons(plan: StudyPlan, findings: Findings, table: EnergyTable) -> Record:
    """``[metric][rate or ""][ours][theirs]`` for all baselines and systems of ours in the study.

    What lacks a mechanism is compared with TokenStack as well, where that is in the study.
    """
    found: Record = {}
    for metric in ("throughput", "energy", "capacity"):
        found[metric] = {}
        for rate in plan.rates:
            if metric == "capacity" and (plan.slo is None or rate != plan.rates[0]):
                continue
            values = {s: values_of(plan, findings, table, metric, rate, s) for s in plan.systems}
            found[metric]["" if metric == "capacity" else f"{rate:g}"] = {
                ours: {theirs: compare(values[ours], values[theirs]) for theirs in plan.systems
                       if theirs in BASELINES or (theirs == FULL and ours.startswith(f"{FULL}-"))}
                for ours in plan.systems if ours not in BASELINES}
    return found
