"""Energy of a run from counted operations, with AttAcc's table (facts.md 2.2).

Dynamic energy of memory, links and multipliers only. AttAcc's register and cache terms, background
power and the host are not counted, so a figure is lower than a wall-plug one for every system.
AttAcc's simulator applies its PIM transfer energies, given a bit, to bytes; here they are taken
eight times as large, as they are meant.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PICO = 1e-12
BITS = 8


@dataclass(frozen=True, kw_only=True)
class EnergyTable:
    """Picojoules a bit (``*_bit``), a byte or an operation.

    Attributes
    ----------
    activate_bit, cell_bit, column_to_group_bit, group_to_io_bit, tsv_bit, interposer_bit : float
        Pieces of a DRAM access, from FGDRAM as AttAcc cites it.
    mac : float
        One multiplication with its addition, on the GPU or in a bank.
    link_byte : float
        Between cards.
    """

    activate_bit: float = 0.11
    cell_bit: float = 0.44
    column_to_group_bit: float = 1.01
    group_to_io_bit: float = 1.23
    tsv_bit: float = 0.5
    interposer_bit: float = 0.3
    mac: float = 0.32
    link_byte: float = 10.4

    @property
    def stack_access_bit(self) -> float:
        """A cell to or from the base die."""
        return (self.activate_bit + self.cell_bit + self.column_to_group_bit
                + self.group_to_io_bit + self.tsv_bit)

    @property
    def gpu_access_bit(self) -> float:
        """A cell to or from the GPU: 3.59 pJ/bit."""
        return self.stack_access_bit + self.interposer_bit

    @property
    def bank_access_bit(self) -> float:
        """A cell to the MAC unit beside its bank."""
        return self.activate_bit + self.cell_bit

    @property
    def pim_io_bit(self) -> float:
        """The GPU to or from a PIM unit's registers."""
        return (self.column_to_group_bit + self.group_to_io_bit + self.tsv_bit
                + self.interposer_bit)


ATTACC = EnergyTable()


def energy_joules(counts: Mapping[str, int], migrated_bytes: int,
                  table: EnergyTable = ATTACC) -> dict[str, float]:
    """Joules of each part of a run; migration reads and writes within the stack."""
    picojoules = {
        "weights and activations": counts["gpu_bytes"] * BITS * table.gpu_access_bit,
        "KV on the GPU": counts["gpu_kv_bytes"] * BITS * table.gpu_access_bit,
        "KV in banks": counts["pim_bank_bytes"] * BITS * table.bank_access_bit,
        "PIM queries and outputs": counts["pim_io_bytes"] * BITS * table.pim_io_bit,
        "arithmetic": (counts["gpu_macs"] + counts["pim_macs"]) * table.mac,
        "migration": migrated_bytes * BITS * 2 * table.stack_access_bit,
        "links": counts["link_bytes"] * table.link_byte,
    }
    return {name: value * PICO for name, value in picojoules.items()}
