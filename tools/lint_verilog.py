"""Verilator's lint of the Verilog of every design; a warning that is not waived is an error."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tb.build import to_verilog
from tb.designs import DESIGNS

OUTPUT = Path(__file__).resolve().parents[1] / "build" / "verilog" / "lint"

WAIVED: Mapping[tuple[str, str], str] = {
    # (rule, message): why it says nothing of the design
    ("WIDTHEXPAND", "*"): "Yosys leaves extensions to Verilog's rules; widths are checked where "
                          "they are written, by tools/lint_truncation.py",
    ("WIDTHTRUNC", "Logical operator *"): "Yosys writes `!` and `&&` of vectors for comparisons "
                                          "with zero",
    ("WIDTHTRUNC", "*SHIFTR generates*"): "Yosys indexes an array by shifting all of it",
    ("UNUSEDSIGNAL", "*"): "Amaranth names every field of a structure, read or not",
    ("CASEINCOMPLETE", "*"): "Yosys assigns the default before the case",
    ("CASEOVERLAP", "*"): "Amaranth's Switch takes the first pattern that matches",
    ("UNSIGNED", "*"): "the first turn of a Python loop compares with 0",
    ("VARHIDDEN", "*"): "Amaranth names the array of a memory after its instance",
    ("DECLFILENAME", "*"): "one file holds all the modules of a design",
    ("ASCRANGE", "*[-1:0]*"): "a memory of one place, inside Amaranth's FIFO of two, has "
                              "an address of no bits",
    ("PROCASSINIT", "*"): "registers have their reset value at time 0 too",
}


def lint(name: str, text: str, folder: Path) -> str:
    """What Verilator says of Verilog whose top module is ``name``; empty if nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{name}.v"
    source.write_text(text)
    waivers = folder / f"{name}.vlt"
    waivers.write_text("`verilator_config\n" + "".join(
        f'lint_off -rule {rule} -file "*" -match "{message}"\n' for rule, message in WAIVED))
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", "--quiet-stats", "--no-timing", "--top-module", name,
         waivers, source], capture_output=True, text=True)
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
