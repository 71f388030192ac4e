"""``tokenstack study``: many runs, the SLO capacity, and published against measured."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from model.spec.errors import SpecError
from runtime.commands.common import CYCLES_HELP, Json, print_json, progress_bar
from runtime.energy import ENERGY_TABLES, energy_table
from runtime.study.cells import Cell
from runtime.study.run import StudyRun, presets
from runtime.systems.catalogue import ablations
from runtime.systems.profile import PROFILES


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(name: str, text: str, kind: type[int] | type[float]) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in _list(text))
    except ValueError:
        raise SpecError(name, text, "numbers, separated by commas") from None


def study(
    quick: Annotated[bool, typer.Option(
        "--quick", help="A few short traces and models: minutes on two cores.")] = False,
    models: Annotated[str | None, typer.Option(help="Comma-separated.")] = None,
    traces: Annotated[str | None, typer.Option(
        help="Comma-separated: files, or names of generated stand-ins.")] = None,
    rates: Annotated[str | None, typer.Option(
        help="Requests a second, comma-separated; the highest is what is compared.")] = None,
    systems: Annotated[str | None, typer.Option(help="Comma-separated.")] = None,
    ablation: Annotated[bool, typer.Option(
        "--ablation", help="Also TokenStack without each mechanism, and with each alone.")] = False,
    seeds: Annotated[str | None, typer.Option(help="Of generated traces, comma-separated.")] = None,
    requests: Annotated[int | None, typer.Option(
        help="Requests to generate, or rows of each file to take.")] = None,
    profile: Annotated[str, typer.Option(help=f"One of {', '.join(PROFILES)}.")] = "hbm4",
    cards: Annotated[int | None, typer.Option(
        help="Cards of every system; default: the profile's, or the fewest for all systems.")]
    = None,
    settings: Annotated[str, typer.Option(
        "--set", help="Settings of the engine, such as eviction=lru,max_batch=32.")] = "",
    capacity: Annotated[bool, typer.Option(help="Search for the SLO capacity.")] = True,
    slo_reference: Annotated[str, typer.Option(
        help="System whose unloaded latencies are the measure for all.")] = "attacc_split4",
    slo_factor: Annotated[float, typer.Option(help="Times those latencies.")] = 2.0,
    slo_share: Annotated[float, typer.Option(help="Share of requests that must meet it.")] = 0.9,
    energy: Annotated[str, typer.Option(help=f"One of {', '.join(ENERGY_TABLES)}.")] = "hbm4",
    scheduler: Annotated[str | None, typer.Option(
        help="Dask scheduler, such as tcp://host:8786; default: workers on this machine.")] = None,
    workers: Annotated[int | None, typer.Option(
        help="Processes of this machine, 0 for none but this one; default: a core each.")] = None,
    cycles: Annotated[Path | None, typer.Option(help=CYCLES_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Folder of results and finished cells.")]
    = Path("build/study"),
    json: Json = False,
) -> None:
    """Run models x traces x rates x systems x seeds, resumably, and compare with the paper."""
    preset = presets(quick)
    if workers is not None and not 0 <= workers <= 256:
        raise SpecError("workers", workers, "an integer in 0..256")
    if workers is not None and scheduler is not None:
        raise SpecError("workers", workers, "no --scheduler beside it")
    run = StudyRun(
        models=_list(models) if models is not None else preset.models,
        traces=_list(traces) if traces is not None else preset.traces,
        rates=_numbers("rates", rates, float) if rates is not None else preset.rates,
        systems=(_list(systems) if systems is not None else preset.systems)
        + (ablations() if ablation else ()),
        seeds=_numbers("seeds", seeds, int) if seeds is not None else preset.seeds,
        requests=requests if requests is not None else preset.requests,
        tolerance=preset.tolerance, profile=profile, cards=cards,
        settings=_pairs(settings), capacity=capacity, slo_reference=slo_reference,
        slo_factor=slo_factor, slo_share=slo_share, energy=energy_table(energy),
        cycles=cycles, out=out)
    with progress_bar(json, None) as (progress, task):
        def report(cell: Cell, fresh: bool) -> None:
            progress.update(task, advance=1,
                            description=f"{cell.title}{'' if fresh else ' (kept)'}"[:70])

        record = run.execute(scheduler, (os.cpu_count() or 1) if workers is None else workers,
                             report)
    if json:
        print_json(record)
        return
    _print(record, out)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in _list(text):
        name, equals, value = part.partition("=")
        if not equals:
            raise SpecError("set", part, "name=value")
        pairs.append((name.strip(), value.strip()))
    return tuple(sorted(pairs))


def _print(record: dict[str, Any], out: Path) -> None:
    console = Console()
    found = record["published_against_measured"]
    for ours in [n for n in found if n in ("tokenstack_base", "tokenstack")] or list(found):
        rows = found[ours]["rows"]
        if not rows or not rows[0]["cells"]:
            continue
        table = Table(title=f"{ours} over AttAcc: published against measured", box=box.SIMPLE_HEAD,
                      title_justify="left", pad_edge=False)
        table.add_column("")
        table.add_column("published", justify="right")
        for name in record["baselines"]:
            table.add_column(name, justify="right")
        for row in rows:
            table.add_row(row["title"], row["published"], *(
                f"{c['text']}\n{c['interval']}" + (f"\n{c['missing']}" if c["missing"] else "")
                if c["mean"] else c["missing"] or "-" for c in row["cells"]))
        console.width = max(console.width, console.measure(
            table, options=console.options.update(width=200)).maximum)
        console.print(table)
    infeasible = [r for r in record["grid"] if not r["feasible"]]
    for reason in sorted({r["reason"] for r in infeasible}):
        console.print(f"infeasible: {reason}", style="dim", highlight=False, markup=False,
                      soft_wrap=True)
    console.print(f"{record['counts']['fresh']} runs now, {record['counts']['kept']} kept from "
                  f"before; {out / 'index.html'}", highlight=False, markup=False, soft_wrap=True)
