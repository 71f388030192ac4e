"""The way of the words between the ports and the banks: coded, checked, and repaired."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.dram.bank_table import bank_slots
from hdl.layouts import BEAT_WIDTH, column_command_layout
from hdl.reliability.layouts import STORED_WIDTH, UpkeepSignature, place_layout
from hdl.reliability.protection import Protection
from hdl.reliability.scrubber import WriteGuard
from model.spec.port import Status
from model.spec.slice import SliceSpec
from model.spec.timing import Command


class DataPath(wiring.Component):
    """Check bits for what is written, a clock after its command; what is read, corrected at once.

    Parameters
    ----------
    spec : SliceSpec
    ports : int
        Requesters.

    Members
    -------
    column : ``In(column_command_layout(spec))``, write_data : ``In(256)``
        Command of this clock, and the word that goes with a WR or REG_WR.
    own_read, own_write : ``In(1)``
        The command is one of the scrubber.
    rows : ``In(ArrayLayout(row, banks))``
        Open rows, as in :class:`~hdl.dram.bank_table.BankTable`.
    stored : ``Out(288)``, annul : ``Out(1)``
        What the command of the clock before puts into the array; it must not.
    read : ``In(288)``, read_bank, read_column : ``In``, reader : ``In(ports)``
        A word on the data bus, where it lay, and the port that reads it.
    word : ``Out(256)``, status : ``Out(Status)``
        It, corrected.
    upkeep : ``In(UpkeepSignature(geometry, ports))``
        The reliability unit.
    """

    column: data.View
    write_data: Signal
    own_read: Signal
    own_write: Signal
    rows: Any
    stored: Signal
    annul: Signal
    read: Signal
    read_bank: Signal
    read_column: Signal
    reader: Signal
    word: Signal
    status: data.View
    upkeep: Any

    def __init__(self, spec: SliceSpec, *, ports: int) -> None:
        self.spec, self.ports = spec, ports
        g = spec.geometry
        super().__init__({
            "column": In(column_command_layout(spec)), "write_data": In(BEAT_WIDTH),
            "own_read": In(1), "own_write": In(1),
            "rows": In(data.ArrayLayout(range(g.rows), len(g.banks))),
            "stored": Out(STORED_WIDTH), "annul": Out(1),
            "read": In(STORED_WIDTH), "read_bank": In(g.bank_width),
            "read_column": In(range(g.columns)), "reader": In(ports),
            "word": Out(BEAT_WIDTH), "status": Out(Status),
            "upkeep": In(UpkeepSignature(g, ports)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, upkeep = self.spec.geometry, self.upkeep
        m.submodules.protection = protection = Protection(geometry, ports=self.ports)
        m.submodules.guard = guard = WriteGuard(self.spec)
        before = Signal(column_command_layout(self.spec))
        write_data, own_read, own_write = Signal(BEAT_WIDTH), Signal(), Signal()
        m.d.sync += [before.eq(self.column), write_data.eq(self.write_data),
                     own_read.eq(self.own_read), own_write.eq(self.own_write)]
        written, arrived = (Signal(place_layout(geometry), name=name)
                            for name in ("written", "arrived"))
        m.d.comb += [
            written.bank.eq(before.bank), written.column.eq(before.column),
            written.row.eq(self._row_of(before.bank)),
            guard.place.eq(upkeep.place), guard.write_place.eq(written),
            guard.write.eq(before.command == Command.WR),
            guard.own_read.eq(own_read), guard.own_write.eq(own_write),
            self.annul.eq(guard.annulled), upkeep.annulled.eq(guard.annulled),

            protection.write_data.eq(write_data),
            protection.write_poison.eq(own_write & upkeep.write_poison),
            protection.write_flips.eq(Mux(own_write, upkeep.write_flips, 0)),
            self.stored.eq(protection.stored),

            arrived.bank.eq(self.read_bank), arrived.column.eq(self.read_column),
            arrived.row.eq(self._row_of(self.read_bank)),       # open for tRTP + tRP at least
            protection.read.eq(self.read), protection.reader.eq(self.reader),
            protection.place.eq(arrived),
            protection.strike.eq(upkeep.strike), protection.strike_place.eq(upkeep.strike_place),
            protection.strike_flips.eq(upkeep.strike_flips), upkeep.struck.eq(protection.struck),
            upkeep.flaw.eq(protection.flaw), upkeep.flawed.eq(protection.flawed),
            self.word.eq(protection.word), self.status.eq(protection.status),
        ]
        return m

    def _row_of(self, bank: Value) -> Value:
        slots = bank_slots(self.spec.geometry, bank)
        return reduce(or_, (Mux(slots[n], self.rows[n], 0) for n in range(len(slots))))
