"""Waveform of a short run of the DMA engine, and views of it: ``python -m tb.dma_waves``."""

import enum
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hdl.dma import block_resolver, completer, job_walker, slot_pool
from model.spec.dma import Result
from model.spec.errors import UserError
from tb import gtkwave, surfer
from tb.build import ROOT, SIMULATORS, WAVEFORM, build, run, selected_simulator
from tb.dma_software import DMA, SPEC, TRANSLATOR
from tb.dma_system import DmaSystem
from tb.wave_view import Group, Names, Trace, bank_names
from tb.waveform import Waveform, copy_readable, intervals

TOP = "dma"
ENGINE = f"{TOP}.engine"
MOVER = f"{ENGINE}.mover"
SCREEN_CLOCKS = 400
"""Clocks that are on GTKWave's screen at first."""

console = Console(stderr=True, soft_wrap=True, highlight=False)


def _names(key: str, values: type[enum.Enum]) -> Names:
    return Names(key=key, width=max(v.value for v in values).bit_length(), colours={},
                 labels={v.value: "-" if v.value == 0 else v.name for v in values})


WALKS = _names("walks", job_walker.WalkState)
ENDS = _names("ends", completer.EndState)
QUESTIONS = _names("questions", block_resolver.AskState)
SLOTS = _names("slots", slot_pool.State)
RESULTS = _names("results", Result)


def _stream(path: str, title: str) -> tuple[Trace, Trace]:
    return (Trace(signal=f"{path}__valid", title=f"{title}: valid"),
            Trace(signal=f"{path}__ready", title=f"{title}: ready"))


def _channel(number: int) -> Group:
    unit = f"{ENGINE}.channel_{number}"
    return Group(title=f"Channel {number}", traces=(
        Trace(signal=f"{unit}.fetcher.waiting", title="fetches"),
        Trace(signal=f"{unit}.walker.begun", title="begun", form="decimal"),
        Trace(signal=f"{unit}.walker.state", title="walker", form="decimal", names=WALKS),
        Trace(signal=f"{unit}.resolver.state", title="translator asked", form="decimal",
              names=QUESTIONS),
        Trace(signal=f"{unit}.offer", title="offers a segment"),
        Trace(signal=f"{unit}.accept", title="... which is taken"),
        Trace(signal=f"{unit}.completer.state", title="completer", form="decimal", names=ENDS),
        Trace(signal=f"{unit}.completer.outcome.result", title="result", form="decimal",
              names=RESULTS),
        Trace(signal=f"{unit}.completer.head", title="done", form="decimal"),
        Trace(signal=f"{ENGINE}.interrupt_{number}.pending", title="interrupt")))


def view() -> tuple[Group, ...]:
    """The groups, in the order in which a descriptor passes through them."""
    banks, request = bank_names(SPEC), f"{TOP}.port__request"
    return (
        Group(title="Software", traces=(
            Trace(signal=f"{TOP}.clk", title="clock"),
            Trace(signal=f"{TOP}.doorbell", title="doorbell", form="binary"),
            Trace(signal=f"{TOP}.pending", title="interrupts", form="binary"))),
        *(_channel(number) for number in range(DMA.channels)),
        Group(title="Buffer", traces=tuple(
            Trace(signal=f"{MOVER}.pool.state_{slot}", title=f"slot {slot}", form="decimal",
                  names=SLOTS) for slot in range(DMA.slots))),
        Group(title="Mover", traces=(
            Trace(signal=f"{MOVER}.turns.write", title="writing"),
            Trace(signal=f"{MOVER}.reads.held", title="rows being read", form="binary"),
            Trace(signal=f"{MOVER}.writes.held", title="rows being written", form="binary"))),
        Group(title="Memory", traces=(
            *_stream(request, "request"),
            Trace(signal=f"{request}__payload.write", title="request: write"),
            Trace(signal=f"{request}__payload.bank", title="request: bank", form="decimal",
                  names=banks),
            Trace(signal=f"{request}__payload.row", title="request: row", form="decimal"),
            Trace(signal=f"{request}__payload.column", title="request: column", form="decimal"),
            *_stream(f"{TOP}.port__response", "response"))))


def record(output: Path, simulator: str) -> Path:
    """Builds the engine, runs the scenario and leaves its waveform in ``output``."""
    console.print(f"[waves] building a small DMA engine for {simulator}, unless that was done "
                  "before", markup=False)
    built = build(DmaSystem(SPEC, DMA, translator=TRANSLATOR), TOP, simulator=simulator,
                  waves="all")
    with tempfile.TemporaryDirectory(prefix="waves-", dir=ROOT / "build") as work:
        run(built, "tb.bench_dma_waves", Path(work), parameters={"fault": 0})
        output.mkdir(parents=True, exist_ok=True)
        copy_readable(Path(work) / WAVEFORM, output / f"{TOP}.vcd")
    return output / f"{TOP}.vcd"


def write_views(dump: Path) -> list[Path]:
    """Writes the views beside a waveform; returns the files."""
    path = f"{MOVER}.turns.write"
    waveform = Waveform(dump, [path], clock=f"{TOP}.clk")
    writing = intervals(waveform.values(path) != 0)
    files = gtkwave.write(dump.with_suffix(".gtkw"), view(), waveform, dump.name,
                          markers={"first writes": writing[0][0], "last turn": writing[-1][1]},
                          shown=(0, SCREEN_CLOCKS))
    return files + surfer.write(dump.with_suffix(".sucl"), view())


def main(
    output: Annotated[Path, typer.Option(help="Folder for waveform and views.")]
        = Path("build/waves"),
    simulator: Annotated[str, typer.Option(
        help=f"{' or '.join(SIMULATORS)}; by default what SIM says, or {SIMULATORS[0]}.")] = "",
) -> None:
    """Records a block that is promoted by its id, and a plain move of another channel."""
    if simulator:
        os.environ["SIM"] = simulator
    dump = record(output, selected_simulator())
    write_views(dump)
    for what in (f"{dump}", f"gtkwave {dump.with_suffix('.gtkw')}",
                 f"cd {output} && surfer --command-file {TOP}.sucl {dump.name}"):
        console.print(f"[waves] {what}", markup=False)


if __name__ == "__main__":
    try:
        typer.run(main)
    except (UserError, OSError) as error:
        print(f"tb.dma_waves: {error}", file=sys.stderr)
        sys.exit(2)
