"""The attention descriptor engine with the translator that it asks, as one device under test."""

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.descriptor_engine import DescriptorEngine
from hdl.layouts import PortSignature
from hdl.translator.layouts import tables_layout
from hdl.translator.translator import Translator
from model.spec.attention_descriptor import EngineSpec
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec

PSEUDO_CHANNEL = 1
"""Number of the engine's pseudo-channel."""


class DescriptorSystem(wiring.Component):
    """The engine's members but ``translator``, and a translator behind it; no latency.

    Members
    -------
    tables, tables_port : ``In(tables_layout())``, ``Out(PortSignature(spec))``
        Of the translator.
    """

    tables: Any
    tables_port: Any

    def __init__(self, spec: SliceSpec, engine: EngineSpec, *, translator: TranslatorSpec,
                 make: type[DescriptorEngine] = DescriptorEngine) -> None:
        self.engine = make(spec, engine, translator=translator)
        self.walker = Translator(translator)
        self.shared = {name: member for name, member in self.engine.signature.members.items()
                       if name not in ("translator", "pseudo_channel")}
        super().__init__({**self.shared, "tables": In(tables_layout()),
                          "tables_port": Out(PortSignature(spec))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.engine = engine = self.engine
        m.submodules.walker = walker = self.walker
        connect(m, engine.translator, walker.requester)
        connect(m, walker.port, flipped(self.tables_port))
        for name, member in self.shared.items():
            inside, outside = getattr(engine, name), getattr(self, name)
            if member.is_signature:
                connect(m, inside, flipped(outside))
            else:
                m.d.comb += inside.eq(outside) if member.flow is In else outside.eq(inside)
        m.d.comb += [walker.tables.eq(self.tables), engine.pseudo_channel.eq(PSEUDO_CHANNEL),
                     walker.fault.ready.eq(1), walker.touched.ready.eq(1)]
        return m
