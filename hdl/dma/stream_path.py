"""Where beats go that do not merely pass through the buffer: quantiser and host port."""

import enum
from typing import Any

from amaranth import Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.dma.job_book import TROUBLE
from hdl.dma.layouts import DESCRIPTOR_LAYOUT
from hdl.dma.stream_side import unload_layout
from hdl.layouts import BEAT_WIDTH
from hdl.quantiser.layouts import input_layout, output_layout, request_layout, result_layout
from model.spec.dma import Convert, Kind, Result
from model.spec.mx import QuantiserSpec, Status, StoredFormat

HOST_IN = data.StructLayout({"data": BEAT_WIDTH, "last": 1})
"""A beat from the host; ``last`` ends the packet of a descriptor."""

HOST_OUT = data.StructLayout({"data": BEAT_WIDTH, "last": 1, "error": 1})
"""A beat to the host; ``error``, with ``last``, ends a packet that is not to be used."""


class _State(enum.Enum):
    IDLE = 0
    RUN = 1
    SKIP = 2            # the rest of a packet from the host
    END = 3             # of a packet to the host that failed


class StreamPath(wiring.Component):
    """Carries the beats of one move at a time, one a clock and none late, but for the quantiser.

    A packet of the host has as many beats as its descriptor says; another length fails the move,
    and the rest of a packet is skipped. What has failed after its first beat went to the host ends
    there with a beat that says so.

    Parameters
    ----------
    quantiser : QuantiserSpec or None
        Of the quantiser behind the ports; None if there is none, and nothing can be converted.

    Members
    -------
    start, descriptor : ``In(1)``, ``In(DESCRIPTOR_LAYOUT)``
        A move begins; the descriptor stays until it is over.
    failed : ``In(1)``
        It is to be given up.
    busy : ``Out(1)``
        Until its last beat has left, or everything has been given up.
    clear : ``Out(1)``
        What is on its way is forgotten.
    trouble_valid, trouble : ``Out(1)``, ``Out(TROUBLE)``
        The move fails.
    unload, load : ``In(stream)``, ``Out(stream)``
        From and to the buffer.
    host_in, host_out : ``In(stream)``, ``Out(stream)``
        From and to the host.
    request, converted, result, raw : streams of the quantiser
        Its ``request``, ``o``, ``result`` and ``i``.
    """

    start: Signal
    descriptor: data.View
    failed: Signal
    busy: Signal
    clear: Signal
    trouble_valid: Signal
    trouble: data.View
    unload: stream.Interface
    load: stream.Interface
    host_in: stream.Interface
    host_out: stream.Interface
    request: stream.Interface
    raw: stream.Interface
    converted: stream.Interface
    result: stream.Interface

    def __init__(self, quantiser: QuantiserSpec | None) -> None:
        self.exists = quantiser is not None
        spec = quantiser or QuantiserSpec()
        super().__init__({
            "start": In(1), "descriptor": In(DESCRIPTOR_LAYOUT), "failed": In(1),
            "busy": Out(1), "clear": Out(1), "trouble_valid": Out(1), "trouble": Out(TROUBLE),
            "unload": In(stream.Signature(unload_layout())),
            "load": Out(stream.Signature(BEAT_WIDTH)),
            "host_in": In(stream.Signature(HOST_IN)), "host_out": Out(stream.Signature(HOST_OUT)),
            "request": Out(stream.Signature(request_layout(spec))),
            "raw": Out(stream.Signature(input_layout())),
            "converted": In(stream.Signature(output_layout())),
            "result": In(stream.Signature(result_layout(spec))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.descriptor
        state = Signal(_State)
        out = SyncFIFOBuffered(width=HOST_OUT.size, depth=2)     # what was shown must stay
        m.submodules.out = out
        run, converts, delivered, converted = (Signal(name=n) for n in (
            "run", "converts", "delivered", "all_converted"))
        entry = Signal(HOST_OUT)
        m.d.comb += [
            run.eq((state == _State.RUN) & ~self.failed),
            converts.eq(d.convert != Convert.NONE),
            self.busy.eq(self.start | (state != _State.IDLE)), self.clear.eq(self.failed),
            out.w_data.eq(entry), self.host_out.payload.eq(out.r_data),
            self.host_out.valid.eq(out.r_rdy), out.r_en.eq(self.host_out.ready),
        ]
        beat = self._beat(m, run, converts, out, entry)
        m.d.comb += delivered.eq(beat)
        self._convert(m, run, converts, converted)
        begun_in = Signal()         # a packet was begun and has not ended
        begun_out = Signal()
        with m.If(self.host_in.valid & self.host_in.ready):
            m.d.sync += begun_in.eq(~self.host_in.p.last)
        with m.If(out.w_en):
            m.d.sync += begun_out.eq(~entry.last)
        with m.Switch(state):
            with m.Case(_State.IDLE):
                with m.If(self.start):
                    m.d.sync += state.eq(_State.RUN)
            with m.Case(_State.RUN):
                with m.If(self.failed):
                    m.d.sync += state.eq(_State.SKIP)
                with m.Elif(delivered & (~converts | converted) & ~self.trouble_valid):
                    m.d.sync += state.eq(_State.IDLE)
            with m.Case(_State.SKIP):
                m.d.comb += self.host_in.ready.eq(begun_in)
                with m.If(~begun_in):
                    m.d.sync += state.eq(_State.END)
            with m.Case(_State.END):
                m.d.comb += [out.w_en.eq(begun_out & out.w_rdy), entry.eq(0),
                             entry.last.eq(1), entry.error.eq(1)]
                with m.If(~begun_out):
                    m.d.sync += state.eq(_State.IDLE)
        return m

    def _beat(self, m: Module, run: Signal, converts: Signal, out: Any,
              entry: data.View) -> Value:
        """Joins where beats come from with where they go; whether all have gone."""
        d = self.descriptor
        source = Signal(BEAT_WIDTH)
        here, taken, room, gone = (Signal(name=n) for n in ("here", "taken", "room", "gone"))
        from_host, to_host = d.source_kind == Kind.HOST, d.destination_kind == Kind.HOST
        sent = self._position(m, "source", taken, d.beats)
        left = self._position(m, "destination", gone, d.destination_beats)
        m.d.comb += [
            here.eq(run & ~sent["all"] & Mux(from_host, self.host_in.valid,
                                             self.unload.valid & ~self.unload.p.spoiled)),
            source.eq(Mux(from_host, self.host_in.p.data, self.unload.p.data)),
            taken.eq(here & Mux(converts, self.raw.ready, room)),
            self.host_in.ready.eq(from_host & taken), self.unload.ready.eq(~from_host & taken),
            self.raw.valid.eq(here & converts), self.raw.p.data.eq(source),
            self.raw.p.last.eq(sent["last"]),
            room.eq(run & ~left["all"] & Mux(to_host, out.w_rdy, self.load.ready)),
            self.converted.ready.eq(converts & room),
            gone.eq(Mux(converts, self.converted.valid & room, taken)),
            self.load.payload.eq(Mux(converts, self.converted.p.data, source)),
            self.load.valid.eq(~to_host & run & ~left["all"]
                               & Mux(converts, self.converted.valid, here)),
            out.w_en.eq(to_host & gone),
            entry.data.eq(self.load.payload), entry.last.eq(left["final"]),
        ]
        with m.If(run & ~from_host & self.unload.valid & self.unload.p.spoiled):
            self._fail(m, Result.BUFFER_FAULT)
        with m.If(from_host & taken & (self.host_in.p.last != sent["final"])):
            self._fail(m, Result.HOST_LENGTH)
        with m.If(converts & gone & (self.converted.p.last != left["last"])):
            self._fail(m, Result.CONVERT_FAULT, Status.LAST_MISPLACED)
        return left["all"]

    def _position(self, m: Module, name: str, step: Signal, beats: Value) -> dict[str, Signal]:
        """Whether the next beat ends its element, and the move; whether it is over."""
        d = self.descriptor
        beat, element = Signal(16, name=f"{name}_beat"), Signal(16, name=f"{name}_element")
        flags = {key: Signal(name=f"{name}_{key}") for key in ("last", "final", "all")}
        m.d.comb += [
            flags["last"].eq(beat + 1 == beats),
            flags["final"].eq(flags["last"] & (element + 1 == d.elements)),
        ]
        with m.If(self.start):
            m.d.sync += [beat.eq(0), element.eq(0), flags["all"].eq(0)]
        with m.Elif(step):
            m.d.sync += [beat.eq(Mux(flags["last"], 0, beat + 1)[:16]),
                         element.eq((element + flags["last"])[:16]),
                         flags["all"].eq(flags["final"])]
        return flags

    def _fail(self, m: Module, result: Result, detail: ValueLike = 0) -> None:
        m.d.comb += [self.trouble_valid.eq(1), self.trouble.result.eq(result),
                     self.trouble.detail.eq(detail)]

    def _convert(self, m: Module, run: Signal, converts: Signal, over: Signal) -> None:
        """One request to the quantiser for each element; whether all were answered."""
        d = self.descriptor
        asked = Signal(17)
        answered = Signal(17)
        quantise = d.convert == Convert.QUANTISE
        wide = Mux(quantise, d.beats, d.destination_beats)
        p = self.request.p
        m.d.comb += [
            self.request.valid.eq(run & converts & (asked != d.elements)),
            p.source.eq(Mux(quantise, StoredFormat.WIDE, d.format[:len(p.source)])),
            p.target.eq(Mux(quantise, d.format[:len(p.target)], StoredFormat.WIDE)),
            p.blocks.eq((wide >> 1)[:len(p.blocks)]),
            self.result.ready.eq(1),
            over.eq(answered == d.elements),
        ]
        with m.If(self.start):
            m.d.sync += [asked.eq(0), answered.eq(0)]
        with m.Else():
            m.d.sync += [
                asked.eq((asked + (self.request.valid & self.request.ready))[:len(asked)]),
                answered.eq((answered + self.result.valid)[:len(answered)])]
        with m.If(run & self.result.valid & (self.result.p.status != Status.DONE)):
            self._fail(m, Result.CONVERT_FAULT, self.result.p.status)
        if not self.exists:
            with m.If(run & converts):
                self._fail(m, Result.CONVERT_FAULT, Status.NO_SUCH_FORMAT)
