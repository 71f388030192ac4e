"""One workload on several systems, and the record of it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from model.spec.errors import UserError
from model.spec.timing import TimingTable
from runtime.cycle_table import CycleTable, remedy
from runtime.metrics import summarise
from runtime.models import TransformerModel
from runtime.serving import Engine, EngineConfig, check_fits
from runtime.systems import (
    Infeasible,
    System,
    SystemSpec,
    build_system,
    build_tiers,
    least_cards,
)
from runtime.systems.gpu import H100, GpuSpec
from runtime.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run, as far as it can be checked without a cycle table.

    Attributes
    ----------
    workload : Workload
    model : TransformerModel
    systems : sequence of SystemSpec
    timing : TimingTable
    cards : int
        Cards of every system.
    engine : EngineConfig
    gpu : GpuSpec
    """

    workload: Workload
    model: TransformerModel
    systems: Sequence[SystemSpec]
    timing: TimingTable
    cards: int
    engine: EngineConfig
    gpu: GpuSpec = H100

    def __post_init__(self) -> None:
        for spec in self.systems:
            with suppress(Infeasible):      # reported beside the others' results
                tiers = build_tiers(spec, self.model, self.timing, cards=self.cards)
                check_fits(spec.name, tiers[0], self.model, self.workload)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A plan with the cycle table that it is run on."""

    plan: Plan
    table: CycleTable

    def __post_init__(self) -> None:
        made_for, timing = self.table.provenance.preset, self.plan.timing
        if made_for != timing.name:
            raise UserError(f"{self.table.path}: preset: expected {timing.name}, as asked "
                            f"for, not {made_for}; {remedy(timing.name)}")
        if self.table.provenance.clock_ps != timing.clock_ps:
            raise UserError(f"{self.table.path}: provenance.clock_ps: expected "
                            f"{timing.clock_ps}, the clock of {timing.name}, "
                            f"not {self.table.provenance.clock_ps}; "
                            f"{remedy(timing.name)}")

    def run(self, progress: Callable[[str], None] = lambda name: None) -> dict[str, object]:
        """Runs all systems and returns the whole record, in plain data.

        ``progress`` is called with a system's name when its run begins. Every system is built
        before the first run, so that bad input costs no waiting. If none is feasible there is
        nothing to record: :class:`UserError`.
        """
        built: dict[str, System | Infeasible] = {}
        for spec in self.plan.systems:
            try:
                built[spec.name] = build_system(spec, self.plan.model, self.plan.timing, self.table,
                                                cards=self.plan.cards, gpu=self.plan.gpu)
            except Infeasible as reason:
                built[spec.name] = reason
        refused = [str(reason) for reason in built.values() if isinstance(reason, Infeasible)]
        if len(refused) == len(built):
            raise UserError("; ".join(refused))
        engines = {name: Engine(system, self.plan.workload, self.plan.engine)
                   for name, system in built.items() if isinstance(system, System)}
        results: dict[str, object] = {}
        for spec in self.plan.systems:
            system = built[spec.name]
            progress(spec.name)
            if isinstance(system, Infeasible):
                results[spec.name] = {"feasible": False, "reason": str(system),
                                      "title": spec.title}
            else:
                results[spec.name] = {"title": spec.title,
                                      **summarise(system, engines[spec.name].run())}
        return {"schema": 1, "provenance": self._provenance(), "systems": results,
                "cycles": self._cycles()}

    def _provenance(self) -> dict[str, object]:
        plan = self.plan
        return {
            "workload": {**plan.workload.source, "block_tokens": plan.workload.block_tokens,
                         "served_requests": len(plan.workload.requests),
                         "served_qps": round(plan.workload.native_qps, 6),
                         "notes": list(plan.workload.notes)},
            "model": {"name": plan.model.name, "source": plan.model.source,
                      "parameters": plan.model.parameters,
                      "head_size": plan.model.head_size, "group": plan.model.group,
                      "kv_bytes_per_token": plan.model.kv_bytes_per_token},
            "preset": plan.timing.name, "timing_source": plan.timing.source,
            "cards": plan.cards,
            "least_cards": least_cards(plan.systems, plan.model, plan.timing),
            "gpu": plan.gpu.name, "engine": plan.engine.as_dict(),
            "cycles": {"path": str(self.table.path), "sha256": self.table.sha256,
                       **msgspec.to_builtins(self.table.provenance)},
        }

    def _cycles(self) -> dict[str, object]:
        """The lines that the table was extended by, with the runs behind them."""
        attend = self.table.attend(self.plan.model.head_size, self.plan.model.group)
        merge = self.table.merge(self.plan.model.head_size, self.plan.model.group)
        record: dict[str, object] = {}
        for name, line in (("attend", attend), ("merge", merge)):
            record[name] = {
                "points": {str(x): y for x, y in line.points.items()}, "runs": list(line.runs),
                "intercept": float(line.intercept), "slope": float(line.slope),
                "largest_deviation": line.largest_deviation}
        return record
