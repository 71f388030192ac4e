"""``tokenstack explain``: what bounded each system of a result, in words."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from model.spec.errors import UserError
from runtime.commands.common import Json, print_json
from runtime.insight.explain import comparison, verdict


def explain(
    result: Annotated[Path, typer.Argument(
        help="A results.json of tokenstack sim, or a cell of a study.")]
    = Path("build/results.json"),
    json: Json = False,
) -> None:
    """Say what bounded each system (compute, PIM, link, capacity, queueing), and by how much."""
    systems = systems_of(result)
    try:
        verdicts = {name: verdict(r) for name, r in systems.items() if r["feasible"]}
        compared = comparison(systems)
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise UserError(f"{result}: result: expected the figures of a run, not one without "
                        f"{error}") from None
    if json:
        print_json({"systems": {
            name: {"bound": v.cause, "shares": v.shares, "parts": v.parts, "text": v.sentences}
            for name, v in verdicts.items()},
            "infeasible": {n: r["reason"] for n, r in systems.items() if not r["feasible"]},
            "comparison": compared})
        return
    console = Console()

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, markup=False)

    for name, r in systems.items():
        say(name, "bold")
        for sentence in verdicts[name].sentences if name in verdicts else (r["reason"] + ".",):
            say(f"  {sentence}")
    for sentence in compared:
        say(sentence)


def systems_of(path: Path) -> dict[str, dict[str, Any]]:
    """Results by system, of a results.json or a study's cell."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=dict)
    except OSError as error:
        raise UserError(f"{path}: result: expected a results.json, as `make sim` leaves it, not "
                        f"{(error.strerror or str(error)).lower()!r}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: result: expected JSON, not {str(error)!r}") from None
    if isinstance(record.get("cell"), dict) and "system" in record["cell"]:
        return {record["cell"]["system"]: record}
    systems = record.get("systems")
    if not isinstance(systems, dict) or not systems or not all(
            isinstance(r, dict) and "feasible" in r for r in systems.values()):
        raise UserError(f"{path}: systems: expected the systems of a results.json, not a file "
                        "without")
    return systems
