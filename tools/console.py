"""One line for each step of the set-up, one line for what is missing; Python 3.7 runs it too."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOG = ROOT / "build" / "setup.log"


class Missing(Exception):
    """Something that the machine lacks; the text says what, and how to get it."""


@contextmanager
def step(text):
    """Prints what is being done, and how long it took."""
    print(f"[setup] {text} ...", end=" ", flush=True)
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print(flush=True)
        raise
    print(f"{time.monotonic() - start:.1f} s", flush=True)


def run(command, what, **options):
    """Runs a command in silence and returns its output; if it fails, quotes its first error."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        text = done.stdout + "\n" + done.stderr
        LOG.write_text(text)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith(("error", "e:"))] or lines[-1:]
        reason = errors[0] if errors else f"exit status {done.returncode}"
        raise Missing(f"{what}: {reason} (all it said: {LOG.relative_to(ROOT)})")
    return done.stdout


def main(function):
    """Runs ``function``; what is missing becomes one line and exit status 2."""
    try:
        function()
    except Missing as missing:
        print(f"[setup] {missing}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
