"""Which command goes on each of the two command buses."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import (
    CommandSignature,
    register_request_layout,
    request_layout,
    row_pass_layout,
)
from hdl.request_head import DemandSignature
from hdl.timing_guard import ReadySignature
from model.spec.slice import SliceSpec
from model.spec.timing import Command


class Scheduler(wiring.Component):
    """Picks at most one row command and one column command in every clock; no latency.

    Rows: a pass, a refresh, an urgent request, host, DMA. Columns: MAC_ALL, an urgent request,
    register transfers, host, DMA. While an urgent request waits for its column, or for its bank to
    be closed, others put no column in its way. So a request waits at most ``STARVATION_CLOCKS``,
    the refreshes and the one row pass that hold its bank, and one row cycle for each port.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.

    Members
    -------
    ready : ``In(ReadySignature(spec))``
        What timing allows.
    open : ``In(banks)``
        Slots with an open row.
    host, dma : ``In(DemandSignature(spec))``
        What the oldest requests need.
    host_request, dma_request : ``In(request_layout(spec))``
        These requests.
    register : ``In(stream.Signature(register_request_layout(spec)))``
        Register transfers; taken when issued.
    activate_all, precharge_all, mac_all : ``In(1)``
        What the pass sequencer asks for.
    row_pass, pass_column : ``In``
        Its pass and column.
    pass_busy, reserve : ``In(1)``
        PIM banks belong to a pass; ACT and REF would delay ACT_ALL.
    refresh_slots, refresh_all : ``In``
        Banks to be closed and refreshed; 0 for none.
    refreshed : ``Out(1)``
        Their refresh is issued in this clock.
    commands : ``Out(CommandSignature(spec))``
        The buses; all zero when idle.
    """

    ready: Any
    open: Signal
    host: Any
    dma: Any
    host_request: Any
    dma_request: Any
    register: stream.Interface
    activate_all: Signal
    precharge_all: Signal
    mac_all: Signal
    row_pass: Any
    pass_column: Signal
    pass_busy: Signal
    reserve: Signal
    refresh_slots: Signal
    refresh_all: Signal
    refreshed: Signal
    commands: Any

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        banks = len(spec.geometry.banks)
        super().__init__({
            "ready": In(ReadySignature(spec)), "open": In(banks),
            "host": In(DemandSignature(spec)), "dma": In(DemandSignature(spec)),
            "host_request": In(request_layout(spec)), "dma_request": In(request_layout(spec)),
            "register": In(stream.Signature(register_request_layout(spec))),
            "activate_all": In(1), "precharge_all": In(1), "mac_all": In(1),
            "row_pass": In(row_pass_layout(spec)),
            "pass_column": In(range(spec.geometry.columns)),
            "pass_busy": In(1), "reserve": In(1),
            "refresh_slots": In(banks), "refresh_all": In(1), "refreshed": Out(1),
            "commands": Out(CommandSignature(spec)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dma_first = self.dma.urgent & ~self.host.urgent
        self._columns(m, dma_first)
        self._rows(m, dma_first)
        return m

    def _columns(self, m: Module, dma_first: Value) -> None:
        ready, register, bus = self.ready, self.register, self.commands.column
        host_goes, dma_goes, register_goes = Signal(), Signal(), Signal()
        same_bank = (self.host.slots & self.dma.slots).any()
        host_waits = dma_first & (self.dma.column | same_bank & ~self.host.keep)
        dma_waits = self.host.urgent & (self.host.column | same_bank & ~self.dma.keep)
        urgent_column = self.host.urgent & self.host.column | self.dma.urgent & self.dma.column
        m.d.comb += [
            host_goes.eq(self._column_fits(self.host, self.host_request) & ~host_waits),
            dma_goes.eq(self._column_fits(self.dma, self.dma_request) & ~dma_waits),
            register_goes.eq(register.valid & ~urgent_column
                             & Mux(register.p.write, ready.reg_wr, ready.reg_rd)),
        ]
        with m.If(self.mac_all & ready.mac_all):
            m.d.comb += [
                bus.command.eq(Command.MAC_ALL),
                bus.column.eq(self.pass_column),
                bus.mode.eq(self.row_pass.mode),
                bus.start.eq(self.row_pass.start & (self.pass_column == 0)),
                bus.mask.eq(self.row_pass.mask),
            ]
        with m.Elif(register_goes):
            m.d.comb += [
                register.ready.eq(1),
                bus.command.eq(Mux(register.p.write, Command.REG_WR, Command.REG_RD)),
                bus.mask.eq(register.p.mask),
                bus.register.eq(register.p.register),
                bus.address.eq(register.p.address),
                self.commands.write_data.eq(Mux(register.p.write, register.p.data, 0)),
            ]
        with m.Elif(host_goes):
            self._issue_column(m, self.host, self.host_request)
        with m.Elif(dma_goes):
            self._issue_column(m, self.dma, self.dma_request)

    def _column_fits(self, demand: Any, request: Any) -> Value:
        fits = Mux(request.write, self.ready.wr, self.ready.rd)
        return demand.column & (demand.slots & fits).any()

    def _issue_column(self, m: Module, demand: Any, request: data.View) -> None:
        bus = self.commands.column
        m.d.comb += [
            demand.issued_column.eq(1),
            bus.command.eq(Mux(request.write, Command.WR, Command.RD)),
            bus.bank.eq(request.bank),
            bus.column.eq(request.column),
            self.commands.write_data.eq(Mux(request.write, request.data, 0)),
        ]

    def _rows(self, m: Module, dma_first: Value) -> None:
        ready, bus = self.ready, self.commands.row
        pim_refresh = self.refresh_all & ~self.pass_busy
        to_close = self.refresh_slots & self.open
        one_bank = ~self.refresh_all & ~to_close.any() & ~self.reserve
        dma_goes = self._row_fits(self.dma, self.host)
        refresh_bank = Signal.like(bus.bank)
        m.d.comb += refresh_bank.eq(reduce(or_, (
            Mux(self.refresh_slots[slot], bank, 0)
            for slot, bank in enumerate(self.spec.geometry.banks))))
        with m.If(self.precharge_all & ready.pre_all):
            m.d.comb += bus.command.eq(Command.PRE_ALL)
        with m.Elif(self.activate_all & ready.act_all):
            m.d.comb += [bus.command.eq(Command.ACT_ALL), bus.row.eq(self.row_pass.row)]
        with m.Elif(pim_refresh & to_close.any() & ready.pre_all):
            m.d.comb += bus.command.eq(Command.PRE_ALL)
        with m.Elif(pim_refresh & ~to_close.any() & ready.ref_all):
            m.d.comb += [bus.command.eq(Command.REF_ALL), self.refreshed.eq(1)]
        with m.Elif(~self.refresh_all & (to_close & ready.pre).any()):
            m.d.comb += [bus.command.eq(Command.PRE),
                         bus.bank.eq(refresh_bank)]
        with m.Elif(one_bank & (self.refresh_slots & ready.ref).any()):
            m.d.comb += [bus.command.eq(Command.REF), self.refreshed.eq(1),
                         bus.bank.eq(refresh_bank)]
        with m.Elif(dma_goes & dma_first):
            self._issue_row(m, self.dma, self.dma_request)
        with m.Elif(self._row_fits(self.host, self.dma)):
            self._issue_row(m, self.host, self.host_request)
        with m.Elif(dma_goes):
            self._issue_row(m, self.dma, self.dma_request)

    def _row_fits(self, demand: Any, other: Any) -> Value:
        kept = other.keep & (demand.slots & other.slots).any()
        return (demand.activate & (demand.slots & self.ready.act).any() & ~self.reserve
                | demand.precharge & (demand.slots & self.ready.pre).any() & ~kept)

    def _issue_row(self, m: Module, demand: Any, request: data.View) -> None:
        bus = self.commands.row
        m.d.comb += [
            demand.issued_activate.eq(demand.activate),
            demand.issued_precharge.eq(demand.precharge),
            bus.command.eq(Mux(demand.activate, Command.ACT, Command.PRE)),
            bus.bank.eq(request.bank),
            bus.row.eq(Mux(demand.activate, request.row, 0)),
        ]
