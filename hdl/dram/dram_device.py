"""The DRAM side of a pseudo-channel: banks, PIM units, and the latencies of the data bus."""

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any

from amaranth import C, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.dram.dram_bank import DramBank
from hdl.layouts import BEAT_WIDTH, AttentionShape, CommandSignature, column_command_layout
from hdl.pim.pim_unit import pim_unit
from hdl.reliability.layouts import STORED_WIDTH
from hdl.shared import Shared
from model.spec.attention import ROW_LATCHES, PimSpec, Register
from model.spec.errors import SpecError
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.timing import Command

PimUnit = Callable[[PimSpec], Any]
"""Makes the unit of a PIM bank, with ports ``bank: In(PimColumnSignature)`` and ``shape``."""

BankUnit = Callable[[ChannelGeometry], Any]
"""Makes a bank, with the ports of :class:`~hdl.dram.dram_bank.DramBank`."""


def check_latencies(spec: SliceSpec) -> None:
    """Raises :class:`SpecError` unless the latencies suit a device that reads its arrays late."""
    t = spec.timing
    if t.write_latency >= t.read_latency:       # or a write would be answered before it is done
        raise SpecError(f"timing {t.name}.nCWL", t.nCWL, f"less than nCL = {t.nCL}, in clocks")
    if t.write_latency < 2:                     # check bits are ready a clock after the command
        raise SpecError(f"timing {t.name}.nCWL", t.nCWL, "at least 2, in clocks")
    if t.read_latency > t.clocks(t.nRTP) + t.clocks(t.nRP):     # the row may have changed by then
        raise SpecError(f"timing {t.name}.nCL", t.nCL, "at most nRTP + nRP")


