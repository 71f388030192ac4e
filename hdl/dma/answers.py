"""Sorts the answers of the memory port."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.dma.lanes import Lanes, chosen
from hdl.dma.layouts import (
    BEAT_BITS,
    FETCH_TAG,
    FETCHED,
    FETCHES,
    JOB,
    LOW_BITS,
    PLACE_LAYOUT,
    READ_TAG,
    JobEvents,
    write_tag,
)
from hdl.dma.region import software_place
from hdl.layouts import BEAT_WIDTH, response_layout
from model.spec.dma import DmaSpec, Result
from model.spec.port import Status


class Answers(wiring.Component):
    """Takes every answer at once and says whose it is; no latency.

    Parameters
    ----------
    dma : DmaSpec
    reads : Lanes
        What the lanes of reads hold.

    Members
    -------
    response : ``In(stream.Signature(response_layout()))``
        From the port.
    events : ``Out(JobEvents())``
        Of these: acknowledgements, records and faults. The place of a refused write is unknown.
    fetched : ``Out(FETCHED)``
        A descriptor or part of a list.
    acked_lane : ``Out``
        Lane of the beat that ``events`` say is acknowledged.
    lane_valid, lane, low : ``Out``
        A beat of this lane is here, whose number ends in these bits,
    store, store_at, content : ``Out``
        ... and is kept.
    """

    response: stream.Interface
    events: Any
    fetched: data.View
    acked_lane: Signal
    lane_valid: Signal
    lane: Signal
    low: Signal
    store: Signal
    store_at: Signal
    content: Signal

    def __init__(self, dma: DmaSpec, reads: Lanes) -> None:
        self.dma, self._reads = dma, reads
        super().__init__({
            "response": In(stream.Signature(response_layout())),
            "events": Out(JobEvents()), "fetched": Out(FETCHED),
            "acked_lane": Out(range(max(dma.write_lanes, 2))),
            "lane_valid": Out(1), "lane": Out(BEAT_BITS), "low": Out(LOW_BITS),
            "store": Out(1), "store_at": Out(range(dma.buffer_beats)),
            "content": Out(BEAT_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self.response.p
        read, fetch, write = (data.View(layout, p.tag[:layout.size])
                              for layout in (READ_TAG, FETCH_TAG, write_tag(self.dma)))
        job = Signal(JOB)
        records = write.lane == self.dma.write_lanes
        lanes = self._reads.contents()
        mine = Cat(read.lane == i for i in range(len(lanes)))
        content = chosen(m, mine, lanes, "lane_content")
        beat = self._beat(m, mine, read.low)
        place = Signal(PLACE_LAYOUT)
        fetches = fetch.fetches == FETCHES
        ok = Signal()
        valid = self.response.valid
        events = self.events
        m.d.comb += [
            self.response.ready.eq(1),
            ok.eq(p.status == Status.OK),
            job.number.eq(write.number), job.channel.eq(write.channel),
            self.acked_lane.eq(write.lane[:len(self.acked_lane)]),
            self.lane_valid.eq(valid & ~p.write & ~fetches), self.lane.eq(read.lane),
            self.low.eq(read.low),
            self.store.eq(self.lane_valid & ok), self.content.eq(p.data),
            self.store_at.eq(Cat(beat, content.slot)),
            self.fetched.valid.eq(valid & ~p.write & fetches),
            self.fetched.kind.eq(fetch.kind), self.fetched.channel.eq(fetch.channel),
            self.fetched.ok.eq(ok), self.fetched.data.eq(p.data),
            events.acked_valid.eq(valid & p.write & ~records), events.acked.eq(job),
            events.recorded_valid.eq(valid & p.write & records),
            events.recorded.eq(job), events.recorded_ok.eq(ok),
            events.fault_valid.eq((self.lane_valid | events.acked_valid) & ~ok),
            events.fault_job.eq(Mux(p.write, job.as_value(), content.job.as_value())),
            events.fault.eq(Mux(p.write, Result.WRITE_FAULT, Result.READ_FAULT)),
            events.fault_status.eq(p.status),
            place.eq(software_place(content.spot)),
            events.fault_place.eq(Mux(p.write, 0, place.as_value())),
        ]
        with m.If(~p.write):
            m.d.comb += events.fault_place.column.eq(
                (place.column + beat)[:len(place.column)])
        return m

    def _beat(self, m: Module, mine: Value, low: Value) -> Signal:
        """The beat that was asked for last of those that end in these bits."""
        asked = reduce(or_, (Mux(mine[i], each, 0) for i, each in enumerate(self._reads.asked())))
        beat = Signal(BEAT_BITS)
        high = asked[LOW_BITS:] - (low >= asked[:LOW_BITS])
        m.d.comb += beat.eq(Cat(low, high[:BEAT_BITS - LOW_BITS]))
        return beat
