"""Energy constants of AttAcc's simulator (its src/config.py:15-67), in picojoules.

A byte that passes between banks and buffer die goes through four pieces. The simulator lists their
energies a *bit* and multiplies them with bytes (facts.md 2.2): with ``slip`` so do we, without it
each counts eight times as much. It also counts the multiplications of the scores alone and not
those of the weighted sums; that is kept in both.
"""

from dataclasses import dataclass

BITS = 8


@dataclass(frozen=True, kw_only=True)
class FixedEnergy:
    """A byte at each place (``*_byte``), an operand at registers, and one multiplication."""

    memory_byte: float = 3.59 * BITS
    l2_byte: float = 0.3 * BITS
    l1_byte: float = 0.16 * BITS
    register_operand: float = 0.0675
    mac: float = 0.32
    link_byte: float = 1.3 * BITS
    bank_byte: float = (0.11 + 0.44) * BITS
    sram_byte: float = 0.0034
    interposer_bit: float = 0.3
    buffer_to_bank_bit: float = 0.5 + 1.23 + 1.01
    slip: bool = True

    @property
    def bits_of_a_byte(self) -> int:
        """What the PIM transfers are multiplied with."""
        return 1 if self.slip else BITS


FIXED_ENERGIES = {"attacc_slip": FixedEnergy(), "attacc": FixedEnergy(slip=False)}
"""As published, and with the transfers' energies taken a bit, as they are meant."""
