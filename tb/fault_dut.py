"""A memory controller under the load of a GPU, as the fault campaign wants it."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.host.axi_lite import AxiLiteSignature
from hdl.host.registers import RegisterBus
from hdl.layouts import PortSignature
from hdl.memory_controller import MemoryController
from model.spec.base_die import BaseDieSpec
from model.spec.dma import DmaSpec
from model.spec.geometry import ChannelGeometry
from model.spec.registers import RegisterSpace, reliability_map, space
from model.spec.scheduling import SchedulerSpec
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec
from model.spec.unit_registers import dma_map, translator_map
from tb.column_recorder import ColumnRecorder
from tb.gpu_traffic import GpuTraffic

NUMBER = 1
"""Of the pseudo-channel in its stack."""


def campaign_spec() -> BaseDieSpec:
    """Two banks a tier with short rows, and a log that holds what an episode of faults leaves."""
    return BaseDieSpec(
        translator=TranslatorSpec(
            channel=SliceSpec(
                geometry=ChannelGeometry(pim_banks=2, capacity_banks=2, rows=16, row_bytes=256),
                scheduler=SchedulerSpec(read_entries=8, write_entries=8, write_high=6)),
            pseudo_channels=2, tlb_entries=4, tlb_ways=2, slots=2, fault_records=2,
            first_segment_blocks=16),
        dma=DmaSpec(channels=1, slots=4, jobs=4, read_lanes=2, write_lanes=2),
        quantiser=None, log_records=128)


def campaign_space() -> RegisterSpace:
    """Its registers."""
    return space({"reliability": reliability_map(), "translator": translator_map(),
                  "dma": dma_map(campaign_spec().dma.channels)})


class FaultDut(wiring.Component):
    """The GPU port belongs to a generator of reads while ``loaded``, else to the bench.

    Members
    -------
    bus : ``In(AxiLiteSignature)``
        Registers.
    host : ``In(PortSignature)``
        To be used only while not ``loaded`` and ``quiet``.
    loaded, offer : ``In(1)``, ``In(16)``
        The generator's load, in 65536ths of a read a clock.
    quiet : ``Out(1)``
        The generator has nothing under way.
    """

    bus: Any
    host: Any
    loaded: Signal
    offer: Signal
    quiet: Signal

    def __init__(self) -> None:
        self.spec = campaign_spec()
        super().__init__({
            "bus": In(AxiLiteSignature(campaign_space().address_width)),
            "host": In(PortSignature(self.spec.channel)),
            "loaded": In(1), "offer": In(16), "quiet": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        channel = self.spec.channel
        m.submodules.bus = bus = RegisterBus(campaign_space())
        m.submodules.memory = memory = MemoryController(self.spec, ColumnRecorder)
        m.submodules.traffic = traffic = GpuTraffic(channel, banks=channel.geometry.banks)
        connect(m, flipped(self.bus), bus.bus)
        for inner, unit in zip(bus.blocks, (memory.reliability, memory.translator, memory.dma),
                               strict=True):
            connect(m, inner, unit)
        gpu, host, load = memory.gpu, self.host, traffic.port
        under_way = Signal(16)
        starts = load.request.valid & load.request.ready
        ends = gpu.response.valid & gpu.response.ready & self.loaded
        m.d.sync += under_way.eq((under_way + starts - ends)[:len(under_way)])
        m.d.comb += [
            memory.number.eq(NUMBER), memory.host_out.ready.eq(1),
            traffic.offer.eq(self.offer),
            gpu.request.valid.eq(Mux(self.loaded, load.request.valid, host.request.valid)),
            gpu.request.payload.eq(Mux(self.loaded, load.request.payload.as_value(),
                                       host.request.payload.as_value())),
            load.request.ready.eq(gpu.request.ready & self.loaded),
            host.request.ready.eq(gpu.request.ready & ~self.loaded),
            load.response.payload.eq(gpu.response.payload),
            load.response.valid.eq(gpu.response.valid & self.loaded),
            host.response.payload.eq(gpu.response.payload),
            host.response.valid.eq(gpu.response.valid & ~self.loaded),
            gpu.response.ready.eq(self.loaded | host.response.ready),
            self.quiet.eq(~load.request.valid & (under_way == 0)),
        ]
        return m
