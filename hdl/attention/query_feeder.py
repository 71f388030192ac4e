"""Queries from memory to the attention sequencer, attention by attention."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.beat_reader import COUNT_BITS, BeatReader, MemoryReads
from hdl.dma.layouts import PLACE_LAYOUT
from hdl.layouts import BEAT_WIDTH
from model.spec.attention_descriptor import EngineSpec
from model.spec.port import Status
from model.spec.slice import SliceSpec


def query_job_layout(engine: EngineSpec) -> data.StructLayout:
    """The queries of an attention."""
    return data.StructLayout({
        "job": range(engine.jobs), "place": PLACE_LAYOUT, "beats": COUNT_BITS})


class QueryFeeder(wiring.Component):
    """Reads queries ahead; hands them out when their attention has begun, or forgets them.

    Parameters
    ----------
    spec : SliceSpec
    engine : EngineSpec

    Members
    -------
    i : ``In(stream.Signature(query_job_layout(engine)))``
    verdict, attended : ``In(1)``
        For one clock: the oldest attention without a verdict has begun, or will not begin.
    memory : ``Out(MemoryReads(spec, depth=engine.reads))``
    o : ``Out(stream.Signature(256))``
        To the sequencer.
    bad, bad_job, why : ``Out``
        For one clock: queries could not be read.
    """

    i: stream.Interface
    verdict: Signal
    attended: Signal
    memory: Any
    o: stream.Interface
    bad: Signal
    bad_job: Signal
    why: Signal

    def __init__(self, spec: SliceSpec, engine: EngineSpec) -> None:
        self.spec, self.engine = spec, engine
        super().__init__({
            "i": In(stream.Signature(query_job_layout(engine))),
            "verdict": In(1), "attended": In(1),
            "memory": Out(MemoryReads(spec, depth=engine.reads)),
            "o": Out(stream.Signature(BEAT_WIDTH)),
            "bad": Out(1), "bad_job": Out(range(engine.jobs)), "why": Out(Status),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = query_job_layout(self.engine)
        m.submodules.reader = reader = BeatReader(self.spec, depth=self.engine.reads)
        m.submodules.jobs = jobs = SyncFIFO(width=layout.size, depth=self.engine.jobs)
        m.submodules.verdicts = verdicts = SyncFIFO(width=1, depth=self.engine.jobs)
        job: Any = data.View(layout, jobs.r_data)
        left, over = Signal(COUNT_BITS), Signal()
        connect(m, reader.memory, flipped(self.memory))
        m.d.comb += [
            jobs.w_data.eq(self.i.payload.as_value()), jobs.w_en.eq(self.i.valid),
            self.i.ready.eq(jobs.w_rdy),
            verdicts.w_data.eq(self.attended), verdicts.w_en.eq(self.verdict),
            reader.place.eq(job.place), reader.beats.eq(job.beats),
            self.o.payload.eq(reader.o.payload),
            jobs.r_en.eq(over), verdicts.r_en.eq(over),
            self.bad.eq(reader.bad), self.bad_job.eq(job.job), self.why.eq(reader.why),
        ]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(jobs.r_rdy):
                    m.d.comb += reader.start.eq(1)
                    m.d.sync += left.eq(job.beats)
                    m.next = "READ"
            with m.State("READ"):
                with m.If(verdicts.r_rdy & verdicts.r_data):
                    m.d.comb += [self.o.valid.eq(reader.o.valid),
                                 reader.o.ready.eq(self.o.ready),
                                 over.eq(self.o.valid & self.o.ready & (left == 1))]
                    with m.If(self.o.valid & self.o.ready):
                        m.d.sync += left.eq(left - 1)
                with m.Elif(verdicts.r_rdy):
                    m.d.comb += [reader.stop.eq(1), over.eq(~reader.waiting)]
                with m.If(over):
                    m.next = "IDLE"
        return m
