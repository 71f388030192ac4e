"""The register map of the slice: hardware, documentation and benches all come from this table."""

import enum
from dataclasses import dataclass

from model.spec.errors import SpecError
from model.spec.slice import SliceSpec

REGISTER_BYTES = 4
ADDRESS_WIDTH = 12
"""Bits of a byte address: a window of 4 KiB."""

IDENTIFIER = int.from_bytes(b"TSK1", "big")
WAVES_MAX = 64
"""Entries of the wave table: the most waves of one attention."""


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


@dataclass(frozen=True, kw_only=True)
class RegisterSpec:
    """One 32-bit register, or an array of them.

    Attributes
    ----------
    name : str
        Name, in lower case.
    offset : int
        Byte address.
    access : Access
    meaning : str
    fields : tuple of Field
        Named bits; empty if the register is one number.
    count : int
        Registers of an array, ``offset`` being the first.
    """

    name: str
    offset: int
    access: Access
    meaning: str
    fields: tuple[Field, ...] = ()
    count: int = 1

    def field(self, name: str) -> Field:
        """The field of that name."""
        return next(f for f in self.fields if f.name == name)

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


COUNTERS = {
    "attend_cycles": "clocks of the last attention, from start to its last result beat",
    "dma_cycles": "clocks of the last block move, from start to its last write in the array",
    "activates": "ACT commands",
    "row_passes": "ACT_ALL commands, one a row pass",
    "column_reads": "RD commands",
    "column_writes": "WR commands",
    "macs": "MAC_ALL commands",
    "register_transfers": "REG_WR and REG_RD commands",
    "refreshes": "REF and REF_ALL commands",
    "row_hits": "accesses that found their row open",
    "row_misses": "accesses that found their bank closed",
    "row_conflicts": "accesses that found another row open",
}
"""Performance counters, in the order of their registers."""

ERRORS = {
    "bad_attention": "the attention was refused: context 0, too long, or a shape not built",
    "bad_move": "the block move was refused: no such bank or row, zero rows, or an overlap",
    "nan_score": "a score was NaN; its token has the lowest weight",
    "device": "a DRAM command broke the protocol, or a PIM unit was overrun",
}
"""Bits of the error register."""


def _bits(names: dict[str, str]) -> tuple[Field, ...]:
    return tuple(Field(name=n, low=i, width=1, meaning=m) for i, (n, m) in enumerate(names.items()))


def _bank_row(meaning: str) -> tuple[Field, ...]:
    return (Field(name="row", low=0, width=16, meaning=f"first row {meaning}"),
            Field(name="bank", low=16, width=8, meaning=f"bank {meaning}, SID included"))


@dataclass(frozen=True, kw_only=True)
class RegisterMap:
    """All registers of a slice, by name and by address."""

    registers: tuple[RegisterSpec, ...]

    def __post_init__(self) -> None:
        used: dict[int, str] = {}
        for r in self.registers:
            for address in self.addresses(r):
                if address in used or address >= 1 << ADDRESS_WIDTH:
                    raise SpecError(f"register {r.name}", address, "an address of its own")
                used[address] = r.name

    @staticmethod
    def addresses(register: RegisterSpec) -> range:
        """Byte addresses of a register or of the entries of an array."""
        return range(register.offset, register.offset + REGISTER_BYTES * register.count,
                     REGISTER_BYTES)

    def __getitem__(self, name: str) -> RegisterSpec:
        return next(r for r in self.registers if r.name == name)


def register_map() -> RegisterMap:
    """The register map of a slice."""
    ro, rw = Access.RO, Access.RW
    registers = [
        RegisterSpec(name="identifier", offset=0x000, access=ro, meaning="the letters TSK1"),
        RegisterSpec(
            name="capabilities", offset=0x004, access=ro, meaning="what was built", fields=(
                Field(name="pim_banks", low=0, width=8, meaning="banks with a PIM unit"),
                Field(name="capacity_banks", low=8, width=8, meaning="plain banks"),
                Field(name="chunks_max", low=16, width=8, meaning="largest head size / 16"),
                Field(name="group_max", low=24, width=8, meaning="most query heads a KV head"))),
        RegisterSpec(
            name="control", offset=0x008, access=Access.W1S, meaning="starts", fields=_bits({
                "attend": "start an attention", "move": "start a block move"})),
        RegisterSpec(
            name="status", offset=0x00C, access=ro, meaning="what runs", fields=_bits({
                "attend_busy": "an attention runs", "move_busy": "a block move runs"})),
        RegisterSpec(name="error", offset=0x010, access=Access.W1C, meaning="what went wrong",
                     fields=_bits(ERRORS)),
        RegisterSpec(name="scale", offset=0x014, access=rw,
                     meaning="log2(e) / sqrt(head size) as binary32"),
        RegisterSpec(name="context", offset=0x018, access=rw, meaning="tokens to attend to"),
        RegisterSpec(
            name="shape", offset=0x01C, access=rw, meaning="of the attention", fields=(
                Field(name="last_chunk", low=0, width=8, meaning="head size / 16 - 1"),
                Field(name="last_head", low=8, width=8, meaning="query heads - 1"),
                Field(name="partial", low=16, width=1,
                      meaning="1: the result is (m, l, o), not normalised"))),
        RegisterSpec(name="move_source", offset=0x020, access=rw, meaning="block to move",
                     fields=_bank_row("to read")),
        RegisterSpec(name="move_destination", offset=0x024, access=rw, meaning="where it goes",
                     fields=_bank_row("to write")),
        RegisterSpec(name="move_rows", offset=0x028, access=rw, meaning="rows to move"),
        *(RegisterSpec(name=name, offset=0x080 + REGISTER_BYTES * i, access=ro, meaning=meaning)
          for i, (name, meaning) in enumerate(COUNTERS.items())),
        RegisterSpec(name="wave_row", offset=0x100, access=rw, count=WAVES_MAX,
                     meaning="first row of the blocks of a wave, in every PIM bank"),
    ]
    return RegisterMap(registers=tuple(registers))


def capabilities(spec: SliceSpec) -> int:
    """Value of the capabilities register."""
    return register_map()["capabilities"].pack(
        pim_banks=spec.geometry.pim_banks, capacity_banks=spec.geometry.capacity_banks,
        chunks_max=spec.pim.chunks_max, group_max=spec.pim.group_max)
