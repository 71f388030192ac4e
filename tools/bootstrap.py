"""Makes the environment in ``.venv`` and Verilator in ``build/verilator``; says what is missing.

``make sim`` and ``make test`` run it first. It does nothing when nothing that it installs from has
changed. Only the standard library is used, and no syntax newer than Python 3.7, so that an old
Python can say that it is too old.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.console import Missing, main, run, step

ROOT = Path(__file__).resolve().parents[1]
VENV, BUILD = ROOT / ".venv", ROOT / "build"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = BUILD / ".setup"
INPUTS = ("requirements.lock", "pyproject.toml", "tools/bootstrap.py", "tools/console.py",
          "tools/verilator_shim.py")
OLDEST = (3, 11)
# What Verilator's output needs: C++20 coroutines and the libraries of MAKE_SETTINGS in the shim.
PROBE = "#include <coroutine>\n#include <atomic>\nint main() { return 0; }\n"
PROBE_FLAGS = ("-std=gnu++20", "-fcoroutines", "-pthread", "-latomic")
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "-qq")


def key():
    """Changes whenever the set-up has to run again: inputs, Python, and where the checkout lies."""
    digest = hashlib.sha256(f"{ROOT} {sys.version_info[:3]}".encode())
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def dotted(parts):
    """The version of this Python, such as 3.11."""
    return ".".join(str(n) for n in sys.version_info[:parts])


def check_python():
    """The interpreter: new enough, and able to make an environment."""
    version = dotted(2)
    if sys.version_info < OLDEST:
        raise Missing(f"{sys.executable} is Python {version}, needed is {OLDEST[0]}.{OLDEST[1]} or "
                      "newer: apt-get install python3.11 python3.11-venv, then "
                      "make PYTHON=python3.11")
    if importlib.util.find_spec("ensurepip") is None:
        raise Missing(f"Python {version} cannot make an environment: "
                      f"apt-get install python{version}-venv")
    if " " in str(ROOT):
        raise Missing(f"the path of the checkout has a space, which make and Verilator do not "
                      f"take: move {ROOT}")


def check_compiler():
    """A C++ compiler and make, which turn Verilator's output into a simulator."""
    for tool in ("c++", "make"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is missing: apt-get install g++ make")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.cpp"
        source.write_text(PROBE)
        command = ["c++", str(source), "-o", str(source.with_suffix("")), *PROBE_FLAGS]
        if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            raise Missing("c++ cannot compile C++20 with coroutines, needed is GCC 10 or newer: "
                          "apt-get install g++")


def environment_usable():
    """Whether ``.venv`` was made at this place by this version of Python."""
    pip = VENV / "bin" / "pip"
    if not (pip.exists() and VENV_PYTHON.exists()):
        return False
    if str(VENV).encode() not in pip.read_bytes()[:300]:
        return False                      # the checkout was moved: every script points elsewhere
    report = subprocess.run([str(VENV_PYTHON), "-c", "import sys; print(sys.version_info[:3])"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return report.stdout.decode().strip() == str(sys.version_info[:3])


def make_environment():
    """``.venv`` with everything in the lock file, and this checkout importable."""
    base = getattr(sys, "_base_executable", sys.executable)
    if not environment_usable():
        with step(f"environment in .venv, Python {dotted(3)}"):
            run([base, "-m", "venv", "--clear", VENV], "python -m venv")
    count = sum("==" in line for line in (ROOT / "requirements.lock").read_text().splitlines())
    with step(f"installing {count} packages of requirements.lock (first time: about a minute)"):
        run([VENV_PYTHON, *PIP, "install", "--require-hashes", "-r", ROOT / "requirements.lock"],
            "pip install")
        run([VENV_PYTHON, *PIP, "install", "--no-build-isolation", "--no-deps", "-e", ROOT],
            "pip install -e .")


def check_libpython():
    """cocotb runs Python inside the simulator, for which it loads the shared library."""
    if not run([VENV_PYTHON, "-m", "find_libpython"], "find_libpython").strip():
        version = dotted(2)
        raise Missing(f"Python {version} has no shared library, which cocotb loads: "
                      f"apt-get install libpython{version} (or build Python with --enable-shared)")


def setup():
    """Everything, unless the stamp says that it has been done."""
    wanted = key()
    if STAMP.exists() and STAMP.read_text() == wanted and VENV_PYTHON.exists():
        return
    check_python()
    check_compiler()
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)          # another make may be doing the same
        if STAMP.exists() and STAMP.read_text() == wanted:
            return
        os.environ.pop("PYTHONPATH", None)
        make_environment()
        check_libpython()
        with step("Verilator in build/verilator"):
            run([VENV_PYTHON, ROOT / "tools" / "verilator_shim.py", BUILD / "verilator"],
                "verilator_shim")
            run([BUILD / "verilator" / "bin" / "verilator_bin", "--version"], "verilator",
                env={**os.environ, "VERILATOR_ROOT": str(BUILD / "verilator")})
        STAMP.write_text(wanted)


if __name__ == "__main__":
    main(setup)
