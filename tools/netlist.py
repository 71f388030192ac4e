"""Figures of a mapped netlist: cells, flip-flops, memory bits, and its longest combinational path.

A netlist is what Yosys' ``write_json`` leaves of one flat module.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

GATES = {"$_NOT_": 0, "$_BUF_": 0, "$_AND_": 1, "$_OR_": 1, "$_XOR_": 1, "$_XNOR_": 1,
         "$_NAND_": 1, "$_NOR_": 1, "$_ANDNOT_": 1, "$_ORNOT_": 1, "$_MUX_": 1, "$_NMUX_": 1}
"""Levels that a gate counts for: two inputs, or a multiplexer; inverters are free."""


@dataclass(frozen=True)
class Figures:
    """What a unit is made of.

    Attributes
    ----------
    cells : int
        Gates and flip-flops; inverters count as cells.
    flip_flops : int
    memory_bits : int
        Bits of memories, which are counted instead of being mapped.
    depth : int
        Gates on the longest path between registers, memories and ports. Reading a memory in the
        same clock counts as the multiplexer tree that it would be.
    """

    cells: int
    flip_flops: int
    memory_bits: int
    depth: int


def _number(value: Any) -> int:
    return int(value, 2) if isinstance(value, str) else int(value)


def _memory_paths(cell: dict[str, Any]) -> list[tuple[list[Any], list[Any], int]]:
    """Inputs, outputs and levels of a memory's asynchronous read ports."""
    parameters, wires = cell["parameters"], cell["connections"]
    clocked = _number(parameters["RD_CLK_ENABLE"])
    width, address = _number(parameters["WIDTH"]), _number(parameters["ABITS"])
    levels = (_number(parameters["SIZE"]) - 1).bit_length()
    return [(wires["RD_ADDR"][n * address:(n + 1) * address],
             wires["RD_DATA"][n * width:(n + 1) * width], levels)
            for n in range(_number(parameters["RD_PORTS"])) if not clocked >> n & 1]


def figures(module: dict[str, Any]) -> Figures:
    """Figures of a module of ``write_json``; ValueError if it has a cell that is not known."""
    cells = flip_flops = memory_bits = 0
    drivers: dict[int, tuple[list[int], int]] = {}          # wire -> wires it depends on, levels
    for cell in module["cells"].values():
        kind, wires = cell["type"], cell["connections"]
        if kind in GATES:
            cells += 1
            inputs = [b for name, bits in wires.items() if name != "Y" for b in bits]
            drivers[wires["Y"][0]] = ([b for b in inputs if isinstance(b, int)], GATES[kind])
        elif kind.startswith(("$_DFF", "$_SDFF", "$_ALDFF", "$_DLATCH")):
            cells, flip_flops = cells + 1, flip_flops + 1
        elif kind == "$mem_v2":
            memory_bits += _number(cell["parameters"]["SIZE"]) * _number(
                cell["parameters"]["WIDTH"])
            for inputs, outputs, levels in _memory_paths(cell):
                ends = [b for b in inputs if isinstance(b, int)]
                drivers.update({b: (ends, levels) for b in outputs if isinstance(b, int)})
        elif kind not in ("$scopeinfo", "$assert", "$cover", "$check", "$print"):
            raise ValueError(f"cell {kind} has not been mapped")
    return Figures(cells, flip_flops, memory_bits, _depth(drivers))


def _depth(drivers: dict[int, tuple[list[int], int]]) -> int:
    """The longest path, by visiting wires in the order of their dependencies."""
    readers: dict[int, list[int]] = defaultdict(list)
    waits: dict[int, int] = {}
    for wire, (inputs, _) in drivers.items():
        own = [b for b in set(inputs) if b in drivers]
        waits[wire] = len(own)
        for b in own:
            readers[b].append(wire)
    level = dict.fromkeys(drivers, 0)
    ready, visited = [wire for wire, n in waits.items() if not n], 0
    while ready:
        wire = ready.pop()
        visited += 1
        level[wire] += drivers[wire][1]
        for reader in readers[wire]:
            level[reader] = max(level[reader], level[wire])
            waits[reader] -= 1
            if not waits[reader]:
                ready.append(reader)
    if visited < len(drivers):
        raise ValueError(f"{len(drivers) - visited} gates lie in a combinational loop")
    return max(level.values(), default=0)
