"""The sub-commands, a file each. A new one is a file here and a line below."""

from collections.abc import Callable

from runtime.commands.cache import cache
from runtime.commands.catalogue import models_command, systems_command
from runtime.commands.energy import energy
from runtime.commands.explain import explain
from runtime.commands.fixed import fixed
from runtime.commands.generate import generate_command
from runtime.commands.sim import sim
from runtime.commands.study import study
from runtime.commands.timeline import timeline_command

COMMANDS: dict[str, Callable[..., None]] = {
    "sim": sim,
    "study": study,
    "explain": explain,
    "energy": energy,
    "timeline": timeline_command,
    "fixed": fixed,
    "generate": generate_command,
    "cache": cache,
    "models": models_command,
    "systems": systems_command,
}
"""Function of every sub-command, in the order of the help."""
