"""The host's side of a slice: registers by name, over a bus that is not our own code."""

import logging
from typing import Any

from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from model.spec.registers import REGISTER_BYTES, register_map


class Host:
    """Reads and writes registers through ``cocotbext-axi``.

    Parameters
    ----------
    dut : handle
        A device with ``clk``, ``rst`` and an AXI4-Lite port ``bus``.
    """

    def __init__(self, dut: Any) -> None:
        self.master: Any = AxiLiteMaster(        # cocotbext-axi has no annotations
            AxiLiteBus.from_prefix(dut, "bus_"), dut.clk, dut.rst)
        for side in (self.master.write_if, self.master.read_if):
            side.log.setLevel(logging.ERROR)
        self.map = register_map()

    def address(self, name: str, index: int = 0) -> int:
        """Byte address of a register or of an array's entry."""
        return self.map[name].offset + REGISTER_BYTES * index

    async def write(self, name: str, value: int, index: int = 0) -> None:
        """Writes a register; fails unless the answer is OKAY."""
        answer = await self.master.write(
            self.address(name, index), value.to_bytes(REGISTER_BYTES, "little"))
        assert answer.resp == AxiResp.OKAY, f"write of {name}[{index}]: {answer.resp!r}"

    async def write_fields(self, name: str, **fields: int) -> None:
        """Writes a register from its fields; fields not given are 0."""
        await self.write(name, self.map[name].pack(**fields))

    async def read(self, name: str, index: int = 0) -> int:
        """A register's value; fails unless the answer is OKAY."""
        answer = await self.master.read(self.address(name, index), REGISTER_BYTES)
        assert answer.resp == AxiResp.OKAY, f"read of {name}[{index}]: {answer.resp!r}"
        return int.from_bytes(answer.data, "little")

    async def read_fields(self, name: str) -> dict[str, int]:
        """A register's fields."""
        return self.map[name].unpack(await self.read(name))
