"""The command line ``tokenstack`` with the sub-commands that run hardware."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from model.spec.errors import UserError
from runtime.cli import app, main
from runtime.commands.common import Json, print_json

ROOT = Path(__file__).resolve().parents[1]


def prepare_tools() -> None:
    """Finds the simulator's tools without the Makefile's environment."""
    shim = ROOT / "build" / "verilator" / "bin"
    if not (shim / "verilator").exists():
        raise UserError("no Verilator in build/verilator, expected `make setup` to have been run")
    os.environ["PATH"] = os.pathsep.join(
        [str(shim), str(Path(sys.executable).parent), os.environ.get("PATH", ""),
         str(ROOT / "build" / "icarus" / "bin")])
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")


@app.command("dram")
def dram_command(
    trace: Annotated[Path, typer.Option(
        help="Lines `LD 0x...` and `ST 0x...`: addresses of 32-byte words.")],
    preset: Annotated[str, typer.Option(help="Timing preset.")] = "hbm4_8000",
    no_refresh: Annotated[bool, typer.Option("--no-refresh", help="Never refresh.")] = False,
    pseudo_channel: Annotated[int, typer.Option(
        help="Which one is replayed; accesses to others are left out and counted.")] = 0,
    in_bytes: Annotated[bool, typer.Option(
        "--bytes", help="Addresses count bytes, as Ramulator's do; the lowest 5 bits are "
                        "dropped.")] = False,
    log: Annotated[Path | None, typer.Option(
        help="Where the DRAM commands go, one a line.")] = None,
    simulator: Annotated[str, typer.Option(
        envvar="SIM", help="verilator or icarus; after `make icarus`.")] = "verilator",
    json: Json = False,
) -> None:
    """Replay a load/store trace through the memory channel's RTL."""
    from tb import replay_command  # not before: hardware and simulator take seconds to import

    prepare_tools()
    replay_command.replay_trace(
        trace, preset, refresh=not no_refresh, pseudo_channel=pseudo_channel, in_bytes=in_bytes,
        log=log, simulator=simulator,
        show=print_json if json else replay_command.print_summary)


__all__ = ["app", "main"]

if __name__ == "__main__":
    main()
