"""Carries out attention descriptors: one is one attention of a sequence in one layer."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.block_append import BlockAppend
from hdl.attention.descriptor_front import DescriptorFront
from hdl.attention.descriptor_jobs import DescriptorJobs
from hdl.attention.descriptor_layouts import (
    ELSEWHERE,
    JOIN_BITS,
    MEMBER_PART,
    RING_BITS,
    RING_SETTINGS_LAYOUT,
    TAG,
    Source,
    board_layout,
)
from hdl.attention.descriptor_rings import RING_STATUS, DescriptorRings
from hdl.attention.list_walker import ListWalker
from hdl.attention.query_feeder import QueryFeeder
from hdl.attention.result_writer import RecordWriter, ResultWriter
from hdl.attention.token_writer import token_layout
from hdl.attention.wave import wave_layout
from hdl.attention.wave_builder import WaveBuilder
from hdl.attention.wave_source import AttentionRequest
from hdl.dma.layouts import PLACE_LAYOUT
from hdl.dma.port_share import StreamShare
from hdl.dma.ring_fetcher import INDEX_BITS
from hdl.layouts import BEAT_WIDTH, PortSignature, request_layout, result_layout
from hdl.translator.layouts import TranslatorPort
from model.spec.attention_descriptor import EngineSpec
from model.spec.errors import SpecError
from model.spec.port import Status
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec


class DescriptorEngine(wiring.Component):
    """Rings of descriptors in, attentions for the sequencer out, results and records to memory.

    Descriptors of different rings are begun in turn, and end in the order in which they were begun.
    While one computes, the next is fetched and its blocks are translated. The formats, the rules of
    order and the errors stand in docs/attention_descriptors.md.

    Parameters
    ----------
    spec : SliceSpec
    engine : EngineSpec
    translator : TranslatorSpec
    requester : int
        Number by which the translator knows this engine.

    Members
    -------
    settings_0 ..., status_0 ..., doorbell, tail : see :class:`DescriptorRings`
    pseudo_channel : ``In(8)``
        Of this engine: only blocks of it take part.
    port : ``Out(PortSignature(spec))``
        To the memory of the pseudo-channel.
    translator : ``Out(TranslatorPort(translator))``
    order : ``Out(stream.Signature(AttentionRequest()))``
    waves : ``Out(stream.Signature(wave_layout(spec)))``
    query : ``Out(stream.Signature(256))``
    token : ``Out(stream.Signature(token_layout(spec)))``
        To the sequencer: attentions, their waves, queries and new tokens, each in order.
    result : ``In(stream.Signature(result_layout()))``
        What came of them, in order.
    elsewhere : ``Out(stream.Signature(ELSEWHERE))``
        Blocks that are not in the PIM layers, whose partial results others have to deliver.
    board : ``In(board_layout(engine))``
        The joins that are open for parts of this pseudo-channel.
    claim, claimed : ``Out(1)``, ``Out``
        For one clock: a descriptor is begun that is a part of this join.
    part : ``Out(stream.Signature(MEMBER_PART))``
        Parts of joins, each join's in one piece.
    announced, erred, lost : ``Out(1)``
        For one clock: a record is in memory that counts for the interrupt; of a failure; a record
        could not be written.
    """

    doorbell: Signal
    tail: Signal
    pseudo_channel: Signal
    port: Any
    translator: Any
    order: stream.Interface
    waves: stream.Interface
    query: stream.Interface
    token: stream.Interface
    result: stream.Interface
    elsewhere: stream.Interface
    board: data.View
    claim: Signal
    claimed: Signal
    part: stream.Interface
    announced: Signal
    erred: Signal
    lost: Signal

    def __init__(self, spec: SliceSpec, engine: EngineSpec, *, translator: TranslatorSpec,
                 requester: int = 1) -> None:
        self.spec, self.engine, self.requester = spec, engine, requester
        self.translator_spec = translator
        if translator.channel.geometry != spec.geometry:
            raise SpecError("translator", translator.channel.geometry, "the engine's geometry")
        super().__init__({
            **{f"settings_{n}": In(RING_SETTINGS_LAYOUT) for n in range(engine.rings)},
            **{f"status_{n}": Out(RING_STATUS) for n in range(engine.rings)},
            "doorbell": In(engine.rings), "tail": In(INDEX_BITS), "pseudo_channel": In(8),
            "port": Out(PortSignature(spec)), "translator": Out(TranslatorPort(translator)),
            "order": Out(stream.Signature(AttentionRequest())),
            "waves": Out(stream.Signature(wave_layout(spec))),
            "query": Out(stream.Signature(BEAT_WIDTH)),
            "token": Out(stream.Signature(token_layout(spec))),
            "result": In(stream.Signature(result_layout())),
            "elsewhere": Out(stream.Signature(ELSEWHERE)),
            "board": In(board_layout(engine)), "claim": Out(1), "claimed": Out(JOIN_BITS),
            "part": Out(stream.Signature(MEMBER_PART)),
            "announced": Out(1), "erred": Out(1), "lost": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, engine = self.spec, self.engine
        m.submodules.rings = rings = DescriptorRings(spec, engine)
        m.submodules.front = front = DescriptorFront(spec, engine)
        m.submodules.jobs = jobs = DescriptorJobs(engine)
        m.submodules.walker = walker = ListWalker(
            spec, engine, self.translator_spec, requester=self.requester)
        m.submodules.builder = builder = WaveBuilder(spec, engine)
        m.submodules.appender = appender = BlockAppend(spec)
        m.submodules.feeder = feeder = QueryFeeder(spec, engine)
        m.submodules.results = results = ResultWriter(spec)
        m.submodules.records = records = RecordWriter(spec, engine)

        connect(m, builder.i, walker.o)
        connect(m, front.waves, builder.o)
        connect(m, feeder.i, front.query)
        connect(m, front.order, flipped(self.order))
        connect(m, front.o, flipped(self.waves))
        connect(m, feeder.o, flipped(self.query))
        connect(m, appender.token, flipped(self.token))
        connect(m, flipped(self.result), results.result)
        connect(m, walker.asks, flipped(self.elsewhere))
        connect(m, results.part, flipped(self.part))
        connect(m, walker.lookup, flipped(self.translator.lookup))
        connect(m, flipped(self.translator.translation), walker.translation)
        m.d.comb += [
            self.translator.committed.ready.eq(1),
            rings.doorbell.eq(self.doorbell), rings.tail.eq(self.tail),
            *(getattr(part, f"settings_{n}").eq(getattr(self, f"settings_{n}"))
              for part in (rings, records) for n in range(engine.rings)),
            *(getattr(self, f"status_{n}").eq(getattr(rings, f"status_{n}"))
              for n in range(engine.rings)),
        ]
        self._front(m, rings, front, jobs, walker, builder, feeder, appender)
        self._back(m, rings, jobs, results, records, feeder, walker)
        self._memory(m, rings, walker, feeder, appender, jobs, results, records)
        return m

    def _front(self, m: Module, rings: Any, front: Any, jobs: Any, walker: Any, builder: Any,
               feeder: Any, appender: Any) -> None:
        d = front.current
        m.d.comb += [
            *(getattr(front, name).eq(getattr(rings, name)) for name in (
                "available", "ring", "tenant", "index", "faulty", "descriptor", "joined", "join",
                "misfit")),
            rings.board.eq(self.board), self.claim.eq(front.begin & rings.joined),
            self.claimed.eq(rings.join),
            rings.take.eq(front.take), front.room.eq(jobs.room), front.newest.eq(jobs.newest),
            jobs.begin.eq(front.begin), jobs.note.eq(front.note),
            jobs.attended.eq(front.attended), jobs.close.eq(front.close),
            jobs.trouble_valid.eq(front.trouble_valid | walker.trouble_valid),
            jobs.trouble.eq(Mux(walker.trouble_valid, Value.cast(walker.trouble),
                                Value.cast(front.trouble))),
            jobs.elsewhere.eq(walker.asks.valid & walker.asks.ready),

            walker.load.eq(front.walk), walker.descriptor.eq(d),
            walker.tenant.eq(front.current_tenant), walker.pseudo_channel.eq(self.pseudo_channel),
            walker.appended.eq(appender.done), walker.append_failed.eq(appender.failed),
            walker.append_why.eq(appender.why),
            front.over.eq(walker.over), front.none.eq(walker.none),
            front.walk_trouble.eq(walker.trouble_valid),
            front.ready.eq(~walker.waiting & ~appender.waiting),

            appender.load.eq(front.append), appender.place.eq(data.View(PLACE_LAYOUT, d.token)),
            appender.last_chunk.eq((d.head_size[4:] - 1)[:len(appender.last_chunk)]),
            appender.stop.eq(walker.over & ~front.append), appender.go.eq(walker.append),
            appender.bank.eq(walker.bank),
            appender.number.eq((d.context - 1)[:len(appender.number)]),

            builder.abandon.eq(front.abandon), builder.end.eq(front.end),
            front.done.eq(builder.done), front.begins.eq(builder.begin),
            builder.may_begin.eq(front.may_begin),
            feeder.verdict.eq(front.verdict), feeder.attended.eq(front.attended),
        ]

    def _back(self, m: Module, rings: Any, jobs: Any, results: Any, records: Any, feeder: Any,
              walker: Any) -> None:
        m.d.comb += [
            jobs.query_bad.eq(feeder.bad), jobs.query_job.eq(feeder.bad_job),
            jobs.query_why.eq(feeder.why),
            results.expects.eq(jobs.expects), results.barren.eq(jobs.barren),
            results.why.eq(jobs.why), results.note.eq(jobs.writing_note),
            results.count.eq(jobs.writing_note.beats), jobs.issued.eq(results.issued),
            jobs.passed.eq(results.passed), jobs.output_missing.eq(results.missing),
            records.over.eq(jobs.over), records.outcome.eq(jobs.outcome),
            records.note.eq(jobs.oldest_note), records.elsewhere.eq(jobs.oldest_elsewhere),
            jobs.recorded.eq(records.recorded), rings.finish.eq(records.recorded),
            rings.finished_ring.eq(jobs.oldest_note.ring),
            self.announced.eq(records.announced), self.erred.eq(records.failed),
            self.lost.eq(records.lost),
        ]

    def _memory(self, m: Module, rings: Any, walker: Any, feeder: Any, appender: Any, jobs: Any,
                results: Any, records: Any) -> None:
        """One port for all; the tag says whose an answer is."""
        reads: list[tuple[Any, Any, Source, Value]] = [
            (rings.fetch, rings.fetch.p.spot, Source.RING,
             Cat(rings.fetch.p.half, rings.fetch.p.ring)),
            (walker.fetch, walker.fetch.p, Source.LIST, Const(0, 1)),
            *((part.memory.fetch, part.memory.fetch.p, source, part.memory.slot)
              for part, source in ((feeder, Source.QUERY), (appender, Source.TOKEN)))]
        writes: list[tuple[Any, Any, Source, Value]] = [
            (results.write, results.write.p.spot, Source.OUTPUT, jobs.writing),
            (records.write, records.write.p.spot, Source.RECORD, Const(0, 1))]
        share = StreamShare(request_layout(self.spec), len(reads) + len(writes))
        m.submodules.share = share
        connect(m, share.o, flipped(self.port.request))
        for n, (port, spot, source, number) in enumerate([*reads, *writes]):
            way: Any = getattr(share, f"i_{n}")
            tag = data.View(TAG, way.p.tag)
            m.d.comb += [
                way.valid.eq(port.valid), port.ready.eq(way.ready),
                tag.source.eq(source), tag.number.eq(number),
                way.p.bank.eq(spot.bank), way.p.row.eq(spot.row), way.p.column.eq(spot.column),
            ]
            if n >= len(reads):
                m.d.comb += [way.p.write.eq(1), way.p.data.eq(port.p.data)]
        self._answers(m, rings, walker, feeder, appender, jobs, records)

    def _answers(self, m: Module, rings: Any, walker: Any, feeder: Any, appender: Any, jobs: Any,
                 records: Any) -> None:
        answer = self.port.response
        tag, ok = data.View(TAG, answer.p.tag), answer.p.status == Status.OK

        def of(source: Source) -> Value:
            return answer.valid & (tag.source == source)

        m.d.comb += [
            answer.ready.eq(1),
            rings.fetched.eq(of(Source.RING)), rings.fetched_half.eq(tag.number[0]),
            rings.fetched_ring.eq(tag.number[1:1 + RING_BITS]),
            walker.fetched.eq(of(Source.LIST)),
            jobs.answered.eq(of(Source.OUTPUT)),
            jobs.answered_job.eq(tag.number[:len(jobs.answered_job)]),
            jobs.answer.eq(answer.p.status),
            records.answered.eq(of(Source.RECORD)), records.answer.eq(answer.p.status),
            *(part.ok.eq(ok) for part in (rings, walker)),
            *(part.content.eq(answer.p.data) for part in (rings, walker)),
        ]
        for part, source in ((feeder, Source.QUERY), (appender, Source.TOKEN)):
            memory = part.memory
            m.d.comb += [
                memory.fetched.eq(of(source)), memory.status.eq(answer.p.status),
                memory.fetched_slot.eq(tag.number[:len(memory.fetched_slot)]),
                memory.content.eq(answer.p.data),
            ]
