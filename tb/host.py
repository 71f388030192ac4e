"""The host's side: registers by name, over a bus that is not our own code."""

import logging
from typing import Any

from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from model.register_access import Register, RegisterAccess
from model.spec.registers import REGISTER_BYTES, RegisterSpace, register_map, space


class AxiLiteTransport:
    """Words over AXI4-Lite; fails unless the answer is OKAY.

    Parameters
    ----------
    dut : handle
        A device with ``clk``, ``rst`` and an AXI4-Lite port.
    bus : str
        Name of the port.
    """

    def __init__(self, dut: Any, bus: str = "bus") -> None:
        self.master: Any = AxiLiteMaster(        # cocotbext-axi has no annotations
            AxiLiteBus.from_prefix(dut, f"{bus}_"), dut.clk, dut.rst)
        for side in (self.master.write_if, self.master.read_if):
            side.log.setLevel(logging.ERROR)

    async def read(self, address: int) -> int:
        """The word at an address."""
        answer = await self.master.read(address, REGISTER_BYTES)
        assert answer.resp == AxiResp.OKAY, f"read of {address:#x}: {answer.resp!r}"
        return int.from_bytes(answer.data, "little")

    async def write(self, address: int, value: int) -> None:
        """Writes the word at an address."""
        answer = await self.master.write(address, value.to_bytes(REGISTER_BYTES, "little"))
        assert answer.resp == AxiResp.OKAY, f"write of {address:#x}: {answer.resp!r}"


class Host:
    """Reads and writes the registers of a slice through ``cocotbext-axi``.

    Parameters
    ----------
    dut : handle
        A device with ``clk``, ``rst`` and an AXI4-Lite port ``bus``.
    """

    def __init__(self, dut: Any) -> None:
        self.transport = AxiLiteTransport(dut)
        self.master = self.transport.master
        self.map = register_map()
        self.registers = RegisterAccess(space({"slice": self.map}), self.transport)

    def _register(self, name: str) -> Register:
        return self.registers[f"slice.{name}"]

    def address(self, name: str, index: int = 0) -> int:
        """Byte address of a register or of an array's entry."""
        return self._register(name).address(index)

    async def write(self, name: str, value: int, index: int = 0) -> None:
        """Writes a register; fails unless the answer is OKAY."""
        await self._register(name).write(value, index)

    async def write_fields(self, name: str, **fields: int) -> None:
        """Writes a register from its fields; fields not given are 0."""
        await self._register(name).set(**fields)

    async def read(self, name: str, index: int = 0) -> int:
        """A register's value; fails unless the answer is OKAY."""
        return await self._register(name).read(index)

    async def read_fields(self, name: str) -> dict[str, int]:
        """A register's fields."""
        return await self._register(name).fields()


def hosts(dut: Any, registers: RegisterSpace, bus: str = "bus") -> tuple[RegisterAccess, Any]:
    """The registers of a whole space by name, and the AXI4-Lite manager that reaches them."""
    transport = AxiLiteTransport(dut, bus)
    return RegisterAccess(registers, transport), transport.master
