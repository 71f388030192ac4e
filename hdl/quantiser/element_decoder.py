"""Quantised elements to sign, significand and exponent; and with their scale to 16 bits."""

from typing import Any

from amaranth import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.floating import (
    Unpacked,
    canonical_nan,
    infinity,
    normalise,
    round_and_pack,
    shift_right_sticky,
)
from hdl.layouts import BEAT_WIDTH
from hdl.quantiser.layouts import CODE_WIDTH, SCALE_WIDTH, flags_layout
from hdl.shared import Shared
from model.spec.formats import BF16
from model.spec.mx import LANES, SCALE_BIAS, SCALE_NAN, ElementFormat, QuantiserSpec, StoredFormat

SIGNIFICAND_WIDTH = 8
"""Bits of the largest significand: -128 of INT8."""

PRODUCT_WIDTH = BF16.fraction_bits + 1 + 4
"""Bits of an element's significand times that of its scale: INT4 times bfloat16."""


class ElementLayout(data.StructLayout):
    """A quantised element: ``significand * 2**exponent``, unless it is infinite or NaN."""

    def __init__(self) -> None:
        super().__init__({"sign": 1, "inf": 1, "nan": 1, "significand": SIGNIFICAND_WIDTH,
                          "exponent": signed(7)})


class ScaleLayout(data.StructLayout):
    """A scale: ``significand * 2**exponent``, unless it is infinite or NaN.

    The exponent leaves room for what the other width of scales needs, as a product of an element
    and a power of two has its significand at the top of ``PRODUCT_WIDTH`` bits.
    """

    def __init__(self) -> None:
        super().__init__({"sign": 1, "inf": 1, "nan": 1, "zero": 1, "power": 1,
                          "significand": BF16.fraction_bits + 1, "exponent": signed(10)})


