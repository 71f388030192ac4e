"""A DMA engine on a real memory channel beside a GPU port, as one device under test."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from hdl.dma.dma_channel import STATUS
from hdl.dma.engine import DmaEngine
from hdl.dma.layouts import SETTINGS_LAYOUT
from hdl.dma.ring_fetcher import INDEX_BITS
from hdl.dram.channel import Channel
from hdl.layouts import CommandSignature, request_layout, response_layout
from model.spec.dma import DmaSpec
from model.spec.slice import SliceSpec
from tb.column_recorder import ColumnRecorder
from tb.gpu_traffic import GpuTraffic


class DmaOnChannel(wiring.Component):
    """Moves of physical places; the bench writes memory through the host's port; no latency.

    Members
    -------
    settings_0 and so on, doorbell, tail, status_0 and so on
        Of the engine.
    host : streams of a port
        Of the bench, in the place of the GPU's while ``offer`` is 0 and that one is quiet.
    offer : ``In(16)``
        Load of the GPU port: 65536ths of a read a clock.
    counting : ``In(1)``
        Measures count while it is set.
    commands : ``Out(CommandSignature(spec))``
    gpu_beats, dma_reads, dma_writes, clocks : ``Out(32)``
        While counting.
    latency_at, latency_count : ``In(10)``, ``Out(32)``
        How many reads of the GPU took so many clocks; the last place is for all longer ones.
    """

    def __init__(self, spec: SliceSpec, dma: DmaSpec, *, banks: tuple[int, ...] = ()) -> None:
        self.spec, self.dma = spec, dma
        self.traffic = GpuTraffic(spec, banks=banks or spec.geometry.capacity_bank_numbers)
        self.shared: dict[str, Any] = {
            **{f"settings_{i}": In(SETTINGS_LAYOUT) for i in range(dma.channels)},
            **{f"status_{i}": Out(STATUS) for i in range(dma.channels)},
            "doorbell": In(dma.channels), "tail": In(INDEX_BITS),
        }
        super().__init__({
            **self.shared,
            "host__request": In(stream.Signature(request_layout(spec))),
            "host__response": Out(stream.Signature(response_layout())),
            "offer": In(16), "counting": In(1), "commands": Out(CommandSignature(spec)),
            "gpu_beats": Out(32), "dma_reads": Out(32), "dma_writes": Out(32), "clocks": Out(32),
            "latency_at": In(10), "latency_count": Out(32),
        })

    host__request: Any
    host__response: Any
    offer: Signal
    counting: Signal
    commands: Any
    gpu_beats: Signal
    dma_reads: Signal
    dma_writes: Signal
    clocks: Signal
    latency_at: Signal
    latency_count: Signal

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.engine = engine = DmaEngine(self.spec, self.dma)
        m.submodules.channel = channel = Channel(
            self.spec, requesters=("gpu", "dma"), pim_unit=ColumnRecorder)
        m.submodules.traffic = traffic = self.traffic
        dma = channel.port("dma")
        gpu = channel.port("gpu")
        connect(m, engine.port, dma)
        loaded = self.offer != 0
        host, random = self.host__request, traffic.port.request
        m.d.comb += [
            gpu.request.valid.eq(Mux(loaded, random.valid, host.valid)),
            gpu.request.payload.eq(Mux(loaded, random.payload.as_value(),
                                       host.payload.as_value())),
            random.ready.eq(loaded & gpu.request.ready),
            host.ready.eq(~loaded & gpu.request.ready),
            traffic.port.response.valid.eq(loaded & gpu.response.valid),
            traffic.port.response.payload.eq(gpu.response.payload),
            self.host__response.valid.eq(~loaded & gpu.response.valid),
            self.host__response.payload.eq(gpu.response.payload),
            gpu.response.ready.eq(1),
        ]
        for name, member in self.shared.items():
            outer: Signal = getattr(self, name)
            inner: Signal = getattr(engine, name)
            m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        m.d.comb += [
            self.commands.row.eq(channel.commands.row),
            self.commands.column.eq(channel.commands.column),
            self.commands.write_data.eq(channel.commands.write_data),
            traffic.offer.eq(self.offer), traffic.counting.eq(self.counting),
            traffic.latency_at.eq(self.latency_at), self.latency_count.eq(traffic.latency_count),
            self.gpu_beats.eq(traffic.beats),
        ]
        with m.If(self.counting):
            answer: data.View = dma.response.p
            heard = dma.response.valid & dma.response.ready
            m.d.sync += [
                self.clocks.eq(self.clocks + 1),
                self.dma_reads.eq((self.dma_reads + (heard & ~answer.write))[:32]),
                self.dma_writes.eq((self.dma_writes + (heard & answer.write))[:32]),
            ]
        return m