class DramDevice(wiring.Component):
    """Carries out the commands: data of reads ``read_latency`` clocks after the command, data of
    writes ``write_latency`` clocks after it in the array.

    Commands are delayed and the arrays are read late, so no data are delayed for reads. Columns
    of MAC_ALL reach the PIM units with the same latency as data reach the bus, although they do
    not cross it: a conservative choice.

    Parameters
    ----------
    spec : SliceSpec
        Banks and latencies.
    pim_unit : callable
        Makes the PIM unit of a bank.
    bank_unit : callable
        Makes a bank.

    Members
    -------
    commands : ``In(CommandSignature(spec))``
        Commands issued in this clock; their ``write_data`` are not looked at.
    stored : ``In(288)``, annul : ``In(1)``
        What the WR or REG_WR of the clock before brings, with check bits (a register of a PIM unit
        takes none); that WR is not carried out.
    shape : ``In(AttentionShape(spec.pim))``
        To the PIM units.
    read_data : ``Out(288)``
        The data bus with check bits, towards the controller; 0 when idle.
    read_bank, read_column : ``Out``
        Where a word of a RD lay that is on the bus.
    register_valid : ``Out(1)``
        The bus carries the data of a REG_RD.
    error : ``Out(1)``
        For one clock, the clock after: a bank was misused, a PIM unit reported a hazard, or read
        and write data met on the bus.
    """

    commands: Any
    shape: data.View
    stored: Signal
    annul: Signal
    read_data: Signal
    read_bank: Signal
    read_column: Signal
    register_valid: Signal
    error: Signal

    def __init__(self, spec: SliceSpec, *, pim_unit: PimUnit = pim_unit,
                 bank_unit: BankUnit = DramBank) -> None:
        self.spec, self.pim_unit, self.bank_unit = spec, pim_unit, bank_unit
        check_latencies(spec)
        super().__init__({
            "commands": In(CommandSignature(spec)),
            "shape": In(AttentionShape(spec.pim)),
            "stored": In(STORED_WIDTH), "annul": In(1),
            "read_data": Out(STORED_WIDTH), "read_bank": Out(spec.geometry.bank_width),
            "read_column": Out(range(spec.geometry.columns)),
            "register_valid": Out(1),
            "error": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        t, geometry = self.spec.timing, self.spec.geometry
        issued = self.commands.column
        layout = column_command_layout(self.spec)
        # before[n]: the command issued n clocks ago
        before: list[Any] = [issued] + [
            Signal(layout, name=f"command_{n}")
            for n in range(1, max(t.read_latency, t.write_latency) + 1)]
        for older, newer in zip(before[1:], before[:-1], strict=True):
            m.d.sync += older.eq(newer)
        with m.If(self.annul):
            m.d.sync += before[2].command.eq(Command.NOP)
        fetch, arrive = before[t.read_latency - 1], before[t.read_latency]
        store = before[t.write_latency]
        write_data: Value = self.stored
        for n in range(1, t.write_latency):
            delayed = Signal(STORED_WIDTH, name=f"write_data_{n + 1}")
            m.d.sync += delayed.eq(write_data)
            write_data = delayed

        faults: list[Value] = [_drives_reads(arrive) & _drives_writes(store)]
        bus_data: list[Value] = []
        unit: Any
        pim: Any
        for bank in geometry.banks:
            m.submodules[f"bank_{bank}"] = unit = Shared("dram_bank", self.bank_unit, geometry)
            self._connect_bank(m, unit, bank, fetch, store, write_data)
            faults.append(unit.violation)
            reads_bank = (arrive.command == Command.RD) & (arrive.bank == bank)
            bus_data.append(Mux(reads_bank, unit.read_data, 0))
            if bank in geometry.pim_bank_numbers:
                m.submodules[f"pim_{bank}"] = pim = Shared(
                    "pim_bank", self.pim_unit, self.spec.pim)
                m.d.comb += pim.shape.eq(self.shape)
                self._connect_unit(m, pim.bank, bank, unit.read_data[:BEAT_WIDTH], fetch, arrive,
                                   store, write_data[:BEAT_WIDTH])
                faults.append(pim.bank.hazard)
                reads_unit = (arrive.command == Command.REG_RD) & arrive.mask[bank]
                bus_data.append(Mux(reads_unit, pim.bank.read_data, 0))
        m.d.comb += [
            self.read_data.eq(reduce(or_, bus_data)),
            self.read_bank.eq(arrive.bank), self.read_column.eq(arrive.column),
            self.register_valid.eq(arrive.command == Command.REG_RD),
        ]
        m.d.sync += self.error.eq(reduce(or_, faults))
        return m

    def _connect_bank(self, m: Module, unit: Any, bank: int, fetch: Any, store: Any,
                      write_data: Value) -> None:
        row, column = self.commands.row, self.commands.column
        is_pim = bank in self.spec.geometry.pim_bank_numbers

        def to_me(bus: Any, one: Command, every: Command) -> Value:
            mine = (bus.command == one) & (bus.bank == bank)
            return mine | (bus.command == every) if is_pim else mine

        macs = (column.command == Command.MAC_ALL) if is_pim else C(0, 1)
        fetch_macs = (fetch.command == Command.MAC_ALL) & fetch.mask[bank] if is_pim else C(0, 1)
        m.d.comb += [
            unit.activate.eq(to_me(row, Command.ACT, Command.ACT_ALL)),
            unit.precharge.eq(to_me(row, Command.PRE, Command.PRE_ALL)),
            unit.refresh.eq(to_me(row, Command.REF, Command.REF_ALL)),
            unit.row.eq(self._row(m, bank, store, write_data) if is_pim else row.row),
            unit.access.eq(((column.command == Command.RD) | (column.command == Command.WR))
                           & (column.bank == bank) | macs),
            unit.read_enable.eq((fetch.command == Command.RD) & (fetch.bank == bank)
                                | fetch_macs),
            unit.read_column.eq(fetch.column),
            unit.write_enable.eq((store.command == Command.WR) & (store.bank == bank)),
            unit.write_column.eq(store.column),
            unit.write_data.eq(write_data),
        ]

    def _row(self, m: Module, bank: int, store: Any, write_data: Value) -> Value:
        """The row to be opened: that of the command, and in ACT_ALL the latch's added to it."""
        row = self.commands.row
        latches = Signal(data.ArrayLayout(range(self.spec.geometry.rows), ROW_LATCHES),
                         name=f"latches_{bank}")
        with m.If((store.command == Command.REG_WR) & (store.register == Register.ROW)
                  & store.mask[bank]):
            m.d.sync += latches[store.address[:len(row.latch)]].eq(write_data[:len(row.row)])
        latch = Mux(row.command == Command.ACT_ALL, latches[row.latch], 0)
        return (row.row + latch)[:len(row.row)]

    @staticmethod
    def _connect_unit(m: Module, port: Any, bank: int, column_data: Value, fetch: Any,
                      arrive: Any, store: Any, write_data: Value) -> None:
        reads = Signal(name=f"reads_register_{bank}")
        m.d.comb += [
            port.column_valid.eq((arrive.command == Command.MAC_ALL) & arrive.mask[bank]),
            port.column_data.eq(column_data),
            port.mode.eq(arrive.mode),
            port.start.eq(arrive.start),
            port.set.eq(arrive.set),
            port.slot.eq(arrive.slot),
            port.write_valid.eq((store.command == Command.REG_WR) & store.mask[bank]),
            port.write_register.eq(store.register),
            port.write_address.eq(store.address),
            port.write_data.eq(write_data),
            reads.eq((fetch.command == Command.REG_RD) & fetch.mask[bank]),
            port.read_register.eq(Mux(reads, fetch.register, 0)),
            port.read_address.eq(Mux(reads, fetch.address, 0)),
        ]


def _drives_reads(command: Any) -> Value:
    return (command.command == Command.RD) | (command.command == Command.REG_RD)


def _drives_writes(command: Any) -> Value:
    return (command.command == Command.WR) | (command.command == Command.REG_WR)
