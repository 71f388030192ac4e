"""What a study runs: models x traces x rates x systems x seeds, and the search for capacity."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from model.spec.errors import SpecError
from runtime.study.cells import Cell, TraceRef
from runtime.study.loop import Driver
from runtime.study.slo import Slo, search, share_met

Record = dict[str, Any]


@dataclass(frozen=True)
class Combination:
    """What systems are compared on: a model and a trace, with one seed."""

    model: str
    trace: TraceRef
    seed: int


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """A study.

    Attributes
    ----------
    models, systems : tuple of str
    traces : tuple of TraceRef
    rates : tuple of float
        Requests a second of the grid.
    seeds : tuple of int
        Of generated traces; files are the same for each.
    profile : str
    cards : tuple of (str, int)
        Cards of every system, for each model.
    options : tuple of (str, str)
        Settings of the engine that differ from the profile's.
    slo : Slo or None
        None leaves the search for capacity out.
    """

    models: tuple[str, ...]
    systems: tuple[str, ...]
    traces: tuple[TraceRef, ...]
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    profile: str
    cards: tuple[tuple[str, int], ...]
    options: tuple[tuple[str, str], ...] = ()
    slo: Slo | None = None

    def __post_init__(self) -> None:
        for name in ("models", "systems", "traces", "rates", "seeds"):
            values = getattr(self, name)
            if not values:
                raise SpecError(name, "", "one at least")
            if len(set(values)) != len(values):
                raise SpecError(name, ",".join(getattr(v, "name", str(v)) for v in values),
                                "each once")

    def combinations(self) -> Iterator[Combination]:
        """What systems are compared on."""
        for model in self.models:
            for trace in self.traces:
                for seed in self.seeds if trace.sha256 is None else self.seeds[:1]:
                    yield Combination(model, trace, seed)

    def cell(self, where: Combination, system: str, qps: float | None) -> Cell:
        """A run of the study."""
        return Cell(model=where.model, trace=where.trace, seed=where.seed, qps=qps, system=system,
                    profile=self.profile, cards=dict(self.cards)[where.model], options=self.options)


@dataclass
class Findings:
    """What the drivers of a study have found so far.

    Attributes
    ----------
    grid : dict
        Records by (combination, system, rate).
    unloaded : dict
        Records of the reference system's unloaded latencies by combination.
    capacity : dict
        Results of the search by (combination, system); None where the system is infeasible.
    """

    grid: dict[tuple[Combination, str, float], Record] = field(default_factory=dict)
    unloaded: dict[Combination, Record] = field(default_factory=dict)
    capacity: dict[tuple[Combination, str], Any] = field(default_factory=dict)

    def in_order_of(self, plan: "StudyPlan") -> "Findings":
        """The same in the plan's order; cells end in whatever order their workers please."""
        places = [(w, s) for w in plan.combinations() for s in plan.systems]
        return Findings(
            grid={(w, s, r): self.grid[w, s, r] for w, s in places for r in plan.rates},
            unloaded={w: self.unloaded[w] for w in plan.combinations() if w in self.unloaded},
            capacity={p: self.capacity[p] for p in places if p in self.capacity})


def drivers(plan: StudyPlan, findings: Findings) -> Iterator[Driver]:
    """Everything that the study asks for; independent of each other."""
    for where in plan.combinations():
        for system in plan.systems:
            for rate in plan.rates:
                yield _grid(plan, findings, where, system, rate)
    if plan.slo is not None:
        for where in plan.combinations():
            for system in plan.systems:
                yield _capacity(plan, plan.slo, findings, where, system)


def _grid(plan: StudyPlan, findings: Findings, where: Combination, system: str,
          rate: float) -> Driver:
    findings.grid[where, system, rate] = yield plan.cell(where, system, rate)


def _capacity(plan: StudyPlan, slo: Slo, findings: Findings, where: Combination,
              system: str) -> Driver:
    unloaded = yield plan.cell(where, slo.reference, None)
    findings.unloaded[where] = unloaded
    findings.capacity[where, system] = None
    if not unloaded["feasible"]:
        return
    steps = search(slo, plan.rates[0])
    rate = next(steps)
    while True:
        record = yield plan.cell(where, system, rate)
        if not record["feasible"]:
            return
        try:
            rate = steps.send(share_met(slo, unloaded, record))
        except StopIteration as found:
            findings.capacity[where, system] = found.value
            return
