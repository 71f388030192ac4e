"""``make formal``: proves the claims of ``tb/proofs.py``.

Claims without state are one question to the SAT solver of Yosys; the others go to ABC's PDR, which
either finds an inductive invariant, so that they hold for ever, or a run that breaks them.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from model.spec.errors import UserError, unknown_name
from tb.build import to_verilog
from tb.proofs import PROOFS, Engine, Proof
from tools.yosys import abc, yosys

LIMIT_SECONDS = 900
PREPARE = """\
read_verilog {verilog}
hierarchy -check -top {top}
proc
flatten
memory -nordff
memory_map
opt -full -nodffe -nosdff
"""
SAT = "sat -verify -prove ok 1 -set assume 1 {top}\n"
AIGER = """\
delete -output {top}/w:ok {top}/w:assume
opt -full -nodffe -nosdff
opt_clean -purge
techmap
aigmap
write_aiger -zinit {aiger}
"""
SCRIPTS = {Engine.SAT: SAT, Engine.PDR: AIGER}


def prove(name: str, proof: Proof) -> float:
    """Seconds that a proof took; :class:`UserError` if the claim does not hold."""
    start, top = time.monotonic(), f"{name}_proof"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source, aiger = folder / f"{top}.v", folder / f"{top}.aig"
        source.write_text(to_verilog(proof.make(), top))
        yosys(PREPARE + SCRIPTS[proof.engine], f"proof {name}", folder, seconds=LIMIT_SECONDS,
              verilog=source, top=top, aiger=aiger)
        if proof.engine is Engine.PDR:
            said = abc(f"read_aiger {aiger}; strash; pdr -T {LIMIT_SECONDS}", f"proof {name}")
            if "Property proved" not in said:
                raise UserError(f"proof {name}: {said.strip().splitlines()[-1]}")
    return time.monotonic() - start


def main(arguments: list[str] | None = None) -> int:
    """Proves everything, or the claims that are named; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.formal", description=__doc__)
    parser.add_argument("claims", nargs="*", help="names of claims; all by default")
    names = parser.parse_args(arguments).claims
    console, failed = Console(), 0
    try:
        for name in names:
            if name not in PROOFS:
                raise unknown_name("claim", name, PROOFS)
    except UserError as error:
        print(f"formal: {error}", file=sys.stderr)
        return 2
    for name in names or PROOFS:
        try:
            seconds = prove(name, PROOFS[name])
        except UserError as error:
            failed += 1
            console.print(f"[formal] {name}: NOT PROVED: {PROOFS[name].claim}\n    {error}",
                          markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(f"[formal] {name}: proved in {seconds:.0f} s: {PROOFS[name].claim}",
                          markup=False, highlight=False, soft_wrap=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
