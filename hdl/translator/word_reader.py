"""What a word of the tables means for the walk that asked for it."""

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH
from hdl.translator.layouts import odd_lanes, residency_layout, table_word_layout, tables_layout
from hdl.translator.miss_slot import Step, slot_layout, walk_step_layout
from model.spec.port import Status
from model.spec.translation import (
    BLOCK_ID_WIDTHS,
    BLOCK_WORD,
    CHUNK_WORD,
    SEGMENTS,
    SEQUENCE_WORD,
    Fault,
    Tier,
    TranslatorSpec,
)


class WordReader(wiring.Component):
    """Decides, within the clock, how a walk goes on: next word, end, or fault.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    tables : ``In(tables_layout())``
    slot : ``In(slot_layout(spec))``
        The walk.
    status, word : ``In(Status)``, ``In(256)``
        The memory's answer.
    walk_step : ``Out(walk_step_layout(spec))``
    """

    tables: data.View
    slot: data.View
    status: Signal
    word: Signal
    walk_step: data.View

    def __init__(self, spec: TranslatorSpec) -> None:
        self.spec = spec
        super().__init__({
            "tables": In(tables_layout()), "slot": In(slot_layout(spec)),
            "status": In(Status), "word": In(BEAT_WIDTH),
            "walk_step": Out(walk_step_layout(spec)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slot: Any = self.slot
        step: Any = self.walk_step
        unusable = Signal(Fault)            # the word says nothing
        with m.If(self.status != Status.OK):
            m.d.comb += unusable.eq(Fault.TABLE_MEMORY)
        with m.Elif(Cat(odd_lanes(self.word)).any()):
            m.d.comb += unusable.eq(Fault.TABLE_PARITY)
        with m.Elif(~self.word[0]):         # `valid` of every kind of entry
            m.d.comb += unusable.eq(Fault.UNMAPPED)

        m.d.comb += [step.step.eq(Step.READY), step.address.eq(slot.address),
                     step.word.eq(slot.word), step.finding.eq(slot.finding)]
        with m.Switch(slot.step):
            with m.Case(Step.SEQUENCE):
                self._read_sequence(m, unusable)
            with m.Case(Step.BLOCK):
                self._read_block(m, unusable)
            with m.Case(Step.CHUNK):
                self._read_chunk(m, unusable)
            with m.Case(Step.WRITE):
                m.d.comb += step.finding.done.eq(self.status == Status.OK)
                with m.If(self.status != Status.OK):
                    m.d.comb += step.finding.fault.eq(Fault.TABLE_MEMORY)
        return m

    def _go_on(self, m: Module, to: Step, address: Value, fault: Value) -> None:
        """To the next word, unless there cannot be such an address."""
        step: Any = self.walk_step
        with m.If(address[self.spec.address_width:].any()):
            m.d.comb += fault.eq(Fault.TABLE_MEMORY)
        with m.Else():
            m.d.comb += [step.step.eq(to), step.address.eq(address[:self.spec.address_width])]

    def _read_sequence(self, m: Module, unusable: Signal) -> None:
        block, fault = self.slot.job.id, self.walk_step.finding.fault
        entry: Any = data.View(table_word_layout(SEQUENCE_WORD), self.word)
        segment, number = self._segment(m, block.block)
        first = Array(entry[f"segment_{n}"] for n in range(SEGMENTS))[segment]
        address = Signal(len(first) + BLOCK_ID_WIDTHS["block"])
        # Three products' width: no sum below reaches the highest bits of `address`.
        index = (number * entry.stride + block.layer * (entry.last_head_group + 1)
                 + block.head_group)
        m.d.comb += address.eq((first + index)[:len(address)])
        with m.If(unusable != Fault.NONE):
            m.d.comb += fault.eq(unusable)
        with m.Elif(entry.tenant != block.tenant):
            m.d.comb += fault.eq(Fault.WRONG_TENANT)
        with m.Elif((block.layer > entry.last_layer)
                    | (block.head_group > entry.last_head_group)
                    | (segment >= entry.segments) | (segment >= SEGMENTS)):
            m.d.comb += fault.eq(Fault.UNMAPPED)
        with m.Else():
            self._go_on(m, Step.BLOCK, address, fault)

    def _segment(self, m: Module, block: Value) -> tuple[Signal, Signal]:
        """Segment of a block number, and the block's number in the segment."""
        low = (self.spec.first_segment_blocks - 1).bit_length()
        segment = Signal(range(len(block) + 1))
        number = Signal(len(block))
        m.d.comb += number.eq(block)
        for bit in range(low, len(block)):          # the highest one that is set counts
            with m.If(block[bit]):
                m.d.comb += [segment.eq(bit - low + 1), number.eq(block[:bit])]
        return segment, number

    def _read_block(self, m: Module, unusable: Signal) -> None:
        slot: Any = self.slot
        step: Any = self.walk_step
        entry: Any = data.View(table_word_layout(BLOCK_WORD), self.word)
        found: Any = data.View(residency_layout(), entry.residency)
        tier, wants_pim = Signal(Tier), Signal()
        chunk_address = Signal(len(self.tables.chunk_base) + 1)
        chunk = Mux(wants_pim, entry.pim_chunk, entry.capacity_chunk)
        m.d.comb += [
            wants_pim.eq((slot.job.tier == Tier.PIM)
                         | (slot.job.tier != Tier.CAPACITY) & found.pim),
            tier.eq(Mux(wants_pim, Tier.PIM, Tier.CAPACITY)),
            chunk_address.eq(self.tables.chunk_base + chunk),
        ]
        with m.If(unusable != Fault.NONE):
            m.d.comb += step.finding.fault.eq(unusable)
        with m.Else():
            m.d.comb += [
                *(step.word[name].eq(entry[name]) for name in BLOCK_WORD.fields),
                step.finding.entry.readable.eq(entry.readable),
                step.finding.entry.writable.eq(entry.writable),
                step.finding.entry.tier.eq(tier),
                step.finding.entry.residency.eq(found),
            ]
            with m.If(slot.job.commit):
                with m.If(entry.residency == slot.job.expected.as_value()):
                    m.d.comb += step.step.eq(Step.WRITE)
            with m.Elif(~Mux(wants_pim, entry.pim_assigned, entry.capacity_assigned)
                        | (chunk >= self.tables.chunks)):
                m.d.comb += step.finding.place_fault.eq(Fault.UNMAPPED)
            with m.Else():
                self._go_on(m, Step.CHUNK, chunk_address, step.finding.place_fault)

    def _read_chunk(self, m: Module, unusable: Signal) -> None:
        spec, slot = self.spec, self.slot
        g, step = spec.channel.geometry, self.walk_step
        entry: Any = data.View(table_word_layout(CHUNK_WORD), self.word)
        fault, place = step.finding.place_fault, step.finding.entry.place
        in_pim = slot.finding.entry.tier == Tier.PIM
        offset = Mux(in_pim, slot.word.pim_offset, slot.word.capacity_offset)
        rows = offset >> spec.column_width
        row = entry.row + rows
        (pim_sid, pim_banks), (capacity_sid, capacity_banks) = map(
            spec.tier_banks, (Tier.PIM, Tier.CAPACITY))
        with m.If(unusable != Fault.NONE):
            m.d.comb += fault.eq(unusable)
        with m.Elif(entry.tenant != slot.job.id.tenant):
            m.d.comb += fault.eq(Fault.WRONG_TENANT)
        with m.Elif(rows >= entry.rows):
            m.d.comb += fault.eq(Fault.UNMAPPED)
        with m.Elif((entry.sid != Mux(in_pim, pim_sid, capacity_sid))
                    | (entry.bank >= Mux(in_pim, pim_banks, capacity_banks))
                    | (row >= g.rows) | (entry.channel >= spec.pseudo_channels)):
            m.d.comb += fault.eq(Fault.BAD_PLACE)
        bank = entry.sid * g.banks_per_sid + entry.bank
        m.d.comb += [
            place.channel.eq(entry.channel[:len(place.channel)]),
            place.bank.eq(bank[:len(place.bank)]), place.row.eq(row[:len(place.row)]),
            place.column.eq(offset[:spec.column_width]),
        ]
