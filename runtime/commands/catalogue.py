"""``tokenstack models`` and ``tokenstack systems``: what the others take by name."""

from dataclasses import asdict

from rich.console import Console

from runtime import tables
from runtime.commands.common import Json, print_json
from runtime.models import MODELS
from runtime.systems import SYSTEMS


def models_command(json: Json = False) -> None:
    """List the models."""
    if json:
        print_json({"models": [{"name": m.name, "parameters": m.parameters, "source": m.source,
                                 "kv_bytes_per_token": m.kv_bytes_per_token}
                                for m in MODELS.values()]})
        return
    Console().print(tables.model_table(MODELS.values()))


def systems_command(json: Json = False) -> None:
    """List the systems."""
    if json:
        print_json({"systems": [asdict(s) for s in SYSTEMS.values()]})
        return
    Console().print(tables.system_table(SYSTEMS.values()))
