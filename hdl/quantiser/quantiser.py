"""The quantiser: both directions behind one request stream."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.quantiser.dequantise_path import DequantisePath
from hdl.quantiser.layouts import (
    counts_layout,
    input_layout,
    output_layout,
    request_layout,
    result_layout,
)
from hdl.quantiser.quantise_path import QuantisePath
from hdl.quantiser.tally import REGIONS
from model.spec.mx import FORMAT_OF, QuantiserSpec, Status, StoredFormat

COUNTER_WIDTH = 32
"""Bits of the totals, which wrap around."""


class RequestCheck(wiring.Component):
    """Whether blocks stored in one format may be stored in another; combinational.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    request : ``In(request_layout)``
    status : ``Out(Status)``
        DONE: it will be carried out.
    quantise : ``Out(1)``
        The target is quantised.
    format : ``Out(StoredFormat)``
        The quantised one of the two.
    """

    request: data.View
    status: Signal
    quantise: Signal
    format: Signal

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({"request": In(request_layout(spec)), "status": Out(Status),
                          "quantise": Out(1), "format": Out(StoredFormat)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = self.request
        from_wide, to_wide, missing = Signal(), Signal(), Signal()
        others = [code for code, fmt in FORMAT_OF.items() if fmt not in self.spec.formats]
        m.d.comb += [
            from_wide.eq(request.source == StoredFormat.WIDE),
            to_wide.eq(request.target == StoredFormat.WIDE),
            self.quantise.eq(~to_wide),
            self.format.eq(Mux(to_wide, request.source, request.target)),
            missing.eq(self.format.matches(*others) if others else 0),
        ]
        with m.If(~from_wide & ~to_wide):
            m.d.comb += self.status.eq(Status.ALREADY_QUANTISED)
        with m.Elif(from_wide & to_wide):
            m.d.comb += self.status.eq(Status.NOT_QUANTISED)
        with m.Elif(missing):
            m.d.comb += self.status.eq(Status.NO_SUCH_FORMAT)
        with m.Elif((request.blocks == 0) | (request.blocks > self.spec.blocks_max)):
            m.d.comb += self.status.eq(Status.BAD_LENGTH)
        with m.Else():
            m.d.comb += self.status.eq(Status.DONE)
        return m


class Quantiser(wiring.Component):
    """Quantises and dequantises regions: a beat of 16 elements a clock without a gap.

    A request that cannot be carried out, as one to quantise what is quantised already, is answered
    and takes no beats. Requests may follow each other at once; ``REGIONS`` may be under way.
    Latencies are those of ``QuantisePath`` and ``DequantisePath``.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    request : ``In(stream.Signature(request_layout))``
        What to do with the beats that follow those of the requests before.
    i : ``In(stream.Signature(input_layout))``
        16-bit elements in order; or columns of a region, those of scales first. ``last`` must be
        on the region's last beat; elsewhere it is reported, and the length of the request counts.
    o : ``Out(stream.Signature(output_layout))``
        Columns of a region, those of elements first; or 16-bit elements.
    result : ``Out(stream.Signature(result_layout))``
        For every request, in order, not before its last beat has left.
    saturated, nan, flushed : ``Out(32)``
        Totals of the results that were taken, wrapping around.
    """

    request: stream.Interface
    i: stream.Interface
    o: stream.Interface
    result: stream.Interface
    saturated: Signal
    nan: Signal
    flushed: Signal

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "request": In(stream.Signature(request_layout(spec))),
            "i": In(stream.Signature(input_layout())),
            "o": Out(stream.Signature(output_layout())),
            "result": Out(stream.Signature(result_layout(spec))),
            "saturated": Out(COUNTER_WIDTH), "nan": Out(COUNTER_WIDTH),
            "flushed": Out(COUNTER_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.check = check = RequestCheck(spec)
        m.submodules.dequantising = dequantise = DequantisePath(spec)
        m.submodules.quantising = quantise = QuantisePath(spec)
        paths = (dequantise, quantise)

        # Which direction the regions under way have, where they enter and where they leave.
        m.submodules.entering = entering = SyncFIFO(width=1, depth=REGIONS)
        m.submodules.leaving = leaving = SyncFIFO(width=1, depth=REGIONS)
        answer = data.StructLayout({"status": Status, "quantise": 1})
        m.submodules.answers = answers = SyncFIFO(width=answer.size, depth=REGIONS)

        # An answer waits for every request under way, so there is room wherever there is room
        # among the answers.
        take, carry = Signal(), Signal()
        m.d.comb += [
            check.request.eq(self.request.payload),
            self.request.ready.eq(answers.w_rdy),
            take.eq(self.request.valid & self.request.ready),
            carry.eq(take & (check.status == Status.DONE)),
            answers.w_en.eq(take), answers.w_data.eq(Cat(check.status, check.quantise)),
        ]
        for queue in (entering, leaving):
            m.d.comb += [queue.w_en.eq(carry), queue.w_data.eq(check.quantise)]
        for number, path in enumerate(paths):
            region = path.region.payload
            m.d.comb += [
                path.region.valid.eq(carry & (check.quantise == number)),
                region.blocks.eq(self.request.payload.blocks),
                region.settings.format.eq(check.format),
                region.settings.half_away.eq(self.request.payload.half_away),
                region.settings.overflow.eq(self.request.payload.overflow),
                path.i.payload.eq(self.i.payload),
                path.i.valid.eq(self.i.valid & entering.r_rdy & (entering.r_data == number)),
                path.o.ready.eq(self.o.ready & leaving.r_rdy & (leaving.r_data == number)),
            ]
        enters, leaves = entering.r_data, leaving.r_data
        m.d.comb += [
            self.i.ready.eq(entering.r_rdy & Mux(enters, quantise.i.ready, dequantise.i.ready)),
            entering.r_en.eq(quantise.taken | dequantise.taken),
            self.o.valid.eq(leaving.r_rdy & Mux(leaves, quantise.o.valid, dequantise.o.valid)),
            Cat(self.o.payload).eq(Mux(leaves, Cat(quantise.o.payload),
                                       Cat(dequantise.o.payload))),
            leaving.r_en.eq(self.o.valid & self.o.ready & self.o.payload.last),
        ]
        self._answer(m, answers, data.View(answer, answers.r_data), leaving.r_en, paths)
        return m

    def _answer(self, m: Module, answers: SyncFIFO, answer: data.View, left: Value,
                paths: tuple[DequantisePath, QuantisePath]) -> None:
        """Results in order: refusals at once, others when the region has left."""
        dequantise, quantise = paths
        refused, counted = Signal(), Signal()
        regions_left = Signal(range(REGIONS + 1))
        counts, result = Signal(counts_layout(self.spec)), self.result.payload
        m.d.comb += [
            refused.eq(answer.status != Status.DONE),
            counts.eq(Mux(answer.quantise, Cat(quantise.counts.payload),
                          Cat(dequantise.counts.payload))),
            counted.eq(Mux(answer.quantise, quantise.counts.valid, dequantise.counts.valid)),
            self.result.valid.eq(answers.r_rdy & (refused | counted & regions_left.any())),
            result.status.eq(Mux(refused, answer.status,
                                 Mux(counts.misplaced, Status.LAST_MISPLACED, Status.DONE))),
        ]
        taken = self.result.valid & self.result.ready
        done = taken & ~refused
        m.d.comb += [
            answers.r_en.eq(taken),
            quantise.counts.ready.eq(done & answer.quantise),
            dequantise.counts.ready.eq(done & ~answer.quantise),
        ]
        m.d.sync += regions_left.eq((regions_left + left - done)[:len(regions_left)])
        for name in ("saturated", "nan", "flushed"):
            total: Signal = getattr(self, name)
            m.d.comb += result[name].eq(Mux(refused, 0, counts[name]))
            with m.If(done):
                m.d.sync += total.eq((total + counts[name])[:COUNTER_WIDTH])
