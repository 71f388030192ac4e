"""The command line: ``tokenstack sim``, ``generate``, ``models``, ``systems``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from model.spec.errors import SpecError, UserError
from model.spec.timing import TIMING_PRESETS, timing_preset
from runtime import tables
from runtime.cycle_table import COMPLETE_PIM_BANKS, load_cycle_table
from runtime.experiment import Experiment, Plan, encode, write_atomically
from runtime.generator import QWEN_BAILIAN_A, generate, measure_fit
from runtime.models import MODELS, model_by_name
from runtime.report import render_report
from runtime.serving import EngineConfig
from runtime.systems import SYSTEMS, least_cards, system_by_name
from runtime.trace import load_mooncake
from runtime.workload import Workload

app = typer.Typer(
    name="tokenstack", add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Replay serving traces on HBM-PIM systems whose cycle counts come from RTL simulation.")

DEFAULT_REQUESTS = 400
DEFAULT_QPS = 4.0       # the rate of vStack's runs (facts.md 1.2)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed = Annotated[int, typer.Option(help="Seed of the generator.")]


@contextmanager
def _progress(quiet: bool, total: int) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on standard error; nothing where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True,
                  disable=quiet or not console.is_terminal) as progress:
        yield progress, progress.add_task("", total=total)


def _print_json(record: object) -> None:
    sys.stdout.write(msgspec.json.encode(record).decode() + "\n")


def _workload(trace: Path | None, qps: float | None, seed: int, requests: int | None,
              limit: int | None) -> Workload:
    if limit is not None and limit < 1:
        raise SpecError("limit", limit, "a number of rows, 1 or more")
    if trace is None:
        if limit is not None:
            raise SpecError("limit", limit, "to go with --trace (use --requests)")
        return generate(DEFAULT_REQUESTS if requests is None else requests,
                        DEFAULT_QPS if qps is None else qps, seed)
    if requests is not None:
        raise SpecError("requests", requests, "no --trace beside it (use --limit)")
    workload = load_mooncake(trace, limit)
    return workload if qps is None else workload.at_rate(qps)


@app.command()
def sim(
    trace: Annotated[Path | None, typer.Option(
        help="Mooncake JSONL, plain or gzip; without it a workload is generated.")] = None,
    model: Annotated[str, typer.Option(help=f"One of {', '.join(MODELS)}.")] = "llama-3-8b",
    qps: Annotated[float | None, typer.Option(
        help=f"Requests a second; default: the trace's own, {DEFAULT_QPS:g} if generated.")] = None,
    seed: Seed = 1,
    requests: Annotated[int | None, typer.Option(
        help=f"Requests to generate; default {DEFAULT_REQUESTS}.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use only the first rows of the trace.")] = None,
    systems: Annotated[str, typer.Option(
        help=f"Comma-separated, of {', '.join(SYSTEMS)}.")] = ",".join(SYSTEMS),
    preset: Annotated[str, typer.Option(
        help=f"Timing preset, one of {', '.join(TIMING_PRESETS)}.")] = "hbm4_8000",
    banks: Annotated[int, typer.Option(
        help="PIM banks of a pseudo-channel that the cycle table is of.")] = COMPLETE_PIM_BANKS,
    cards: Annotated[int | None, typer.Option(
        help="Cards of five stacks and a GPU each, the same for all systems; default: the fewest "
             "at which each of them holds the model.")] = None,
    max_batch: Annotated[int, typer.Option(help="Most requests in work.")] = 64,
    step_tokens: Annotated[int, typer.Option(help="Most tokens of a step.")] = 512,
    eviction: Annotated[str, typer.Option(help="Eviction policy: lru or fifo.")] = "lru",
    dma_overlap: Annotated[bool, typer.Option(
        help="Let the stack DMA work while a step runs.")] = False,
    cycles: Annotated[Path, typer.Option(help="Cycle table.")] = Path("build/cycles.json"),
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("build"),
    check: Annotated[bool, typer.Option(
        "--check", help="Check all that needs no cycle table, and no more.")] = False,
    json: Json = False,
) -> None:
    """Serve a workload on several systems and compare them."""
    chosen = [system_by_name(name.strip()) for name in systems.split(",")]
    if len({s.name for s in chosen}) != len(chosen):
        raise SpecError("systems", systems, "each system once")
    if banks != COMPLETE_PIM_BANKS:
        raise SpecError("banks", banks, f"{COMPLETE_PIM_BANKS}, of which stacks are composed")
    transformer, timing = model_by_name(model), timing_preset(preset)
    engine = EngineConfig(max_batch=max_batch, step_tokens=step_tokens, eviction=eviction,
                          dma_overlap=dma_overlap)
    cycle_table = None if check else load_cycle_table(cycles)
    with _progress(json or check, len(chosen) + 2) as (progress, task):
        progress.update(task, description="reading the workload")
        plan = Plan(
            workload=_workload(trace, qps, seed, requests, limit), model=transformer,
            systems=chosen, timing=timing, engine=engine,
            cards=least_cards(chosen, transformer, timing) if cards is None else cards)
        if cycle_table is None:
            return
        experiment = Experiment(plan=plan, table=cycle_table)

        def report_progress(what: str) -> None:
            progress.update(task, description=what, advance=1)

        record = experiment.run(report_progress)
        report_progress("drawing the report")
        page = render_report(record, cycle_table, transformer, timing)
        results_path, page_path = out / "results.json", out / "report" / "index.html"
        try:
            write_atomically(page_path, page.encode())
            write_atomically(results_path, encode(record))
        except OSError as error:
            raise UserError(f"{out}: out: expected a folder that can be written, not "
                            f"{(error.strerror or str(error)).lower()!r}") from None
    if json:
        _print_json(record)
        return
    console = Console()
    table = tables.result_table(record)
    # Numbers cut off to fit a narrow terminal are worse than wrapped lines.
    wide = console.options.update(width=200)
    console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)
    for line in tables.result_notes(record):
        console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{results_path}  {page_path}", highlight=False, markup=False, soft_wrap=True)


@app.command(name="generate")
def generate_command(
    requests: Annotated[int, typer.Option(help="Requests to generate.")] = DEFAULT_REQUESTS,
    qps: Annotated[float, typer.Option(help="Requests a second.")] = DEFAULT_QPS,
    seed: Seed = 1, json: Json = False,
) -> None:
    """Show how well the generated workload fits the published statistics."""
    fit = measure_fit(generate(requests, qps, seed), qps)
    if json:
        _print_json({"source": QWEN_BAILIAN_A.source, "requests": requests, "qps": qps,
                     "seed": seed, "fit": [{"name": r.name, "published": r.published,
                                            "produced": r.produced} for r in fit]})
        return
    Console().print(tables.fit_table(fit, QWEN_BAILIAN_A.source))


@app.command(name="models")
def models_command(json: Json = False) -> None:
    """List the models."""
    if json:
        _print_json({"models": [{"name": m.name, "parameters": m.parameters, "source": m.source,
                                 "kv_bytes_per_token": m.kv_bytes_per_token}
                                for m in MODELS.values()]})
        return
    Console().print(tables.model_table(MODELS.values()))


@app.command(name="systems")
def systems_command(json: Json = False) -> None:
    """List the systems."""
    if json:
        _print_json({"systems": [asdict(s) for s in SYSTEMS.values()]})
        return
    Console().print(tables.system_table(SYSTEMS.values()))


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"tokenstack: {' '.join(message.split())}\n")
    raise SystemExit(2)


def main() -> None:
    """Entry point: user errors are one line on standard error and exit status 2."""
    try:
        status = app(standalone_mode=False)     # 130 after an interrupt within a command
    except UserError as error:
        _fail(str(error))
    except typer.TyperException as error:       # unknown option, missing value, not a number
        message = getattr(error, "format_message", error.__str__)()
        if not message:                         # no command at all: the help has been printed
            raise SystemExit(2) from None
        _fail(message)
    except (typer.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
