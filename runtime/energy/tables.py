"""What an operation costs: two published sets of constants, and one with its error left in."""

from dataclasses import dataclass, replace

from model.spec.errors import unknown_name

BITS = 8


@dataclass(frozen=True, kw_only=True)
class EnergyTable:
    """Picojoules a bit (``*_bit``), a byte (``*_byte``) or an operation, and watts.

    Attributes
    ----------
    name, source : str
        Name on the command line, and where the numbers were read.
    activate_bit, cell_bit : float
        Opening a row, over the bits of it that are read; and reading the cells.
    column_bit, group_bit : float
        Data path of a die: column decoder to bank group, bank group to the die's own I/O.
    tsv_bit, interposer_bit : float
        Down to the base die, and from there to the GPU.
    pim_mac, gpu_mac : float
        A multiplication with its addition.
    gpu_operand, gpu_l1_byte, gpu_l2_byte : float
        Registers and caches. A product reads an L1 byte for every four multiplications, as tiles
        of 16 x 16 do, and all that comes from memory passes the L2 once.
    sram_byte : float
        Buffers of the base die.
    softmax : float
        One score: scaled, exponentiated, summed.
    link_byte, pcie_byte, host_memory_byte : float
        Between cards; to the host; and its own DRAM.
    gpu_watts, stack_watts, host_watts : float
        Drawn all the time, by each GPU, each stack and each node.
    pim_transfer_share : float
        Share of the energy of queries and outputs that is counted.
    """

    name: str
    source: str
    activate_bit: float = 0.11
    cell_bit: float = 0.44
    column_bit: float = 1.01
    group_bit: float = 1.23
    tsv_bit: float = 0.5
    interposer_bit: float = 0.3
    pim_mac: float = 0.32
    gpu_mac: float = 0.32
    gpu_operand: float = 0.0675
    gpu_l1_byte: float = 1.28
    gpu_l2_byte: float = 2.4
    sram_byte: float = 0.0034
    softmax: float = 5 / 2 * 0.32       # AttAcc: five operations a score, two to a MAC
    link_byte: float = 1.3 * BITS
    pcie_byte: float = 4.4 * BITS
    host_memory_byte: float = 6.0 * BITS
    gpu_watts: float = 0.0
    stack_watts: float = 0.0
    host_watts: float = 0.0
    pim_transfer_share: float = 1.0

    @property
    def stack_access_bit(self) -> float:
        """A cell to or from the base die."""
        return (self.activate_bit + self.cell_bit + self.column_bit + self.group_bit
                + self.tsv_bit)

    @property
    def gpu_access_bit(self) -> float:
        """A cell to or from the GPU."""
        return self.stack_access_bit + self.interposer_bit

    @property
    def bank_access_bit(self) -> float:
        """A cell to the MAC unit beside its bank."""
        return self.activate_bit + self.cell_bit

    @property
    def pim_io_bit(self) -> float:
        """The GPU to or from a PIM unit's registers."""
        return ((self.column_bit + self.group_bit + self.tsv_bit + self.interposer_bit)
                * self.pim_transfer_share)


ATTACC = EnergyTable(
    name="attacc",
    source="attacc_simulator src/config.py:15-67 (FGDRAM, MICRO'17, for DRAM), its PIM transfers "
           "taken a bit; PCIe 4.4 pJ/bit (CENT), host DRAM 6 pJ/bit (LLMServingSim); no background")

ATTACC_SLIP = replace(
    ATTACC, name="attacc_slip", pim_transfer_share=1 / BITS,
    source="the same, its PIM transfers taken a byte, as its simulator does")

HBM4 = EnergyTable(
    name="hbm4",
    source="HBM-Power (CMU-SAFARI): 3.18 + 1.04 dq + 1.4875 tsv + 1.41 bg pJ/bit at random data, "
           "of which 0.44 for the cell (FGDRAM); UCIe 0.25 pJ/bit beside dq; FGDRAM 909 pJ an "
           "activation; MAC and softmax of attacc-rtl; stacks IDD3N 91 mA x 1.05 V a "
           "pseudo-channel; GPU 62 W, an idle A100 as measured (chuyishang/inference-energy); "
           "node 70 W and host DRAM (LLMServingSim); GPU arithmetic of AttAcc",
    activate_bit=909 / (1024 * BITS), cell_bit=0.44, column_bit=3.18 - 0.44, group_bit=1.41 / 2,
    tsv_bit=1.4875 / 2, interposer_bit=1.04 / 2 + 0.25,
    pim_mac=(9.71 + 10.54) / 2 / 16,    # a command of 16 MACs, weighted sums
    softmax=394 / 16,                   # a tile of 16 scores
    gpu_watts=62.12, stack_watts=64 * 0.091 * 1.05, host_watts=60 + 10)

ENERGY_TABLES = {t.name: t for t in (ATTACC, ATTACC_SLIP, HBM4)}


def energy_table(name: str) -> EnergyTable:
    """The table of that name; one line with the nearest name if there is none."""
    if name not in ENERGY_TABLES:
        raise unknown_name("energy", name, ENERGY_TABLES)
    return ENERGY_TABLES[name]
