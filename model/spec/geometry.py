"""Organisation of a stack and of the slice of it that is simulated."""

from dataclasses import dataclass

from model.spec.errors import SpecError, require_int

BEAT_BYTES = 32
"""Bytes of one column, one burst and one beat of the data bus (BL8 x 32 DQ, facts.md 6.1)."""

PIM_SID, CAPACITY_SID = 0, 1
"""Roles of the stack IDs in an 8-Hi stack: SID 0 is PIM layers, SID 1 capacity layers."""


@dataclass(frozen=True, kw_only=True)
class StackGeometry:
    """A whole stack, to which the runtime composes the simulated slice.

    Attributes
    ----------
    pseudo_channels : int
        Pseudo-channels of a stack (32 channels x 2; facts.md 6.1).
    banks_per_sid : int
        Banks of one stack ID in one pseudo-channel.
    rows : int
        Rows of a bank.
    row_bytes : int
        Bytes of a row.
    pim_sids, capacity_sids : int
        How many stack IDs (4 dies each) play which role.
    """

    pseudo_channels: int = 64
    banks_per_sid: int = 16
    rows: int = 1 << 14
    row_bytes: int = 1024
    pim_sids: int = 1
    capacity_sids: int = 1

    def __post_init__(self) -> None:
        for name in ("pseudo_channels", "banks_per_sid", "rows", "pim_sids", "capacity_sids"):
            require_int(name, getattr(self, name), 1, 1 << 20)
        check_row_bytes(self.row_bytes)

    @property
    def sid_bytes(self) -> int:
        """Bytes of one stack ID over all pseudo-channels."""
        return self.pseudo_channels * self.banks_per_sid * self.rows * self.row_bytes


def check_row_bytes(row_bytes: int) -> None:
    """Raises :class:`SpecError` unless a row is a power-of-two number of columns."""
    require_int("row_bytes", row_bytes, BEAT_BYTES, 1 << 16)
    if row_bytes % BEAT_BYTES or row_bytes & row_bytes - 1:
        raise SpecError("row_bytes", row_bytes,
                        f"a power of two that is a multiple of a column ({BEAT_BYTES} bytes)")


@dataclass(frozen=True, kw_only=True)
class ChannelGeometry:
    """Banks of one simulated pseudo-channel.

    Banks have one number: ``sid * banks_per_sid + bank group * banks_per_group + bank``. The
    first ``pim_banks`` of SID 0 and the first ``capacity_banks`` of SID 1 exist.

    Attributes
    ----------
    pim_banks : int
        Banks with a PIM unit, 1 to 16.
    capacity_banks : int
        Plain banks, 1 to 16.
    bank_groups : int
        Bank groups of a SID (2 in HBM4, 4 in HBM3; facts.md 2.2 and 6.1).
    rows : int
        Rows of a bank that are simulated; a real bank has 16,384.
    row_bytes : int
        Bytes of a row.
    """

    pim_banks: int = 16
    capacity_banks: int = 2
    bank_groups: int = 2
    rows: int = 64
    row_bytes: int = 1024
    banks_per_sid: int = 16

    def __post_init__(self) -> None:
        if self.banks_per_sid != 16:
            raise SpecError("banks_per_sid", self.banks_per_sid, "16")
        require_int("pim_banks", self.pim_banks, 1, self.banks_per_sid)
        require_int("capacity_banks", self.capacity_banks, 1, self.banks_per_sid)
        if self.bank_groups not in (2, 4):
            raise SpecError("bank_groups", self.bank_groups, "2 or 4")
        require_int("rows", self.rows, 2, 1 << 14)
        check_row_bytes(self.row_bytes)

    @property
    def columns(self) -> int:
        """Columns of a row."""
        return self.row_bytes // BEAT_BYTES

    @property
    def bank_width(self) -> int:
        """Bits of a bank number, SID included."""
        return (2 * self.banks_per_sid - 1).bit_length()

    @property
    def banks(self) -> tuple[int, ...]:
        """Numbers of the banks that exist."""
        capacity = CAPACITY_SID * self.banks_per_sid
        return (*range(self.pim_banks), *range(capacity, capacity + self.capacity_banks))

    @property
    def pim_bank_numbers(self) -> tuple[int, ...]:
        """Numbers of the banks with a PIM unit."""
        return tuple(range(self.pim_banks))

    @property
    def capacity_bank_numbers(self) -> tuple[int, ...]:
        """Numbers of the plain banks."""
        return self.banks[self.pim_banks:]

    def bank_group(self, bank: int) -> int:
        """Bank group of a bank, unique over the SIDs."""
        return bank // (self.banks_per_sid // self.bank_groups)
