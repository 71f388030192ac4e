"""Floating-point arithmetic: IEEE-754, round to nearest even, subnormals, one canonical NaN.

Operands and results are bit patterns, so that units pass them on without conversions.
"""

from amaranth import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from model.spec.attention import RESCALE_CLEAR
from model.spec.formats import FP32, FloatFormat


class FloatLayout(data.StructLayout):
    """The fields of a number of format ``fmt``."""

    def __init__(self, fmt: FloatFormat) -> None:
        super().__init__({"fraction": fmt.fraction_bits, "exponent": fmt.exponent_bits,
                          **({"sign": 1} if fmt.signed else {})})


class Unpacked:
    """A number of format ``fmt`` taken apart, subnormals like normal numbers.

    Attributes
    ----------
    sign, zero, inf, nan : Value
        Predicates of one bit.
    exponent : Value
        Biased exponent; 1 for subnormals, which share it with the smallest normal numbers.
    significand : Value
        ``fmt.fraction_bits + 1`` bits; the top one is clear for subnormals and zeros.
    """

    def __init__(self, fmt: FloatFormat, bits: Value) -> None:
        fields = data.View(FloatLayout(fmt), bits)
        normal = fields.exponent.any()
        special = fields.exponent.all()
        self.sign: Value = fields.sign if fmt.signed else C(0)
        self.zero: Value = ~(normal | fields.fraction.any())
        self.inf: Value = special & ~fields.fraction.any()
        self.nan: Value = special & fields.fraction.any()
        self.exponent: Value = Cat(fields.exponent[0] | ~normal, fields.exponent[1:])
        self.significand: Value = Cat(fields.fraction, normal)


def canonical_nan(fmt: FloatFormat) -> int:
    """The only NaN that the arithmetic produces: quiet, positive, empty payload."""
    return infinity(fmt) | 1 << fmt.fraction_bits - 1


def infinity(fmt: FloatFormat) -> int:
    """Positive infinity."""
    return ((1 << fmt.exponent_bits) - 1) << fmt.fraction_bits


def round_and_pack(m: Module, fmt: FloatFormat, sign: Value, significand: Value,
                   exponent: Value) -> Value:
    """The number of format ``fmt`` nearest to a normalised or subnormal one; ties to even.

    Parameters
    ----------
    m : Module
        Gets the logic.
    sign : Value
        Sign of the number.
    significand : Value
        Its top bit is the hidden one; at least two bits follow the fraction.
    exponent : Value
        Biased exponent, unsigned; taken as 0 where the top bit of ``significand`` is clear.
    """
    low = len(significand) - 1 - fmt.fraction_bits
    guard, sticky = significand[low - 1], significand[:low - 1].any()
    magnitude = Signal(max(len(exponent), fmt.exponent_bits) + fmt.fraction_bits + 1)
    top = Mux(significand[-1], exponent, 0)
    # A carry out of the fraction lands in the exponent, where it belongs.
    m.d.comb += magnitude.eq(
        Cat(significand[low:-1], top) + (guard & (sticky | significand[low])))
    overflow = magnitude >= infinity(fmt)
    return Cat(Mux(overflow, infinity(fmt), magnitude)[:fmt.width - 1], sign)


def normalise(m: Module, bits: Value, room: Value) -> tuple[Value, Value]:
    """Shifts ``bits`` left until the top bit is set or ``room`` is used up.

    Returns
    -------
    bits, room : Value
        What was shifted, and the room that is left.
    """
    step = 1 << (len(bits) - 1).bit_length() - 1
    while step:
        take = Signal(name=f"shift_{step}")
        shifted, left = Signal(len(bits)), Signal(len(room))
        m.d.comb += [
            take.eq(~bits[-step:].any() & (room >= step)),
            shifted.eq(Mux(take, Cat(C(0, step), bits[:-step]), bits)),
            left.eq(Mux(take, room - step, room)[:len(room)]),
        ]
        bits, room, step = shifted, left, step >> 1
    return bits, room


