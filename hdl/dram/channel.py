"""The memory channel of one pseudo-channel: controller and DRAM."""

from typing import Any

from amaranth import C, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dram.bank_table import BankTable
from hdl.dram.data_path import DataPath
from hdl.dram.dram_bank import DramBank
from hdl.dram.dram_device import BankUnit, DramDevice, PimUnit, check_latencies
from hdl.dram.idle_close import IdleClose
from hdl.dram.pass_sequencer import PassSequencer
from hdl.dram.refresh import Refresh, refresh_step
from hdl.dram.request_pool import RequestPool
from hdl.dram.scheduler import Scheduler
from hdl.dram.timing_guard import TimingGuard
from hdl.layouts import (
    BEAT_WIDTH,
    AttentionShape,
    CommandSignature,
    PimPortSignature,
    PortSignature,
)
from hdl.pim.pim_unit import pim_unit
from hdl.reliability.layouts import UpkeepSignature
from model.spec.attention import MacMode
from model.spec.errors import SpecError
from model.spec.slice import SliceSpec
from model.spec.timing import Command

SCRUBBER = "scrub"
"""Name of the requester that repairs words (:class:`~hdl.reliability.scrubber.Scrubber`)."""


class CounterSignature(wiring.Signature):
    """Events of the channel, each a pulse of one clock, for performance counters.

    Members
    -------
    activates, refreshes, row_passes : ``Out(1)``
        ACT; REF or REF_ALL; ACT_ALL.
    column_reads, column_writes, macs, register_transfers : ``Out(1)``
        RD; WR; MAC_ALL; REG_WR or REG_RD.
    row_hits, row_misses, row_conflicts : ``Out(1)``
        A request was served whose row was open; for which a closed bank was opened; for which
        another row was closed first.
    """

    def __init__(self) -> None:
        super().__init__({name: Out(1) for name in (
            "activates", "refreshes", "row_passes", "column_reads", "column_writes", "macs",
            "register_transfers", "row_hits", "row_misses", "row_conflicts")})


