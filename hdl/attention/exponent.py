"""From scores to softmax weights: base-2 exponents and the table of 2^f."""

from amaranth import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.floating import Product, Unpacked, shift_right_sticky
from model.spec.attention import PimSpec
from model.spec.exponent_table import exponent_table, first_promoted
from model.spec.formats import FP32, FloatFormat

INTEGER_BITS = 14
"""An exponent is clamped to 2^14 in either direction (docs/numerics.md, 3)."""


def exponent_width(pim: PimSpec) -> int:
    """Bits of an exponent ``X``, sign included."""
    return 1 + INTEGER_BITS + pim.exponent_fraction_bits


def widened(fmt: FloatFormat, bits: Value) -> Value:
    """FP32 of a number of format ``fmt`` that is neither subnormal nor Inf nor NaN."""
    fields = Unpacked(fmt, bits)
    exponent = Mux(fields.zero, 0, fields.exponent + (FP32.bias - fmt.bias))
    return Cat(C(0, FP32.fraction_bits - fmt.fraction_bits), bits[:fmt.fraction_bits],
               exponent[:FP32.exponent_bits], fields.sign)


class Exponent(wiring.Component):
    """``score * scale`` as a fixed-point number, clamped; ``LATENCY`` clocks, one a clock.

    Parameters
    ----------
    pim : PimSpec
        Says how many fraction bits there are.

    Members
    -------
    en : ``In(1)``
        A score is taken; without it nothing toggles.
    score, scale : ``In(32)``
        FP32. A NaN counts as minus infinity.
    o : ``Out(signed)``
        The exponent ``X`` in units of ``2^-F``; kept until the next one.
    """

    LATENCY = 2

    en: Signal
    score: Signal
    scale: Signal
    o: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "en": In(1), "score": In(FP32.width), "scale": In(FP32.width),
            "o": Out(signed(exponent_width(pim))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.product = product = Product(FP32)
        m.d.comb += [product.en.eq(self.en), product.a.eq(self.score), product.b.eq(self.scale)]

        # The largest exponent field below the clamp has `INTEGER_BITS` bits left of the point, so
        # the significand is placed there and shifted right for all smaller ones.
        largest = FP32.bias + INTEGER_BITS - 1
        magnitude_width = INTEGER_BITS + self.pim.exponent_fraction_bits
        t = Unpacked(FP32, product.o)
        clamped = t.exponent > largest
        padding = max(0, magnitude_width - len(t.significand)) + 1
        placed = shift_right_sticky(Cat(C(0, padding), t.significand),
                                    Mux(clamped, 0, largest - t.exponent)[:FP32.exponent_bits])
        kept, half = placed[-magnitude_width:], placed[-magnitude_width - 1]
        rest = placed[:-magnitude_width - 1].any()
        limit = 1 << magnitude_width
        magnitude = Signal(magnitude_width + 1)
        m.d.comb += magnitude.eq(Mux(clamped, limit, kept + (half & (rest | kept[0]))))

        valid = Signal()
        m.d.sync += valid.eq(self.en)
        with m.If(valid):
            with m.If(t.sign | t.nan):
                m.d.sync += self.o.eq((-magnitude)[:len(self.o)].as_signed())
            with m.Elif(magnitude == limit):
                m.d.sync += self.o.eq(limit - 1)
            with m.Else():
                m.d.sync += self.o.eq(magnitude[:-1])
        return m


class Weight(wiring.Component):
    """``2^((X - m 2^F) / 2^F)`` in the format of weights; ``LATENCY`` clocks, one a clock.

    Below the smallest normal number a weight is 0.

    Parameters
    ----------
    pim : PimSpec
        KV format and fraction bits.

    Members
    -------
    en : ``In(1)``
        ``x`` and ``m`` are taken; without it nothing toggles.
    x : ``In(signed)``
        Exponent ``X``.
    m : ``In(signed(16))``
        The maximum; no smaller than ``X >> F``.
    o : ``Out(16)``
        The weight; kept until the next one.
    """

    LATENCY = 1

    en: Signal
    x: Signal
    m: Signal
    o: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "en": In(1), "x": In(signed(exponent_width(pim))), "m": In(signed(16)),
            "o": Out(pim.weight_format.width),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fmt, fraction_bits = self.pim.weight_format, self.pim.exponent_fraction_bits
        m.submodules.table = table = Memory(
            shape=fmt.fraction_bits + 1, depth=1 << fraction_bits,
            init=exponent_table(fmt, fraction_bits))
        read = table.read_port()

        fraction = self.x[:fraction_bits]
        power = Signal(signed(18))
        m.d.comb += [
            power.eq((self.x >> fraction_bits) - self.m),
            read.en.eq(self.en), read.addr.eq(fraction),
        ]
        normal, promoted = Signal(), Signal()
        field = Signal(fmt.exponent_bits)
        with m.If(self.en):
            m.d.sync += [
                normal.eq(power >= fmt.exponent_min),
                promoted.eq((power == fmt.exponent_min - 1)
                            & (fraction >= first_promoted(fmt, fraction_bits))),
                field.eq((power + fmt.bias)[:fmt.exponent_bits]),
            ]
        with m.If(normal):       # an entry of 2.0 carries into the exponent
            m.d.comb += self.o.eq((Cat(C(0, fmt.fraction_bits), field) + read.data)[:fmt.width])
        with m.Elif(promoted):
            m.d.comb += self.o.eq(1 << fmt.fraction_bits)
        return m
