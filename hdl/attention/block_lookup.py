"""Asks the translator for the blocks of a list, several at a time; answers are in order."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.attention.descriptor_layouts import LIST_ENTRY_LAYOUT
from hdl.attention.in_order import InOrder
from hdl.translator.layouts import lookup_layout, place_layout, translation_layout
from model.spec.attention_descriptor import EngineSpec
from model.spec.translation import Access, Fault, Tier, TranslatorSpec

QUESTION = data.StructLayout({"entry": LIST_ENTRY_LAYOUT, "write": 1})
"""A block of a list, and whether a token is to be written to it."""


def found_layout(spec: TranslatorSpec) -> data.StructLayout:
    """What the translator says of a block."""
    return data.StructLayout({"fault": Fault, "place": place_layout(spec), "format": 3})


class BlockLookup(wiring.Component):
    """A lookup a clock while slots are free.

    Parameters
    ----------
    engine : EngineSpec
    spec : TranslatorSpec
    requester : int
        Who asks, for the translator.

    Members
    -------
    tenant, layer, head_group : ``In``
        Of all blocks; constant while there are any.
    i : ``In(stream.Signature(QUESTION))``
    lookup, translation : ``Out(stream)``, ``In(stream)``
        The translator's port.
    o : ``Out(stream.Signature(found_layout(spec)))``, entry : ``Out(LIST_ENTRY_LAYOUT)``
        The answers in order, with their blocks.
    waiting : ``Out(1)``
        Answers are outstanding.
    clear : ``In(1)``
        Forgets what was not taken; only if none is outstanding.
    """

    tenant: Signal
    layer: Signal
    head_group: Signal
    i: stream.Interface
    lookup: stream.Interface
    translation: stream.Interface
    o: stream.Interface
    entry: data.View
    waiting: Signal
    clear: Signal

    def __init__(self, engine: EngineSpec, spec: TranslatorSpec, *, requester: int) -> None:
        self.engine, self.spec, self.requester = engine, spec, requester
        super().__init__({
            "tenant": In(8), "layer": In(8), "head_group": In(8),
            "i": In(stream.Signature(QUESTION)),
            "lookup": Out(stream.Signature(lookup_layout())),
            "translation": In(stream.Signature(translation_layout(spec))),
            "o": Out(stream.Signature(found_layout(spec))), "entry": Out(LIST_ENTRY_LAYOUT),
            "waiting": Out(1), "clear": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = self.engine.lookups
        m.submodules.order = order = InOrder(found_layout(self.spec), depth=depth)
        m.submodules.entries = entries = Memory(shape=LIST_ENTRY_LAYOUT, depth=depth, init=[])
        store, show = entries.write_port(), entries.read_port(domain="comb")
        question, answer, lookup = self.i.p, self.translation.p, self.lookup.p
        oldest = Signal(range(depth))
        asks = self.lookup.valid & self.lookup.ready
        m.d.comb += [
            self.lookup.valid.eq(self.i.valid & order.room),
            self.i.ready.eq(self.lookup.ready & order.room),
            lookup.id.tenant.eq(self.tenant), lookup.id.layer.eq(self.layer),
            lookup.id.head_group.eq(self.head_group),
            lookup.id.block.eq(question.entry.block),
            lookup.id.sequence.eq(question.entry.sequence),
            lookup.tier.eq(Tier.PIM),
            lookup.access.eq(Mux(question.write, Access.WRITE, Access.READ)),
            lookup.requester.eq(self.requester), lookup.tag.eq(order.slot),
            order.ask.eq(asks), order.clear.eq(self.clear),
            store.en.eq(asks), store.addr.eq(order.slot), store.data.eq(question.entry),
            show.addr.eq(oldest), self.entry.eq(show.data),
            self.translation.ready.eq(1),
            order.answered.eq(self.translation.valid),
            order.answered_slot.eq(answer.tag[:len(order.slot)]),
            order.answer.fault.eq(answer.fault), order.answer.place.eq(answer.place),
            order.answer.format.eq(answer.residency.pim_format),
            self.waiting.eq(order.waiting),
        ]
        wiring.connect(m, order.o, wiring.flipped(self.o))
        with m.If(self.clear):
            m.d.sync += oldest.eq(0)
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += oldest.eq(oldest + 1)
        return m
