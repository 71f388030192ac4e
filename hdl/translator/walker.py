"""Walks of the tables: one reads the next word of every walk and says what it means."""

from typing import Any

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import PortSignature
from hdl.translator.layouts import odd_lanes, table_word_layout, tables_layout
from hdl.translator.miss_slot import Step, slot_layout, walk_step_layout
from hdl.translator.one_hot import lowest, number_of
from hdl.translator.word_reader import WordReader
from model.spec.translation import BLOCK_WORD, LANE_WIDTH, TABLE_LANES, TranslatorSpec


class Walker(wiring.Component):
    """Asks the memory for what the slots need, in turn; tells a slot what the answer means.

    A request follows the change of a slot in the same clock, and the answer changes the slot in
    the next one, so a step costs the memory's latency and one clock. Requests carry the slot's
    number as their tag.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    tables : ``In(tables_layout())``
        Where the tables are.
    slots : ``In(ArrayLayout(slot_layout(spec), slots))``
    issued, answered : ``Out(slots)``
        Whose request is taken; whose answer there is.
    walk_step : ``Out(walk_step_layout(spec))``
        What the answer makes of that walk.
    port : ``Out(PortSignature(spec.channel))``
    """

    tables: data.View
    slots: data.View
    issued: Signal
    answered: Signal
    walk_step: data.View
    port: Any

    def __init__(self, spec: TranslatorSpec) -> None:
        self.spec = spec
        super().__init__({
            "tables": In(tables_layout()),
            "slots": In(data.ArrayLayout(slot_layout(spec), spec.slots)),
            "issued": Out(spec.slots), "answered": Out(spec.slots),
            "walk_step": Out(walk_step_layout(spec)),
            "port": Out(PortSignature(spec.channel)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slots = [self.slots[i] for i in range(self.spec.slots)]
        m.submodules.reader = reader = WordReader(self.spec)
        response: Any = self.port.response
        number = Signal(range(self.spec.slots))
        m.d.comb += [
            response.ready.eq(1),
            number.eq(response.p.tag[:len(number)]),
            self.answered.eq(Mux(response.valid, Const(1, len(slots)) << number, 0)[:len(slots)]),
            reader.tables.eq(self.tables),
            reader.slot.as_value().eq(Array(slot.as_value() for slot in slots)[number]),
            reader.status.eq(response.p.status), reader.word.eq(response.p.data),
            self.walk_step.eq(reader.walk_step),
        ]
        self._ask(m, slots)
        return m

    def _ask(self, m: Module, slots: list[Any]) -> None:
        """Offers one slot's request, the next one in turn, until it is taken."""
        request: Any = self.port.request
        wanting, chosen, held, turn = (Signal(len(slots), name=name)
                                       for name in ("wanting", "chosen", "held", "turn"))
        later = Signal.like(wanting)
        number = Signal(range(len(slots)))
        m.d.comb += [
            wanting.eq(Cat(slot.asking for slot in slots)),
            later.eq(wanting & turn),
            chosen.eq(Mux(held.any(), held, lowest(Mux(later.any(), later, wanting)))),
            number.eq(number_of(chosen)),
            request.valid.eq(wanting.any()),
            self.issued.eq(Mux(request.ready, chosen, 0)),
        ]
        m.d.sync += held.eq(Mux(request.ready, 0, chosen))
        with m.If(request.valid & request.ready):
            m.d.sync += turn.eq(~(chosen | (chosen - 1))[:len(turn)])     # those behind it

        slot: Any = data.View(slot_layout(self.spec),
                              Array(slot.as_value() for slot in slots)[number])
        writing, bank, row, column = Signal(), *self._place(slot.address)
        m.d.comb += [
            writing.eq(slot.step == Step.WRITE),
            request.p.tag.eq(number), request.p.write.eq(writing),
            request.p.bank.eq(bank), request.p.row.eq(row), request.p.column.eq(column),
            request.p.data.eq(Mux(writing, self._written(m, slot), 0)),
        ]

    def _place(self, address: Value) -> tuple[Value, Value, Value]:
        rows = self.spec.column_width
        banks = rows + self.spec.row_width
        return address[banks:], address[rows:banks], address[:rows]

    def _written(self, m: Module, slot: Any) -> Value:
        """The block's word with its new residency, parity included."""
        word: Any = Signal(table_word_layout(BLOCK_WORD))
        for name in BLOCK_WORD.fields:
            value = slot.job.residency.as_value() if name == "residency" else slot.word[name]
            m.d.comb += word[name].eq(value)
        odd, bits = odd_lanes(word.as_value()), word.as_value()
        last = LANE_WIDTH - 1
        return Cat(Cat(bits[lane * LANE_WIDTH:lane * LANE_WIDTH + last], odd[lane])
                   for lane in range(TABLE_LANES))
