"""Verilator's lint of the Verilog of every design; a warning that is not waived is an error."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tb.build import to_verilog
from tb.designs import DESIGNS

OUTPUT = Path(__file__).resolve().parents[1] / "build" / "verilog" / "lint"

WAIVED: Mapping[str, str] = {
    "WIDTH": "Yosys leaves sizes of constants and extensions to Verilog's rules; widths are "
             "checked in Amaranth by tools/lint_truncation.py",
    "UNUSEDSIGNAL": "Amaranth names every field of a structure, and reads only some of them",
    "CASEINCOMPLETE": "Yosys assigns the default before the case",
    "DECLFILENAME": "one file holds all the modules of a design",
    "PROCASSINIT": "initial values are declared where a process assigns the register",
}


def lint(name: str, text: str, folder: Path) -> str:
    """What Verilator says of Verilog whose top module is ``name``; empty if nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{name}.v"
    source.write_text(text)
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", "--no-timing", "--top-module", name,
         *(f"-Wno-{rule}" for rule in WAIVED), source], capture_output=True, text=True)
    said = (done.stdout + done.stderr).strip()
    return said or ("" if done.returncode == 0 else f"{name}: exit status {done.returncode}")


def main() -> int:
    """Lints every design; returns the exit status."""
    said = [text for name, factory in DESIGNS.items()
            if (text := lint(name, to_verilog(factory(), name), OUTPUT))]
    print("\n".join(said), end="\n" if said else "")
    return bool(said)


if __name__ == "__main__":
    sys.exit(main())
