"""Waveforms of short scenarios, and views of them: ``python -m tb.waves --help``."""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from hdl.slice import Slice
from model.spec.errors import UserError, unknown_name
from model.spec.presets import slice_spec
from model.spec.slice import SliceSpec
from model.spec.timing import Command
from tb import (
    dma_waves,
    dram_waves,
    gtkwave,
    heads_waves,
    host_waves,
    quantiser_waves,
    surfer,
    timeline,
    translator_waves,
)
from tb.build import ROOT, SIMULATORS, WAVEFORM, build, run, selected_simulator
from tb.wave_view import view
from tb.waveform import Waveform, copy_readable, intervals

OPTIONS: dict[str, Any] = heads_waves.OPTIONS
"""The slice: three blocks are two waves of it, so passes of two waves interleave."""

TITLE = "One block moves to a PIM bank; then two query heads attend to three blocks of 16 tokens"

SCREEN_CLOCKS = 300
"""Clocks that are on GTKWave's screen at first, from the first row pass on."""

console = Console(stderr=True, soft_wrap=True, highlight=False)


def record(output: Path, simulator: str) -> Path:
    """Builds the slice, runs the scenario and leaves its waveform in ``output``."""
    console.print(f"[waves] building a small slice for {simulator}, unless that was done before",
                  markup=False)
    built = build(Slice(slice_spec(**OPTIONS)), "slice", simulator=simulator, waves="all")
    console.print("[waves] simulating", markup=False)
    with tempfile.TemporaryDirectory(prefix="waves-", dir=ROOT / "build") as work:
        run(built, "tb.bench_waves", Path(work), parameters={"spec": OPTIONS})
        output.mkdir(parents=True, exist_ok=True)
        copy_readable(Path(work) / WAVEFORM, output / WAVEFORM)
    return output / WAVEFORM


def write_views(dump: Path, spec: SliceSpec) -> list[Path]:
    """Writes the views beside a waveform; returns the files."""
    groups = view(spec)
    waveform = Waveform(dump, timeline.signals(spec))
    move, = intervals(waveform.values("slice.move_busy") != 0)
    attend, = intervals(waveform.values("slice.attend_busy") != 0)
    row_pass = int(np.argmax(
        waveform.values("slice.commands__row.command") == Command.ACT_ALL))
    markers = {"move": move[0], "moved": move[1], "attend": attend[0], "first pass": row_pass,
               "attended": attend[1]}
    start = row_pass - SCREEN_CLOCKS // 30
    files = gtkwave.write(dump.with_name("slice.gtkw"), groups, waveform, dump.name,
                          markers=markers, shown=(start, start + SCREEN_CLOCKS))
    files += surfer.write(dump.with_name("slice.sucl"), groups)
    picture = dump.with_name("timeline.png")
    timeline.draw(picture, waveform, spec, TITLE)
    return [*files, picture]


def slice_scenario(output: Path, simulator: str) -> None:
    """Records one block move and one attention, and writes views of the waveform."""
    if simulator:
        os.environ["SIM"] = simulator
    dump = record(output, selected_simulator())
    write_views(dump, slice_spec(**OPTIONS))
    size = dump.stat().st_size / 1e6
    for what, how in (
            (f"{dump}, {size:.0f} MB", ""),
            (f"{output}/timeline.png", "the run at a glance"),
            (f"{output}/slice.gtkw", f"gtkwave {output}/slice.gtkw"),
            (f"{output}/slice.sucl", f"cd {output} && surfer --command-file slice.sucl dump.vcd")):
        console.print(f"[waves] {what:34} {how}".rstrip(), markup=False)


SCENARIOS: Mapping[str, Callable[[Path, str], None]] = {
    "slice": slice_scenario, "heads": heads_waves.SCENARIO.show,
    "dram": dram_waves.SCENARIO.show, "host": host_waves.SCENARIO.show,
    "dma": dma_waves.SCENARIO.show, "quantiser": quantiser_waves.SCENARIO.show,
    "translator": translator_waves.SCENARIO.show,
}
"""What can be recorded; the first is what is recorded if nothing is said."""


def main(
    output: Annotated[Path, typer.Option(help="Folder for waveform and views.")]
        = Path("build/waves"),
    simulator: Annotated[str, typer.Option(
        help=f"{' or '.join(SIMULATORS)}; by default what SIM says, or {SIMULATORS[0]}.")] = "",
    scenario: Annotated[str, typer.Option(help=" or ".join(SCENARIOS) + ".")]
        = next(iter(SCENARIOS)),
) -> None:
    """Records a scenario, and writes views of the waveform."""
    if scenario not in SCENARIOS:
        raise unknown_name("scenario", scenario, SCENARIOS)
    SCENARIOS[scenario](output, simulator)


if __name__ == "__main__":
    try:
        typer.run(main)
    except (UserError, OSError) as error:
        print(f"tb.waves: {error}", file=sys.stderr)
        sys.exit(2)
