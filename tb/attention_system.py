"""Descriptors to results on real PIM banks: engine, translator, sequencer, one memory channel."""

from types import SimpleNamespace
from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.attention_units import attention_units
from hdl.attention.descriptor_engine import DescriptorEngine
from hdl.attention.descriptor_layouts import ELSEWHERE, RING_SETTINGS_LAYOUT
from hdl.attention.descriptor_rings import RING_STATUS
from hdl.dma.ring_fetcher import INDEX_BITS
from hdl.dram.channel import Channel
from hdl.layouts import PortSignature
from hdl.pim.pim_bank import PimBank
from hdl.translator.layouts import tables_layout
from hdl.translator.translator import Translator
from model.spec.attention_descriptor import EngineSpec
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec


class AttentionSystem(wiring.Component):
    """A pseudo-channel that knows descriptors alone, and a port for software's memory accesses.

    For measurements: without the rest of a base die, whose bench proves the same units.

    Parameters
    ----------
    spec : SliceSpec
    engine : EngineSpec
    translator : TranslatorSpec

    Members
    -------
    settings_0 ..., status_0 ..., doorbell, tail, elsewhere : of the engine
    tables : ``In(tables_layout())``
        Of the translator; they lie in the channel.
    host : ``In(PortSignature(spec))``
    error : ``Out(1)``
        A DRAM command broke the protocol, or a PIM unit was overrun; since reset.
    """

    host: Any
    tables: Any
    doorbell: Signal
    tail: Signal
    elsewhere: Any
    error: Signal

    def __init__(self, spec: SliceSpec, engine: EngineSpec, *,
                 translator: TranslatorSpec) -> None:
        self.spec, self.engine, self.translator = spec, engine, translator
        rings = range(engine.rings)
        super().__init__({
            **{f"settings_{n}": In(RING_SETTINGS_LAYOUT) for n in rings},
            **{f"status_{n}": Out(RING_STATUS) for n in rings},
            "doorbell": In(engine.rings), "tail": In(INDEX_BITS),
            "elsewhere": Out(stream.Signature(ELSEWHERE)),
            "tables": In(tables_layout()), "host": In(PortSignature(spec)), "error": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self.spec
        channel: Any = Channel(spec, requesters=("host", "walk", "attend"), pim_unit=PimBank)
        m.submodules.channel = channel
        m.submodules.walker = walker = Translator(self.translator)
        m.submodules.engine = engine = DescriptorEngine(
            spec, self.engine, translator=self.translator)
        shape = SimpleNamespace(last_chunk=0, last_head=0, partial=0, format=0)
        none = SimpleNamespace(context=0, first_wave=Signal(16), scale=0, shape=shape)
        sequencer, _ = attention_units(m, spec, channel, none, engine.result)
        connect(m, flipped(self.host), channel.port("host"))
        connect(m, walker.port, channel.port("walk"))
        connect(m, engine.port, channel.port("attend"))
        connect(m, engine.translator, walker.requester)
        connect(m, engine.order, sequencer.order)
        connect(m, engine.waves, sequencer.waves)
        connect(m, engine.token, sequencer.token)
        connect(m, engine.query, sequencer.ordered_query)
        connect(m, engine.elsewhere, flipped(self.elsewhere))
        for n in range(self.engine.rings):
            m.d.comb += [getattr(engine, f"settings_{n}").eq(getattr(self, f"settings_{n}")),
                         getattr(self, f"status_{n}").eq(getattr(engine, f"status_{n}"))]
        m.d.comb += [
            walker.tables.eq(self.tables), walker.fault.ready.eq(1), walker.touched.ready.eq(1),
            engine.doorbell.eq(self.doorbell), engine.tail.eq(self.tail),
        ]
        with m.If(channel.error | sequencer.refused):
            m.d.sync += self.error.eq(1)
        return m
