"""The files that a study leaves: a page, tables as CSV, and everything as JSON."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.energy import EnergyTable
from runtime.files import encode, write_atomically
from runtime.study.page import headline, render_study, verdicts
from runtime.study.plan import Findings, StudyPlan
from runtime.study.summary import BASELINES, FULL, capacity_rows, comparisons, grid_rows

Record = dict[str, Any]


def as_csv(rows: Sequence[Record]) -> bytes:
    """Rows with the columns of all of them, in the order in which they first appear."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def study_record(plan: StudyPlan, findings: Findings, table: EnergyTable,
                 provenance: list[tuple[str, str]]) -> Record:
    """Everything that a study found, in plain data."""
    compared = comparisons(plan, findings, table)
    ours = [s for s in plan.systems if s not in BASELINES and not s.startswith(f"{FULL}-")]
    return {
        "schema": 1, "provenance": dict(provenance), "energy_table": table.name,
        "published_against_measured": {
            name: {"sentences": verdicts(plan, compared, name),
                   "rows": headline(plan, compared, name)} for name in ours},
        "comparisons": compared, "grid": grid_rows(plan, findings, table),
        "capacity": capacity_rows(findings)}


def write_study(folder: Path, plan: StudyPlan, findings: Findings, table: EnergyTable,
                provenance: list[tuple[str, str]], counts: dict[str, int]) -> Record:
    """Writes all files into a folder; returns what ``study.json`` holds."""
    record = study_record(plan, findings, table, provenance)
    write_atomically(folder / "grid.csv", as_csv(record["grid"]))
    if plan.slo is not None:
        write_atomically(folder / "capacity.csv", as_csv(record["capacity"]))
    page = render_study(plan, findings, record["comparisons"], table, provenance, counts)
    write_atomically(folder / "index.html", page.encode())
    write_atomically(folder / "study.json", encode(record))
    return record