class ElementDecoder(wiring.Component):
    """An element of any quantised format, taken apart; combinational.

    Parameters
    ----------
    formats : tuple of ElementFormat
        Those that may occur; with a single one ``format`` is not looked at.

    Members
    -------
    code : ``In(8)``
        The element; bits above the format's are ignored.
    format : ``In(StoredFormat)``
    o : ``Out(ElementLayout)``
        Its value. Where it is infinite or NaN, significand and exponent mean nothing.
    """

    code: Signal
    format: Signal
    o: data.View

    def __init__(self, formats: tuple[ElementFormat, ...]) -> None:
        self.formats = formats
        super().__init__({"code": In(CODE_WIDTH), "format": In(StoredFormat),
                          "o": Out(ElementLayout())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if len(self.formats) == 1:
            self._decode(m, self.formats[0])
        else:
            with m.Switch(self.format):
                for fmt in self.formats:
                    with m.Case(fmt.code):
                        self._decode(m, fmt)
        return m

    def _decode(self, m: Module, fmt: ElementFormat) -> None:
        sign, rest = self.code[fmt.bits - 1], self.code[:fmt.bits - 1]
        m.d.comb += self.o.sign.eq(sign)
        if fmt.twos_complement:
            magnitude = Mux(sign, -self.code[:fmt.bits], self.code[:fmt.bits])[:fmt.bits]
            m.d.comb += [self.o.significand.eq(magnitude), self.o.exponent.eq(-fmt.mantissa_bits)]
            return
        field = rest[fmt.mantissa_bits:]
        normal = field.any()
        m.d.comb += [
            self.o.significand.eq(Cat(rest[:fmt.mantissa_bits], normal)),
            self.o.exponent.eq(Cat(field[0] | ~normal, field[1:])
                               + (fmt.exponent_min - 1 - fmt.mantissa_bits)),
        ]
        if fmt.nan is not None:
            m.d.comb += self.o.nan.eq(rest >= fmt.nan)
        if fmt.infinity is not None:
            m.d.comb += self.o.inf.eq(rest == fmt.infinity)


class DecoderLane(wiring.Component):
    """An element times its scale, in 16 bits; three clocks, one a clock.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    step : ``In(1)``
        The pipeline moves.
    code, format, scale : ``In``
        Element, its format, its scale taken apart.
    value : ``Out(16)``
        The nearest number, ties to even; infinity beyond the largest.
    saturated, nan, flushed : ``Out(1)``
        As counted (model.golden.quantiser.Counts).
    """

    step: Signal
    code: Signal
    format: Signal
    scale: data.View
    value: Signal
    saturated: Signal
    nan: Signal
    flushed: Signal

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "step": In(1), "code": In(CODE_WIDTH), "format": In(StoredFormat),
            "scale": In(ScaleLayout()), "value": Out(spec.wide.width),
            "saturated": Out(1), "nan": Out(1), "flushed": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wide = self.spec.wide
        m.submodules.decoder = decoder = ElementDecoder(self.spec.formats)
        m.d.comb += [decoder.code.eq(self.code), decoder.format.eq(self.format)]
        element, scale = decoder.o, self.scale

        # First clock: the exact product.
        kind = data.StructLayout({"sign": 1, "nan": 1, "inf": 1, "zero": 1})
        first, second = Signal(kind), Signal(kind)
        product, exponent = Signal(PRODUCT_WIDTH), Signal(signed(11))
        zero = ~element.significand.any() | scale.zero
        low = element.significand[:PRODUCT_WIDTH - len(scale.significand)]
        with m.If(self.step):
            m.d.sync += [
                product.eq(Mux(scale.power, Cat(C(0, PRODUCT_WIDTH - SIGNIFICAND_WIDTH),
                                                element.significand), low * scale.significand)),
                exponent.eq(element.exponent + scale.exponent),
                first.sign.eq(element.sign ^ scale.sign),
                first.nan.eq(element.nan | scale.nan | (scale.inf & zero)),
                first.inf.eq(element.inf | scale.inf), first.zero.eq(zero), second.eq(first),
            ]

        # Second: normalised, or shifted right to be a subnormal number.
        width = max(PRODUCT_WIDTH, wide.fraction_bits + 3)
        exact = Cat(C(0, width - PRODUCT_WIDTH), product)
        room = Signal(signed(len(exponent) + 1))
        m.d.comb += room.eq(exponent + (PRODUCT_WIDTH - 2 + wide.bias))
        below = room < 0
        shifted, left = normalise(m, exact, Mux(below, 0, room[:-1]))
        sunk = shift_right_sticky(exact, Mux(below, -room, 0)[:len(room) - 1])
        significand, field = Signal(width + 1), Signal(len(left) + 1)
        with m.If(self.step):
            m.d.sync += [significand.eq(Mux(below, sunk, Cat(C(0, 1), shifted))),
                         field.eq(left + 1)]

        # Third: rounded.
        finite = round_and_pack(m, wide, second.sign, significand, field)
        usual = ~second.nan & ~second.inf
        with m.If(self.step):
            m.d.sync += [
                self.value.eq(Mux(second.nan, canonical_nan(wide), Mux(
                    second.inf, Cat(C(infinity(wide), wide.width - 1), second.sign), finite))),
                self.nan.eq(~usual),
                self.saturated.eq(usual & finite[wide.fraction_bits:-1].all()),
                self.flushed.eq(usual & ~second.zero & ~finite[:-1].any()),
            ]
        return m


class HalfDecoder(wiring.Component):
    """Half a block to 16-bit elements: ``LATENCY`` clocks, 16 elements a clock.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    step : ``In(1)``
        The pipeline moves.
    codes, scale, format : ``In``
        16 elements and the scale of their block, as they are stored.
    beat : ``Out(256)``
        16 elements in the wide format.
    flags : ``Out(flags_layout)``
        With the beat.
    """

    LATENCY = 3

    step: Signal
    codes: data.View
    scale: Signal
    format: Signal
    beat: Signal
    flags: data.View

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "step": In(1), "codes": In(data.ArrayLayout(CODE_WIDTH, LANES)),
            "scale": In(SCALE_WIDTH), "format": In(StoredFormat),
            "beat": Out(BEAT_WIDTH), "flags": Out(flags_layout()),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        scale = Signal(ScaleLayout())
        self._unpack(m, scale)
        lanes: list[Any] = [Shared(f"decoder_lane_{self.spec.wide.name}", DecoderLane, self.spec)
                            for _ in range(LANES)]
        for number, lane in enumerate(lanes):
            m.submodules[f"lane_{number}"] = lane
            m.d.comb += [lane.step.eq(self.step), lane.code.eq(self.codes[number]),
                         lane.format.eq(self.format), lane.scale.eq(scale)]
        m.d.comb += [
            self.beat.eq(Cat(lane.value for lane in lanes)),
            self.flags.saturated.eq(Cat(lane.saturated for lane in lanes)),
            self.flags.nan.eq(Cat(lane.nan for lane in lanes)),
            self.flags.flushed.eq(Cat(lane.flushed for lane in lanes)),
        ]
        return m

    def _unpack(self, m: Module, scale: data.View) -> None:
        number, power = Unpacked(BF16, self.scale), self.scale[:8]
        wide = [fmt.code for fmt in self.spec.formats if fmt.scale_bits == SCALE_WIDTH]
        full: Value = self.format.matches(*wide) if wide else C(0)
        with m.If(full):
            m.d.comb += [
                scale.sign.eq(number.sign), scale.inf.eq(number.inf), scale.nan.eq(number.nan),
                scale.zero.eq(number.zero), scale.significand.eq(number.significand),
                scale.exponent.eq(number.exponent - (BF16.bias + BF16.fraction_bits)),
            ]
        with m.Else():
            m.d.comb += [
                scale.power.eq(1), scale.nan.eq(power == SCALE_NAN),
                scale.exponent.eq(power - (SCALE_BIAS + PRODUCT_WIDTH - SIGNIFICAND_WIDTH)),
            ]
