"""The fault campaign, on all cores: ``python -m tb.faults --help``."""

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from model.spec.errors import UserError
from tb.bench_faults import RESULTS
from tb.build import ROOT, Built, build, run
from tb.fault_dut import FaultDut

BENCH = "tb.bench_faults"
PART = {"singles": 1250, "doubles": 250, "buffers": 8, "aborts": 32, "resets": 32}
"""Faults of one run of the simulator; eight of them are the whole campaign."""

PARTS = 8
OUTCOMES = ("corrected", "detected", "masked")
FAULTS = ("single flip", "double flip", "abort", "reset")

console = Console(stderr=True, soft_wrap=True, highlight=False)


@dataclass(frozen=True)
class Part:
    """One run of the simulator."""

    built: Built
    faults: dict[str, int]
    seed: int

    def outcomes(self) -> dict[str, Any]:
        """What its bench reports."""
        with tempfile.TemporaryDirectory(prefix="faults-", dir=ROOT / "build") as work:
            run(self.built, BENCH, Path(work), parameters=self.faults, seed=self.seed)
            return json.loads((Path(work) / RESULTS).read_text())


def campaign(parts: Sequence[dict[str, int]], *, seed: int, workers: int) -> dict[str, Any]:
    """Runs parts, each with its own seed; the sum of what became of the faults.

    Returns
    -------
    dict
        ``outcomes``: rows of fault, site, outcome and number; ``silent`` words, ``lost`` blocks,
        ``words`` compared, ``clocks`` simulated, ``seed``.
    """
    built = build(FaultDut(), "faults", simulator="verilator")
    total: Counter[tuple[str, str, str]] = Counter()
    clocks = 0
    with ProcessPoolExecutor(workers) as pool:
        for found in pool.map(Part.outcomes, [
                Part(built, dict(part), seed + n) for n, part in enumerate(parts)]):
            clocks += found["clocks"]
            for fault, site, outcome, number in found["outcomes"]:
                total[fault, site, outcome] += number
    return {
        "seed": seed, "clocks": clocks, "words": total["copies", "looked at", "words"],
        "silent": total["copies", "block", "silent"], "lost": total["copies", "block", "lost"],
        "outcomes": [[*key, n] for key, n in sorted(total.items()) if key[0] != "copies"],
    }


def rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table of a campaign, with a head."""
    sites: dict[tuple[str, str], Counter[str]] = {}
    for fault, site, outcome, number in result["outcomes"]:
        if fault != "moves":
            sites.setdefault((fault, site), Counter())[outcome] += number
    table: list[tuple[str, ...]] = [("fault", "where, when", "faults", "outcome")]
    for fault in FAULTS:
        for (kind, site), found in sorted(sites.items()):
            if kind == fault:
                outcome = ", ".join(f"{n:,} {name}" for name, n in sorted(found.items()))
                table.append((fault, site, f"{sum(found.values()):,}", outcome))
    return table


def count(result: dict[str, Any], fault: str, *, but: str = "") -> int:
    """How many faults of a kind there were, without those at one site."""
    return sum(n for kind, site, _, n in result["outcomes"] if kind == fault and site != but)


def show(result: dict[str, Any]) -> None:
    """Prints the table."""
    head, *lines = rows(result)
    table = Table(*head)
    for line in lines:
        table.add_row(*line)
    out = Console(soft_wrap=True, highlight=False)
    out.print(table)
    out.print(f"{result['words']:,} words compared in {result['clocks']:,} clocks: "
              f"{result['silent']} silently corrupt; {result['lost']} blocks lost")


def main(
    output: Annotated[Path, typer.Option(help="Where the outcomes go.")]
        = Path("build/faults.json"),
    parts: Annotated[int, typer.Option(min=1, help=f"Runs; {PARTS} are the whole campaign.")]
        = PARTS,
    seed: Annotated[int, typer.Option(help="Of all random choices.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = os.cpu_count() or 1,
) -> None:
    """Flips bits and stops moves while blocks move under load, and says what became of it."""
    console.print(f"[faults] {parts} runs; a first build takes minutes", markup=False)
    result = campaign([PART] * parts, seed=seed, workers=workers)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    show(result)
    console.print(f"[faults] {output}", markup=False)


if __name__ == "__main__":
    try:
        typer.run(main)
    except (UserError, OSError) as error:
        print(f"tb.faults: {error}", file=sys.stderr)
        sys.exit(2)
