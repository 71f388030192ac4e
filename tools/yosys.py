"""Yosys as a program: scripts run in processes of their own, by the ``pyosys`` package."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from model.spec.errors import UserError

PYOSYS = """\
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in open(sys.argv[1]):
    libyosys.run_pass(line, design)
"""


def run(command: list[str], what: str, seconds: float | None = None) -> str:
    """Output of a program; :class:`UserError` with its last line if it fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        raise UserError(f"{what}: not done after {seconds:.0f} s") from late
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise UserError(f"{what}: exit status {done.returncode}: {' '.join(last)}")
    return done.stdout


def yosys(script: str, what: str, folder: Path, *, seconds: float | None = None,
          **names: object) -> str:
    """Runs a Yosys script, one command a line, with names filled in; what it printed."""
    if find_spec("pyosys") is None:
        raise UserError("pyosys is missing: make setup installs it")
    path = folder / "script.ys"
    path.write_text(script.format(**names))
    return run([sys.executable, "-c", PYOSYS, str(path)], what, seconds)


def abc(commands: str, what: str) -> str:
    """What the ABC that comes with pyosys says to some commands."""
    found = find_spec("pyosys")
    if found is None or found.origin is None:
        raise UserError("pyosys is missing: make setup installs it")
    return run([str(Path(found.origin).parent / "yosys-abc"), "-c", commands], what)
