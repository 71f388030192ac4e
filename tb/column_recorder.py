"""A stand-in for the PIM unit, with which benches see exactly what reaches a bank's unit."""

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from hdl.layouts import BEAT_WIDTH, AttentionShape, PimColumnSignature
from model.spec.attention import MacMode, PimSpec, Register

MODE_BITS = max(MacMode).bit_length()


class ColumnRecorder(wiring.Component):
    """Folds every column into a digest, and keeps what is written to its registers.

    Reading SCORE returns the digest; any other register returns the word last written to that
    address, whichever register it was written to, exclusive-or the number of that register.

    Parameters
    ----------
    pim : PimSpec
        Widths of the registers.

    Members
    -------
    bank : ``In(PimColumnSignature(pim))``
        The bank's side.
    shape : ``In(AttentionShape(pim))``
        Not used.
    """

    bank: Any
    shape: data.View

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({"bank": In(PimColumnSignature(pim)),
                          "shape": In(AttentionShape(pim))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = Memory(
            shape=BEAT_WIDTH, depth=1 << self.pim.register_address_width, init=[])
        write, read = words.write_port(), words.read_port()
        digest, reads_digest = Signal(BEAT_WIDTH), Signal()
        with m.If(self.bank.column_valid):
            m.d.sync += digest.eq(digest.rotate_left(1) ^ self.bank.column_data
                                  ^ Cat(self.bank.mode, self.bank.start))
        m.d.sync += reads_digest.eq(self.bank.read_register == Register.SCORE)
        m.d.comb += [
            write.en.eq(self.bank.write_valid),
            write.addr.eq(self.bank.write_address),
            write.data.eq(self.bank.write_data ^ self.bank.write_register),
            read.addr.eq(self.bank.read_address),
            self.bank.read_data.eq(read.data),
        ]
        with m.If(reads_digest):
            m.d.comb += self.bank.read_data.eq(digest)
        return m


def fold(digest: int, column: int, mode: int, start: bool) -> int:
    """The same digest in Python integers."""
    rotated = (digest << 1 | digest >> BEAT_WIDTH - 1) & (1 << BEAT_WIDTH) - 1
    return rotated ^ column ^ (mode | start << MODE_BITS)
