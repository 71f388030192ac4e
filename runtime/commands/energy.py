"""``tokenstack energy``: the energy of a result with any table of prices."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from model.spec.errors import UserError
from runtime.commands.common import Json, print_json
from runtime.commands.explain import systems_of
from runtime.energy import ENERGY_TABLES, PLACES, energy_table
from runtime.energy.price import joules_per_token
from runtime.files import write_atomically
from runtime.plots import energy_stack


def energy(
    result: Annotated[Path, typer.Argument(
        help="A results.json of tokenstack sim, or a cell of a study.")]
    = Path("build/results.json"),
    table: Annotated[str, typer.Option(help=f"One of {', '.join(ENERGY_TABLES)}.")] = "hbm4",
    plot: Annotated[Path | None, typer.Option(
        help="Also draw the breakdown into this SVG file.")] = None,
    json: Json = False,
) -> None:
    """Joules of an output token by place, from the counts of a result; no run is repeated."""
    prices, systems = energy_table(table), systems_of(result)
    try:
        found = {name: joules_per_token(name, r, prices) for name, r in systems.items()
                 if r["feasible"]}
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise UserError(f"{result}: result: expected the figures of a run, not one without "
                        f"{error}") from None
    if plot is not None and found:
        try:
            write_atomically(plot, energy_stack(
                {name: f["places"] for name, f in found.items()}, f"Energy, {table}").encode())
        except OSError as error:
            raise UserError(f"{plot}: plot: expected a file that can be written, not "
                            f"{(error.strerror or str(error)).lower()!r}") from None
    if json:
        print_json({"table": table, "source": prices.source, "joules_per_token": found})
        return
    shown = Table(title=f"mJ an output token, table {table}", title_justify="left",
                  box=box.SIMPLE_HEAD)
    shown.add_column("")
    for name in found:
        shown.add_column(name, justify="right")
    for place in PLACES:
        if any(f["places"][place] for f in found.values()):
            shown.add_row(place, *(f"{1e3 * f['places'][place]:.2f}" for f in found.values()))
    shown.add_section()
    shown.add_row("in all", *(f"{1e3 * f['total']:.2f}" for f in found.values()))
    Console().print(shown)
