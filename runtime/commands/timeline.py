"""``tokenstack timeline``: one run as a Perfetto trace, and a plot of where its KV lived."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model.spec.errors import UserError
from runtime.commands.common import CYCLES_HELP, Json, Seed, print_json
from runtime.commands.workload import SkipBad, TraceFormat, chosen_workload
from runtime.cycle_table import default_table, load_cycle_table
from runtime.files import write_atomically
from runtime.insight.perfetto import encode_timeline, timeline
from runtime.insight.recorder import Recorder
from runtime.insight.residency import residency_plot
from runtime.models import MODELS, model_by_name
from runtime.serving import Engine
from runtime.study.machine import build, common_cards, engine_config
from runtime.systems import SYSTEMS
from runtime.systems.profile import PROFILES, profile_by_name


def timeline_command(
    system: Annotated[str, typer.Option(help=f"One of {', '.join(SYSTEMS)}.")] = "tokenstack",
    model: Annotated[str, typer.Option(help=f"One of {', '.join(MODELS)}.")] = "llama-3-8b",
    trace: Annotated[Path | None, typer.Option(
        help="Trace file; without it a workload is generated.")] = None,
    trace_format: TraceFormat = None,
    qps: Annotated[float | None, typer.Option(
        help="Requests a second; default: the trace's own.")] = None,
    seed: Seed = 1,
    requests: Annotated[int | None, typer.Option(help="Requests to generate.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use only the first rows of the trace.")] = None,
    skip_bad: SkipBad = False,
    profile: Annotated[str, typer.Option(help=f"One of {', '.join(PROFILES)}.")] = "hbm4",
    cards: Annotated[int | None, typer.Option(help="Cards; default: the fewest that do.")] = None,
    cycles: Annotated[Path | None, typer.Option(help=CYCLES_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Folder of both files.")] = Path("build/timeline"),
    json: Json = False,
) -> None:
    """Record one run: GPU, each stack's PIM units, DMA, links, requests, KV by tier."""
    transformer, config = model_by_name(model), engine_config(profile, {})
    preset = profile_by_name(profile).preset
    table = load_cycle_table(cycles or default_table(preset), preset)
    built = build(system, transformer, profile,
                  common_cards((system,), transformer, profile, cards), lambda preset: table)
    workload = chosen_workload(trace, qps, seed, requests, limit, trace_format=trace_format,
                               skip_bad=skip_bad)
    recorder = Recorder()
    Engine(built, workload, config, observer=recorder).run()
    block = transformer.kv_block_bytes
    names = [tier.name for tier in built.tiers]
    trace_path, plot_path = out / "trace.json", out / "residency.svg"
    try:
        write_atomically(trace_path, encode_timeline(timeline(recorder, names, block)))
        write_atomically(plot_path, residency_plot(
            recorder, [(t.name, t.kv_blocks) for t in built.tiers], block,
            f"Where KV lives: {model} on {system}").encode())
    except OSError as error:
        raise UserError(f"{out}: out: expected a folder that can be written, not "
                        f"{(error.strerror or str(error)).lower()!r}") from None
    if json:
        print_json({"trace": str(trace_path), "residency": str(plot_path),
                    "spans": len(recorder.spans), "requests": len(workload.requests),
                    "resources": sorted({s.resource for s in recorder.spans})})
        return
    Console().print(f"{trace_path}  (open it at ui.perfetto.dev or chrome://tracing)  {plot_path}",
                    highlight=False, markup=False, soft_wrap=True)
