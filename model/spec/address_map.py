"""Linear byte addresses of a pseudo-channel, and the bank, row and column that they name."""

from dataclasses import dataclass, field

from model.spec.errors import SpecError, unknown_name
from model.spec.geometry import BEAT_BYTES, ChannelGeometry

ROW_MAJOR = ("sid", "bank_group", "bank", "row", "column")
"""The order of `tokenstack dram`: a bank is one stretch of addresses, a row one within it."""

INTERLEAVED = ("sid", "row", "column", "bank", "bank_group")
"""Neighbouring beats lie in different bank groups, then in different banks of the same row number:
a stream of addresses keeps all banks of a SID busy. Where a SID has fewer banks than 16, those
addresses that would be theirs name nothing."""

ORDERS = {"row_major": ROW_MAJOR, "interleaved": INTERLEAVED}

OFFSET_BITS = (BEAT_BYTES - 1).bit_length()
"""Bits of an address within a beat."""


@dataclass(frozen=True, kw_only=True)
class AddressMap:
    """Which bits of a byte address are which bits of bank, row and column.

    Attributes
    ----------
    geometry : ChannelGeometry
    order : tuple of str
        Fields from the most to the least significant, above the byte within the beat.
    """

    geometry: ChannelGeometry = field(default_factory=ChannelGeometry)
    order: tuple[str, ...] = ROW_MAJOR

    def __post_init__(self) -> None:
        if sorted(self.order) != sorted(ROW_MAJOR):
            raise SpecError("order", self.order, f"{', '.join(ROW_MAJOR)} in some order")

    @property
    def field_widths(self) -> dict[str, int]:
        """Bits of every field."""
        g = self.geometry
        group, banks = g.bank_groups.bit_length() - 1, g.banks_per_sid.bit_length() - 1
        return {"sid": g.bank_width - banks, "bank_group": group, "bank": banks - group,
                "row": (g.rows - 1).bit_length(), "column": (g.columns - 1).bit_length()}

    @property
    def width(self) -> int:
        """Bits of a byte address."""
        return OFFSET_BITS + sum(self.field_widths.values())

    @property
    def sources(self) -> dict[str, tuple[int, ...]]:
        """For bank, row and column, the bit of the address that each of its bits is, from bit 0."""
        widths, low, at = self.field_widths, OFFSET_BITS, {}
        for name in reversed(self.order):
            at[name] = tuple(range(low, low + widths[name]))
            low += widths[name]
        return {"bank": (*at["bank"], *at["bank_group"], *at["sid"]),
                "row": at["row"], "column": at["column"]}

    def place(self, address: int) -> tuple[int, int, int]:
        """Bank, row and column of a byte address; the bank or row may not exist."""
        bank, row, column = (sum((address >> bit & 1) << i for i, bit in enumerate(bits))
                             for bits in self.sources.values())
        return bank, row, column

    def address(self, bank: int, row: int, column: int) -> int:
        """Byte address of a column."""
        return sum((value >> i & 1) << bit
                   for value, bits in zip((bank, row, column), self.sources.values(), strict=True)
                   for i, bit in enumerate(bits))


def address_order(name: str) -> tuple[str, ...]:
    """An order by its name; :class:`~model.spec.errors.UserError` if there is none."""
    if name not in ORDERS:
        raise unknown_name("order", name, ORDERS)
    return ORDERS[name]
