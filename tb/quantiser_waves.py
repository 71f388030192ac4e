"""Waveform of a short run of the quantiser, and views of it: ``python -m tb.quantiser_waves``."""

import os
import sys
import tempfile
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hdl.quantiser.quantiser import Quantiser
from model.spec.errors import UserError
from model.spec.mx import Status, StoredFormat
from tb import gtkwave, surfer
from tb.bench_quantiser import quantiser_spec
from tb.build import ROOT, SIMULATORS, WAVEFORM, build, run, selected_simulator
from tb.wave_view import Group, Names, Trace
from tb.waveform import Waveform, copy_readable, intervals

OPTIONS: dict[str, Any] = {"formats": ["mxfp8_e4m3", "mxfp6_e2m3", "int4"], "blocks_max": 8}
TOP = "quantiser"
SCREEN_CLOCKS = 60
"""Clocks that are on GTKWave's screen at first."""

console = Console(stderr=True, soft_wrap=True, highlight=False)


def _names(key: str, values: type[IntEnum]) -> Names:
    return Names(key=key, width=max(values).bit_length(), colours={},
                 labels={value: value.name for value in values})


FORMATS, STATUSES = _names("stored_formats", StoredFormat), _names("quantiser_status", Status)


def _stream(path: str, title: str, *fields: tuple[str, str, Names | None]) -> tuple[Trace, ...]:
    return (Trace(signal=f"{TOP}.{path}__valid", title=f"{title}: valid"),
            Trace(signal=f"{TOP}.{path}__ready", title=f"{title}: ready"),
            *(Trace(signal=f"{TOP}.{path}__payload.{field}", title=f"{title}: {field}", form=form,
                    names=names) for field, form, names in fields))


def view() -> tuple[Group, ...]:
    """The groups, in the order in which a block passes through them."""
    there, back = f"{TOP}.quantising", f"{TOP}.dequantising"
    return (
        Group(title="Requests", traces=(
            Trace(signal=f"{TOP}.clk", title="clock"),
            *_stream("request", "request", ("source", "decimal", FORMATS),
                     ("target", "decimal", FORMATS), ("blocks", "decimal", None)))),
        Group(title="In", traces=_stream("i", "in", ("data", "hex", None), ("last", "bit", None))),
        Group(title="Quantise", traces=(
            Trace(signal=f"{there}.finder.valid", title="scale found"),
            Trace(signal=f"{there}.finder.scale", title="scale", form="hex"),
            Trace(signal=f"{there}.beats.r_en", title="half a block enters the lanes"),
            Trace(signal=f"{there}.packer.valid", title="half a block leaves them"),
            Trace(signal=f"{there}.packer.fill", title="words that wait", form="decimal"),
            Trace(signal=f"{there}.packer.column_valid", title="column is full"))),
        Group(title="Dequantise", traces=(
            Trace(signal=f"{back}.scales.w_en", title="column of scales"),
            Trace(signal=f"{back}.elements.w_en", title="column of elements"),
            Trace(signal=f"{back}.unpacker.step", title="half a block enters the lanes"),
            Trace(signal=f"{back}.unpacker.fill", title="words left of a column", form="decimal"),
            Trace(signal=f"{back}.spread.scale", title="scale", form="hex"))),
        Group(title="Out", traces=_stream("o", "out", ("data", "hex", None),
                                          ("scale", "bit", None), ("last", "bit", None))),
        Group(title="Results", traces=(
            *_stream("result", "result", ("status", "decimal", STATUSES),
                     ("saturated", "decimal", None), ("nan", "decimal", None),
                     ("flushed", "decimal", None)),
            *(Trace(signal=f"{TOP}.{name}", title=f"total {name}", form="decimal")
              for name in ("saturated", "nan", "flushed")))))


def record(output: Path, simulator: str) -> Path:
    """Builds the quantiser, runs the scenario and leaves its waveform in ``output``."""
    console.print(f"[waves] building a quantiser of three formats for {simulator}, unless that "
                  "was done before", markup=False)
    built = build(Quantiser(quantiser_spec(**OPTIONS)), TOP, simulator=simulator, waves="all")
    with tempfile.TemporaryDirectory(prefix="waves-", dir=ROOT / "build") as work:
        run(built, "tb.bench_quantiser_waves", Path(work), parameters=OPTIONS)
        output.mkdir(parents=True, exist_ok=True)
        copy_readable(Path(work) / WAVEFORM, output / f"{TOP}.vcd")
    return output / f"{TOP}.vcd"


def write_views(dump: Path) -> list[Path]:
    """Writes the views beside a waveform; returns the files."""
    status = f"{TOP}.result__payload.status"
    valid = f"{TOP}.o__valid"
    waveform = Waveform(dump, [status, valid], clock=f"{TOP}.clk")
    first, _ = intervals(waveform.values(valid) != 0)[0]
    refused, _ = intervals(waveform.values(status) == Status.ALREADY_QUANTISED)[0]
    files = gtkwave.write(dump.with_suffix(".gtkw"), view(), waveform, dump.name,
                          markers={"first column": first, "refused": refused},
                          shown=(0, SCREEN_CLOCKS))
    return files + surfer.write(dump.with_suffix(".sucl"), view())


def main(
    output: Annotated[Path, typer.Option(help="Folder for waveform and views.")]
        = Path("build/waves"),
    simulator: Annotated[str, typer.Option(
        help=f"{' or '.join(SIMULATORS)}; by default what SIM says, or {SIMULATORS[0]}.")] = "",
) -> None:
    """Records two regions quantised, a request refused and a region dequantised."""
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
        print(f"tb.quantiser_waves: {error}", file=sys.stderr)
        sys.exit(2)
