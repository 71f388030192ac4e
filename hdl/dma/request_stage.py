"""The last two steps of a request on its way to the memory port."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.dma.layouts import JOB, spot_layout
from hdl.layouts import BEAT_WIDTH, request_layout
from model.spec.port import TAG_WIDTH
from model.spec.slice import SliceSpec


def ask_layout(spec: SliceSpec) -> data.StructLayout:
    """A request whose data, if any, may still be in the buffer."""
    return data.StructLayout({
        "write": 1, "buffered": 1, "tag": TAG_WIDTH, "job": JOB, "spot": spot_layout(spec),
        "data": BEAT_WIDTH})


class RequestStage(wiring.Component):
    """One request a clock, shown at the port two clocks later.

    In the clock after it was taken its data come from the buffer. Data that cannot be corrected
    are not written.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.

    Members
    -------
    take, ask, ready : ``In(1)``, ``In(ask_layout(spec))``, ``Out(1)``
        A request is taken; only with ``ready``.
    shown, spoiled : ``In(256)``, ``In(1)``
        What the buffer shows.
    buffer_free : ``Out(1)``
        Nobody waits for what the buffer shows.
    lost : ``Out(1)``, lost_job : ``Out(JOB)``, lost_tag : ``Out(8)``
        For one clock: a beat cannot be written.
    request : ``Out(stream.Signature(request_layout(spec)))``
        To the port.
    """

    take: Signal
    ask: data.View
    ready: Signal
    shown: Signal
    spoiled: Signal
    buffer_free: Signal
    lost: Signal
    lost_job: data.View
    lost_tag: Signal
    request: stream.Interface

    def __init__(self, spec: SliceSpec) -> None:
        self.layout = ask_layout(spec)
        super().__init__({
            "take": In(1), "ask": In(self.layout), "ready": Out(1),
            "shown": In(BEAT_WIDTH), "spoiled": In(1), "buffer_free": Out(1),
            "lost": Out(1), "lost_job": Out(JOB), "lost_tag": Out(TAG_WIDTH),
            "request": Out(stream.Signature(request_layout(spec))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ask = Signal(self.layout)
        full = Signal()
        moves = Signal()
        request: Any = self.request
        m.d.comb += [
            moves.eq(full & (~request.valid | request.ready)),
            self.ready.eq(~full | moves),
            self.buffer_free.eq(~(full & ask.buffered) | moves),
            self.lost.eq(moves & ask.buffered & self.spoiled),
            self.lost_job.eq(ask.job), self.lost_tag.eq(ask.tag),
        ]
        with m.If(self.ready):
            m.d.sync += [full.eq(self.take), ask.eq(self.ask)]
        with m.If(moves):
            m.d.sync += [
                request.valid.eq(~self.lost),
                request.p.write.eq(ask.write), request.p.tag.eq(ask.tag),
                request.p.bank.eq(ask.spot.bank), request.p.row.eq(ask.spot.row),
                request.p.column.eq(ask.spot.column),
                request.p.data.eq(Mux(ask.buffered, self.shown, ask.data)),
            ]
        with m.Elif(request.ready):
            m.d.sync += request.valid.eq(0)
        return m
