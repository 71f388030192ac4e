"""``tokenstack sim``: a workload on several systems."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model.spec.errors import SpecError, UserError
from model.spec.timing import TIMING_PRESETS, timing_preset
from runtime import tables
from runtime.commands.common import (
    CYCLES_HELP,
    DEFAULT_QPS,
    DEFAULT_REQUESTS,
    Json,
    Seed,
    print_json,
    progress_bar,
)
from runtime.commands.workload import SkipBad, TraceFormat, chosen_workload
from runtime.cycle_table import COMPLETE_PIM_BANKS, default_table, load_cycle_table
from runtime.experiment import Experiment, Plan
from runtime.files import encode, write_atomically
from runtime.models import MODELS, model_by_name, without_gqa
from runtime.policies import EVICTION_POLICIES
from runtime.policies.placement import PLACEMENT_POLICIES
from runtime.policies.replication import REPLICATION_POLICIES
from runtime.report import render_report
from runtime.serving import EngineConfig
from runtime.serving.config import BATCHINGS, PREEMPTIONS
from runtime.systems import (
    DEFAULT_SYSTEMS,
    PROFILES,
    SYSTEMS,
    least_cards,
    profile_by_name,
    system_by_name,
)
from runtime.systems.catalogue import WITHOUT
from runtime.systems.routes import RESOURCES


def sim(
    trace: Annotated[Path | None, typer.Option(
        help="Trace file, plain or gzip; without it a workload is generated.")] = None,
    trace_format: TraceFormat = None,
    skip_bad: SkipBad = False,
    model: Annotated[str, typer.Option(help=f"One of {', '.join(MODELS)}.")] = "llama-3-8b",
    qps: Annotated[float | None, typer.Option(
        help=f"Requests a second; default: the trace's own, {DEFAULT_QPS:g} if generated.")] = None,
    seed: Seed = 1,
    requests: Annotated[int | None, typer.Option(
        help=f"Requests to generate; default {DEFAULT_REQUESTS}.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use only the first rows of the trace.")] = None,
    systems: Annotated[str, typer.Option(
        help=f"Comma-separated, of {', '.join(SYSTEMS)}, and tokenstack-no-MECHANISM or "
             f"tokenstack-only-MECHANISM with one of {', '.join(WITHOUT)}.")
        ] = ",".join(DEFAULT_SYSTEMS),
    profile: Annotated[str, typer.Option(
        help=f"Machine, one of {', '.join(PROFILES)}; gives what the next options leave open."
        )] = "hbm4",
    preset: Annotated[str | None, typer.Option(
        help=f"Timing preset, one of {', '.join(TIMING_PRESETS)}.")] = None,
    banks: Annotated[int, typer.Option(
        help="PIM banks of a pseudo-channel that the cycle table is of.")] = COMPLETE_PIM_BANKS,
    cards: Annotated[int | None, typer.Option(
        help="Cards of five stacks and a GPU each, the same for all systems; default: the "
             "profile's, or the fewest at which each of them holds the model.")] = None,
    max_batch: Annotated[int | None, typer.Option(help="Most requests in work.")] = None,
    step_tokens: Annotated[int | None, typer.Option(help="Most tokens of a step.")] = None,
    gqa: Annotated[bool, typer.Option(
        help="Share KV heads among query heads, as the model does.")] = True,
    eviction: Annotated[str | None, typer.Option(
        help=f"Eviction policy of all systems: {', '.join(EVICTION_POLICIES)}, or another "
             "package's; default: each system's own.")] = None,
    placement: Annotated[str | None, typer.Option(
        help=f"Placement policy: {', '.join(PLACEMENT_POLICIES)}, or another package's.")] = None,
    replication: Annotated[str | None, typer.Option(
        help=f"Replication policy: {', '.join(REPLICATION_POLICIES)}, or another package's."
        )] = None,
    batching: Annotated[str, typer.Option(help=f"{' or '.join(BATCHINGS)}.")] = BATCHINGS[0],
    preemption: Annotated[str, typer.Option(
        help=f"What makes room for running requests: {', '.join(PREEMPTIONS)}.")] = PREEMPTIONS[0],
    no_overlap: Annotated[str, typer.Option(
        help="Resources whose transfers stop the steps though the hardware could do both, "
             f"comma-separated, of {', '.join(RESOURCES)}.")] = "",
    cycles: Annotated[Path | None, typer.Option(help=CYCLES_HELP)] = None,
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
    machine = profile_by_name(profile)
    transformer = model_by_name(model) if gqa else without_gqa(model_by_name(model))
    timing = timing_preset(preset or machine.preset)
    engine = EngineConfig(
        max_batch=machine.max_batch if max_batch is None else max_batch,
        step_tokens=machine.step_tokens if step_tokens is None else step_tokens,
        eviction=eviction, placement=placement, replication=replication, batching=batching,
        preemption=preemption,
        no_overlap=tuple(name.strip() for name in no_overlap.split(",") if name.strip()))
    if cards is None:
        cards = machine.cards or least_cards(chosen, transformer, timing)
    cycle_table = None if check else load_cycle_table(
        cycles or default_table(timing.name), timing.name)
    with progress_bar(json or check, len(chosen) + 2) as (progress, task):
        progress.update(task, description="reading the workload")
        plan = Plan(
            workload=chosen_workload(trace, qps, seed, requests, limit,
                                     trace_format=trace_format, skip_bad=skip_bad),
            model=transformer,
            systems=chosen, timing=timing, engine=engine, cards=cards, gpu=machine.gpu)
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
        print_json(record)
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
