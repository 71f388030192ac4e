"""Closes rows that nobody uses."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.dram.bank_table import bank_slots
from hdl.layouts import column_command_layout
from model.spec.slice import SliceSpec
from model.spec.timing import Command


class IdleClose(wiring.Component):
    """Names the open rows that have had no column for ``idle_close`` clocks, or up to twice that.

    All banks share one timer; a bank is idle if nothing touched it from one tick to the next. So a
    row is open at least long enough for a neighbour's request to find it, and a bank that is left
    alone is ready for another row, or for its refresh, without a precharge in the way.

    Parameters
    ----------
    spec : SliceSpec
        ``idle_close``, and the banks.

    Members
    -------
    column : ``In(column_command_layout(spec))``
        Column command issued in this clock.
    opens : ``In(banks)``
        Slots that are opened in this clock.
    open : ``In(banks)``
        Slots with an open row.
    idle : ``Out(banks)``
        Slots whose row is to be closed.
    """

    column: Any
    opens: Signal
    open: Signal
    idle: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        banks = len(spec.geometry.banks)
        super().__init__({
            "column": In(column_command_layout(spec)), "opens": In(banks), "open": In(banks),
            "idle": Out(banks),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        period = self.spec.scheduler.idle_close
        count, tick = Signal(range(period)), Signal()
        used, touched, unused = (Signal.like(self.open, name=name)
                                 for name in ("used", "touched", "unused"))
        column = self.column
        m.d.comb += [
            tick.eq(count == period - 1),
            used.eq(self.opens | Mux(
                (column.command == Command.RD) | (column.command == Command.WR),
                bank_slots(self.spec.geometry, column.bank), 0)),
            self.idle.eq(self.open & unused),
        ]
        m.d.sync += [
            count.eq(Mux(tick, 0, count + 1)[:len(count)]),
            touched.eq(Mux(tick, 0, touched) | used),
            unused.eq(Mux(tick, ~touched, unused) & ~used),
        ]
        return m