def shift_right_sticky(bits: Value, distance: Value) -> Value:
    """``bits >> distance`` with one more bit at the bottom: the OR of all that fell out."""
    width = len(bits)
    limit = C(width, width.bit_length())
    amount = Mux(distance > width, limit, distance)[:len(limit)]
    wide = Cat(C(0, width), bits) >> amount
    return Cat(wide[:width].any(), wide[width:])


def rescale(x: Value, shift: Value) -> Value:
    """FP32 ``x * 2**-shift`` without an adder for the fraction; combinational.

    A result below the normal range becomes +0. A shift of 0 changes nothing, Inf and NaN stay
    whatever the shift; ``RESCALE_CLEAR`` gives +0 whatever ``x`` is.

    Parameters
    ----------
    x : Value
        FP32.
    shift : Value
        16 bits, unsigned.
    """
    fields = data.View(FloatLayout(FP32), x)
    keep = ~shift.any() | fields.exponent.all()
    moved = Cat(fields.fraction, (fields.exponent - shift)[:FP32.exponent_bits], fields.sign)
    vanished = (fields.exponent <= shift) | (shift == RESCALE_CLEAR)
    return Mux(keep & (shift != RESCALE_CLEAR), x, Mux(vanished, 0, moved))


class Product(wiring.Component):
    """FP32 product of two numbers; one clock, one product a clock.

    Exact for the 16-bit formats, except below FP32's normal range, where it is rounded.

    Parameters
    ----------
    fmt : FloatFormat
        Format of the factors; FP32 itself is possible.
    other : FloatFormat, optional
        Format of ``b`` if it is another one, with an exponent as wide.

    Members
    -------
    en : ``In(1)``
        Factors are taken; without it nothing toggles.
    clear : ``In(1)``
        With ``en``: the product is +0 whatever the factors are.
    a, b : ``In(fmt.width)``, ``In(other.width)``
        Factors.
    o : ``Out(32)``
        Product; kept until the next one.
    """

    en: Signal
    clear: Signal
    a: Signal
    b: Signal
    o: Signal

    def __init__(self, fmt: FloatFormat, other: FloatFormat | None = None) -> None:
        self.fmt, self.other = fmt, other or fmt
        super().__init__({"en": In(1), "clear": In(1), "a": In(fmt.width),
                          "b": In(self.other.width), "o": Out(FP32.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fmt = self.fmt
        a, b = Unpacked(fmt, self.a), Unpacked(self.other, self.b)
        sign = a.sign ^ b.sign

        # Hidden bit, fraction, guard and sticky bit at least; the product at the top.
        digits = len(a.significand) + len(b.significand)
        width = max(digits, FP32.fraction_bits + 3)
        exact = Signal(width)
        m.d.comb += exact.eq((a.significand * b.significand) << width - digits)

        # FP32 exponent field if the top bit of the product is set, less 1: what a left shift
        # may use up. Negative: the product must be shifted right to be a subnormal number.
        offset = FP32.bias - 2 * fmt.bias
        highest = 2 * ((1 << fmt.exponent_bits) - 1) + offset
        room = Signal(signed(highest.bit_length() + 1))
        m.d.comb += room.eq((a.exponent + b.exponent + offset)[:len(room)])
        below = room[-1]
        shifted, left = normalise(m, exact, Mux(below, 0, room[:-1]))
        if 2 + offset < 0:
            sunk = shift_right_sticky(exact, Mux(below, -room, 0)[:len(room) - 1])
            shifted = Mux(below, sunk, Cat(C(0, 1), shifted))
        finite = round_and_pack(m, FP32, sign, shifted, left + 1)

        with m.If(self.en):
            with m.If(self.clear):
                m.d.sync += self.o.eq(0)
            with m.Elif(a.nan | b.nan | (a.inf & b.zero) | (a.zero & b.inf)):
                m.d.sync += self.o.eq(canonical_nan(FP32))
            with m.Elif(a.inf | b.inf):
                m.d.sync += self.o.eq(Cat(C(infinity(FP32), FP32.width - 1), sign))
            with m.Else():
                m.d.sync += self.o.eq(finite)
        return m


class Adder(wiring.Component):
    """FP32 sum; two clocks, one sum a clock.

    Members
    -------
    en : ``In(1)``
        Operands are taken; without it nothing toggles.
    a, b : ``In(32)``
        Operands.
    o : ``Out(32)``
        Sum, two clocks later; kept until the next one.
    """

    en: Signal
    a: Signal
    b: Signal
    o: Signal

    def __init__(self) -> None:
        super().__init__({"en": In(1), "a": In(FP32.width), "b": In(FP32.width),
                          "o": Out(FP32.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # First clock: order by magnitude, align, add. 24 bits of significand, guard, round and
        # sticky bit, and the carry.
        large_bits, small_bits = Signal(FP32.width), Signal(FP32.width)
        swap = Signal()
        m.d.comb += [
            swap.eq(self.b[:-1] > self.a[:-1]),
            large_bits.eq(Mux(swap, self.b, self.a)),
            small_bits.eq(Mux(swap, self.a, self.b)),
        ]
        large, small = Unpacked(FP32, large_bits), Unpacked(FP32, small_bits)
        subtract = large.sign ^ small.sign
        distance = Signal(FP32.exponent_bits)
        aligned = Signal(FP32.fraction_bits + 4)
        m.d.comb += [
            distance.eq((large.exponent - small.exponent)[:FP32.exponent_bits]),
            aligned.eq(shift_right_sticky(Cat(C(0, 2), small.significand), distance)),
        ]
        reference = Cat(C(0, 3), large.significand)
        total = Signal(len(aligned) + 1)
        exponent = Signal(FP32.exponent_bits)
        sign, nan, inf, valid = Signal(), Signal(), Signal(), Signal()
        m.d.sync += valid.eq(self.en)
        with m.If(self.en):
            m.d.sync += [
                total.eq(Mux(subtract, reference - aligned, reference + aligned)[:len(total)]),
                exponent.eq(large.exponent),
                # x - x is +0
                sign.eq(large.sign & ~(subtract & (self.a[:-1] == self.b[:-1]))),
                nan.eq(large.nan | small.nan | (large.inf & small.inf & subtract)),
                inf.eq(large.inf),
            ]

        # Second clock: normalise and round. The carry is the top bit, so the exponent is one more.
        shifted, left = normalise(m, total, exponent)
        finite = round_and_pack(m, FP32, sign, shifted, left + 1)
        with m.If(valid):
            with m.If(nan):
                m.d.sync += self.o.eq(canonical_nan(FP32))
            with m.Elif(inf):
                m.d.sync += self.o.eq(Cat(C(infinity(FP32), FP32.width - 1), sign))
            with m.Else():
                m.d.sync += self.o.eq(finite)
        return m


class KvRound(wiring.Component):
    """FP32 to a narrower format, ties to even; combinational.

    Parameters
    ----------
    fmt : FloatFormat
        Format of the result: its exponent and its fraction are no wider than FP32's.

    Members
    -------
    i : ``In(32)``
        FP32.
    o : ``Out(fmt.width)``
        The nearest number of format ``fmt``; Inf where that overflows.
    """

    i: Signal
    o: Signal

    def __init__(self, fmt: FloatFormat) -> None:
        self.fmt = fmt
        super().__init__({"i": In(FP32.width), "o": Out(fmt.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fmt = self.fmt
        x = Unpacked(FP32, self.i)
        exponent = Signal(signed(FP32.exponent_bits + 1))
        significand, field = x.significand, x.exponent
        if fmt.bias != FP32.bias:
            m.d.comb += exponent.eq(x.exponent - (FP32.bias - fmt.bias))
            below = exponent < 1
            sunk = Signal(len(significand) + 1)
            m.d.comb += sunk.eq(shift_right_sticky(
                significand, Mux(below, 1 - exponent, 0)[:len(exponent)]))
            significand, field = sunk, Mux(below, 1, exponent)[:FP32.exponent_bits]
        finite = round_and_pack(m, fmt, x.sign, significand, field)
        with m.If(x.nan):
            m.d.comb += self.o.eq(canonical_nan(fmt))
        with m.Elif(x.inf):
            m.d.comb += self.o.eq(Cat(C(infinity(fmt), fmt.width - 1), x.sign))
        with m.Else():
            m.d.comb += self.o.eq(finite)
        return m
