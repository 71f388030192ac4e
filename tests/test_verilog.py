"""The generated Verilog: the same bytes in every run, and nothing in it that never wakes up."""

import functools
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tb.build import DUMMY_REGISTER, to_verilog
from tb.designs import DESIGNS
from tools import lint_verilog

ROOT = Path(__file__).resolve().parents[1]
WHOLE = ("slice", "base_die")
"""The designs that contain nearly all units."""

DIGESTS = f"""
import hashlib
from tb.build import to_verilog
from tb.designs import DESIGNS
for name in {WHOLE}:
    print(name, hashlib.sha256(to_verilog(DESIGNS[name](), name).encode()).hexdigest())
"""
BENCH = """
module bench;
  reg [1:0] i = 0;
  wire [2:0] o;
  mixed dut (.i(i), .o(o));
  initial begin
    #1 $display("%b", o);
    i = 3;
    #1 $display("%b", o);
  end
endmodule
"""


@functools.cache
def verilog(name: str) -> str:
    """Verilog of a design, generated in this process."""
    return to_verilog(DESIGNS[name](), name)


def test_another_process_with_other_hashes_elsewhere_generates_the_same_bytes(
        tmp_path: Path) -> None:
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"      # by default it is random
    there = subprocess.run([sys.executable, "-c", DIGESTS], cwd=tmp_path, check=True, text=True,
                           env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
                           capture_output=True).stdout
    here = "".join(f"{name} {hashlib.sha256(verilog(name).encode()).hexdigest()}\n"
                   for name in WHOLE)
    assert here and there == here


def sleeping(text: str) -> list[str]:
    """Combinational blocks without the register that wakes them."""
    return re.findall(r"always @\*(?!\s*begin\s*if \(\\\$\S+ \) begin end)[^;]*;", text)


@pytest.mark.parametrize("name", DESIGNS)
def test_verilator_finds_nothing_to_complain_about_and_every_block_wakes(
        name: str, tmp_path: Path) -> None:
    text = verilog(name)
    assert ("always @*" in text or "always" not in text) and not sleeping(text)
    assert not lint_verilog.lint(name, text, tmp_path)


class Mixed(wiring.Component):
    """A constant bit beside conditional ones, which Yosys drives from a block of its own."""

    i: Signal
    o: Signal

    def __init__(self) -> None:
        super().__init__({"i": In(2), "o": Out(3)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.o[0].eq(1)
        with m.If(self.i[0]):
            m.d.comb += self.o[1:].eq(self.i)
        return m


def test_a_constant_bit_beside_conditional_ones_is_driven_from_the_start(tmp_path: Path) -> None:
    text = to_verilog(Mixed(), "mixed")
    assert not sleeping(text) and len(sleeping(text.replace("$wake", ""))) == 1
    assert not lint_verilog.lint("mixed", text, tmp_path)      # ALWNEVER if it were never driven
    source, binary = tmp_path / "icarus.v", tmp_path / "icarus.vvp"
    source.write_text(DUMMY_REGISTER.sub(r"reg \1; initial #0 \1= 0;", text) + BENCH)
    subprocess.run(["iverilog", "-g2012", "-s", "bench", "-o", binary, source], check=True)
    shown = subprocess.run(["vvp", "-n", binary], check=True, capture_output=True, text=True).stdout
    assert shown.split() == ["001", "111"]
