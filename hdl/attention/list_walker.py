"""The block list of a descriptor, judged entry by entry and turned into blocks for the waves."""

from amaranth import Array, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.block_lookup import QUESTION, BlockLookup
from hdl.attention.descriptor_check import TOKEN_BITS
from hdl.attention.descriptor_layouts import (
    DESCRIPTOR_LAYOUT,
    ELSEWHERE,
    LIST_ENTRY_LAYOUT,
    TROUBLE,
    chunks_of,
    pim_block_layout,
)
from hdl.attention.wave_source import block_rows, quantised_block_rows
from hdl.dma.layouts import PLACE_LAYOUT, spot_layout
from hdl.dma.list_reader import ListReader
from hdl.layouts import BEAT_WIDTH
from hdl.translator.layouts import lookup_layout, translation_layout
from model.spec.attention import BLOCK_TOKENS
from model.spec.attention_descriptor import EngineSpec, Result
from model.spec.mx import StoredFormat
from model.spec.port import Status
from model.spec.slice import SliceSpec
from model.spec.translation import Fault, TranslatorSpec


class ListWalker(wiring.Component):
    """Reads the list, asks the translator, and hands out the blocks in order, or the first trouble.

    A block that is elsewhere is announced instead, if the descriptor allows it. The last block
    waits until the sequencer has the new token, if there is one.

    Parameters
    ----------
    spec : SliceSpec
    engine : EngineSpec
    translator : TranslatorSpec
    requester : int
        Who asks, for the translator.

    Members
    -------
    load : ``In(1)``
        Begins a list; only without ``waiting``.
    descriptor, tenant : ``In``
        Constant from then on.
    pseudo_channel : ``In(8)``
        Of the engine: blocks of others are refused.
    o : ``Out(stream.Signature(pim_block_layout(spec)))``
    asks : ``Out(stream.Signature(ELSEWHERE))``
        Blocks that are elsewhere.
    append, bank, appended : ``Out``, ``Out``, ``In``
        The new token goes to a block of this bank, until it is ``appended``: handed over.
    append_failed, append_why : ``In(1)``, ``In(Status)``
        With ``appended``: it could not be read, and why.
    over : ``Out(1)``
        The whole list has been handed out, or there is trouble; until the next ``load``.
    trouble_valid, trouble : ``Out(1)``, ``Out(TROUBLE)``
        For one clock.
    none : ``Out(1)``
        No block has been handed out.
    waiting : ``Out(1)``
        Answers are outstanding.
    fetch, fetched, ok, content : see :class:`~hdl.dma.list_reader.ListReader`
    lookup, translation : see :class:`BlockLookup`
    """

    load: Signal
    descriptor: data.View
    tenant: Signal
    pseudo_channel: Signal
    o: stream.Interface
    asks: stream.Interface
    append: Signal
    bank: Signal
    appended: Signal
    append_failed: Signal
    append_why: Signal
    over: Signal
    trouble_valid: Signal
    trouble: data.View
    none: Signal
    waiting: Signal
    fetch: stream.Interface
    fetched: Signal
    ok: Signal
    content: Signal
    lookup: stream.Interface
    translation: stream.Interface

    def __init__(self, spec: SliceSpec, engine: EngineSpec, translator: TranslatorSpec, *,
                 requester: int) -> None:
        self.spec, self.engine, self.translator = spec, engine, translator
        self.requester, block = requester, pim_block_layout(spec)
        super().__init__({
            "load": In(1), "descriptor": In(DESCRIPTOR_LAYOUT), "tenant": In(8),
            "pseudo_channel": In(8),
            "o": Out(stream.Signature(block)), "asks": Out(stream.Signature(ELSEWHERE)),
            "append": Out(1), "bank": Out(block["bank"].shape),
            "appended": In(1), "append_failed": In(1), "append_why": In(Status),
            "over": Out(1), "trouble_valid": Out(1), "trouble": Out(TROUBLE), "none": Out(1),
            "waiting": Out(1),
            "fetch": Out(stream.Signature(spot_layout(spec))),
            "fetched": In(1), "ok": In(1), "content": In(BEAT_WIDTH),
            "lookup": Out(stream.Signature(lookup_layout())),
            "translation": In(stream.Signature(translation_layout(translator))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.descriptor
        m.submodules.reader = reader = ListReader(self.spec)
        m.submodules.lookups = lookups = BlockLookup(
            self.engine, self.translator, requester=self.requester)
        connect(m, reader.fetch, flipped(self.fetch))
        connect(m, lookups.lookup, flipped(self.lookup))
        connect(m, flipped(self.translation), lookups.translation)
        asked, number = Signal(16), Signal(16)      # entries that were asked for, and judged
        active, exhausted, asks = Signal(), Signal(), Signal()
        offered = Signal()                          # a lookup that was shown stays
        question = Signal(QUESTION)
        m.d.comb += [
            reader.load.eq(self.load), reader.place.eq(data.View(PLACE_LAYOUT, d.list)),
            reader.entries.eq(d.blocks), reader.stop.eq(~active),
            reader.fetched.eq(self.fetched), reader.ok.eq(self.ok),
            reader.content.eq(self.content),
            lookups.tenant.eq(self.tenant), lookups.layer.eq(d.layer),
            lookups.head_group.eq(d.head_group), lookups.clear.eq(self.load),
            question.entry.eq(data.View(LIST_ENTRY_LAYOUT, reader.entry.payload.as_value())),
            question.write.eq(d.append & (asked + 1 == d.blocks)),
            lookups.i.payload.eq(question),
            asks.eq((active | offered) & (asked != d.blocks)),
            lookups.i.valid.eq(reader.entry.valid & asks),
            reader.entry.ready.eq(lookups.i.ready & asks),
            exhausted.eq(reader.fault & ~reader.entry.valid & ~lookups.waiting
                         & ~lookups.o.valid),
            self.waiting.eq(reader.waiting | reader.fetch.valid | lookups.waiting | offered),
            self.over.eq(~active),
        ]
        m.d.sync += offered.eq(lookups.lookup.valid & ~lookups.lookup.ready)
        with m.If(lookups.i.valid & lookups.i.ready):
            m.d.sync += asked.eq(asked + 1)
        last = number + 1 == d.blocks
        done = Signal()
        with m.If(lookups.o.valid & lookups.o.ready):
            m.d.sync += number.eq(number + 1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.none.eq(0)
        m.d.comb += done.eq(lookups.o.valid & lookups.o.ready & last)
        with m.If(done | self.trouble_valid):
            m.d.sync += active.eq(0)
        with m.If(self.load):
            m.d.sync += [active.eq(1), asked.eq(0), number.eq(0), self.none.eq(1)]
        self._judge(m, lookups, active, number, last, exhausted)
        return m

    def _judge(self, m: Module, lookups: BlockLookup, active: Signal, number: Signal, last: Value,
               exhausted: Signal) -> None:
        d, found = self.descriptor, lookups.o.p
        place, result = found.place, Signal(Result)
        last_chunk = Signal(range(self.spec.pim.chunks_max))
        m.d.comb += last_chunk.eq((chunks_of(d.head_size) - 1)[:len(last_chunk)])
        rows: Value = Array(block_rows(self.spec))[last_chunk]
        if self.spec.pim.quantised:
            rows = Mux(d.format == StoredFormat.WIDE, rows,
                       Array(quantised_block_rows(self.spec))[last_chunk])
        writes = d.append & last
        away = (found.fault == Fault.NOT_RESIDENT) & ~d.resident & ~writes
        written, unwritten, why = Signal(), Signal(), Signal(Status)
        index = Signal(range(BLOCK_TOKENS * self.spec.pim.chunks_max))      # of its first column
        bits = (self.spec.geometry.columns - 1).bit_length()
        rows_end = Signal.like(Value.cast(self.o.p.append.last))
        misplaced = ((place.channel != self.pseudo_channel) | place.column.any()
                     | (place.row + rows > self.spec.geometry.rows))
        for wrong, reason in ((misplaced, Result.BAD_PLACE),
                           (found.format != d.format, Result.MIXED_FORMAT),
                           (found.fault != Fault.NONE, Result.TRANSLATION_FAULT),
                           (found.fault == Fault.NOT_RESIDENT, Result.NOT_RESIDENT)):
            with m.If(wrong):                   # the last one wins
                m.d.comb += result.eq(reason)
        here = Signal()
        answers = active & lookups.o.valid
        fails = ~away & ((result != Result.DONE) | (written & unwritten))
        m.d.comb += [
            here.eq(answers & ~away & (result == Result.DONE)),
            self.append.eq(here & writes & ~written),
            self.bank.eq(place.bank[:len(self.bank)]),
            self.o.valid.eq(here & (~writes | (written & ~unwritten))),
            self.o.p.bank.eq(self.bank), self.o.p.row.eq(place.row),
            index.eq(((d.context - 1)[:TOKEN_BITS] * (last_chunk + 1))[:len(index)]),
            self.o.p.append.valid.eq(writes), self.o.p.append.first.eq(index >> bits),
            rows_end.eq(((index + last_chunk) >> bits)[:len(rows_end)]),
            self.o.p.append.last.eq(rows_end),
            self.o.p.tokens.eq(Mux(last, (d.context - 1)[:TOKEN_BITS] + 1, BLOCK_TOKENS)),
            self.asks.valid.eq(answers & away),
            self.asks.p.cookie.eq(d.cookie), self.asks.p.entry.eq(number),
            self.asks.p.joined.eq(d.joined), self.asks.p.join.eq(d.join),
            self.asks.p.id.tenant.eq(self.tenant), self.asks.p.id.layer.eq(d.layer),
            self.asks.p.id.head_group.eq(d.head_group),
            self.asks.p.id.block.eq(lookups.entry.block),
            self.asks.p.id.sequence.eq(lookups.entry.sequence),
            lookups.o.ready.eq(active & ((self.o.valid & self.o.ready)
                                         | (self.asks.valid & self.asks.ready))),
            self.trouble_valid.eq((answers & fails) | (active & exhausted)),
        ]
        with m.If(self.append & self.appended):
            m.d.sync += [written.eq(1), unwritten.eq(self.append_failed),
                         why.eq(self.append_why)]
        with m.If(self.load):
            m.d.sync += [written.eq(0), unwritten.eq(0)]
        with m.If(answers):
            m.d.comb += self.trouble.result.eq(result)
            with m.If(result == Result.DONE):
                m.d.comb += [self.trouble.result.eq(Result.APPEND_FAULT),
                             self.trouble.detail.eq(why)]
            with m.Else():
                m.d.comb += [
                    self.trouble.entry.eq(number), self.trouble.id.eq(lookups.entry)]
            with m.If(found.fault != Fault.NONE):
                m.d.comb += self.trouble.detail.eq(found.fault)
            with m.Elif(result == Result.MIXED_FORMAT):
                m.d.comb += self.trouble.detail.eq(found.format)
        with m.Else():
            m.d.comb += self.trouble.result.eq(Result.LIST_FAULT)
