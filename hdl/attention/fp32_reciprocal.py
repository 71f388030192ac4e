"""FP32 reciprocal."""

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.floating import (
    Unpacked,
    canonical_nan,
    infinity,
    normalise,
    round_and_pack,
    shift_right_sticky,
)
from model.spec.formats import FP32

SIGNIFICAND = FP32.fraction_bits + 1
QUOTIENT = SIGNIFICAND + 2
"""Quotient bits: one is 0 unless the quotient is 1, and one more is needed for rounding."""


class Fp32Reciprocal(wiring.Component):
    """``1 / x`` in FP32, nearest even; one at a time, ``LATENCY`` clocks, a quotient bit a clock.

    Subnormal operands and results, zeros, infinities and NaN are as IEEE-754 has them.

    Members
    -------
    i : ``In(stream.Signature(32))``
        Operand.
    o : ``Out(stream.Signature(32))``
        Its reciprocal, offered ``LATENCY`` clocks after the operand was taken.
    """

    LATENCY = QUOTIENT + 3

    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__({
            "i": In(stream.Signature(FP32.width)),
            "o": Out(stream.Signature(FP32.width)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        operand = Signal(FP32.width)
        divisor, remainder = Signal(SIGNIFICAND), Signal(SIGNIFICAND + 1)
        quotient = Signal(QUOTIENT)
        zeros = Signal(range(SIGNIFICAND))
        count = Signal(range(QUOTIENT))

        x = Unpacked(FP32, operand)
        aligned, unused = normalise(m, x.significand, C(SIGNIFICAND - 1, len(zeros)))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += operand.eq(self.i.payload)
                    m.next = "NORMALISE"
            with m.State("NORMALISE"):
                m.d.sync += [
                    divisor.eq(aligned),
                    zeros.eq((SIGNIFICAND - 1 - unused)[:len(zeros)]),
                    remainder.eq(1 << SIGNIFICAND - 1),
                    count.eq(0),
                ]
                m.next = "DIVIDE"
            with m.State("DIVIDE"):
                fits = remainder >= divisor
                rest = (remainder - Mux(fits, divisor, 0))[:SIGNIFICAND]
                m.d.sync += [
                    quotient.eq(Cat(fits, quotient[:-1])),
                    remainder.eq(Cat(C(0, 1), rest)),
                    count.eq(count + 1),
                ]
                with m.If(count == QUOTIENT - 1):
                    m.next = "ROUND"
            with m.State("ROUND"):
                m.d.sync += self.o.payload.eq(
                    self._result(m, x, Cat(remainder.any(), quotient), zeros))
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "IDLE"
        return m

    def _result(self, m: Module, x: Unpacked, significand: Value, zeros: Value) -> Value:
        # Exponent field of 1/x where the quotient is 1; larger quotients do not exist.
        field = Signal(FP32.exponent_bits + 1)
        m.d.comb += field.eq((2 * FP32.bias - x.exponent + zeros)[:len(field)])
        sinks = field == 0                        # the only result one place below the subnormals
        room = Mux(sinks, 0, field - 1)[:len(field)]
        shifted, left = normalise(m, shift_right_sticky(significand, sinks), Mux(sinks, 0, room))
        finite = round_and_pack(m, FP32, x.sign, shifted, left + 1)
        magnitude = Mux(x.zero, infinity(FP32), 0)
        special = Mux(x.nan, canonical_nan(FP32), Cat(C(0, FP32.width - 1), x.sign) | magnitude)
        return Mux(x.nan | x.zero | x.inf, special, finite)
