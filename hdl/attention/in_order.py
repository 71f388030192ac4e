"""Answers that come in any order, in the order of their questions."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from model.spec.errors import SpecError, require_int


class InOrder(wiring.Component):
    """Gives each question a slot, which its answer names, and hands out the answers in order.

    Parameters
    ----------
    layout : data.StructLayout
        Of an answer.
    depth : int
        Slots, a power of two.

    Members
    -------
    ask, room, slot : ``In(1)``, ``Out(1)``, ``Out(range(depth))``
        A question is asked, only with ``room``; the slot is the question's.
    answered, answered_slot, answer : ``In``
        An answer, which always finds its place.
    o : ``Out(stream.Signature(layout))``
        The answers, a clock later at the earliest.
    waiting : ``Out(1)``
        Answers are outstanding.
    clear : ``In(1)``
        Forgets all; only if none is outstanding.
    """

    ask: Signal
    room: Signal
    slot: Signal
    answered: Signal
    answered_slot: Signal
    answer: data.View
    o: stream.Interface
    waiting: Signal
    clear: Signal

    def __init__(self, layout: data.StructLayout, *, depth: int) -> None:
        require_int("depth", depth, 2, 1 << 8)
        if depth & depth - 1:
            raise SpecError("depth", depth, "a power of two")
        self.layout, self.depth = layout, depth
        super().__init__({
            "ask": In(1), "room": Out(1), "slot": Out(range(depth)),
            "answered": In(1), "answered_slot": In(range(depth)), "answer": In(layout),
            "o": Out(stream.Signature(layout)), "waiting": Out(1), "clear": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.answers = memory = Memory(shape=self.layout, depth=self.depth, init=[])
        store, show = memory.write_port(), memory.read_port(domain="comb")
        asked, given, unanswered = (Signal(range(2 * self.depth), name=name)
                                    for name in ("asked", "given", "unanswered"))
        here = Signal(self.depth)
        oldest = given[:len(self.slot)]
        takes = self.o.valid & self.o.ready
        m.d.comb += [
            self.slot.eq(asked[:len(self.slot)]),
            self.room.eq((asked - given)[:len(asked)] != self.depth),
            self.waiting.eq(unanswered != 0),
            store.en.eq(self.answered), store.addr.eq(self.answered_slot),
            store.data.eq(self.answer), show.addr.eq(oldest),
            self.o.payload.eq(show.data), self.o.valid.eq(here.bit_select(oldest, 1)),
        ]
        m.d.sync += [
            asked.eq((asked + self.ask)[:len(asked)]), given.eq((given + takes)[:len(given)]),
            unanswered.eq((unanswered + self.ask - self.answered)[:len(unanswered)]),
        ]
        with m.If(takes):
            m.d.sync += here.bit_select(oldest, 1).eq(0)
        with m.If(self.answered):
            m.d.sync += here.bit_select(self.answered_slot, 1).eq(1)
        with m.If(self.clear):
            m.d.sync += [asked.eq(0), given.eq(0), here.eq(0)]
        return m
