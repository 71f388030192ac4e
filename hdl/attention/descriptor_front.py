"""From a descriptor to an attention that is under way."""

from amaranth import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.attention.descriptor_check import DescriptorCheck
from hdl.attention.descriptor_jobs import NOTE
from hdl.attention.descriptor_layouts import (
    DESCRIPTOR_LAYOUT,
    JOIN_BITS,
    RING_BITS,
    TROUBLE,
    chunks_of,
    output_beats,
)
from hdl.attention.query_feeder import query_job_layout
from hdl.attention.wave import wave_layout
from hdl.attention.wave_source import REQUESTS, AttentionRequest
from hdl.dma.layouts import PLACE_LAYOUT
from hdl.dma.ring_fetcher import INDEX_BITS
from model.spec.attention_descriptor import EngineSpec, Result
from model.spec.slice import SliceSpec

WAVES_READY = 2
"""Waves that wait for the sequencer, which holds more itself."""


class DescriptorFront(wiring.Component):
    """Takes a descriptor when the one before has handed over its last wave; so the blocks of the
    next one are translated while the sequencer works on this one.

    Parameters
    ----------
    spec : SliceSpec
    engine : EngineSpec

    Members
    -------
    available, ring, tenant, index, faulty, descriptor, joined, join, misfit, take : see
        :class:`DescriptorRings`
    room, begin, note, attended, close, trouble_valid, trouble : see :class:`DescriptorJobs`
    current, current_tenant : ``Out``
        The descriptor at hand.
    ready : ``In(1)``
        Walker and appender have no answers outstanding.
    walk, append : ``Out(1)``
        For one clock: its list is to be read; its new token is to be read.
    over, none, walk_trouble : ``In(1)``
        Of the walker: it has ended, without any block; it has had trouble.
    query : ``Out(stream.Signature(query_job_layout(engine)))``, verdict : ``Out(1)``
        For the queries' feeder; ``attended`` says which verdict.
    newest : ``In``
        Number of the descriptor.
    abandon, end, done : ``Out``, ``Out``, ``In``
        Of the wave builder.
    begins, may_begin : ``In(1)``, ``Out(1)``
        The first wave leaves, and may.
    waves : ``In(stream.Signature(wave_layout(spec)))``
        From the wave builder.
    order, o : ``Out(stream.Signature(AttentionRequest()))``, ``Out(stream)``
        To the sequencer: attentions and their waves.
    """

    available: Signal
    ring: Signal
    tenant: Signal
    index: Signal
    faulty: Signal
    descriptor: data.View
    joined: Signal
    join: Signal
    misfit: Signal
    take: Signal
    room: Signal
    begin: Signal
    note: data.View
    attended: Signal
    close: Signal
    trouble_valid: Signal
    trouble: data.View
    current: data.View
    current_tenant: Signal
    ready: Signal
    walk: Signal
    append: Signal
    over: Signal
    none: Signal
    walk_trouble: Signal
    query: stream.Interface
    verdict: Signal
    newest: Signal
    abandon: Signal
    end: Signal
    done: Signal
    begins: Signal
    may_begin: Signal
    waves: stream.Interface
    order: stream.Interface
    o: stream.Interface

    def __init__(self, spec: SliceSpec, engine: EngineSpec) -> None:
        self.spec, self.engine = spec, engine
        wave = stream.Signature(wave_layout(spec))
        super().__init__({
            "available": In(1), "ring": In(RING_BITS), "tenant": In(8), "index": In(INDEX_BITS),
            "faulty": In(1), "descriptor": In(DESCRIPTOR_LAYOUT),
            "joined": In(1), "join": In(JOIN_BITS), "misfit": In(1), "take": Out(1),
            "room": In(1), "begin": Out(1), "note": Out(NOTE), "attended": Out(1),
            "close": Out(1), "trouble_valid": Out(1), "trouble": Out(TROUBLE),
            "current": Out(DESCRIPTOR_LAYOUT), "current_tenant": Out(8),
            "ready": In(1), "walk": Out(1), "append": Out(1),
            "over": In(1), "none": In(1), "walk_trouble": In(1),
            "query": Out(stream.Signature(query_job_layout(engine))), "verdict": Out(1),
            "newest": In(range(engine.jobs)),
            "abandon": Out(1), "end": Out(1), "done": In(1),
            "begins": In(1), "may_begin": Out(1), "waves": In(wave),
            "order": Out(stream.Signature(AttentionRequest())), "o": Out(wave),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.check = check = DescriptorCheck(self.spec)
        d, faulty, misfit = self.current, Signal(), Signal()
        m.d.comb += [
            check.descriptor.eq(d), check.faulty.eq(faulty), check.misfit.eq(misfit),
            check.tenant.eq(self.current_tenant),
            self.begin.eq(self.take), self.abandon.eq(self.walk_trouble),
            self.attended.eq(self.begins),
        ]
        failed = Signal()
        with m.FSM():
            with m.State("PICK"):
                m.d.comb += self.take.eq(self.available & self.room)
                m.d.sync += failed.eq(0)
                with m.If(self.take):
                    m.d.sync += [d.eq(self.descriptor), faulty.eq(self.faulty),
                                 misfit.eq(self.misfit), self.current_tenant.eq(self.tenant)]
                    m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(check.result != Result.DONE):
                    m.d.comb += [self.trouble_valid.eq(1), self.trouble.result.eq(check.result),
                                 self.close.eq(1)]
                    m.next = "PICK"
                with m.Else():
                    m.d.comb += [self.query.valid.eq(self.ready),
                                 self.walk.eq(self.ready & self.query.ready),
                                 self.append.eq(self.walk & d.append)]
                    with m.If(self.walk):
                        m.next = "WALK"
            with m.State("WALK"):
                with m.If(self.walk_trouble):
                    m.d.sync += failed.eq(1)
                with m.If(self.over):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += self.end.eq(1)
                with m.If(self.done):
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += self.close.eq(1)
                with m.If(self.none & ~failed):
                    m.d.comb += [self.trouble_valid.eq(1),
                                 self.trouble.result.eq(Result.ALL_ELSEWHERE)]
                m.next = "PICK"
        self._verdict(m)
        self._note(m)
        self._send(m)
        return m

    def _verdict(self, m: Module) -> None:
        """Queries are wanted when the first wave leaves; not wanted if none has by the end."""
        begun = Signal()
        with m.If(self.begins):
            m.d.sync += begun.eq(1)
        with m.If(self.take):
            m.d.sync += begun.eq(0)
        m.d.comb += self.verdict.eq(self.begins | (self.end & self.done & ~begun))

    def _note(self, m: Module) -> None:
        d, chunks = self.descriptor, chunks_of(self.descriptor.head_size)
        heads, beats = d.heads[:5], chunks[:5]          # of those that are not refused
        here = self.current
        m.d.comb += [
            self.note.cookie.eq(d.cookie), self.note.index.eq(self.index),
            self.note.ring.eq(self.ring), self.note.interrupt.eq(d.interrupt),
            self.note.output.eq(data.View(PLACE_LAYOUT, d.output)),
            self.note.joined.eq(self.joined), self.note.join.eq(self.join),
            self.note.beats.eq((heads * output_beats(d.partial, beats))[:len(self.note.beats)]),
            self.query.p.job.eq(self.newest),
            self.query.p.place.eq(data.View(PLACE_LAYOUT, here.query)),
            self.query.p.beats.eq((here.heads[:5] * chunks_of(here.head_size)[:5])
                                  [:len(self.query.p.beats)]),
        ]

    def _send(self, m: Module) -> None:
        """An attention, when its first wave leaves; the wave after it."""
        layout, order = wave_layout(self.spec), Signal(AttentionRequest())
        m.submodules.orders = orders = SyncFIFO(width=AttentionRequest().size, depth=REQUESTS)
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=WAVES_READY)
        d = self.current
        m.d.comb += [
            order.context.eq(d.context), order.scale.eq(d.scale), order.partial.eq(d.partial),
            order.last_chunk.eq((chunks_of(d.head_size) - 1)[:8]),
            order.last_head.eq((d.heads - 1)[:8]), order.paged.eq(1),
            order.format.eq(d.format[:len(Value.cast(order.format))]),
            orders.w_data.eq(order), orders.w_en.eq(self.begins),
            self.may_begin.eq(orders.w_rdy),
            self.order.payload.as_value().eq(orders.r_data), self.order.valid.eq(orders.r_rdy),
            orders.r_en.eq(self.order.ready),
            queue.w_data.eq(self.waves.payload.as_value()), queue.w_en.eq(self.waves.valid),
            self.waves.ready.eq(queue.w_rdy),
            self.o.payload.as_value().eq(queue.r_data), self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
