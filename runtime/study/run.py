"""A study from its options to its files; every mistake is found before the first run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.spec.errors import SpecError, UserError, require_int, unknown_name
from runtime.cycle_table import CycleTable, default_table, load_cycle_table, remedy
from runtime.energy import EnergyTable
from runtime.generator import WORKLOADS
from runtime.models import model_by_name
from runtime.study.cells import Cell, TraceRef, cell_key, code_fingerprint
from runtime.study.executors import executor
from runtime.study.loop import Progress, drive
from runtime.study.machine import common_cards, engine_config
from runtime.study.outputs import write_study
from runtime.study.plan import Findings, StudyPlan, drivers
from runtime.study.simulate import Inputs, trace_reference
from runtime.study.slo import Slo
from runtime.study.store import CellStore
from runtime.study.summary import BASELINES
from runtime.systems import system_by_name
from runtime.systems.profile import profile_by_name
from runtime.traces import load_trace
from runtime.workload import check_rate

Record = dict[str, Any]

PAPER_MODELS = ("gpt-3-175b", "devstral-2-123b", "qwen3-32b", "qwen3-4b")
"""The paper's four, as far as is known (facts.md 1.2)."""

SYSTEMS = ("gpu", *BASELINES, "uniform", "tokenstack_base", "tokenstack")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Defaults of a study."""

    models: tuple[str, ...]
    traces: tuple[str, ...]
    rates: tuple[float, ...]
    systems: tuple[str, ...]
    seeds: tuple[int, ...]
    requests: int
    tolerance: float


def presets(quick: bool) -> Preset:
    """The sixteen combinations of the paper; ``quick`` with fewer requests and rates."""
    if quick:
        return Preset(models=PAPER_MODELS, traces=tuple(WORKLOADS), rates=(4.0, 64.0),
                      systems=SYSTEMS, seeds=(1,), requests=80, tolerance=1.25)
    return Preset(models=PAPER_MODELS, traces=tuple(WORKLOADS), rates=(1.0, 4.0, 64.0),
                  systems=SYSTEMS, seeds=(1, 2, 3), requests=1000, tolerance=1.05)


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """What ``tokenstack study`` was asked for; see :class:`runtime.study.plan.StudyPlan`."""

    models: tuple[str, ...]
    traces: tuple[str, ...]
    rates: tuple[float, ...]
    systems: tuple[str, ...]
    seeds: tuple[int, ...]
    requests: int
    tolerance: float
    profile: str
    cards: int | None
    settings: tuple[tuple[str, str], ...]
    capacity: bool
    slo_reference: str
    slo_factor: float
    slo_share: float
    energy: EnergyTable
    cycles: Path | None
    out: Path

    def execute(self, scheduler: str | None, workers: int, progress: Progress) -> Record:
        """Runs what is missing and writes all files; returns the study's record."""
        plan, inputs, table = self.prepare()
        findings, counts = Findings(), {"fresh": 0, "kept": 0}
        cycles_sha, code = table.sha256, code_fingerprint()
        seen: dict[str, bool] = {}

        def key(cell: Cell) -> str:
            return cell_key(cell, cycles_sha, code)

        def report(cell: Cell, fresh: bool) -> None:
            name = key(cell)
            if name not in seen:
                seen[name] = fresh
                counts["fresh" if fresh else "kept"] += 1
            progress(cell, fresh)

        with executor(inputs, scheduler, workers) as workforce:
            drive(drivers(plan, findings), key, workforce, CellStore(self.out / "cells"), report)
        findings = findings.in_order_of(plan)
        counts |= {"cells": len(seen), "combinations": len(list(plan.combinations())),
                   "infeasible": sum(not r["feasible"] for r in findings.grid.values())}
        provenance = self._provenance(table, code)
        try:
            record = write_study(self.out, plan, findings, self.energy, provenance, counts)
        except OSError as error:
            raise UserError(f"{self.out}: out: expected a folder that can be written, not "
                            f"{(error.strerror or str(error)).lower()!r}") from None
        return record | {"counts": counts,
                         "baselines": [s for s in plan.systems if s in BASELINES]}

    def prepare(self) -> tuple[StudyPlan, Inputs, CycleTable]:
        """Checks everything, and reads what the cells need."""
        require_int("requests", self.requests, 1, 100_000_000)
        for system in (*self.systems, self.slo_reference):
            system_by_name(system)
        if self.systems and all(s in BASELINES for s in self.systems):
            raise SpecError("systems", ",".join(self.systems), "one at least that is no AttAcc")
        for rate in self.rates:
            check_rate(rate)
        for seed in self.seeds:
            require_int("seeds", seed, 0, 1 << 63)
        engine_config(self.profile, dict(self.settings))
        models = [model_by_name(name) for name in self.models]
        cards = tuple((m.name, common_cards(self.systems, m, self.profile, self.cards))
                      for m in models)
        traces, contents = self._traces()
        slo = Slo(reference=self.slo_reference, factor=self.slo_factor, share=self.slo_share,
                  tolerance=self.tolerance) if self.capacity else None
        plan = StudyPlan(models=self.models, systems=self.systems, traces=traces, rates=self.rates,
                         seeds=self.seeds, profile=self.profile, cards=cards,
                         options=self.settings, slo=slo)
        wanted = profile_by_name(self.profile).preset
        table = load_cycle_table(self.cycles or default_table(wanted), wanted)
        made = table.provenance.preset
        if made != wanted:
            raise UserError(f"{table.path}: preset: expected {wanted}, as profile {self.profile} "
                            f"has, not {made}; {remedy(wanted)}")
        cycles = {made: (str(table.path), table.path.read_bytes())}
        return plan, Inputs(cycles=cycles, traces=contents), table

    def _traces(self) -> tuple[tuple[TraceRef, ...], dict[str, tuple[str, bytes]]]:
        references, contents = [], {}
        for name in self.traces:
            if name in WORKLOADS:
                references.append(TraceRef(name=name, sha256=None, requests=self.requests))
                continue
            path = Path(name)
            if not path.exists() and "." not in path.name and len(path.parts) == 1:
                raise unknown_name("traces", name, WORKLOADS)
            load_trace(path, limit=self.requests)
            reference, data = trace_reference(path, self.requests)
            references.append(reference)
            contents[str(reference.sha256)] = data
        return tuple(references), contents

    def _provenance(self, table: CycleTable, code: str) -> list[tuple[str, str]]:
        made = table.provenance
        profile = profile_by_name(self.profile)
        return [
            ("RTL", f"revision {made.git_revision}, sha256 {made.rtl_sha256}"),
            ("cycle table", (
                f"{table.path}, sha256 {table.sha256}, {made.preset}, {made.simulator_version}, "
                f"configuration {made.config_sha256}, seed {made.seed}")),
            ("profile", f"{profile.name}: {profile.source}"),
            ("runtime", f"sha256 {code}"), ("energy", self.energy.source),
            ("bootstrap", "10,000 resamples of the combinations, seed 0, 95 % interval"),
        ]
