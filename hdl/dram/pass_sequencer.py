"""All-bank row passes, command by command."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.layouts import row_pass_layout
from model.spec.slice import SliceSpec

QUEUE_DEPTH = 2


class PassSequencer(wiring.Component):
    """Asks for the commands of one row pass after another: ACT_ALL, the MAC_ALLs, PRE_ALL.

    It asks for a command until that is issued, and for PRE_ALL first if a PIM bank is open. A pass
    is queued while another runs, so the next ACT_ALL is asked for in the clock after PRE_ALL.
    Columns follow each other every ``max(spacing, 1)`` clocks, or as soon as timing allows.

    Parameters
    ----------
    spec : SliceSpec
        Geometry, read latency, and the clocks that a PIM unit needs after the last column.

    Members
    -------
    i : ``In(stream.Signature(row_pass_layout(spec)))``
        Row passes.
    hold : ``In(1)``
        No pass may start.
    closed : ``In(1)``
        No PIM bank has an open row.
    settled : ``In(1)``
        No PIM bank refuses ACT_ALL.
    activate, precharge, mac : ``Out(1)``
        Asks for ACT_ALL, PRE_ALL, MAC_ALL.
    row_pass, column : ``Out``
        The pass under way or next, and the column of ``mac``.
    appended : ``In(1)``
        For one clock: the last of the columns that a pass waits for is being written.
    appends : ``Out(1)``
        A pass waits for them.
    issued_activate, issued_precharge, issued_mac, issued_refresh : ``In(1)``
        What is issued to the PIM banks in this clock.
    busy : ``Out(1)``
        The PIM banks belong to a pass.
    reserve : ``Out(1)``
        No ACT or REF may be issued elsewhere, lest ACT_ALL waits for it.
    done : ``Out(1)``
        For one clock: results of the oldest unfinished pass are readable.
    """

    i: stream.Interface
    hold: Signal
    closed: Signal
    settled: Signal
    activate: Signal
    precharge: Signal
    mac: Signal
    row_pass: Any
    column: Signal
    appended: Signal
    appends: Signal
    issued_activate: Signal
    issued_precharge: Signal
    issued_mac: Signal
    issued_refresh: Signal
    busy: Signal
    reserve: Signal
    done: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        layout = row_pass_layout(spec)
        super().__init__({
            "i": In(stream.Signature(layout)),
            "hold": In(1), "closed": In(1), "settled": In(1),
            "activate": Out(1), "precharge": Out(1), "mac": Out(1),
            "row_pass": Out(layout), "column": Out(range(spec.geometry.columns)),
            "appended": In(1), "appends": Out(1),
            "issued_activate": In(1), "issued_precharge": In(1),
            "issued_mac": In(1), "issued_refresh": In(1),
            "busy": Out(1), "reserve": Out(1), "done": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = SyncFIFO(width=row_pass_layout(self.spec).size,
                                              depth=QUEUE_DEPTH)
        running, columns_done, refreshed, waiting = Signal(), Signal(), Signal(), Signal()
        gap = Signal.like(self.row_pass.spacing)
        m.d.comb += [
            queue.w_data.eq(self.i.payload.as_value()),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            self.row_pass.as_value().eq(queue.r_data),
            waiting.eq(queue.r_rdy & ~running & ~self.hold),
            self.busy.eq(running | waiting),
            self.activate.eq(waiting & self.closed),
            self.precharge.eq(Mux(running, columns_done, waiting & ~self.closed)),
            self.mac.eq(running & ~columns_done & (gap == 0) & ~self.appends),
            # After a refresh the banks are busy for long: no need to hold up the others yet.
            self.reserve.eq(self.activate & (self.settled | ~refreshed)),
        ]

        with m.If(self.issued_refresh):
            m.d.sync += refreshed.eq(1)
        with m.If(self.issued_activate):
            m.d.sync += [running.eq(1), columns_done.eq(0), self.column.eq(0), gap.eq(0),
                         refreshed.eq(0), self.appends.eq(self.row_pass.append)]
        with m.If(self.appended):
            m.d.sync += self.appends.eq(0)
        with m.If(self.issued_mac):
            m.d.sync += gap.eq(Mux(self.row_pass.spacing == 0, 0,
                                   self.row_pass.spacing - 1)[:len(gap)])
            with m.If(self.column == self.row_pass.last_column):
                m.d.sync += columns_done.eq(1)
            with m.Else():
                m.d.sync += self.column.eq(self.column + 1)
        with m.Elif(gap != 0):
            m.d.sync += gap.eq(gap - 1)
        with m.If(running & self.issued_precharge):
            m.d.sync += running.eq(0)
            m.d.comb += queue.r_en.eq(1)

        # Columns in flight to the units, one bit a clock
        flight = Signal(self.spec.timing.read_latency + self.spec.pim.drain_clocks)
        last = self.issued_mac & (self.column == self.row_pass.last_column)
        m.d.sync += flight.eq((flight << 1 | last)[:len(flight)])
        m.d.comb += self.done.eq(flight[-1])
        return m