class Channel(wiring.Component):
    """Serves requesters and the attention sequencer from the banks of one pseudo-channel.

    Unloaded, a read is answered tRCDRD + read latency + 2 clocks after it is offered, one to an
    open row read latency + 2 after. Spread over banks and bank groups, a column a clock is served;
    an open row streams a column every tCCDL. Row passes follow each other every
    ``tRCDRD + last_column * spacing + tRTP + tRP`` clocks, or tRC if that is longer, unless a
    refresh comes in between. Requests to PIM banks wait for queued passes.

    Requests of a port to the same word take effect in the order in which they were accepted, all
    others in any order (docs/memory_channel.md). Words are stored with check bits: what a port
    reads has single flips corrected, and is UNCORRECTABLE with more. PIM units take columns as
    they are.

    Parameters
    ----------
    spec : SliceSpec
        Geometry, timing, limits of the scheduler, and PIM units.
    requesters : tuple of str
        Names of the ports, in order of priority.
    pim_unit : callable
        Makes the PIM unit of a bank.
    bank_unit : callable
        Makes a bank.

    Members
    -------
    gpu, dma, ... : ``In(PortSignature(spec))``
        The port of each requester.
    pim : ``In(PimPortSignature(spec))``
        Row passes and register transfers.
    shape : ``In(AttentionShape(spec.pim))``
        To the PIM units.
    commands : ``Out(CommandSignature(spec))``
        The command buses, for observers.
    counters : ``Out(CounterSignature())``
        Events.
    upkeep : ``In(UpkeepSignature(geometry, ports))``
        The reliability unit, if there is one; its port is the requester named ``SCRUBBER``.
    error : ``Out(1)``
        For one clock: the device found a violation of its protocol. Never, if all is well.
    """

    pim: Any
    shape: data.View
    commands: Any
    counters: Any
    upkeep: Any
    error: Any

    def __init__(self, spec: SliceSpec, *, requesters: tuple[str, ...] = ("gpu", "dma"),
                 pim_unit: PimUnit = pim_unit, bank_unit: BankUnit = DramBank) -> None:
        self.spec, self.requesters = spec, tuple(requesters)
        self.pim_unit, self.bank_unit = pim_unit, bank_unit
        refresh_step(spec)          # refuse now what the parts would refuse later
        check_latencies(spec)
        others = {
            "pim": In(PimPortSignature(spec)),
            "shape": In(AttentionShape(spec.pim)),
            "commands": Out(CommandSignature(spec)),
            "counters": Out(CounterSignature()),
            "upkeep": In(UpkeepSignature(spec.geometry, max(1, len(self.requesters)))),
            "error": Out(1),
        }
        names = set(self.requesters)
        if not names or len(names) < len(self.requesters) or names & set(others):
            raise SpecError("requesters", requesters, "different names, other than those of ports")
        super().__init__({**{name: In(PortSignature(spec)) for name in requesters}, **others})

    def port(self, name: str) -> Any:
        """The port of a requester."""
        return getattr(self, name)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, ports = self.spec, len(self.requesters)
        m.submodules.requests = requests = RequestPool(spec, ports=ports)
        m.submodules.scheduler = scheduler = Scheduler(spec, ports=ports)
        m.submodules.guard = guard = TimingGuard(spec)
        m.submodules.table = table = BankTable(spec)
        m.submodules.device = device = DramDevice(spec, pim_unit=self.pim_unit,
                                                  bank_unit=self.bank_unit)
        m.submodules.sequencer = sequencer = PassSequencer(spec)
        m.submodules.refresh = refresh = Refresh(spec)
        m.submodules.idle_close = idle_close = IdleClose(spec)

        for outside, inside in zip(self.requesters, requests.ports, strict=True):
            connect(m, flipped(self.port(outside)), inside)
        for candidate, choice in zip(scheduler.candidates, requests.candidates, strict=True):
            connect(m, candidate, choice)
        connect(m, requests.events, table.events)
        connect(m, scheduler.register, flipped(self.pim.register))
        connect(m, sequencer.i, flipped(self.pim.row_pass))
        pim_slots = (1 << spec.geometry.pim_banks) - 1
        held = Signal(len(spec.geometry.banks))
        pim = C(pim_slots, len(held))
        for part in (requests, scheduler):
            m.d.comb += [getattr(part.ready, name).eq(getattr(guard.ready, name))
                         for name in guard.ready.signature.members]
        m.d.comb += [
            held.eq(refresh.slots | Mux(sequencer.busy, pim_slots, 0)),
            guard.row.eq(scheduler.row), guard.column.eq(scheduler.column),
            table.row.eq(scheduler.row), table.column.eq(scheduler.column),
            table.write_data.eq(self.commands.write_data[:len(table.write_data)]),
            requests.open.eq(table.open), requests.rows.eq(table.rows),
            requests.held.eq(held), requests.refreshing.eq(guard.refreshing),
            requests.leaving.eq(Mux(sequencer.busy, refresh.slots & ~pim, refresh.slots)),
            requests.reserve.eq(sequencer.reserve),
            requests.precharged.eq(scheduler.precharged),
            scheduler.open.eq(table.open),
            scheduler.writing.eq(requests.writing), scheduler.urgent.eq(requests.urgent),
            scheduler.clear_way.eq(requests.clear_way),
            scheduler.pause.eq(requests.pause),

            idle_close.column.eq(scheduler.column), idle_close.open.eq(table.open),
            idle_close.opens.eq(table.events.opens),
            scheduler.idle.eq(idle_close.idle & ~requests.hits & ~held),
            refresh.wanted.eq(requests.wanted
                              | Mux(sequencer.busy | self.pim.active, pim_slots, 0)),
            refresh.resting.eq(Mux(sequencer.busy | self.pim.active,
                                   requests.resting & ~pim, requests.resting)),
            refresh.turned.eq(requests.turned), refresh.writing.eq(requests.writing),
            refresh.issued.eq(scheduler.refreshed),
            scheduler.refresh_slots.eq(refresh.slots), scheduler.refresh_all.eq(refresh.all),
            sequencer.hold.eq(refresh.all | (requests.overdue & pim_slots).any()),
            sequencer.closed.eq(~(table.open & pim_slots).any()),
            sequencer.settled.eq(guard.settled),

            device.shape.eq(self.shape),
            self.error.eq(device.error),
        ]
        self._connect_sequencer(m, sequencer, scheduler)
        self._connect_data(m, requests, scheduler, device)
        self._count(m, requests)
        return m

    def _connect_sequencer(self, m: Module, sequencer: PassSequencer,
                           scheduler: Scheduler) -> None:
        row, column = scheduler.row.command, scheduler.column.command
        m.d.comb += [
            sequencer.issued_activate.eq(row == Command.ACT_ALL),
            sequencer.issued_precharge.eq(row == Command.PRE_ALL),
            sequencer.issued_mac.eq(column == Command.MAC_ALL),
            sequencer.issued_refresh.eq(row == Command.REF_ALL),
            scheduler.activate_all.eq(sequencer.activate),
            scheduler.precharge_all.eq(sequencer.precharge),
            scheduler.mac_all.eq(sequencer.mac),
            scheduler.row_pass.eq(sequencer.row_pass),
            scheduler.pass_column.eq(sequencer.column),
            scheduler.pass_busy.eq(sequencer.busy),
            scheduler.reserve.eq(sequencer.reserve),
            self.pim.pass_done.eq(sequencer.done),
            self.pim.appends.eq(sequencer.appends),
            self.pim.appends_value.eq(sequencer.row_pass.mode == MacMode.AXPY),
            sequencer.appended.eq(self.pim.register.valid & self.pim.register.ready
                                  & self.pim.register.p.column & self.pim.register.p.ends),
        ]

    def _connect_data(self, m: Module, requests: RequestPool, scheduler: Scheduler,
                      device: DramDevice) -> None:
        """The way of the words to the banks and back."""
        register, ports = self.pim.register, len(self.requesters)
        transferred = register.valid & register.ready & register.p.write
        m.submodules.data_path = path = DataPath(self.spec, ports=ports)
        connect(m, flipped(self.upkeep), path.upkeep)
        if SCRUBBER in self.requesters:
            own = 2 * self.requesters.index(SCRUBBER)
            m.d.comb += [path.own_read.eq(scheduler.candidates[own].column_issued),
                         path.own_write.eq(scheduler.candidates[own + 1].column_issued)]
        m.d.comb += [
            self.commands.row.eq(scheduler.row),
            self.commands.column.eq(scheduler.column),
            self.commands.write_data.eq(
                requests.write_data | Mux(transferred, register.p.data, 0)),
            device.commands.row.eq(scheduler.row),
            device.commands.column.eq(scheduler.column),
            device.commands.write_data.eq(self.commands.write_data),

            path.column.eq(scheduler.column), path.write_data.eq(self.commands.write_data),
            path.rows.eq(requests.rows), path.reader.eq(requests.reader),
            device.stored.eq(path.stored), device.annul.eq(path.annul),
            path.read.eq(device.read_data), path.read_bank.eq(device.read_bank),
            path.read_column.eq(device.read_column),
            requests.read_data.eq(path.word), requests.read_status.eq(path.status),
            self.pim.register_valid.eq(device.register_valid),
            self.pim.register_data.eq(
                Mux(device.register_valid, device.read_data[:BEAT_WIDTH], 0)),
        ]

    def _count(self, m: Module, requests: RequestPool) -> None:
        row, column = self.commands.row.command, self.commands.column.command
        m.d.comb += [
            self.counters.activates.eq(row == Command.ACT),
            self.counters.refreshes.eq((row == Command.REF) | (row == Command.REF_ALL)),
            self.counters.row_passes.eq(row == Command.ACT_ALL),
            self.counters.column_reads.eq(column == Command.RD),
            self.counters.column_writes.eq(column == Command.WR),
            self.counters.macs.eq(column == Command.MAC_ALL),
            self.counters.register_transfers.eq(
                (column == Command.REG_WR) | (column == Command.REG_RD)),
            self.counters.row_hits.eq(requests.row_hit),
            self.counters.row_misses.eq(requests.row_miss),
            self.counters.row_conflicts.eq(requests.row_conflict),
        ]
