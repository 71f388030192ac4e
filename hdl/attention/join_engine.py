"""Joins the partial attentions of the pseudo-channels of a die, and of others, to one output."""

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.descriptor_layouts import (
    FOREIGN_PART,
    JOIN_BITS,
    MEMBER_PART,
    RING_BITS,
    RING_SETTINGS_LAYOUT,
    TAG,
    Source,
    board_layout,
    output_beats,
)
from hdl.attention.descriptor_rings import RING_STATUS, DescriptorRings
from hdl.attention.gather import Gather
from hdl.attention.join_book import JoinBook
from hdl.attention.join_front import JoinFront
from hdl.attention.join_lane import ForeignGate, JoinLane
from hdl.attention.join_layouts import (
    COPY,
    FIRST_HALF,
    HEAD_TAG,
    JOIN_TAG,
    OUTPUT,
    QUERY,
    RECORD,
    SECOND_HALF,
)
from hdl.attention.merge import Merge
from hdl.attention.query_broadcast import QueryBroadcast
from hdl.attention.result_writer import RecordWriter, ResultWriter
from hdl.dma.layouts import PLACE_LAYOUT
from hdl.dma.port_share import StreamShare
from hdl.dma.ring_fetcher import INDEX_BITS
from hdl.layouts import PortSignature, request_layout
from model.spec.attention_descriptor import EngineSpec
from model.spec.gather import GatherSpec
from model.spec.port import Status
from model.spec.slice import SliceSpec


