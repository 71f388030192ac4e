"""Which command goes on each of the two command buses."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.dram.request_window import CandidateSignature, oldest_of, selected
from hdl.dram.timing_guard import ReadySignature
from hdl.layouts import (
    column_command_layout,
    register_request_layout,
    row_command_layout,
    row_pass_layout,
)
from model.spec.slice import SliceSpec
from model.spec.timing import Command


class Scheduler(wiring.Component):
    """Picks at most one row command and one column command in every clock; no latency.

    Rows: a pass, a refresh, an urgent request, then for requests of the present direction ACT
    before PRE in the order of the ports, then the same for the other direction, then idle rows are
    closed. Columns: MAC_ALL, an urgent request, register transfers, the others in the order of the
    ports.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    ports : int
        Requesters, in order of priority; windows are theirs in turn, reads before writes.

    Members
    -------
    ready : ``In(ReadySignature(spec))``
        What timing allows.
    open : ``In(banks)``
        Slots with an open row.
    candidates : ``In(CandidateSignature)`` for each window
        What they chose; only ``column_issued`` and ``activate_issued`` are answered here.
    writing, urgent : ``In(1)``, ``In(windows)``
        Present direction; the window that goes first.
    clear_way : ``In(1)``
        The row of its request is open: no register transfer that would turn the bus, or write a
        column, may come in its way, and none at all in the clock in which its column can go.
    pause : ``In(1)``
        No RD or WR in this clock: a response of another kind takes its place.
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
    idle : ``In(banks)``
        Slots to be closed when nothing else is to be done.
    refreshed : ``Out(1)``
        The refresh is issued in this clock.
    precharged : ``Out(banks)``
        Slots that are closed for a request in this clock.
    row, column : ``Out(row_command_layout(spec))``, ``Out(column_command_layout(spec))``
        The buses; all zero when idle.
    """

    ready: Any
    open: Signal
    candidates: Any
    writing: Signal
    urgent: Signal
    clear_way: Signal
    pause: Signal
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
    idle: Signal
    refreshed: Signal
    precharged: Signal
    row: Any
    column: Any

    def __init__(self, spec: SliceSpec, *, ports: int) -> None:
        self.spec, self.ports = spec, ports
        banks = len(spec.geometry.banks)
        super().__init__({
            "ready": In(ReadySignature(spec)), "open": In(banks),
            "candidates": In(CandidateSignature(spec)).array(2 * ports),
            "writing": In(1), "urgent": In(2 * ports), "clear_way": In(1), "pause": In(1),
            "register": In(stream.Signature(register_request_layout(spec))),
            "activate_all": In(1), "precharge_all": In(1), "mac_all": In(1),
            "row_pass": In(row_pass_layout(spec)),
            "pass_column": In(range(spec.geometry.columns)),
            "pass_busy": In(1), "reserve": In(1),
            "refresh_slots": In(banks), "refresh_all": In(1), "idle": In(banks),
            "refreshed": Out(1), "precharged": Out(banks),
            "row": Out(row_command_layout(spec)), "column": Out(column_command_layout(spec)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._columns(m)
        self._rows(m)
        return m

    def _bank(self, slots: Value) -> Value:
        """The number of the bank in the one slot that is set."""
        return selected(slots, self.spec.geometry.banks)

    def _in_turn(self) -> list[tuple[Value, Any]]:
        """When a window's choice may be taken, and the choice; in order of preference."""
        ports = range(self.ports)
        present = [(self.writing, 1), (~self.writing, 0)]
        return ([(self.urgent[n], c) for n, c in enumerate(self.candidates)]
                + [(now, self.candidates[2 * port + side]) for port in ports
                   for now, side in present])

    def _columns(self, m: Module) -> None:
        ready, register, bus = self.ready, self.register, self.column
        register_goes = Signal()
        pim_banks = self.spec.geometry.pim_banks
        turns = self._in_turn()
        urgent_goes = Cat(now & choice.first for now, choice in turns[:2 * self.ports]).any()
        in_the_way = self.clear_way & (
            urgent_goes | register.p.column | (register.p.write ^ self.urgent[1::2].any()))
        m.d.comb += register_goes.eq(register.valid & ~in_the_way & Mux(
            register.p.column, (ready.wr[:pim_banks] & register.p.mask).any(), Mux(
                register.p.write, ready.reg_wr, ready.reg_rd)))
        with m.If(self.mac_all & ready.mac_all):
            m.d.comb += [
                bus.command.eq(Command.MAC_ALL),
                bus.column.eq(self.pass_column),
                bus.mode.eq(self.row_pass.mode),
                bus.start.eq(self.row_pass.start & (self.pass_column == 0)),
                bus.set.eq(self.row_pass.set),
                bus.slot.eq(self.row_pass.latch[0]),        # as the latches, slots take turns
                bus.mask.eq(self.row_pass.mask),
            ]
        with m.Elif(register_goes):
            m.d.comb += [
                register.ready.eq(1),
                bus.command.eq(Mux(register.p.write, Command.REG_WR, Command.REG_RD)),
                bus.mask.eq(register.p.mask),
                bus.register.eq(register.p.register),
                bus.address.eq(register.p.address),
            ]
            with m.If(register.p.column):
                m.d.comb += [
                    bus.command.eq(Command.WR), bus.mask.eq(0), bus.address.eq(0),
                    bus.bank.eq(selected(register.p.mask,
                                         list(self.spec.geometry.pim_bank_numbers))),
                    bus.column.eq(register.p.address[:len(bus.column)]),
                ]
        for turn, (allowed, candidate) in enumerate(turns):
            urgent = turn < 2 * self.ports
            goes = allowed & candidate.first if urgent else allowed & candidate.column
            with m.Elif(goes & ~self.pause):
                m.d.comb += [
                    candidate.column_issued.eq(1),
                    bus.command.eq(Mux(self.writing, Command.WR, Command.RD)),
                    bus.bank.eq(self._bank(candidate.column_word.slots)),
                    bus.column.eq(candidate.column_word.column),
                ]

    def _rows(self, m: Module) -> None:
        ready, bus = self.ready, self.row
        pim_refresh = self.refresh_all & ~self.pass_busy
        to_close = self.refresh_slots & self.open
        one_bank = ~self.refresh_all & ~to_close.any() & ~self.reserve
        to_rest = Signal.like(self.idle)
        m.d.comb += to_rest.eq(self.idle & ready.pre)
        with m.If(self.precharge_all & ready.pre_all):
            m.d.comb += bus.command.eq(Command.PRE_ALL)
        with m.Elif(self.activate_all & ready.act_all):
            m.d.comb += [bus.command.eq(Command.ACT_ALL), bus.row.eq(self.row_pass.row),
                         bus.latch.eq(self.row_pass.latch)]
        with m.Elif(pim_refresh & to_close.any() & ready.pre_all):
            m.d.comb += bus.command.eq(Command.PRE_ALL)
        with m.Elif(pim_refresh & ~to_close.any() & ready.ref_all):
            m.d.comb += [bus.command.eq(Command.REF_ALL), self.refreshed.eq(1)]
        with m.Elif(~self.refresh_all & (to_close & ready.pre).any()):
            m.d.comb += [bus.command.eq(Command.PRE), bus.bank.eq(self._bank(self.refresh_slots))]
        with m.Elif(one_bank & (self.refresh_slots & ready.ref).any()):
            m.d.comb += [bus.command.eq(Command.REF), self.refreshed.eq(1),
                         bus.bank.eq(self._bank(self.refresh_slots))]
        turns = self._in_turn()
        urgent, present = turns[:2 * self.ports], turns[2 * self.ports:]
        other = [(~now, candidate) for now, candidate in present]
        for group in (urgent, present, other):
            for allowed, candidate in group:
                with m.Elif(allowed & candidate.activate):
                    m.d.comb += [
                        candidate.activate_issued.eq(1),
                        bus.command.eq(Command.ACT),
                        bus.bank.eq(self._bank(candidate.activate_word.slots)),
                        bus.row.eq(candidate.activate_word.row),
                    ]
            for allowed, candidate in group:
                with m.Elif(allowed & candidate.precharge):
                    m.d.comb += [
                        bus.command.eq(Command.PRE),
                        bus.bank.eq(self._bank(candidate.precharge_slots)),
                        self.precharged.eq(candidate.precharge_slots),
                    ]
        with m.Elif(to_rest.any()):
            m.d.comb += [bus.command.eq(Command.PRE),
                         bus.bank.eq(self._bank(oldest_of(list(to_rest))))]
