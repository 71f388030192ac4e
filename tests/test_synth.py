"""Figures of netlists: worked by hand, and of a unit whose registers can be counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from model.spec.attention import PimSpec
from model.spec.registers import INTERRUPTS
from tb.build import to_verilog
from tools.netlist import Figures, figures
from tools.synth import main
from tools.units import UNITS, NoPimUnit


def cell(kind: str, **wires: list[Any]) -> dict[str, Any]:
    """A cell with its connections."""
    return {"type": kind, "parameters": {}, "connections": wires}


def test_depth_is_that_of_the_longest_path_between_registers_and_ports() -> None:
    """q -> and -> not -> xor -> mux -> d: three levels, the inverter being free."""
    module = {"cells": {
        "register": cell("$_DFF_P_", C=[1], D=[14], Q=[10]),
        "and": cell("$_AND_", A=[10], B=[2], Y=[11]),
        "not": cell("$_NOT_", A=[11], Y=[12]),
        "xor": cell("$_XOR_", A=[12], B=["1"], Y=[13]),
        "mux": cell("$_MUX_", A=[13], B=[2], S=[11], Y=[14]),
    }}
    assert figures(module) == Figures(cells=5, flip_flops=1, memory_bits=0, depth=3)


def memory(clocked: str) -> dict[str, Any]:
    """Eight words of two bits, with one read port."""
    made = cell("$mem_v2", RD_ADDR=[2, 3, 4], RD_DATA=[20, 21])
    made["parameters"] = {"SIZE": "1000", "WIDTH": "10", "ABITS": "11", "RD_PORTS": "1",
                          "RD_CLK_ENABLE": clocked}
    return made


@pytest.mark.parametrize(("clocked", "depth"), [("0", 5), ("1", 1)])
def test_reading_a_memory_counts_as_multiplexers_unless_it_is_clocked(clocked: str,
                                                                      depth: int) -> None:
    module = {"cells": {"and": cell("$_AND_", A=[5], B=[6], Y=[2]), "memory": memory(clocked),
                        "or": cell("$_OR_", A=[20], B=[21], Y=[22])}}
    assert figures(module) == Figures(cells=2, flip_flops=0, memory_bits=16, depth=depth)


def test_a_loop_and_an_unmapped_cell_are_refused() -> None:
    loop = {"cells": {"a": cell("$_AND_", A=[2], B=[3], Y=[4]),
                      "b": cell("$_OR_", A=[4], B=[3], Y=[2])}}
    with pytest.raises(ValueError, match="2 gates lie in a combinational loop"):
        figures(loop)
    with pytest.raises(ValueError, match=r"cell \$add has not been mapped"):
        figures({"cells": {"sum": cell("$add", A=[2], B=[3], Y=[4])}})


def test_registers_of_a_unit_are_as_many_as_its_map_says(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`scratch`, and a status and an enable bit for each source of the interrupt."""
    output = tmp_path / "synth.json"
    assert main(["host.die_registers", "--output", str(output)]) == 0
    (row,) = json.loads(output.read_text())
    assert row["flip_flops"] == 32 + 2 * len(INTERRUPTS)
    assert row["memory_bits"] == 0 and row["cells"] > row["flip_flops"] and row["depth"] > 0
    printed = capsys.readouterr().out
    assert "host.die_registers" in printed and "not measured" in printed


def test_what_stands_for_a_pim_unit_has_its_clock_and_reset() -> None:
    # Instances in the channel are wired to both; Amaranth leaves out what nothing uses.
    verilog = to_verilog(NoPimUnit(PimSpec()), "nothing")
    assert {"input clk;", "input rst;"} <= {line.strip() for line in verilog.splitlines()}


def test_units_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantizer"]) == 2
    assert "did you mean 'quantiser'?" in capsys.readouterr().err
    assert "quantiser" in UNITS