class JoinEngine(wiring.Component):
    """Rings of joins in; opens each for the parts of its members, merges them once in the order of
    the members, writes output and record. Copies the queries to the members before, if it is to.

    Up to ``engine.joins`` are open at a time, each with room for all of its parts, so a part never
    waits. The rules stand in docs/attention_descriptors.md.

    Parameters
    ----------
    spec : SliceSpec
    engine : EngineSpec
        Also that of the pseudo-channels.
    channels : int
        Pseudo-channels of the die.

    Members
    -------
    settings_0 ..., status_0 ..., doorbell, tail : see :class:`DescriptorRings`
    port : ``Out(PortSignature(spec))``
        To the memory of pseudo-channel 0. Tags are of source ``JOIN``.
    copies_1 and so on : ``Out(PortSignature(spec))``
        To the memories of the others, likewise; for queries.
    board_0 and so on : ``Out(board_layout(engine))``
        The joins that each pseudo-channel may begin a part of.
    claim_0, claimed_0 and so on : ``In(1)``, ``In``
        For one clock: it has begun one.
    part_0 and so on : ``In(stream.Signature(MEMBER_PART))``
        Its parts; always ready.
    foreign : ``In(stream.Signature(FOREIGN_PART))``
        Parts from outside; ready, but for a few clocks when one has broken off.
    cancel : ``In(1)``
        For one clock: open joins do not wait for anybody who has not begun.
    announced, erred, lost : ``Out(1)``
        For one clock: a record is in memory that counts for the interrupt; of a failure; a record
        could not be written.
    stray : ``Out(1)``
        For one clock: a beat that nobody awaits was dropped.
    """

    doorbell: Signal
    tail: Signal
    port: Any
    foreign: stream.Interface
    cancel: Signal
    announced: Signal
    erred: Signal
    lost: Signal
    stray: Signal

    def __init__(self, spec: SliceSpec, engine: EngineSpec, *, channels: int) -> None:
        self.spec, self.engine, self.channels = spec, engine, channels
        self.gather = GatherSpec(
            channels=channels + 1, slots=min(64, engine.joins * spec.pim.group_max),
            tag_width=HEAD_TAG.size, pim=spec.pim)
        every = range(channels)
        super().__init__({
            **{f"settings_{n}": In(RING_SETTINGS_LAYOUT) for n in range(engine.rings)},
            **{f"status_{n}": Out(RING_STATUS) for n in range(engine.rings)},
            "doorbell": In(engine.rings), "tail": In(INDEX_BITS),
            "port": Out(PortSignature(spec)),
            **{f"copies_{n}": Out(PortSignature(spec)) for n in every[1:]},
            **{f"board_{n}": Out(board_layout(engine)) for n in every},
            **{f"claim_{n}": In(1) for n in every},
            **{f"claimed_{n}": In(JOIN_BITS) for n in every},
            **{f"part_{n}": In(stream.Signature(MEMBER_PART)) for n in every},
            "foreign": In(stream.Signature(FOREIGN_PART)), "cancel": In(1),
            "announced": Out(1), "erred": Out(1), "lost": Out(1), "stray": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, engine = self.spec, self.engine
        m.submodules.rings = rings = DescriptorRings(spec, engine)
        m.submodules.front = front = JoinFront(self.gather)
        m.submodules.book = book = JoinBook(engine, self.gather.channels)
        m.submodules.gather = gather = Gather(self.gather)
        m.submodules.merge = merge = Merge(spec.pim)
        m.submodules.results = results = ResultWriter(spec)
        m.submodules.records = records = RecordWriter(spec, engine)
        m.submodules.queries = queries = QueryBroadcast(spec, channels=self.channels)

        connect(m, front.open, gather.open)
        connect(m, gather.part, merge.part)
        connect(m, merge.result, results.result)
        m.d.comb += [
            rings.doorbell.eq(self.doorbell), rings.tail.eq(self.tail),
            *(getattr(part, f"settings_{n}").eq(getattr(self, f"settings_{n}"))
              for part in (rings, records) for n in range(engine.rings)),
            *(getattr(self, f"status_{n}").eq(getattr(rings, f"status_{n}"))
              for n in range(engine.rings)),
            gather.shape.eq(front.shape), merge.shape.eq(front.shape),
            merge.partial.eq(front.partial), book.cancel.eq(self.cancel),
        ]
        self._front(m, rings, front, book, gather)
        self._members(m, front, book, gather)
        self._back(m, rings, front, book, gather, results, records)
        self._queries(m, front, queries)
        self._memory(m, rings, results, records, book, queries)
        return m

    def _front(self, m: Module, rings: Any, front: Any, book: Any, gather: Any) -> None:
        m.d.comb += [
            *(getattr(front, name).eq(getattr(rings, name)) for name in (
                "available", "ring", "tenant", "index", "faulty", "descriptor")),
            rings.take.eq(front.take),
            *(getattr(front, name).eq(getattr(book, name)) for name in (
                "room", "newest", "clash", "idle")),
            book.begin.eq(front.begin), book.note.eq(front.note), book.current.eq(front.current),
            book.tenant.eq(front.current_tenant), book.opened.eq(front.opened),
            book.expected.eq(front.members), book.refusal.eq(front.refusal),
            book.detail.eq(front.detail),
            front.slot.eq(gather.slot),
        ]

    def _members(self, m: Module, front: Any, book: Any, gather: Any) -> None:
        """The ways of the parts, each with its own place in the table of slots."""
        spec = self.gather
        owners = [Signal(JOIN_BITS, name=f"owner_{s}") for s in range(spec.slots)]
        heads = (spec.pim.group_max - 1).bit_length()
        table = [Signal(range(spec.slots), name=f"slot_{n}")
                 for n in range(self.engine.joins << heads)]
        with m.If(front.placed):
            m.d.sync += [Array(owners)[front.slot].eq(front.newest),
                         Array(table)[Cat(front.head[:heads], front.newest)].eq(front.slot)]
        m.submodules.gate = gate = ForeignGate(self.engine)
        connect(m, flipped(self.foreign), gate.foreign)
        for n in range(spec.channels):
            m.submodules[f"lane_{n}"] = lane = JoinLane(spec)
            if n < self.channels:
                connect(m, flipped(getattr(self, f"part_{n}")), lane.i)
                m.d.comb += [
                    getattr(self, f"board_{n}").eq(getattr(book, f"board_{n}")),
                    book.claims[n].eq(getattr(self, f"claim_{n}")),
                    getattr(book, f"claimed_{n}").eq(getattr(self, f"claimed_{n}"))]
            else:
                connect(m, gate.o, lane.i)
                m.d.comb += [gate.board.eq(getattr(book, f"board_{n}")),
                             gate.midst.eq(lane.midst)]
            connect(m, lane.o, getattr(gather, f"i_{n}"))
            away = getattr(book, f"away_{n}")
            m.d.comb += [
                lane.shape.eq(front.shape),
                lane.last_head.eq(getattr(book, f"last_head_{n}")),
                lane.slot.eq(Array(table)[Cat(lane.head[:heads], lane.i.p.join)]),
                getattr(book, f"news_{n}").eq(lane.news),
                getattr(gather, f"leave_{n}").eq(
                    Cat(away.bit_select(owner, 1) for owner in owners)),
            ]
        m.d.comb += self.stray.eq(gate.stray | gather.stray)

    def _back(self, m: Module, rings: Any, front: Any, book: Any, gather: Any, results: Any,
              records: Any) -> None:
        """Results head by head, in the order in which the gatherer has handed them to the merge
        unit."""
        tag = data.View(HEAD_TAG, gather.tag.payload)
        beats = output_beats(front.partial, front.shape.last_chunk + 1)
        m.d.comb += [
            results.expects.eq(gather.tag.valid), gather.tag.ready.eq(results.passed),
            results.why.eq(book.why), results.note.eq(book.writing_note),
            results.count.eq(beats), results.first.eq((tag.head * beats)[:len(results.first)]),
            book.writing.eq(tag.join), book.passed.eq(results.passed),
            book.issued.eq(results.issued), book.missing.eq(results.missing),
            records.over.eq(book.over), records.outcome.eq(book.outcome),
            records.note.eq(book.oldest_note), book.recorded.eq(records.recorded),
            rings.finish.eq(records.recorded), rings.finished_ring.eq(book.oldest_note.ring),
            self.announced.eq(records.announced), self.erred.eq(records.failed),
            self.lost.eq(records.lost),
        ]

    def _queries(self, m: Module, front: Any, queries: Any) -> None:
        """Copies to the members, through the ports of their memories."""
        m.d.comb += [
            queries.start.eq(front.copy), queries.beats.eq(front.beats),
            queries.source.eq(data.View(PLACE_LAYOUT, front.current.query)),
            queries.copy.eq(data.View(PLACE_LAYOUT, front.current.copy)),
            queries.members.eq(front.members[:self.channels]),
            front.copied.eq(queries.done), front.why.eq(queries.why),
        ]
        for n in range(1, self.channels):
            port: Any = getattr(self, f"copies_{n}")
            write: Any = getattr(queries, f"write_{n}")
            request = port.request
            m.d.comb += [
                request.valid.eq(write.valid), write.ready.eq(request.ready),
                request.p.write.eq(1), request.p.data.eq(write.p.data),
                data.View(TAG, request.p.tag).source.eq(Source.JOIN),
                *(request.p[name].eq(write.p.spot[name]) for name in ("bank", "row", "column")),
                port.response.ready.eq(1),
                getattr(queries, f"answered_{n}").eq(port.response.valid),
                getattr(queries, f"answer_{n}").eq(port.response.p.status),
            ]

    def _memory(self, m: Module, rings: Any, results: Any, records: Any, book: Any,
                queries: Any) -> None:
        fetch = rings.fetch.p
        memory = queries.memory
        reads: list[tuple[Any, Any, Value | int, Value | int]] = [
            (rings.fetch, fetch.spot, Mux(fetch.half, SECOND_HALF, FIRST_HALF), fetch.ring),
            (memory.fetch, memory.fetch.p, QUERY, memory.slot)]
        writes: list[tuple[Any, Any, Value | int, Value | int]] = [
            (queries.write_0, queries.write_0.p.spot, COPY, 0),
            (results.write, results.write.p.spot, OUTPUT, book.writing),
            (records.write, records.write.p.spot, RECORD, 0)]
        m.submodules.share = share = StreamShare(
            request_layout(self.spec), len(reads) + len(writes))
        connect(m, share.o, flipped(self.port.request))
        for n, (port, spot, kind, number) in enumerate([*reads, *writes]):
            way: Any = getattr(share, f"i_{n}")
            tag = data.View(TAG, way.p.tag)
            own = data.View(JOIN_TAG, tag.number)
            m.d.comb += [
                way.valid.eq(port.valid), port.ready.eq(way.ready),
                tag.source.eq(Source.JOIN), own.kind.eq(kind), own.number.eq(number),
                way.p.bank.eq(spot.bank), way.p.row.eq(spot.row), way.p.column.eq(spot.column),
            ]
            if n >= len(reads):
                m.d.comb += [way.p.write.eq(1), way.p.data.eq(port.p.data)]

        answer = self.port.response
        tag = data.View(TAG, answer.p.tag)
        own = data.View(JOIN_TAG, tag.number)
        comes = answer.valid & (tag.source == Source.JOIN)
        was_read, was_written = comes & ~answer.p.write, comes & answer.p.write
        m.d.comb += [
            answer.ready.eq(1),
            rings.fetched.eq(was_read & own.kind.matches(FIRST_HALF, SECOND_HALF)),
            rings.fetched_half.eq(own.kind == SECOND_HALF),
            rings.fetched_ring.eq(own.number[:RING_BITS]),
            rings.ok.eq(answer.p.status == Status.OK), rings.content.eq(answer.p.data),
            memory.fetched.eq(was_read & (own.kind == QUERY)), memory.fetched_slot.eq(own.number),
            memory.status.eq(answer.p.status), memory.content.eq(answer.p.data),
            queries.answered_0.eq(was_written & (own.kind == COPY)),
            queries.answer_0.eq(answer.p.status),
            book.answered.eq(was_written & (own.kind == OUTPUT)),
            book.answered_join.eq(own.number),
            book.answer.eq(answer.p.status),
            records.answered.eq(was_written & (own.kind == RECORD)),
            records.answer.eq(answer.p.status),
        ]
