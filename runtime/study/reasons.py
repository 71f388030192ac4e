"""Why measured and published figures differ, with the study's own numbers where it has them."""

from typing import Any

from runtime.insight.explain import CAUSES
from runtime.models import model_by_name
from runtime.study.plan import Findings, StudyPlan

Record = dict[str, Any]


def reasons(plan: StudyPlan, findings: Findings, shares: Record) -> list[str]:
    """Sentences for the page; ``shares`` is what bounded each system on average."""
    return [text for text in (
        _baseline(findings), _fit(findings), _bounds(shares), _gqa(plan), _cycles(plan),
        _workloads(plan), _limit(plan), _energy()) if text]


def _baseline(findings: Findings) -> str:
    """How much bandwidth each AttAcc leaves for weights, and what that alone is worth."""
    bandwidths: dict[str, float] = {}
    for (_, system, _), record in findings.grid.items():
        if record["feasible"] and system not in bandwidths:
            figures = record["figures"]
            bandwidths[system] = figures["weight_bandwidth_gb_s"] / figures["cards"] / 1000
    listed = ", ".join(f"{s} {b:.2f}" for s, b in bandwidths.items())
    return ("Which AttAcc. The abstract does not say how many stacks its AttAcc gives to PIM. "
            "vStack, a development simulator that is probably the paper's, gives it four of five "
            "and so leaves the GPU a fifth of the bandwidth for weights; AttAcc as published "
            "(ASPLOS'24) leaves it all, with five more stacks a card for PIM. That choice alone "
            f"decides most of the result. TB/s for weights a card: {listed}.")


def _fit(findings: Findings) -> str:
    """Systems that some model or prompt is too large for."""
    too_small: dict[str, set[str]] = {}
    for (where, system, _), record in findings.grid.items():
        if not record["feasible"]:
            too_small.setdefault(where.model, set()).add(system)
    if not too_small:
        return ""
    listed = "; ".join(f"{model} on {', '.join(sorted(systems))}"
                       for model, systems in too_small.items())
    return ("Capacity. Weights have to fit beside PIM layers that hold half as much, and a request "
            "into the tier that it runs in; AttAcc's simulator reports memory that is too small "
            f"and goes on. Some or all runs of these are infeasible here and left out: {listed}.")


def _bounds(shares: Record) -> str:
    """The largest two causes of each system."""
    told = []
    for system, causes in shares.items():
        most = sorted(causes.items(), key=lambda item: -item[1])[:2]
        told.append(f"{system}: " + ", ".join(
            f"{CAUSES[c]} {share:.0%}" for c, share in most if share >= 0.01))
    return "Where the time goes. " + "; ".join(told) + "." if told else ""


def _gqa(plan: StudyPlan) -> str:
    groups = {name: model_by_name(name).group for name in plan.models}
    grouped = ", ".join(f"{name} by {g}" for name, g in groups.items() if g > 1)
    if not grouped:
        return ""
    return ("Grouped-query attention is honoured: KV and what attention reads are smaller than in "
            f"vStack, which ignores it ({grouped}). That takes from PIM what it is best at, and a "
            "MAC unit with 16 lanes needs a clock for each query head of a column.")


def _cycles(plan: StudyPlan) -> str:
    if plan.profile == "paper":
        return ("Machine. Profile paper has eight A100a cards with HBM3 at 5.2 Gb/s, as vStack; "
                "cycles are those of our RTL at that timing, refresh included, for AttAcc's PIM "
                "units as for ours. AttAcc's own simulator, beside which `tokenstack fixed` sets "
                "ours, has a power limit on all-bank commands and extra devices for PIM.")
    return ("Machine. Cycles are those of our RTL at HBM4 timing, refresh included, for AttAcc's "
            "PIM units as for ours, beside an H100; the paper's figures rest on HBM3 timing of "
            "Ramulator (as far as is known) and an A100. An H100's arithmetic is three times an "
            "A100's, and five HBM4 stacks have three times the bandwidth of five HBM3 stacks.")


def _workloads(plan: StudyPlan) -> str:
    made = [t.name for t in plan.traces if t.sha256 is None]
    if not made:
        return ""
    return ("Workloads. The paper's four Qwen-Bailian traces cannot be shipped; "
            f"{', '.join(made)} stand in, drawn to fit their published statistics: lengths, rates "
            "and sharing are alike, the order of sessions is not. Runs are short, so caches are "
            "less full than in a two-hour trace.")


def _limit(plan: StudyPlan) -> str:
    if plan.slo is None:
        return ""
    return (f"SLO. \"2x\" of what is not published. Here it is twice the unloaded latency of "
            f"{plan.slo.reference}; a faster reference makes the limit tighter, and systems that "
            "are slow at one request then have no capacity at any rate.")


def _energy() -> str:
    return ("Energy. The paper's table is unknown. AttAcc's table counts what is moved and "
            "computed and no background, so a system that is only faster saves nothing by it; "
            "and at one rate that all can serve, all move the same weights unless they batch "
            "differently.")
