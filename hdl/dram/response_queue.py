"""The answers of one port."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH, response_layout
from model.spec.port import TAG_WIDTH, Status
from model.spec.slice import SliceSpec


class ResponseQueue(wiring.Component):
    """Answers accepted requests in order, ``read_latency`` + 1 clocks later unless stalled.

    Every answer takes that long, also a write's, whose data have reached the array by then; so
    answers need no sorting. One answer a clock is sustained.

    Parameters
    ----------
    spec : SliceSpec
        Latencies.

    Members
    -------
    accept, write, missing : ``In(1)``
        A request is accepted in this clock; its kind.
    tag : ``In(8)``
        Its tag.
    credit : ``Out(1)``
        A request may be accepted: there will be room for its answer.
    read_data : ``In(256)``, read_status : ``In(Status)``
        The data bus, corrected.
    reading : ``Out(1)``
        The word on it is for this port.
    response : ``Out(stream.Signature(response_layout()))``
        The port's responses.
    """

    accept: Signal
    write: Signal
    missing: Signal
    tag: Signal
    credit: Signal
    read_data: Signal
    read_status: data.View
    reading: Signal
    response: stream.Interface

    def __init__(self, spec: SliceSpec) -> None:
        self.latency = spec.timing.read_latency
        # accept -> data -> queue -> taken -> credit: so many are under way at one a clock
        self.depth = self.latency + 2
        super().__init__({
            "accept": In(1), "write": In(1), "missing": In(1), "tag": In(TAG_WIDTH),
            "credit": Out(1), "read_data": In(BEAT_WIDTH), "read_status": In(Status),
            "reading": Out(1),
            "response": Out(stream.Signature(response_layout())),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = response_layout()
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=self.depth)

        room = Signal(range(self.depth + 1), init=self.depth)
        taken = self.response.valid & self.response.ready
        m.d.comb += self.credit.eq(room != 0)
        with m.If(self.accept & ~taken):
            m.d.sync += room.eq(room - 1)
        with m.Elif(taken & ~self.accept):
            m.d.sync += room.eq(room + 1)

        tag = self.tag
        for n in range(self.latency):
            older = Signal.like(self.tag, name=f"flight_tag_{n}")
            m.d.sync += older.eq(tag)
            tag = older
        flight = [Signal(self.latency, name=f"flight_{name}")
                  for name in ("valid", "write", "error")]
        for bits, now in zip(flight, (self.accept, self.accept & self.write,
                                      self.accept & self.missing), strict=True):
            m.d.sync += bits.eq((bits << 1 | now)[:self.latency])
        arrived, write, error = (bits[-1] for bits in flight)

        answer = Signal(layout)
        m.d.comb += [
            answer.tag.eq(tag),
            answer.write.eq(write),
            self.reading.eq(arrived & ~write & ~error),
            answer.status.eq(Mux(error, Status.NO_SUCH_BANK,
                                 Mux(self.reading, Value.cast(self.read_status), Status.OK))),
            answer.data.eq(Mux(self.reading, self.read_data, 0)),
            queue.w_en.eq(arrived),
            queue.w_data.eq(answer.as_value()),
            self.response.payload.as_value().eq(queue.r_data),
            self.response.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.response.ready),
        ]
        return m
