"""What the sub-commands share: options, a progress bar, output as JSON."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

DEFAULT_REQUESTS = 400
DEFAULT_QPS = 4.0       # the rate of vStack's runs (facts.md 1.2)

CYCLES_HELP = ("Cycle table; default: build/cycles.json, or of another timing preset "
               "build/cycles-PRESET.json.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed = Annotated[int, typer.Option(help="Seed of the generator.")]


@contextmanager
def progress_bar(quiet: bool, total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on standard error; nothing where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<28}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True,
                  disable=quiet or not console.is_terminal) as progress:
        yield progress, progress.add_task("", total=total)


def print_json(record: object) -> None:
    """One line on standard output."""
    sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
