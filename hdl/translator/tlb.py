"""The translation look-aside buffer: what the last walks found, by block and tier."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.translator.layouts import block_id_layout, place_layout, residency_layout
from hdl.translator.one_hot import lowest
from model.spec.translation import Scope, Tier, TranslatorSpec


def entry_layout(spec: TranslatorSpec) -> data.StructLayout:
    """One translation: the place of one copy of a block."""
    return data.StructLayout({
        "id": block_id_layout(),
        "tier": Tier,                       # PIM or CAPACITY
        "readable": 1, "writable": 1,
        "residency": residency_layout(),    # of the block
        "place": place_layout(spec),
    })


def probe_layout() -> data.StructLayout:
    """What an operation is about."""
    return data.StructLayout({"id": block_id_layout(), "tier": Tier, "scope": Scope})


def in_scope(probe: data.View, block: data.View) -> Value:
    """Whether a block is one of those that an invalidation is about."""
    return ((probe.scope == Scope.ALL)
            | (probe.scope == Scope.TENANT) & (probe.id.tenant == block.tenant)
            | (probe.scope == Scope.SEQUENCE) & (probe.id.sequence == block.sequence)
            | (probe.scope == Scope.BLOCK) & (probe.id.as_value() == block.as_value()))


class Tlb(wiring.Component):
    """A set-associative memory of translations: an operation a clock, in order, answered after one.

    An operation begins with the set's address and goes on in the next clock with the probe, which
    is compared with all ways of the set; what it writes, the next operation sees. A fill replaces
    the entry of the same block and tier, or one that is not valid, or one that was not used for
    long: not since all others of the set were.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    set : ``In(range(tlb_sets))``
        First clock.
    probe : ``In(probe_layout())``
        Second clock, as all that follow. Tier ANY: the copy that the residency word prefers.
    hit, entry : ``Out(1)``, ``Out(entry_layout(spec))``
        Whether the translation is there; 0 if it is not.
    use : ``In(1)``
        The entry is being used.
    fill, filling : ``In(1)``, ``In(entry_layout(spec))``
        Enters a translation, whose block and tier are the probe's.
    update, residency : ``In(1)``, ``In(residency_layout())``
        Changes the residency word of both copies of the block.
    forget : ``In(1)``
        Drops what is in the probe's scope, with ALL in every set, else in this one.
    """

    set: Signal
    probe: data.View
    hit: Signal
    entry: data.View
    use: Signal
    fill: Signal
    filling: data.View
    update: Signal
    residency: data.View
    forget: Signal

    def __init__(self, spec: TranslatorSpec) -> None:
        self.spec = spec
        super().__init__({
            "set": In(range(spec.tlb_sets)), "probe": In(probe_layout()),
            "hit": Out(1), "entry": Out(entry_layout(spec)), "use": In(1),
            "fill": In(1), "filling": In(entry_layout(spec)),
            "update": In(1), "residency": In(residency_layout()),
            "forget": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, layout = self.spec, entry_layout(self.spec)
        at = Signal.like(self.set)
        valid, used = (Array(Signal(spec.tlb_ways, name=f"{name}_{n}")
                             for n in range(spec.tlb_sets)) for name in ("valid", "used"))
        same, hits, forgotten, written = (Signal(spec.tlb_ways, name=name)
                                          for name in ("same", "hits", "forgotten", "written"))
        m.d.sync += at.eq(self.set)

        ways: list[Any] = []
        for way in range(spec.tlb_ways):
            m.submodules[f"way_{way}"] = memory = Memory(
                shape=layout, depth=max(2, spec.tlb_sets), init=[])
            write = memory.write_port()
            read: Any = memory.read_port(transparent_for=(write,))
            updated = Signal(layout, name=f"updated_{way}")
            m.d.comb += [
                read.addr.eq(self.set), write.addr.eq(at), write.en.eq(written[way]),
                updated.eq(read.data), updated.residency.eq(self.residency),
                write.data.eq(Mux(self.update, updated, self.filling)),
            ]
            ways.append(read.data)

        m.d.comb += [
            same.eq(valid[at] & Cat(way.id.as_value() == self.probe.id.as_value()
                                    for way in ways)),
            hits.eq(same & Cat(way.tier == self._tier(way) for way in ways)),
            forgotten.eq(Cat(in_scope(self.probe, way.id) for way in ways)),
            self.hit.eq(hits.any()),
            self.entry.as_value().eq(reduce(or_, (
                Mux(hits[i], way.as_value(), 0) for i, way in enumerate(ways)))),
        ]
        chosen = self._choose(m, hits, valid[at], used[at])
        with m.If(self.fill):
            m.d.comb += written.eq(chosen)
            m.d.sync += valid[at].eq(valid[at] | chosen)
        with m.If(self.update):
            m.d.comb += written.eq(same)
        with m.If(self.fill | self.use):
            everybody = (used[at] | chosen).all()
            m.d.sync += used[at].eq(Mux(everybody, chosen, used[at] | chosen))
        with m.If(self.forget):
            m.d.sync += valid[at].eq(valid[at] & ~forgotten)
            with m.If(self.probe.scope == Scope.ALL):
                m.d.sync += [bits.eq(0) for bits in valid]
        return m

    def _tier(self, entry: Any) -> Value:
        preferred = Mux(entry.residency.pim, Tier.PIM, Tier.CAPACITY)
        return Mux(self.probe.tier == Tier.ANY, preferred, self.probe.tier)

    def _choose(self, m: Module, hits: Signal, valid: Value, used: Value) -> Signal:
        """The way of the translation, or the one that makes room for it."""
        chosen = Signal.like(hits)
        with m.If(self.hit):
            m.d.comb += chosen.eq(hits)
        with m.Elif(~valid.all()):
            m.d.comb += chosen.eq(lowest(~valid))
        with m.Elif(~used.all()):
            m.d.comb += chosen.eq(lowest(~used))
        with m.Else():
            m.d.comb += chosen.eq(1)                # a single way
        return chosen
