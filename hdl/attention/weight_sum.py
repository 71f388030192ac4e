"""The sum of a head's weights in one wave."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.exponent import widened
from hdl.attention.score_buffer import place_layout
from hdl.delay import delayed
from hdl.floating import Adder
from model.spec.attention import PimSpec
from model.spec.formats import FP32


class WeightSum(wiring.Component):
    """Adds the weights of each head, four a clock; the sum comes ``LATENCY`` clocks after the last.

    The order is that of docs/numerics.md, 6: quads go by turns into two accumulators, which hides
    the two clocks of the adder.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    en, weight, place : ``In(1)``, ``In(4 x 16)``, ``In(place_layout(pim))``
        A quad of weights; the quads of a block come back to back.
    valid, sum, head, last_head : ``Out``
        For one clock: the sum of a head's weights, FP32.
    """

    LATENCY = 4 * PimSpec.ADDER_LATENCY

    en: Signal
    weight: data.View
    place: data.View
    valid: Signal
    sum: Signal
    head: Signal
    last_head: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "en": In(1),
            "weight": In(data.ArrayLayout(pim.weight_format.width, pim.SOFTMAX_LANES)),
            "place": In(place_layout(pim)),
            "valid": Out(1), "sum": Out(FP32.width),
            "head": Out(range(pim.group_max)), "last_head": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fmt, latency = self.pim.weight_format, self.pim.ADDER_LATENCY
        names = ("low", "high", "quad", "accumulate", "total")
        low, high, quad, accumulate, total = adders = [Adder() for _ in names]
        for name, adder in zip(names, adders, strict=True):
            m.submodules[name] = adder

        weights = [widened(fmt, self.weight[lane]) for lane in range(self.pim.SOFTMAX_LANES)]
        pair_valid, pair_place = delayed(m, self.en, self.place, latency, "pair")
        quad_valid, place = delayed(m, pair_valid, pair_place, latency, "quad")
        done, done_place = delayed(m, quad_valid, place, latency, "accumulated")
        ended = Signal()
        m.d.comb += [
            low.en.eq(self.en), low.a.eq(weights[0]), low.b.eq(weights[1]),
            high.en.eq(self.en), high.a.eq(weights[2]), high.b.eq(weights[3]),
            quad.en.eq(pair_valid), quad.a.eq(low.o), quad.b.eq(high.o),
        ]

        turn, done_turn = place.quad[0], done_place.quad[0]
        kept = Array(Signal(FP32.width, name=f"kept_{turn}") for turn in range(2))
        fresh = (place.block == 0) & (place.quad < len(kept))
        so_far = Mux(done & (done_turn == turn), accumulate.o, kept[turn])
        with m.If(done):
            m.d.sync += kept[done_turn].eq(accumulate.o)
        m.d.comb += [
            accumulate.en.eq(quad_valid),
            accumulate.a.eq(Mux(fresh, 0, so_far)), accumulate.b.eq(quad.o),
            # The other accumulator had its last quad one clock earlier.
            ended.eq(done & done_place.last),
            total.en.eq(ended), total.a.eq(kept[0]), total.b.eq(accumulate.o),
        ]
        sum_valid, sum_place = delayed(m, ended, done_place, latency, "total")
        m.d.comb += [self.valid.eq(sum_valid), self.sum.eq(total.o),
                     self.head.eq(sum_place.head), self.last_head.eq(sum_place.last_head)]
        return m
