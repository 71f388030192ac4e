"""The memory channel of one pseudo-channel: controller and DRAM."""

from typing import Any

from amaranth import Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.bank_table import BankTable
from hdl.dram_device import DramDevice, PimUnit, check_latencies
from hdl.layouts import AttentionShape, CommandSignature, PimPortSignature, PortSignature
from hdl.pass_sequencer import PassSequencer
from hdl.pim_bank import PimBank
from hdl.refresh import Refresh, refresh_step
from hdl.request_head import RequestHead, ResponseQueue
from hdl.scheduler import Scheduler
from hdl.timing_guard import TimingGuard
from model.spec.slice import SliceSpec
from model.spec.timing import Command


class CounterSignature(wiring.Signature):
    """Events of the channel, each a pulse of one clock, for performance counters.

    Members
    -------
    activates, refreshes, row_passes : ``Out(1)``
        ACT; REF or REF_ALL; ACT_ALL.
    column_reads, column_writes, macs, register_transfers : ``Out(1)``
        RD; WR; MAC_ALL; REG_WR or REG_RD.
    row_hits, row_misses, row_conflicts : ``Out(1)``
        A request was served whose row was open; whose bank was closed; whose bank had another
        row open.
    """

    def __init__(self) -> None:
        super().__init__({name: Out(1) for name in (
            "activates", "refreshes", "row_passes", "column_reads", "column_writes", "macs",
            "register_transfers", "row_hits", "row_misses", "row_conflicts")})


