"""Which banks exist, which of them are open, and on which row."""

from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import row_command_layout
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.timing import Command


def bank_slots(geometry: ChannelGeometry, bank: Value) -> Value:
    """One bit for every bank that exists, in the order of ``geometry.banks``; none if it does not.

    A *slot* is the index of a bank in that order: the PIM banks come first.
    """
    return Cat(bank == number for number in geometry.banks)


class BankTable(wiring.Component):
    """Follows the row command bus; what it says holds from the clock after a command.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.

    Members
    -------
    row : ``In(row_command_layout(spec))``
        Command issued in this clock.
    open : ``Out(banks)``
        Slots whose bank has an open row.
    rows : ``Out(ArrayLayout(row, banks))``
        The open row of each slot.
    """

    row: Any
    open: Signal
    rows: Any

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        banks = len(spec.geometry.banks)
        super().__init__({
            "row": In(row_command_layout(spec)),
            "open": Out(banks),
            "rows": Out(data.ArrayLayout(range(spec.geometry.rows), banks)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry = self.spec.geometry
        here = Signal(len(geometry.banks))
        m.d.comb += here.eq(bank_slots(geometry, self.row.bank))
        for slot in range(len(geometry.banks)):
            is_pim = slot < geometry.pim_banks
            with m.Switch(self.row.command):
                with m.Case(Command.ACT):
                    with m.If(here[slot]):
                        m.d.sync += [self.open[slot].eq(1), self.rows[slot].eq(self.row.row)]
                with m.Case(Command.PRE):
                    with m.If(here[slot]):
                        m.d.sync += self.open[slot].eq(0)
                if is_pim:
                    with m.Case(Command.ACT_ALL):
                        m.d.sync += [self.open[slot].eq(1), self.rows[slot].eq(self.row.row)]
                    with m.Case(Command.PRE_ALL):
                        m.d.sync += self.open[slot].eq(0)
                with m.Default():
                    pass
        return m
