"""Moves segments through the buffer: reads, writes and streams."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dma.answers import Answers
from hdl.dma.beat_buffer import BeatBuffer
from hdl.dma.lanes import Lanes
from hdl.dma.layouts import (
    FETCH_TAG,
    FETCHED,
    FETCHES,
    LOW_BITS,
    READ_TAG,
    JobEvents,
    check_fits,
    fetch_layout,
    record_layout,
    segment_layout,
    write_tag,
)
from hdl.dma.request_stage import RequestStage
from hdl.dma.room import Room
from hdl.dma.slot_pool import SlotPool, job_index
from hdl.dma.stream_side import StreamSide, unload_layout
from hdl.dma.turns import Turns
from hdl.layouts import BEAT_WIDTH, PortSignature
from model.spec.dma import DmaSpec
from model.spec.secded import BEAT_CHECK_BITS
from model.spec.slice import SliceSpec

FETCHES_MAX = 3
"""Reads of a channel that are not beats of a segment: a descriptor's two, one of a list."""


class Mover(wiring.Component):
    """Reads segments into the buffer and writes them from it, a beat a clock in either direction.

    A segment is written when all of it is in the buffer. Reads go on until the buffer is full, then
    writes until it is empty, so that the data bus turns twice for a buffer-full. Segments are
    carried out in any order as far as nobody can tell: one that touches beats which an older one
    moves waits for it. Between the answer to a segment's last read and its first write lie five
    clocks.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    dma : DmaSpec

    Members
    -------
    offer, segment, accept : ``In(1)``, ``In(segment_layout(spec))``, ``Out(1)``
        Segments. An offer may be withdrawn.
    unload_room, load_room : ``Out(1)``
        One more segment may be offered that goes to a stream, or comes from one.
    failed : ``In(channels * jobs)``
        Jobs of which nothing more is to be moved.
    events : ``Out(JobEvents())``
    fetch, fetched : ``In(stream.Signature(fetch_layout(spec)))``, ``Out(FETCHED)``
        Reads of rings and lists.
    record : ``In(stream.Signature(record_layout(spec)))``
        Completion records.
    load : ``In(stream.Signature(256))``
        Beats for segments that are not read.
    unload : ``Out(stream.Signature(unload_layout()))``
        Beats of segments that are not written.
    loaded : ``Out(segment_layout(spec))``
        The segment that ``load`` fills; its last beat is next if ``load_last``.
    load_last : ``Out(1)``
    clear : ``In(1)``
        The move that uses the streams has failed: what is on its way there is forgotten.
    inject : ``In``
        See :class:`~hdl.dma.beat_buffer.BeatBuffer`.
    corrected : ``Out(1)``
        For one clock: a flipped bit was corrected.
    port : ``Out(PortSignature(spec))``
    """

    offer: Signal
    segment: data.View
    accept: Signal
    unload_room: Signal
    load_room: Signal
    failed: Signal
    events: Any
    fetch: stream.Interface
    fetched: data.View
    record: stream.Interface
    load: stream.Interface
    unload: stream.Interface
    loaded: data.View
    load_last: Signal
    clear: Signal
    inject: Signal
    corrected: Signal
    port: Any

    def __init__(self, spec: SliceSpec, dma: DmaSpec) -> None:
        check_fits(spec, dma)
        self.spec, self.dma = spec, dma
        segment = segment_layout(spec)
        super().__init__({
            "offer": In(1), "segment": In(segment), "accept": Out(1),
            "unload_room": Out(1), "load_room": Out(1),
            "failed": In(dma.channels * dma.jobs), "events": Out(JobEvents()),
            "fetch": In(stream.Signature(fetch_layout(spec))), "fetched": Out(FETCHED),
            "record": In(stream.Signature(record_layout(spec))),
            "load": In(stream.Signature(BEAT_WIDTH)),
            "unload": Out(stream.Signature(unload_layout())),
            "loaded": Out(segment), "load_last": Out(1), "clear": In(1),
            "inject": In(BEAT_WIDTH + BEAT_CHECK_BITS), "corrected": Out(1),
            "port": Out(PortSignature(spec)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, dma = self.spec, self.dma
        reads = Lanes(spec, slots=dma.slots, lanes=dma.read_lanes, answers=True,
                      requests=dma.lane_requests, window=spec.scheduler.read_entries)
        writes = Lanes(spec, slots=dma.slots, lanes=dma.write_lanes, answers=False,
                       requests=dma.lane_writes)
        m.submodules.reads, m.submodules.writes = reads, writes
        m.submodules.pool = pool = SlotPool(spec, dma)
        pool.connect_lanes(reads, writes)
        m.submodules.answers = answers = Answers(dma, reads)
        m.submodules.stage = stage = RequestStage(spec)
        m.submodules.buffer = buffer = BeatBuffer(dma.buffer_beats)
        m.submodules.side = side = StreamSide(spec, dma)
        m.submodules.turns = turns = Turns(dma)
        m.submodules.room = room = Room(
            spec.scheduler, reads=dma.read_lanes * dma.lane_requests + FETCHES_MAX * dma.channels)
        connect(m, answers.response, flipped(self.port.response))
        connect(m, flipped(self.port.request), stage.request)
        connect(m, flipped(self.unload), side.unload)
        connect(m, side.load, flipped(self.load))
        self._serve_pool(m, pool, reads, writes, answers, stage)
        self._serve_streams(m, pool, side)
        takes = self._ask(m, pool, reads, writes, stage, turns, room)
        m.d.comb += [
            self.fetched.eq(answers.fetched),
            reads.crowded.eq(room.crowded),
            turns.answered.eq(answers.lane_valid), turns.acked.eq(answers.events.acked_valid),
            room.read.eq(self.port.response.valid & ~self.port.response.p.write),
            room.wrote.eq(self.port.response.valid & self.port.response.p.write),
            buffer.inject.eq(self.inject),
            buffer.store.eq(answers.store | side.store),
            buffer.store_at.eq(Mux(answers.store, answers.store_at, side.store_at)),
            buffer.content.eq(Mux(answers.store, answers.content, side.content)),
            side.store_free.eq(~answers.store),
            buffer.fetch.eq(takes | side.fetch),
            buffer.fetch_at.eq(Mux(side.fetch, side.fetch_at,
                                   Cat(writes.beat, writes.current.slot))),
            side.fetch_free.eq(~takes & stage.buffer_free),
            side.shown.eq(buffer.shown), side.spoiled.eq(buffer.spoiled),
            stage.shown.eq(buffer.shown), stage.spoiled.eq(buffer.spoiled),
            side.clear.eq(self.clear),
        ]
        shown = Signal()
        m.d.sync += shown.eq(buffer.fetch)
        m.d.comb += self.corrected.eq(shown & buffer.corrected)
        self._tell(m, pool, answers, stage, writes, takes)
        return m

    def _serve_pool(self, m: Module, pool: SlotPool, reads: Lanes, writes: Lanes,
                    answers: Answers, stage: RequestStage) -> None:
        tag = write_tag(self.dma)
        lost = data.View(tag, stage.lost_tag[:tag.size])
        m.d.comb += [
            pool.offer.eq(self.offer), pool.segment.eq(self.segment),
            self.accept.eq(pool.accept), pool.failed.eq(self.failed),
            self.unload_room.eq(pool.unload_room), self.load_room.eq(pool.load_room),
            reads.answered.eq(answers.lane_valid), reads.answered_lane.eq(answers.lane),
            reads.answered_low.eq(answers.low),
            writes.answered.eq(answers.events.acked_valid),
            writes.answered_lane.eq(answers.acked_lane),
            writes.dropped.eq(stage.lost), writes.dropped_lane.eq(lost.lane),
        ]
        for name, lanes in (("read", reads), ("write", writes)):
            ended = Signal(self.dma.slots, name=f"{name}_over")
            m.d.comb += [
                lanes.offer.eq(getattr(pool, f"{name}_offer")),
                lanes.segment.eq(getattr(pool, f"{name}_segment")),
                getattr(pool, f"{name}_accept").eq(lanes.accept),
                lanes.failed.eq(Cat(
                    self.failed.bit_select(job_index(content.job, self.dma), 1)
                    for content in lanes.contents())),
                ended.eq(Cat(self._any_lane(lanes, lanes.ended, slot)
                             for slot in range(self.dma.slots))),
                getattr(pool, f"{name}_ended").eq(ended),
            ]
            gone = lanes.ended & (~lanes.complete | lanes.failed)
            if name == "read":
                m.d.comb += pool.read_lost.eq(Cat(self._any_lane(lanes, gone, slot)
                                                  for slot in range(self.dma.slots)))

    @staticmethod
    def _any_lane(lanes: Lanes, among: Value, slot: int) -> Value:
        return Cat(among[i] & (content.slot == slot)
                   for i, content in enumerate(lanes.contents())).any()

    def _serve_streams(self, m: Module, pool: SlotPool, side: StreamSide) -> None:
        for name in ("load", "unload"):
            m.d.comb += [getattr(side, f"{name}_{part}").eq(getattr(pool, f"{name}_{part}"))
                         for part in ("ready", "slot", "content")]
            m.d.comb += getattr(pool, name).eq(getattr(side, f"{name}_done"))
        m.d.comb += [self.loaded.eq(pool.load_content), self.load_last.eq(side.load_last)]

    def _ask(self, m: Module, pool: SlotPool, reads: Lanes, writes: Lanes, stage: RequestStage,
             turns: Turns, room: Room) -> Signal:
        """Picks the next request; returns whether a beat of the buffer goes with it."""
        ask = stage.ask
        beat = Signal()
        go_read = Signal()
        go_write = Signal()
        m.d.comb += [
            turns.can_read.eq((reads.valid | self.fetch.valid) & room.for_read),
            turns.can_write.eq((writes.valid | self.record.valid) & room.for_write),
            turns.more_reads.eq(reads.unasked | pool.waiting | (self.offer & pool.free)),
            turns.more_writes.eq(writes.unasked | pool.full),
            go_read.eq(stage.ready & ~turns.write & turns.can_read),
            go_write.eq(stage.ready & turns.write & turns.can_write),
            turns.wrote.eq(go_write),
            self.fetch.ready.eq(stage.ready & ~turns.write & room.for_read),
            self.record.ready.eq(stage.ready & turns.write & room.for_write),
            room.reading.eq(go_read), room.writing.eq(go_write), room.dropped.eq(stage.lost),
            reads.take.eq(go_read & ~self.fetch.valid),
            beat.eq(go_write & ~self.record.valid),
            writes.take.eq(beat),
            stage.take.eq(go_read | go_write),
            ask.write.eq(turns.write), ask.buffered.eq(turns.write & ~self.record.valid),
        ]
        fetch_tag = Signal(FETCH_TAG)
        read_tag = Signal(READ_TAG)
        beat_tag = Signal(write_tag(self.dma))
        record_tag = Signal(write_tag(self.dma))
        m.d.comb += [
            fetch_tag.kind.eq(self.fetch.p.kind), fetch_tag.channel.eq(self.fetch.p.channel),
            fetch_tag.fetches.eq(FETCHES),
            read_tag.low.eq(reads.beat[:LOW_BITS]), read_tag.lane.eq(reads.lane),
            *self._tag(beat_tag, writes.current.job, writes.lane),
            *self._tag(record_tag, self.record.p.job, Const(self.dma.write_lanes)),
        ]
        with m.If(~turns.write):
            m.d.comb += [
                ask.tag.eq(Mux(self.fetch.valid, fetch_tag.as_value(), read_tag.as_value())),
                ask.spot.eq(Mux(self.fetch.valid, self.fetch.p.spot.as_value(),
                                reads.at.as_value())),
            ]
        with m.Elif(self.record.valid):
            m.d.comb += [ask.tag.eq(record_tag), ask.spot.eq(self.record.p.spot),
                         ask.data.eq(self.record.p.data)]
        with m.Else():
            m.d.comb += [ask.tag.eq(beat_tag), ask.spot.eq(writes.at),
                         ask.job.eq(writes.current.job)]
        return beat

    @staticmethod
    def _tag(tag: data.View, job: data.View, lane: Value) -> list[Any]:
        """Only as many bits of a job's number and channel as this engine has."""
        return [tag.number.eq(job.number[:len(tag.number)]),
                tag.channel.eq(job.channel[:len(tag.channel)]),
                tag.lane.eq(lane[:len(tag.lane)])]

    def _tell(self, m: Module, pool: SlotPool, answers: Answers, stage: RequestStage,
              writes: Lanes, takes: Signal) -> None:
        e = self.events
        for name in ("acked_valid", "acked", "recorded_valid", "recorded", "recorded_ok",
                     "fault_valid", "fault_job", "fault", "fault_status", "fault_place"):
            m.d.comb += getattr(e, name).eq(getattr(answers.events, name))
        m.d.comb += [
            e.ended_valid.eq(pool.ended_valid), e.ended.eq(pool.ended),
            e.issued_valid.eq(takes), e.issued.eq(writes.current.job),
            e.spoiled_valid.eq(stage.lost), e.spoiled.eq(stage.lost_job),
        ]
