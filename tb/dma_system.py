"""A DMA engine with the translator that it asks, as one device under test."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dma.dma_channel import STATUS
from hdl.dma.engine import DmaEngine
from hdl.dma.layouts import SETTINGS_LAYOUT, table_layout
from hdl.dma.ring_fetcher import INDEX_BITS
from hdl.dma.stream_path import HOST_IN, HOST_OUT
from hdl.layouts import BEAT_WIDTH, PortSignature
from hdl.translator.layouts import invalidation_layout, tables_layout
from hdl.translator.translator import Translator
from model.spec.dma import INTERRUPT_SETTINGS, DmaSpec
from model.spec.mx import QuantiserSpec
from model.spec.secded import BEAT_CHECK_BITS
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec

PSEUDO_CHANNEL = 1
"""Number of the engine's pseudo-channel."""


class DmaSystem(wiring.Component):
    """The engine's members but ``translator``, and a translator behind it; no latency.

    Members
    -------
    tables, tables_port : ``In(tables_layout())``, ``Out(PortSignature(spec))``
        Of the translator.
    """

    def __init__(self, spec: SliceSpec, dma: DmaSpec, *, translator: TranslatorSpec,
                 quantiser: QuantiserSpec | None = None,
                 engine: type[DmaEngine] = DmaEngine) -> None:
        self.engine = engine(spec, dma, translator=translator, quantiser=quantiser)
        self.translator = Translator(translator)
        channels = dma.channels
        self.shared: dict[str, Any] = {
            **{f"settings_{i}": In(SETTINGS_LAYOUT) for i in range(channels)},
            **{f"status_{i}": Out(STATUS) for i in range(channels)},
            **{name: In(channels) for name in ("doorbell", "cancel", "resume", "clear")},
            "tail": In(INDEX_BITS), "coalescing": In(table_layout(INTERRUPT_SETTINGS)),
            "pending": Out(channels), "irq": Out(1),
            "inject": In(BEAT_WIDTH + BEAT_CHECK_BITS), "corrected": Out(1),
        }
        super().__init__({
            **self.shared, "port": Out(PortSignature(spec)),
            "host_in": In(stream.Signature(HOST_IN)), "host_out": Out(stream.Signature(HOST_OUT)),
            "tables": In(tables_layout()), "tables_port": Out(PortSignature(spec)),
            "invalidate": In(stream.Signature(invalidation_layout())),
        })

    tables: data.View
    invalidate: Any
    port: Any
    tables_port: Any
    host_in: Any
    host_out: Any

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.engine = engine = self.engine
        m.submodules.translator = translator = self.translator
        connect(m, engine.translator, translator.requester)
        connect(m, engine.port, flipped(self.port))
        connect(m, translator.port, flipped(self.tables_port))
        connect(m, translator.invalidate, flipped(self.invalidate))
        connect(m, flipped(self.host_in), engine.host_in)
        connect(m, flipped(self.host_out), engine.host_out)
        for name, member in self.shared.items():
            outer: Signal = getattr(self, name)
            inner: Signal = getattr(engine, name)
            m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        m.d.comb += [translator.tables.eq(self.tables), engine.pseudo_channel.eq(PSEUDO_CHANNEL),
                     translator.fault.ready.eq(1), translator.touched.ready.eq(1)]
        return m
