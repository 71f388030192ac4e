"""Writes requirements.lock: every package with version and hashes, and no name of a host.

``make lock`` runs it. The resolver, uv, is installed into an environment of its own below build.
"""

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / "build" / "lock"
UV = "uv==0.13.8"


def main() -> None:
    """Resolves the project and its dev group for every supported Python and platform."""
    resolver = ENVIRONMENT / "bin" / "uv"
    if not resolver.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        subprocess.run([ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "-qq", UV],
                       check=True)
    subprocess.run(
        [resolver, "pip", "compile", "--quiet", "pyproject.toml", "--group", "dev", "--universal",
         "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header",
         "--system-certs", "--output-file", "requirements.lock"],
        cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"lock: {' '.join(map(str, error.cmd))} failed")
