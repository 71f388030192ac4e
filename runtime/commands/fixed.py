"""``tokenstack fixed``: one batch of equal requests, as AttAcc's public simulator has it."""

from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from model.spec.errors import SpecError, unknown_name
from runtime.commands.common import Json, print_json
from runtime.fixed.catalogue import FIXED_MODELS, fixed_model
from runtime.fixed.energy import FIXED_ENERGIES
from runtime.fixed.figures import PARTS, fixed_record
from runtime.fixed.gpu import FIXED_GPUS, fixed_gpu
from runtime.fixed.step import FixedRun

SYSTEMS = ("attacc", "gpu")
LABELS = {"fc_ms": "matrix products", "attention_ms": "attention", "comm_ms": "communication",
          "other_ms": "norms and activations"}


def fixed(
    system: Annotated[str, typer.Option(
        help="attacc: GPUs with as many PIM devices beside them; gpu: the GPUs alone.")] = "attacc",
    profile: Annotated[str, typer.Option(
        help="paper, the constants of AttAcc's simulator: the only one that it has.")] = "paper",
    model: Annotated[str, typer.Option(
        help=f"One of {', '.join(FIXED_MODELS)}.")] = "gpt-3-175b",
    batch: Annotated[int, typer.Option(help="Requests.")] = 16,
    lin: Annotated[int, typer.Option(help="Prompt tokens of each.")] = 2048,
    lout: Annotated[int, typer.Option(help="Output tokens of each, 2 or more.")] = 128,
    gpu: Annotated[str, typer.Option(help=f"One of {', '.join(FIXED_GPUS)}.")] = "a100a",
    devices: Annotated[int, typer.Option(help="GPUs; attacc has as many PIM devices.")] = 8,
    energy: Annotated[str, typer.Option(
        help="attacc_slip as published, attacc with transfer energies taken a bit.")]
    = "attacc_slip",
    power_limit: Annotated[bool, typer.Option(help="AttAcc's --powerlimit.")] = True,
    pipeline: Annotated[bool, typer.Option(help="AttAcc's --pipeopt.")] = True,
    co_process: Annotated[bool, typer.Option(help="AttAcc's --ffopt.")] = True,
    straight_line: Annotated[bool, typer.Option(
        "--straight-line", help="Attention by the line of facts.md 2.3, not by the finer law.")
    ] = False,
    json: Json = False,
) -> None:
    """Time and energy of a generated token step, with their parts."""
    if system not in SYSTEMS:
        raise unknown_name("system", system, SYSTEMS)
    if profile != "paper":
        raise SpecError("profile", profile, "paper: AttAcc's simulator has no other")
    if energy not in FIXED_ENERGIES:
        raise unknown_name("energy", energy, FIXED_ENERGIES)
    record = fixed_record(FixedRun(
        model=fixed_model(model), batch=batch, lin=lin, lout=lout, attacc=system == "attacc",
        devices=devices, gpu=fixed_gpu(gpu), power_limit=power_limit, pipeline=pipeline,
        co_process=co_process, straight_line=straight_line, energy=FIXED_ENERGIES[energy]))
    record["profile"] = profile
    if json:
        print_json(record)
        return
    _print(record)


def _print(record: dict) -> None:
    table = Table(title=f"{record['model']} on {record['system']}, {record['devices']} GPUs "
                  f"({record['gpu']}): batch {record['batch']}, {record['lin']} + "
                  f"{record['lout']} tokens", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("a generated token step")
    table.add_column("ms", justify="right")
    table.add_column("J", justify="right")
    table.add_column("share", justify="right")
    for part in PARTS:
        table.add_row(LABELS[part], f"{record[part]:.3f}", "",
                      f"{record[part] / record['step_ms']:.1%}")
    for place, joules in record["energy_j"].items():
        if joules:
            table.add_row(place, "", f"{joules:.4f}", f"{joules / record['step_j']:.1%}")
    table.add_section()
    table.add_row("step", f"{record['step_ms']:.3f}", f"{record['step_j']:.3f}")
    console = Console()
    console.print(table)
    console.print(f"{record['tokens_per_second']:.1f} tokens/s, {record['token_j']:.4f} J/token",
                  highlight=False)
    if "stack_heads" in record:
        console.print(f"attention: {record['mean_cycles_a_layer']:,.0f} cycles of "
                      f"{record['clock_ns']} ns a layer for {record['stack_heads']} heads a stack; "
                      f"{record['cycle_source']}", highlight=False, soft_wrap=True)
    if not record["fits"]:
        console.print(f"does not fit: weights and KV need {record['required_gib']:.0f} GiB, there "
                      f"are {record['memory_gib']} (the public simulator goes on, so does this)",
                      highlight=False, soft_wrap=True)
