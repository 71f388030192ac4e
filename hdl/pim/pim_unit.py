# amaranth: UnusedElaboratable=no
# (one of the identical units is converted, the others only lend their ports)
"""The PIM unit of a bank, of as many lanes as its specification says."""

from dataclasses import replace
from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hdl.layouts import AttentionShape, PimColumnSignature
from hdl.pim.pim_bank import PimBank
from hdl.pim.register_files import RESCALE_WIDTH
from model.spec.attention import PimSpec, Register


class WidePimUnit(wiring.Component):
    """32 lanes: two units of 16 on one bank, each for half of the query heads.

    Both take every column, the lower one for heads ``0 .. (heads - 1) // 2``, the upper one for the
    others, so a column takes as many clocks as the lower has heads to pass over. A single head is
    left to the lower one: its columns come no faster than the DRAM lets them. Registers are
    addressed as if the unit were one. What is computed is what 16 lanes compute, to the last bit.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    bank, shape
        As of :class:`~hdl.pim.pim_bank.PimBank`.
    """

    bank: Any
    shape: data.View

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "bank": In(PimColumnSignature(pim)), "shape": In(AttentionShape(pim))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bank, heads = self.bank, self.shape.last_head
        half = replace(self.pim, lanes=PimSpec.LANES, group_max=self.pim.heads_per_unit)
        m.submodules.lower = lower = PimBank(half)
        m.submodules.upper = upper = PimBank(half)
        boundary, chunks = Signal(range(half.group_max + 1)), Signal(range(
            half.group_max * half.chunks_max + 1))
        head_bits = len(lower.shape.last_head)
        alone = Signal()                                # one head: nothing for the upper unit
        m.d.comb += [
            boundary.eq((heads >> 1) + 1), alone.eq(heads == 0),
            chunks.eq((boundary * (self.shape.last_chunk + 1))[:len(chunks)]),
            lower.shape.last_head.eq((heads >> 1)[:head_bits]),
            upper.shape.last_head.eq(((heads - 1) >> 1)[:head_bits]),
            upper.bank.column_valid.eq(bank.column_valid & ~alone),
            lower.bank.column_valid.eq(bank.column_valid),
        ]
        for unit in (lower, upper):
            m.d.comb += [
                unit.shape.last_chunk.eq(self.shape.last_chunk),
                unit.shape.format.eq(self.shape.format),
                *(getattr(unit.bank, name).eq(getattr(bank, name)) for name in (
                    "column_data", "mode", "start", "set", "slot", "write_register")),
            ]
        self._write(m, lower.bank, upper.bank, boundary, chunks)
        self._read(m, lower.bank, upper.bank, boundary, chunks)
        m.d.comb += bank.hazard.eq(lower.bank.hazard | upper.bank.hazard)
        return m

    def _write(self, m: Module, lower: Any, upper: Any, boundary: Signal,
               chunks: Signal) -> None:
        """To the unit that has the head; the shifts of all heads come in one word."""
        bank = self.bank
        address, top = bank.write_address[:-1], bank.write_address[-1]
        beyond = Signal()
        for unit in (lower, upper):
            m.d.comb += [unit.write_data.eq(bank.write_data),
                         unit.write_address[-1].eq(top)]
        low, high = lower.write_address[:-1], upper.write_address[:-1]
        bits = len(low)
        with m.Switch(bank.write_register):
            with m.Case(Register.QUERY):
                m.d.comb += [beyond.eq(address >= chunks), low.eq(address[:bits]),
                             high.eq((address - chunks)[:bits])]
            with m.Case(Register.RESCALE):
                m.d.comb += upper.write_data.eq(
                    bank.write_data >> (boundary * RESCALE_WIDTH))
            with m.Default():
                m.d.comb += [beyond.eq(address >= boundary), low.eq(address[:bits]),
                             high.eq((address - boundary)[:bits])]
        both = bank.write_register == Register.RESCALE
        m.d.comb += [lower.write_valid.eq(bank.write_valid & (both | ~beyond)),
                     upper.write_valid.eq(bank.write_valid & (both | beyond))]

    def _read(self, m: Module, lower: Any, upper: Any, boundary: Signal, chunks: Signal) -> None:
        """From the unit that has the head; addresses count half words."""
        bank = self.bank
        address, top = bank.read_address[:-1], bank.read_address[-1]
        first = Signal.like(address)                    # of the upper unit
        beyond, was_beyond = Signal(), Signal()
        m.d.comb += [
            first.eq(Mux(bank.read_register == Register.OUTPUT, chunks, boundary) << 1),
            beyond.eq(address >= first),
            bank.read_data.eq(Mux(was_beyond, upper.read_data, lower.read_data)),
        ]
        m.d.sync += was_beyond.eq(beyond)
        places: tuple[tuple[Any, Value, Value], ...] = (
            (lower, ~beyond, address), (upper, beyond, address - first))
        for unit, mine, place in places:
            m.d.comb += [
                # QUERY cannot be read: the other unit's files rest
                unit.read_register.eq(Mux(mine, bank.read_register, Register.QUERY)),
                unit.read_address.eq(Cat(place[:len(unit.read_address) - 1], top)),
            ]


def pim_unit(pim: PimSpec) -> wiring.Component:
    """The PIM unit of a bank."""
    return PimBank(pim) if pim.units == 1 else WidePimUnit(pim)
