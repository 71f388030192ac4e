"""Waveform of a short run of the translator, and views of it: ``python -m tb.translator_waves``."""

import os
import sys
import tempfile
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hdl.translator.miss_slot import Step
from hdl.translator.miss_table import Kind
from hdl.translator.translator import Translator
from model.spec.errors import UserError
from model.spec.translation import COUNTERS, Access, Fault, Scope, Tier
from tb import gtkwave, surfer
from tb.build import ROOT, SIMULATORS, WAVEFORM, build, run, selected_simulator
from tb.translator_memory import translator_spec
from tb.wave_view import Group, Names, Trace
from tb.waveform import Waveform, copy_readable, intervals

OPTIONS = {"tlb_entries": 8}
TOP = "translator"
SCREEN_CLOCKS = 150
"""Clocks that are on GTKWave's screen at first."""

console = Console(stderr=True, soft_wrap=True, highlight=False)


def _names(key: str, values: type[IntEnum]) -> Names:
    return Names(key=key, width=max(values).bit_length(), colours={},
                 labels={value: "-" if value.name in ("NONE", "IDLE") else value.name
                         for value in values})


KINDS, STEPS, FAULTS, TIERS, ACCESSES, SCOPES = (
    _names(key, values) for key, values in (
        ("operations", Kind), ("steps", Step), ("faults", Fault), ("tiers", Tier),
        ("accesses", Access), ("scopes", Scope)))


def _stream(path: str, title: str, *fields: tuple[str, Names | None]) -> tuple[Trace, ...]:
    return (Trace(signal=f"{TOP}.{path}__valid", title=f"{title}: valid"),
            Trace(signal=f"{TOP}.{path}__ready", title=f"{title}: ready"),
            *(Trace(signal=f"{TOP}.{path}__payload.{field}", title=f"{title}: {field}",
                    form="decimal", names=names) for field, names in fields))


def view() -> tuple[Group, ...]:
    """The groups, in the order in which a lookup passes through them."""
    slots = range(translator_spec(**OPTIONS).slots)
    return (
        Group(title="Requests", traces=(
            Trace(signal=f"{TOP}.clk", title="clock"),
            *_stream("requester__lookup", "lookup", ("tag", None), ("id.block", None),
                     ("tier", TIERS), ("access", ACCESSES)),
            *_stream("requester__commit", "commit", ("tag", None), ("id.block", None)),
            *_stream("invalidate", "invalidate", ("scope", SCOPES)))),
        Group(title="Pipeline", traces=(
            Trace(signal=f"{TOP}.intake.operation.kind", title="operation", form="decimal",
                  names=KINDS),
            Trace(signal=f"{TOP}.tlb.hit", title="TLB: hit"),
            Trace(signal=f"{TOP}.tlb.fill", title="TLB: fill"),
            Trace(signal=f"{TOP}.tlb.update", title="TLB: new residency"),
            Trace(signal=f"{TOP}.tlb.forget", title="TLB: forget"))),
        Group(title="Slots", traces=tuple(
            trace for n in slots for trace in (
                Trace(signal=f"{TOP}.misses.slot_{n}.state.step", title=f"slot {n}",
                      form="decimal", names=STEPS),
                Trace(signal=f"{TOP}.misses.slot_{n}.state.stale", title=f"slot {n}: stale")))),
        Group(title="Memory", traces=(
            *_stream("port__request", "request", ("tag", None), ("write", None), ("bank", None),
                     ("row", None), ("column", None)),
            *_stream("port__response", "response", ("tag", None)))),
        Group(title="Answers", traces=(
            *_stream("requester__translation", "translation", ("tag", None), ("fault", FAULTS),
                     ("tier", TIERS), ("place.channel", None), ("place.bank", None),
                     ("place.row", None), ("place.column", None)),
            *_stream("requester__committed", "committed", ("tag", None), ("done", None)),
            *_stream("fault", "fault record", ("cause", FAULTS)))),
        Group(title="Counters", folded=True, traces=tuple(
            Trace(signal=f"{TOP}.counters.{name}", title=name, form="decimal")
            for name in COUNTERS)))


def record(output: Path, simulator: str) -> Path:
    """Builds the translator, runs the scenario and leaves its waveform in ``output``."""
    console.print(f"[waves] building a small translator for {simulator}, unless that was done "
                  "before", markup=False)
    built = build(Translator(translator_spec(**OPTIONS)), TOP, simulator=simulator, waves="all")
    with tempfile.TemporaryDirectory(prefix="waves-", dir=ROOT / "build") as work:
        run(built, "tb.bench_translator_waves", Path(work), parameters={"spec": OPTIONS})
        output.mkdir(parents=True, exist_ok=True)
        copy_readable(Path(work) / WAVEFORM, output / f"{TOP}.vcd")
    return output / f"{TOP}.vcd"


def write_views(dump: Path) -> list[Path]:
    """Writes the views beside a waveform; returns the files."""
    path = f"{TOP}.requester__lookup__valid"
    waveform = Waveform(dump, [path], clock=f"{TOP}.clk")
    first, second = intervals(waveform.values(path) != 0)[:2]
    files = gtkwave.write(dump.with_suffix(".gtkw"), view(), waveform, dump.name,
                          markers={"miss": first[0], "hits under a miss": second[0]},
                          shown=(0, SCREEN_CLOCKS))
    return files + surfer.write(dump.with_suffix(".sucl"), view())


def main(
    output: Annotated[Path, typer.Option(help="Folder for waveform and views.")]
        = Path("build/waves"),
    simulator: Annotated[str, typer.Option(
        help=f"{' or '.join(SIMULATORS)}; by default what SIM says, or {SIMULATORS[0]}.")] = "",
) -> None:
    """Records a miss, hits under it, a migration, an invalidated walk and a fault."""
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
        print(f"tb.translator_waves: {error}", file=sys.stderr)
        sys.exit(2)
