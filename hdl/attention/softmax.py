"""The online-softmax unit of a pseudo-channel."""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.exponent import Exponent, Weight
from hdl.attention.register_readers import softmax_states
from hdl.attention.score_buffer import ScoreBuffer, ScoreMaximum, place_layout
from hdl.attention.weight_sum import WeightSum
from hdl.delay import delayed
from hdl.floating import Adder, rescale
from hdl.layouts import (
    BEAT_WIDTH,
    AttentionShape,
    SoftmaxState,
    score_layout,
    weight_layout,
)
from hdl.reserved_queue import ReservedQueue
from model.spec.attention import BLOCK_TOKENS, RESCALE_CLEAR, PimSpec
from model.spec.formats import FP32

RESCALE_WIDTH = 16
"""Bits of one head's shift in the rescale word."""

WEIGHT_QUEUE = 4
"""Blocks of weights under way: from reading a score to handing out its block it is 11 clocks, 4 a
block, and one place is in use while a block leaves."""


class WeightLanes(wiring.Component):
    """Scores to weights, four a clock, ``LATENCY`` clocks.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    scale : ``In(32)``
    en, score, place : ``In(1)``, ``In(4 x 32)``, ``In(place_layout(pim))``
        Four scores.
    maximum : ``In(4 x signed(16))``
        Maximum of each head, constant while scores of the head are under way.
    valid, weight, o_place : ``Out(1)``, ``Out(4 x 16)``, ``Out(place_layout(pim))``
        Four weights; 0 in the lanes that are masked.
    """

    LATENCY = Exponent.LATENCY + Weight.LATENCY

    scale: Signal
    en: Signal
    score: data.View
    place: data.View
    maximum: data.View
    valid: Signal
    weight: data.View
    o_place: data.View

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "scale": In(FP32.width), "en": In(1),
            "score": In(data.ArrayLayout(FP32.width, pim.SOFTMAX_LANES)),
            "place": In(place_layout(pim)),
            "maximum": In(data.ArrayLayout(signed(16), pim.group_max)),
            "valid": Out(1),
            "weight": Out(data.ArrayLayout(pim.weight_format.width, pim.SOFTMAX_LANES)),
            "o_place": Out(place_layout(pim)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        exponent_valid, place = delayed(m, self.en, self.place, Exponent.LATENCY, "exponent")
        weight_valid, weight_place = delayed(m, exponent_valid, place, Weight.LATENCY, "weight")
        m.d.comb += [self.valid.eq(weight_valid), self.o_place.eq(weight_place)]
        for lane in range(self.pim.SOFTMAX_LANES):
            m.submodules[f"exponent_{lane}"] = exponent = Exponent(self.pim)
            m.submodules[f"weight_{lane}"] = weight = Weight(self.pim)
            masked = ~weight_place.mask[lane]
            m.d.comb += [
                exponent.en.eq(self.en & self.place.mask[lane]),
                exponent.score.eq(self.score[lane]), exponent.scale.eq(self.scale),
                weight.en.eq(exponent_valid & place.mask[lane]),
                weight.x.eq(exponent.o), weight.m.eq(self.maximum[place.head]),
                self.weight[lane].eq(Mux(masked, 0, weight.o)),
            ]
        return m


class Softmax(wiring.Component):
    """Turns the scores of one wave after another into weights and keeps (m, l) of every head.

    Scores are taken one beat a clock. The rescale word of a wave is offered ``RESCALE_LATENCY``
    clocks after its last beat; weights leave four clocks a block, heads back to back. A wave of
    ``n`` blocks and ``g`` heads whose beats come every clock is done (``busy`` low) at most
    ``4 n g + WAVE_LATENCY`` clocks after the last beat of its first head, if nothing stalls.

    Parameters
    ----------
    pim : PimSpec
        Formats, most heads.

    Members
    -------
    shape : ``In(AttentionShape(pim))``
        Number of heads.
    scale : ``In(32)``
        FP32, finite and greater than 0: log2(e) / sqrt(head size).
    score : ``In(stream.Signature(score_layout(pim)))``
        Two beats a block, heads 0, 1, ... in order, the same number of blocks for each; at least
        one score of a head is valid. The first wave of an attention clears its set of the state.
        Not ready while a whole wave is held.
    weight : ``Out(stream.Signature(weight_layout(pim)))``
        One beat a block and head, in the order of the scores; 0 where no token is.
    rescale : ``Out(stream.Signature(256))``
        One word a wave: 16 bits a head, the shift of its accumulators, ``RESCALE_CLEAR`` in the
        first wave; 0 for heads beyond the last.
    state : ``Out(softmax_states(pim))``
        For each register set; final when the last wave of the attention has settled.
    settled : ``Out(1)``
        For one clock: the state holds what a further wave adds to it.
    busy : ``Out(1)``
        A wave has begun and something of it is still to come.
    nan : ``Out(1)``
        For one clock a beat: a valid score was NaN.
    """

    RESCALE_LATENCY = ScoreMaximum.LATENCY + Exponent.LATENCY + 1
    WAVE_LATENCY = (RESCALE_LATENCY + 1 + WeightLanes.LATENCY + WeightSum.LATENCY
                    + PimSpec.ADDER_LATENCY + 1)

    shape: data.View
    scale: Signal
    score: stream.Interface
    weight: stream.Interface
    rescale: stream.Interface
    state: data.View
    settled: Signal
    busy: Signal
    nan: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "shape": In(AttentionShape(pim)), "scale": In(FP32.width),
            "score": In(stream.Signature(score_layout(pim))),
            "weight": Out(stream.Signature(weight_layout(pim))),
            "rescale": Out(stream.Signature(BEAT_WIDTH)),
            "state": Out(softmax_states(pim)), "settled": Out(1),
            "busy": Out(1), "nan": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pim = self.pim
        m.submodules.buffer = buffer = ScoreBuffer(pim)
        m.submodules.lanes = lanes = WeightLanes(pim)
        m.submodules.queue = queue = ReservedQueue(weight_layout(pim), depth=WEIGHT_QUEUE)
        wiring.connect(m, wiring.flipped(self.score), buffer.i)
        wiring.connect(m, wiring.flipped(self.weight), queue.o)

        first, active = Signal(), Signal()
        reg_set = Signal.like(self.score.p.set)
        shift = Signal(data.ArrayLayout(RESCALE_WIDTH, pim.group_max))
        taken = self.score.valid & self.score.ready
        m.d.comb += [
            buffer.room.eq(queue.room), queue.reserve.eq(buffer.reserve),
            lanes.scale.eq(self.scale), lanes.en.eq(buffer.valid),
            lanes.score.eq(buffer.o.score), lanes.place.eq(buffer.o.place),
            self.busy.eq(active | ~queue.empty), self.settled.eq(buffer.release),
        ]
        state = Signal(data.ArrayLayout(SoftmaxState(), pim.group_max))     # of the wave at hand
        m.d.comb += state.eq(self.state[reg_set])
        m.d.comb += [lanes.maximum[head].eq(state[head].m) for head in range(pim.group_max)]
        with m.If(taken):
            m.d.sync += [active.eq(1), first.eq(self.score.p.first_wave),
                         reg_set.eq(self.score.p.set)]
        with m.If(buffer.release):
            m.d.sync += active.eq(0)
        self._maxima(m, taken, state, first, reg_set, shift, buffer)
        self._pack(m, lanes, queue)
        self._sums(m, lanes, state, first, reg_set, shift, buffer)
        return m

    def _maxima(self, m: Module, taken: Value, state: data.View, first: Signal, reg_set: Signal,
                shift: data.View, buffer: ScoreBuffer) -> None:
        """Updates the maximum of a head and makes the rescale word."""
        pim = self.pim
        m.submodules.maximum = maximum = ScoreMaximum(pim)
        m.submodules.exponent = exponent = Exponent(pim)
        m.d.comb += [
            maximum.en.eq(taken), maximum.beat.eq(self.score.payload), self.nan.eq(maximum.nan),
            exponent.en.eq(maximum.valid), exponent.score.eq(maximum.o.score),
            exponent.scale.eq(self.scale),
        ]
        valid, of = delayed(m, maximum.valid, maximum.o, Exponent.LATENCY, "maximum")
        old, top, new = Signal(signed(16)), Signal(signed(16)), Signal(signed(16))
        m.d.comb += [
            old.eq(state[of.head].m),
            top.eq(exponent.o >> pim.exponent_fraction_bits),
            new.eq(Mux(first | (top > old), top, old)),
        ]
        known = Signal(pim.group_max)
        m.d.comb += buffer.known.eq(known)
        with m.If(buffer.drained):
            m.d.sync += known.eq(0)
        with m.If(self.rescale.ready):
            m.d.sync += self.rescale.valid.eq(0)
        with m.If(valid):
            m.d.sync += [
                self.state[reg_set][of.head].m.eq(new),
                shift[of.head].eq(Mux(first, RESCALE_CLEAR, (new - old)[:RESCALE_WIDTH])),
                known.bit_select(of.head, 1).eq(1),
            ]
            with m.If(of.last_head):
                m.d.sync += self.rescale.valid.eq(1)
        m.d.comb += self.rescale.payload.eq(Cat(
            Mux(head <= self.shape.last_head, shift[head], 0) for head in range(pim.group_max)))

    def _pack(self, m: Module, lanes: WeightLanes, queue: ReservedQueue) -> None:
        """Collects four quads to the weights of a block."""
        place = lanes.o_place
        quads = BLOCK_TOKENS // self.pim.SOFTMAX_LANES
        quad = Signal(BEAT_WIDTH // quads)
        block = Signal(BEAT_WIDTH - len(quad))       # all quads but the newest
        m.d.comb += [
            quad.eq(lanes.weight),
            queue.en.eq(lanes.valid & (place.quad == quads - 1)),
            queue.item.head.eq(place.head), queue.item.block.eq(place.block),
            queue.item.data.eq(Cat(block, quad)),
        ]
        with m.If(lanes.valid):
            m.d.sync += block.eq(Cat(block, quad)[len(quad):])

    def _sums(self, m: Module, lanes: WeightLanes, state: data.View, first: Signal,
              reg_set: Signal, shift: data.View, buffer: ScoreBuffer) -> None:
        """Updates the sum of a head; after the last one the wave is done with."""
        m.submodules.sum = wave = WeightSum(self.pim)
        m.submodules.running = running = Adder()
        ends = Signal(data.StructLayout({"head": wave.head.shape(), "last": 1}))
        m.d.comb += [
            wave.en.eq(lanes.valid), wave.weight.eq(lanes.weight), wave.place.eq(lanes.o_place),
            running.en.eq(wave.valid), running.b.eq(wave.sum),
            running.a.eq(Mux(first, 0, rescale(state[wave.head].l, shift[wave.head]))),
            ends.head.eq(wave.head), ends.last.eq(wave.last_head),
        ]
        valid, of = delayed(m, wave.valid, ends, self.pim.ADDER_LATENCY, "running")
        summed = Signal()
        m.d.comb += buffer.release.eq(summed & ~self.rescale.valid)
        with m.If(valid):
            m.d.sync += self.state[reg_set][of.head].l.eq(running.o)
            with m.If(of.last):
                m.d.sync += summed.eq(1)
        with m.If(buffer.release):
            m.d.sync += summed.eq(0)
