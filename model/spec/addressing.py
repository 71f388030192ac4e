"""How the address of a trace names a 32-byte word: fields from most to least significant.

Addresses count words of 32 bytes. The order is pseudo-channel, SID, bank group, bank, row, column,
so that neighbouring addresses lie in one row; who wants another order permutes the trace.
"""

from dataclasses import dataclass

from model.spec.errors import SpecError, UserError, unknown_name
from model.spec.geometry import ChannelGeometry
from model.spec.timing import HBM3_5200, HBM4_8000

PSEUDO_CHANNELS = {
    HBM4_8000.name: 64,     # 32 channels x 2 (facts.md 6.1)
    HBM3_5200.name: 32,     # 16 channels x 2 (facts.md 2.2)
}
"""Preset -> pseudo-channels of a stack."""

FULL_ROWS = 1 << 14
"""Rows of a bank, of both standards (facts.md 2.2, 6.1)."""


def full_geometry(preset: str) -> ChannelGeometry:
    """A pseudo-channel of an 8-high stack: a PIM SID, used as plain storage, and a capacity SID."""
    if preset not in PSEUDO_CHANNELS:
        raise unknown_name("preset", preset, PSEUDO_CHANNELS)
    return ChannelGeometry(pim_banks=16, capacity_banks=16, rows=FULL_ROWS,
                           bank_groups=4 if preset == HBM3_5200.name else 2)


@dataclass(frozen=True)
class Place:
    """What an address names."""

    pseudo_channel: int
    sid: int
    bank_group: int
    bank: int
    row: int
    column: int


@dataclass(frozen=True, kw_only=True)
class AddressMap:
    """Fields of an address.

    Attributes
    ----------
    pseudo_channels : int
        Pseudo-channels of the stack, a power of two.
    geometry : ChannelGeometry
        A pseudo-channel.
    """

    pseudo_channels: int
    geometry: ChannelGeometry

    def __post_init__(self) -> None:
        for name, width in self.fields:
            if width < 0 or self.sizes[name] != 1 << width:
                raise SpecError(name, self.sizes[name], "a power of two")

    @property
    def sizes(self) -> dict[str, int]:
        """How many there are of each, from most to least significant."""
        g = self.geometry
        return {"pseudo_channel": self.pseudo_channels,
                "sid": (max(g.banks) // g.banks_per_sid) + 1,
                "bank_group": g.bank_groups, "bank": g.banks_per_sid // g.bank_groups,
                "row": g.rows, "column": g.columns}

    @property
    def fields(self) -> list[tuple[str, int]]:
        """Names and widths in bits, from most to least significant."""
        return [(name, size.bit_length() - 1) for name, size in self.sizes.items()]

    @property
    def width(self) -> int:
        """Bits of an address."""
        return sum(width for _, width in self.fields)

    def place(self, address: int) -> Place:
        """The word of an address; :class:`~model.spec.errors.UserError` if it is too large."""
        if not 0 <= address < 1 << self.width:
            raise UserError(f"address {address:#x}: expected at most {(1 << self.width) - 1:#x}, "
                            f"{self.width} bits")
        parts = {}
        for name, width in reversed(self.fields):
            parts[name] = address & (1 << width) - 1
            address >>= width
        return Place(**parts)

    def address(self, place: Place) -> int:
        """The address of a word."""
        address = 0
        for name, width in self.fields:
            value = getattr(place, name)
            if not 0 <= value < 1 << width:
                raise SpecError(name, value, f"0..{(1 << width) - 1}")
            address = address << width | value
        return address

    def bank_number(self, place: Place) -> int:
        """The bank as the channel numbers it."""
        g = self.geometry
        per_group = g.banks_per_sid // g.bank_groups
        return place.sid * g.banks_per_sid + place.bank_group * per_group + place.bank