class Channel(wiring.Component):
    """Serves two requesters and the attention sequencer from the banks of one pseudo-channel.

    Unloaded, a read is answered tRCDRD + read latency + 1 clocks after it is offered, one to an
    open row read latency + 1 after. An open row streams a column every tCCDL. Row passes
    follow each other every ``tRCDRD + last_column * spacing + tRTP + tRP`` clocks, or tRC if that
    is longer, unless a refresh comes in between. Requests to PIM banks wait for queued passes.

    Parameters
    ----------
    spec : SliceSpec
        Geometry, timing and PIM units.
    pim_unit : callable
        Makes the PIM unit of a bank.

    Members
    -------
    host, dma : ``In(PortSignature(spec))``
        Requests, each port in order. A request is accepted when its column command is issued:
        requests take effect in the order of acceptance.
    pim : ``In(PimPortSignature(spec))``
        Row passes and register transfers.
    shape : ``In(AttentionShape(spec.pim))``
        To the PIM units.
    commands : ``Out(CommandSignature(spec))``
        The command buses, for observers.
    counters : ``Out(CounterSignature())``
        Events.
    error : ``Out(1)``
        For one clock: the device found a violation of its protocol. Never, if all is well.
    """

    host: Any
    dma: Any
    pim: Any
    shape: data.View
    commands: Any
    counters: Any
    error: Any

    def __init__(self, spec: SliceSpec, *, pim_unit: PimUnit = PimBank) -> None:
        self.spec, self.pim_unit = spec, pim_unit
        refresh_step(spec)          # refuse now what the parts would refuse later
        check_latencies(spec)
        super().__init__({
            "host": In(PortSignature(spec)), "dma": In(PortSignature(spec)),
            "pim": In(PimPortSignature(spec)),
            "shape": In(AttentionShape(spec.pim)),
            "commands": Out(CommandSignature(spec)),
            "counters": Out(CounterSignature()),
            "error": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.scheduler = scheduler = Scheduler(spec)
        m.submodules.guard = guard = TimingGuard(spec)
        m.submodules.table = table = BankTable(spec)
        m.submodules.device = device = DramDevice(spec, pim_unit=self.pim_unit)
        m.submodules.sequencer = sequencer = PassSequencer(spec)
        m.submodules.refresh = refresh = Refresh(spec)
        heads = {}
        for name, port in (("host", self.host), ("dma", self.dma)):
            heads[name] = self._requester(m, name, port, scheduler, table, device)
        host, dma = heads["host"], heads["dma"]

        commands = scheduler.commands
        connect(m, scheduler.ready, guard.ready)
        connect(m, device=device.commands, scheduler=commands)
        connect(m, scheduler.register, flipped(self.pim.register))
        connect(m, sequencer.i, flipped(self.pim.row_pass))
        pim_slots = (1 << spec.geometry.pim_banks) - 1
        urgent = (Mux(host.demand.urgent, host.demand.slots, 0)
                  | Mux(dma.demand.urgent, dma.demand.slots, 0))
        held = refresh.slots | Mux(sequencer.busy, pim_slots, 0)
        m.d.comb += [
            guard.row.eq(commands.row), guard.column.eq(commands.column),
            table.row.eq(commands.row),
            scheduler.open.eq(table.open),
            host.held.eq(held), dma.held.eq(held),

            sequencer.hold.eq(refresh.all | (urgent & pim_slots).any()),
            sequencer.closed.eq(~(table.open & pim_slots).any()),
            sequencer.settled.eq(guard.settled),
            sequencer.issued_activate.eq(commands.row.command == Command.ACT_ALL),
            sequencer.issued_precharge.eq(commands.row.command == Command.PRE_ALL),
            sequencer.issued_mac.eq(commands.column.command == Command.MAC_ALL),
            sequencer.issued_refresh.eq(commands.row.command == Command.REF_ALL),
            scheduler.activate_all.eq(sequencer.activate),
            scheduler.precharge_all.eq(sequencer.precharge),
            scheduler.mac_all.eq(sequencer.mac),
            scheduler.row_pass.eq(sequencer.row_pass),
            scheduler.pass_column.eq(sequencer.column),
            scheduler.pass_busy.eq(sequencer.busy),
            scheduler.reserve.eq(sequencer.reserve),

            refresh.wanted.eq(host.demand.slots | dma.demand.slots
                              | Mux(sequencer.busy | self.pim.active, pim_slots, 0)),
            refresh.issued.eq(scheduler.refreshed),
            scheduler.refresh_slots.eq(refresh.slots),
            scheduler.refresh_all.eq(refresh.all),

            device.shape.eq(self.shape),
            self.pim.pass_done.eq(sequencer.done),
            self.pim.register_valid.eq(device.register_valid),
            self.pim.register_data.eq(Mux(device.register_valid, device.read_data, 0)),
            self.commands.row.eq(commands.row),
            self.commands.column.eq(commands.column),
            self.commands.write_data.eq(commands.write_data),
            self.error.eq(device.error),
        ]
        self._count(m, host, dma)
        return m

    def _requester(self, m: Module, name: str, port: Any, scheduler: Scheduler,
                   table: BankTable, device: DramDevice) -> RequestHead:
        m.submodules[f"{name}_head"] = head = RequestHead(self.spec)
        m.submodules[f"{name}_responses"] = responses = ResponseQueue(self.spec)
        connect(m, head.request, flipped(port.request))
        connect(m, responses.response, flipped(port.response))
        connect(m, head.demand, getattr(scheduler, name))
        m.d.comb += [
            getattr(scheduler, f"{name}_request").eq(port.request.payload),
            head.open.eq(table.open), head.rows.eq(table.rows),
            head.credit.eq(responses.credit),
            responses.accept.eq(head.accept),
            responses.write.eq(port.request.p.write),
            responses.missing.eq(head.missing),
            responses.read_data.eq(device.read_data),
        ]
        return head

    def _count(self, m: Module, host: RequestHead, dma: RequestHead) -> None:
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
            self.counters.row_hits.eq(host.row_hit | dma.row_hit),
            self.counters.row_misses.eq(host.row_miss | dma.row_miss),
            self.counters.row_conflicts.eq(host.row_conflict | dma.row_conflict),
        ]
