"""The scale of a block, from its largest magnitude."""

from collections.abc import Sequence

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.floating import Unpacked, normalise
from hdl.layouts import BEAT_WIDTH
from hdl.quantiser.layouts import EXPONENT, SCALE_WIDTH
from model.spec.formats import BF16, FloatFormat
from model.spec.mx import (
    FORMAT_OF,
    INT4_DIVISOR,
    LANES,
    SCALE_NAN,
    QuantiserSpec,
    StoredFormat,
)

GROUP = 4
"""Elements whose largest is found in one clock."""

DIVIDEND_WIDTH = BF16.fraction_bits + 1 + 6
"""Bits of the significand that is divided by 7: the quotient has 11 at least, bfloat16's 8, one for
rounding and more, while the remainder says whether anything is left."""


def scale_nan(code: StoredFormat) -> int:
    """The scale of a block with NaN or infinity."""
    quiet = ((1 << BF16.exponent_bits + 1) - 1) << BF16.fraction_bits - 1
    return quiet if FORMAT_OF[code].scale_bits == SCALE_WIDTH else SCALE_NAN


def normalised(m: Module, fmt: FloatFormat, x: Unpacked) -> tuple[Value, Value]:
    """Exponent, biased by 127, and significand, its top bit set, of a number that is not zero."""
    room = C(fmt.fraction_bits, fmt.fraction_bits.bit_length())
    significand, left = normalise(m, x.significand, room)
    exponent = Signal(EXPONENT)
    m.d.comb += exponent.eq(
        (x.exponent + left + (BF16.bias - fmt.bias - fmt.fraction_bits))[:len(exponent)])
    return exponent, significand


class ScaleFinder(wiring.Component):
    """The scale of every two beats; ``LATENCY`` clocks after the second, a beat a clock.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    en, beat : ``In(1)``, ``In(256)``
        Half a block; the first beat after reset is a first half.
    format : ``In(StoredFormat)``
        With ``en``.
    valid, scale : ``Out(1)``, ``Out(16)``
        For one clock: the scale of a block, as it is stored. There is no back-pressure.
    """

    LATENCY = 5

    en: Signal
    beat: Signal
    format: Signal
    valid: Signal
    scale: Signal

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "en": In(1), "beat": In(BEAT_WIDTH), "format": In(StoredFormat),
            "valid": Out(1), "scale": Out(SCALE_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wide = self.spec.wide
        magnitude = wide.width - 1
        bits = [self.beat.word_select(lane, wide.width)[:magnitude] for lane in range(LANES)]

        # Two clocks: the largest of four, four times, then of those. As integers, since the bits
        # of a magnitude are ordered like the magnitudes, infinity and NaN above all.
        valid, format_ = [Signal(name=f"valid_{n}") for n in range(4)], [
            Signal(StoredFormat, name=f"format_{n}") for n in range(4)]
        quarters = [Signal(magnitude, name=f"quarter_{n}") for n in range(LANES // GROUP)]
        half = Signal(magnitude)
        m.d.sync += [valid[0].eq(self.en), valid[1].eq(valid[0])]
        m.d.sync += [format_[0].eq(self.format), format_[1].eq(format_[0])]
        m.d.sync += [quarter.eq(_largest(bits[GROUP * n:][:GROUP]))
                     for n, quarter in enumerate(quarters)]
        m.d.sync += half.eq(_largest(quarters))

        # Third: with the other half of the block.
        second, first_half, block = Signal(), Signal(magnitude), Signal(magnitude)
        m.d.sync += [valid[2].eq(valid[1] & second), format_[2].eq(format_[1])]
        with m.If(valid[1]):
            m.d.sync += [second.eq(~second), first_half.eq(half),
                         block.eq(_largest([half, first_half]))]

        # Fourth: exponent and significand. Fifth: the scale.
        x = Unpacked(wide, Cat(block, C(0, 1)))
        exponent, significand = normalised(m, wide, x)
        largest_exponent, largest = Signal(EXPONENT), Signal(len(significand))
        zero, bad = Signal(), Signal()
        m.d.sync += [
            valid[3].eq(valid[2]), format_[3].eq(format_[2]),
            largest_exponent.eq(exponent), largest.eq(significand),
            zero.eq(x.zero), bad.eq(x.inf | x.nan),
            self.valid.eq(valid[3]),
        ]
        with m.Switch(format_[3]):
            for fmt in self.spec.formats:
                with m.Case(fmt.code):
                    found = (_seventh(m, largest_exponent, largest)
                             if fmt.scale_bits == SCALE_WIDTH
                             else _power_of_two(m, largest_exponent, fmt.exponent_max, fmt.name))
                    smallest = (1 << BF16.fraction_bits) if fmt.scale_bits == SCALE_WIDTH else 0
                    m.d.sync += self.scale.eq(
                        Mux(bad, scale_nan(fmt.code), Mux(zero, smallest, found)))
        return m


def _largest(values: Sequence[Value]) -> Value:
    while len(values) > 1:
        values = [Mux(a > b, a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]


def _power_of_two(m: Module, exponent: Value, exponent_max: int, name: str) -> Value:
    """E8M0 of ``2**(exponent - exponent_max)``, at least the smallest; both biases are 127."""
    code = Signal(EXPONENT, name=f"scale_{name}")
    m.d.comb += code.eq((exponent - exponent_max)[:len(code)])
    return Mux(code < 0, 0, code[:8])


def _seventh(m: Module, exponent: Value, significand: Value) -> Value:
    """A seventh of a number, to the nearest bfloat16, at least the smallest normal one."""
    dividend = Cat(C(0, DIVIDEND_WIDTH - len(significand)), significand)
    quotient, remainder = Signal(DIVIDEND_WIDTH - 2), Signal(range(INT4_DIVISOR))
    m.d.comb += [quotient.eq((dividend // INT4_DIVISOR)[:len(quotient)]),
                 remainder.eq((dividend % INT4_DIVISOR)[:len(remainder)])]
    # Between 1/7 and 2/7: 1/4 and above have a leading bit more.
    large = quotient[-1]
    aligned = Mux(large, quotient, Cat(C(0, 1), quotient[:-1]))
    low = len(quotient) - 1 - BF16.fraction_bits
    guard, sticky = aligned[low - 1], aligned[:low - 1].any() | remainder.any()
    field = Signal(EXPONENT, name="seventh_exponent")
    m.d.comb += field.eq((exponent - 3 + large)[:len(field)])
    rounded = Signal(BF16.width, name="seventh")
    m.d.comb += rounded.eq((Cat(aligned[low:-1], field[:8], C(0, 1))
                            + (guard & (sticky | aligned[low])))[:BF16.width])
    return Mux(field < 1, 1 << BF16.fraction_bits, rounded)
