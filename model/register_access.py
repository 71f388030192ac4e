"""Registers by name, over any bus: what a driver would use, made from the register map."""

from typing import Protocol

from model.spec.errors import SpecError
from model.spec.register_map import REGISTER_BYTES, RegisterSpace, RegisterSpec


class Transport(Protocol):
    """A way to read and write 32-bit words at byte addresses."""

    async def read(self, address: int) -> int:
        """The word at an address."""
        ...

    async def write(self, address: int, value: int) -> None:
        """Writes the word at an address."""
        ...


class Register:
    """One register, or an array of them, behind a transport.

    Parameters
    ----------
    transport : Transport
    address : int
        Byte address of the first entry.
    spec : RegisterSpec
    """

    def __init__(self, transport: Transport, address: int, spec: RegisterSpec) -> None:
        self.transport, self.base, self.spec = transport, address, spec

    def address(self, index: int = 0) -> int:
        """Byte address of an entry."""
        if not 0 <= index < self.spec.count:
            raise SpecError(f"index of {self.spec.name}", index, f"less than {self.spec.count}")
        return self.base + REGISTER_BYTES * index

    async def read(self, index: int = 0) -> int:
        """Its value."""
        return await self.transport.read(self.address(index))

    async def write(self, value: int, index: int = 0) -> None:
        """Writes all of it."""
        await self.transport.write(self.address(index), value)

    async def fields(self, index: int = 0) -> dict[str, int]:
        """Its fields by name."""
        return self.spec.unpack(await self.read(index))

    async def set(self, **fields: int) -> None:
        """Writes it from its fields; those not given are 0."""
        await self.write(self.spec.pack(**fields))

    async def update(self, **fields: int) -> None:
        """Changes the fields given, and no others; not atomic against other software."""
        await self.set(**{**await self.fields(), **fields})


class RegisterAccess:
    """``access["block.register"]`` is that register.

    Parameters
    ----------
    space : RegisterSpace
    transport : Transport
    """

    def __init__(self, space: RegisterSpace, transport: Transport) -> None:
        self.space, self.transport = space, transport

    def __getitem__(self, name: str) -> Register:
        return Register(self.transport, *self.space.find(name))
