"""``python -m tb.figures``: measures every figure and writes ``build/bench.json``."""

import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

import tb.figures
from model.spec.errors import UserError, unknown_name
from tb.figures.figure import Figure

NOT_MEASUREMENTS = {"__main__", "figure"}

console = Console(stderr=True, soft_wrap=True, highlight=False)


def measurements() -> list[str]:
    """Names of the modules that measure something."""
    return sorted(module.name for module in pkgutil.iter_modules(tb.figures.__path__)
                  if module.name not in NOT_MEASUREMENTS)


def measure(only: list[str]) -> Iterator[Figure]:
    """The figures of the chosen modules, all by default."""
    for name in only or measurements():
        def progress(text: str, name: str = name) -> None:
            console.print(f"[bench] {name}: {text}", markup=False)

        yield from importlib.import_module(f"tb.figures.{name}").figures(progress)


def check_names(only: list[str]) -> None:
    """Refuses modules that do not exist."""
    for name in only:
        if name not in measurements():
            raise unknown_name("bench", name, measurements())


def print_table(figures: list[Figure]) -> None:
    """Name, value, bound and ratio of every figure, on standard output."""
    longest = max((len(figure.name) for figure in figures), default=0)
    table = Table(Column("figure", min_width=longest), "value", "unit", "bound", "ratio", box=None)
    for figure in figures:
        table.add_row(
            figure.name, f"{figure.value:.6g}", figure.unit,
            "-" if figure.bound is None else f"{figure.bound:.6g}",
            "-" if figure.ratio is None else f"{figure.ratio:.3f}")
    Console().print(table)


def main(
    only: Annotated[list[str] | None, typer.Argument(help="Modules; all by default.")] = None,
    output: Annotated[Path, typer.Option(help="Where the list goes.")] = Path("build/bench.json"),
) -> None:
    """Measures the figures that the design is held against."""
    check_names(only or [])
    figures: list[Figure] = []
    for figure in measure(only or []):
        if any(figure.name == other.name for other in figures):
            raise UserError(f"{figure.name}: measured twice, expected unique names")
        figures.append(figure)
        console.print(f"[bench] {figure.name} = {figure.value:.6g} {figure.unit}", markup=False)
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_suffix(".part")
    part.write_text(json.dumps([figure.as_dict() for figure in figures], indent=1) + "\n")
    part.replace(output)
    print_table(figures)
    console.print(f"[bench] {len(figures)} figures: {output}", markup=False)


if __name__ == "__main__":
    try:
        typer.run(main)
    except (UserError, OSError) as error:
        print(f"tb.figures: {error}", file=sys.stderr)
        sys.exit(2)
