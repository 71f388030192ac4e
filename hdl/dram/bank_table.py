"""Which banks exist, which of them are open, and on which row."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import column_command_layout, row_command_layout
from model.spec.attention import ROW_LATCHES, Register
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.timing import Command


def bank_slots(geometry: ChannelGeometry, bank: Value) -> Value:
    """One bit for every bank that exists, in the order of ``geometry.banks``; none if it does not.

    A *slot* is the index of a bank in that order: the PIM banks come first.
    """
    return Cat(bank == number for number in geometry.banks)


class RowEventsSignature(wiring.Signature):
    """What this clock's row command does to the banks.

    Members
    -------
    opens, closes : ``Out(banks)``
        Slots that it opens or closes.
    row : ``Out``
        The row that it opens.
    """

    def __init__(self, spec: SliceSpec) -> None:
        banks = len(spec.geometry.banks)
        super().__init__({"opens": Out(banks), "closes": Out(banks),
                          "row": Out(range(spec.geometry.rows))})


class BankTable(wiring.Component):
    """Follows the row command bus; what it says holds from the clock after a command.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.

    Members
    -------
    row, column : ``In(row_command_layout(spec))``, ``In(column_command_layout(spec))``
        Commands issued in this clock.
    write_data : ``In``
        What a row latch is written with, if ``column`` does that.
    events : ``Out(RowEventsSignature(spec))``
        What it does, in the same clock.
    open : ``Out(banks)``
        Slots whose bank has an open row.
    rows : ``Out(ArrayLayout(row, banks))``
        The open row of each slot.
    """

    row: Any
    column: Any
    write_data: Signal
    events: Any
    open: Signal
    rows: Any

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        banks = len(spec.geometry.banks)
        super().__init__({
            "row": In(row_command_layout(spec)), "column": In(column_command_layout(spec)),
            "write_data": In(range(spec.geometry.rows)),
            "events": Out(RowEventsSignature(spec)),
            "open": Out(banks),
            "rows": Out(data.ArrayLayout(range(spec.geometry.rows), banks)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, events, command = self.spec.geometry, self.events, self.row.command
        every = (1 << geometry.pim_banks) - 1
        here = Signal(len(geometry.banks))
        m.d.comb += [
            here.eq(bank_slots(geometry, self.row.bank)),
            events.row.eq(self.row.row),
            events.opens.eq(Mux(command == Command.ACT, here,
                                Mux(command == Command.ACT_ALL, every, 0))),
            events.closes.eq(Mux(command == Command.PRE, here,
                                 Mux(command == Command.PRE_ALL, every, 0))),
        ]
        m.d.sync += self.open.eq(self.open & ~events.closes | events.opens)
        every_bank = command == Command.ACT_ALL
        latches_row = ((self.column.command == Command.REG_WR)
                       & (self.column.register == Register.ROW))
        for slot in range(len(geometry.banks)):
            row: Value = self.row.row
            if slot < geometry.pim_banks:           # ACT_ALL adds what the bank's latch holds
                latches = Signal(data.ArrayLayout(range(geometry.rows), ROW_LATCHES),
                                 name=f"latches_{slot}")
                with m.If(latches_row & self.column.mask[slot]):
                    m.d.sync += latches[self.column.address[:len(self.row.latch)]].eq(
                        self.write_data)
                row = row + Mux(every_bank, latches[self.row.latch], 0)
            with m.If(events.opens[slot]):
                m.d.sync += self.rows[slot].eq(row[:len(self.row.row)])
        return m
