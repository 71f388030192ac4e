"""How registers are described: the one description that hardware, page and access class share."""

import enum
from dataclasses import dataclass

from model.spec.errors import SpecError

REGISTER_BYTES = 4
BLOCK_WIDTH = 12
"""Bits of a byte address within a block: 4 KiB."""


class Access(enum.Enum):
    """What software may do with a register; anything else answers SLVERR and changes nothing."""

    RO = "read only"
    RW = "read and write"
    W1C = "read; writing 1 clears a bit"
    W1S = "writing 1 starts something; reads as 0"


@dataclass(frozen=True, kw_only=True)
class Field:
    """Some bits of a register."""

    name: str
    low: int
    width: int
    meaning: str


def flags(names: dict[str, str]) -> tuple[Field, ...]:
    """Fields of one bit each, from bit 0 on, from names and their meanings."""
    return tuple(Field(name=n, low=i, width=1, meaning=m) for i, (n, m) in enumerate(names.items()))


@dataclass(frozen=True, kw_only=True)
class RegisterSpec:
    """One 32-bit register, or an array of them.

    Attributes
    ----------
    name : str
        Name, in lower case.
    offset : int
        Byte address within the block.
    access : Access
    meaning : str
    fields : tuple of Field
        Named bits; empty if the register is one number.
    count : int
        Registers of an array, ``offset`` being the first.
    init : int
        Value after reset, of a register that can be written.
    doorbell : bool
        The hardware is told in which clock the register has been written.
    memory : bool
        An array of which the hardware looks at one entry at a time.
    """

    name: str
    offset: int
    access: Access
    meaning: str
    fields: tuple[Field, ...] = ()
    count: int = 1
    init: int = 0
    doorbell: bool = False
    memory: bool = False

    def __post_init__(self) -> None:
        if self.count > 1 and self.access not in (Access.RO, Access.RW):
            raise SpecError(f"register {self.name}", self.access.name, "an array to be RO or RW")
        if self.doorbell and (self.access is not Access.RW or self.count > 1):
            raise SpecError(f"register {self.name}", "doorbell", "a single RW register to ring it")
        if self.memory and (self.access is not Access.RW or self.count == 1 or self.init):
            raise SpecError(f"register {self.name}", "memory", "an RW array, 0 after reset")
        used = 0
        for f in self.fields:
            bits = (1 << f.width) - 1 << f.low
            if not f.width or bits & used or bits >> 8 * REGISTER_BYTES:
                raise SpecError(f"{self.name}.{f.name}", f.low, "bits of its own in 31..0")
            used |= bits

    @property
    def defined(self) -> int:
        """The bits that exist; the others read as 0."""
        if not self.fields:
            return (1 << 8 * REGISTER_BYTES) - 1
        return sum((1 << f.width) - 1 << f.low for f in self.fields)

    def field(self, name: str) -> Field:
        """The field of that name."""
        for f in self.fields:
            if f.name == name:
                return f
        raise SpecError(f"register {self.name}", name,
                        "one of " + ", ".join(f.name for f in self.fields))

    def pack(self, **values: int) -> int:
        """A register value from field values; :class:`SpecError` if one does not fit."""
        word = 0
        for name, value in values.items():
            f = self.field(name)
            if not 0 <= value < 1 << f.width:
                raise SpecError(f"{self.name}.{name}", value, f"an integer of {f.width} bits")
            word |= value << f.low
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """Field values of a register value."""
        return {f.name: word >> f.low & (1 << f.width) - 1 for f in self.fields}


@dataclass(frozen=True, kw_only=True)
class RegisterMap:
    """The registers of one block, by name and by address."""

    registers: tuple[RegisterSpec, ...]

    def __post_init__(self) -> None:
        used: dict[int, str] = {}
        names = [r.name for r in self.registers]
        for r in self.registers:
            if names.count(r.name) > 1:
                raise SpecError(f"register {r.name}", r.offset, "a name of its own")
            for address in self.addresses(r):
                if address in used or address % REGISTER_BYTES or address >= 1 << BLOCK_WIDTH:
                    raise SpecError(f"register {r.name}", address, "an address of its own")
                used[address] = r.name

    @staticmethod
    def addresses(register: RegisterSpec) -> range:
        """Byte addresses of a register or of the entries of an array."""
        return range(register.offset, register.offset + REGISTER_BYTES * register.count,
                     REGISTER_BYTES)

    def __getitem__(self, name: str) -> RegisterSpec:
        for register in self.registers:
            if register.name == name:
                return register
        raise SpecError("register", name, "one of " + ", ".join(r.name for r in self.registers))


@dataclass(frozen=True, kw_only=True)
class RegisterSpace:
    """Blocks of registers behind one bus, each in a window of 4 KiB of its own.

    Attributes
    ----------
    blocks : dict of str to RegisterMap
        Registers of every block.
    windows : dict of str to int
        Number of a block's window: its base address is that many times 4 KiB.
    """

    blocks: dict[str, RegisterMap]
    windows: dict[str, int]

    def __post_init__(self) -> None:
        if self.blocks.keys() != self.windows.keys():
            raise SpecError("register space", sorted(self.windows), f"{sorted(self.blocks)}")
        if len(set(self.windows.values())) != len(self.windows):
            raise SpecError("register space", sorted(self.windows.values()), "one window a block")

    @property
    def address_width(self) -> int:
        """Bits of a byte address."""
        return BLOCK_WIDTH + max(self.windows.values()).bit_length()

    def base(self, block: str) -> int:
        """Byte address of a block."""
        if block not in self.windows:
            raise SpecError("register block", block, "one of " + ", ".join(self.windows))
        return self.windows[block] << BLOCK_WIDTH

    def find(self, name: str) -> tuple[int, RegisterSpec]:
        """Byte address and description of the register ``"block.register"``."""
        block, _, register = name.partition(".")
        base = self.base(block)
        spec = self.blocks[block][register]
        return base + spec.offset, spec
