"""The first stage of the translator: which operation is next."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.translator.layouts import commit_layout, invalidation_layout, lookup_layout
from hdl.translator.miss_table import Kind, operation_layout
from model.spec.translation import Scope, TranslatorSpec


class Intake(wiring.Component):
    """Picks an operation a clock: what is ready, then invalidations, then commits, then lookups.

    A request is taken only if there is room for it whatever comes of it, so the pipeline behind
    never stalls. An invalidation of one block, or of all, is one operation; one of a sequence or a
    tenant is one for each set of the TLB.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    lookup, commit : ``In(stream)``
        New requests.
    invalidate : ``In(stream.Signature(invalidation_layout()))``
        Taken when it has been carried out.
    ready : ``In(operation_layout(spec))``
        What the slots have to be done.
    lookup_room, commit_room : ``In(1)``
        There will be room for the answer.
    slot_room, much_slot_room : ``In(1)``
        One slot is free; two are.
    set : ``Out(range(tlb_sets))``
        The TLB set of the operation that is picked.
    picked : ``Out(operation_layout(spec))``
        That operation.
    operation : ``Out(operation_layout(spec))``
        The operation that was picked in the clock before.
    """

    lookup: stream.Interface
    commit: stream.Interface
    invalidate: stream.Interface
    ready: data.View
    lookup_room: Signal
    commit_room: Signal
    slot_room: Signal
    much_slot_room: Signal
    set: Signal
    picked: data.View
    operation: data.View

    def __init__(self, spec: TranslatorSpec) -> None:
        self.spec = spec
        super().__init__({
            "lookup": In(stream.Signature(lookup_layout())),
            "commit": In(stream.Signature(commit_layout())),
            "invalidate": In(stream.Signature(invalidation_layout())),
            "ready": In(operation_layout(spec)),
            "lookup_room": In(1), "commit_room": In(1),
            "slot_room": In(1), "much_slot_room": In(1),
            "set": Out(range(spec.tlb_sets)),
            "picked": Out(operation_layout(spec)), "operation": Out(operation_layout(spec)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, picked, operation = self.spec, self.picked, self.operation
        invalidate: Any = self.invalidate.p
        sweep, position, swept = Signal(), Signal(range(spec.tlb_sets)), Signal()
        last, slot_room = Signal(), Signal()
        new = (operation.kind == Kind.LOOKUP) | (operation.kind == Kind.COMMIT)
        m.d.comb += [
            sweep.eq((invalidate.scope == Scope.SEQUENCE) | (invalidate.scope == Scope.TENANT)),
            last.eq(~sweep | (position == spec.tlb_sets - 1)),
            slot_room.eq(Mux(new, self.much_slot_room, self.slot_room)),
            self.set.eq(spec.tlb_set(picked.job.id.as_value())[:len(self.set)]),
            self.invalidate.ready.eq((operation.kind == Kind.FORGET) & operation.last),
        ]
        m.d.sync += operation.eq(picked)
        with m.If(self.invalidate.valid & self.invalidate.ready):
            m.d.sync += [position.eq(0), swept.eq(0)]

        with m.If(self.ready.kind != Kind.NONE):
            m.d.comb += picked.eq(self.ready)
        with m.Elif(self.invalidate.valid & ~swept):
            m.d.comb += [
                picked.kind.eq(Kind.FORGET), picked.scope.eq(invalidate.scope),
                picked.job.id.eq(invalidate.id),
                picked.first.eq(position == 0), picked.last.eq(last),
            ]
            m.d.sync += [swept.eq(last), position.eq(position + 1)]
            with m.If(sweep):
                m.d.comb += self.set.eq(position)
        with m.Elif(self.commit.valid & self.commit_room & slot_room
                    & (operation.kind != Kind.COMMIT)):
            m.d.comb += [picked.kind.eq(Kind.COMMIT), picked.job.commit.eq(1),
                         self.commit.ready.eq(1)]
            self._take(m, self.commit.p, ("id", "requester", "tag", "expected", "residency"))
        with m.Elif(self.lookup.valid & self.lookup_room & slot_room):
            m.d.comb += [picked.kind.eq(Kind.LOOKUP), self.lookup.ready.eq(1)]
            self._take(m, self.lookup.p, ("id", "requester", "tag", "tier", "access"))
        return m

    def _take(self, m: Module, payload: Any, names: tuple[str, ...]) -> None:
        m.d.comb += [self.picked.job[name].eq(payload[name]) for name in names]
