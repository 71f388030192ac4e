"""The addresses of the beats of an AXI4 burst, and the bursts that are refused."""

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.host.axi import (
    BOUNDARY_WIDTH,
    SIZE_MAX,
    Burst,
    beat_layout,
    burst_layout,
)
from model.spec.address_map import OFFSET_BITS

WRAP_LENGTHS = (2, 4, 8, 16)
FIXED_MAX = 16
"""Beats of a wrapping burst; most beats of a fixed one (IHI 0022, A3.4.1)."""


class BurstWalker(wiring.Component):
    """A burst becomes its beats, one a clock from the next clock on, with no gap between bursts.

    Refused are: a size above the bus, a reserved type, INCR across a 4 KiB boundary, WRAP of a
    length that is not 2, 4, 8 or 16 or from an address that is not aligned, FIXED of more than 16
    beats. Their beats come, too, marked, so that every transfer gets its answer.

    Parameters
    ----------
    address_width, info_width : int

    Members
    -------
    i : ``In(stream.Signature(burst_layout(...)))``
    o : ``Out(stream.Signature(beat_layout(...)))``
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, address_width: int, info_width: int) -> None:
        self.layout = burst_layout(address_width, info_width)
        super().__init__({
            "i": In(stream.Signature(self.layout)),
            "o": Out(stream.Signature(beat_layout(address_width, info_width))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        burst, active, refused, first = Signal(self.layout), Signal(), Signal(), Signal()
        mask = Signal(BOUNDARY_WIDTH)            # address bits that a step may change
        low, after = Signal(BOUNDARY_WIDTH), Signal(BOUNDARY_WIDTH)
        m.d.comb += [
            low.eq(burst.address[:BOUNDARY_WIDTH]),
            after.eq((low & ~mask) | (((low | _within(burst.size)) + 1)[:BOUNDARY_WIDTH] & mask)),
        ]

        beat, last = self.o.p, Signal()
        m.d.comb += [
            last.eq(burst.length == 0),
            self.o.valid.eq(active), self.i.ready.eq(~active | (self.o.ready & last)),
            beat.info.eq(burst.info), beat.word.eq(burst.address[OFFSET_BITS:]),
            beat.first_of_word.eq(first), beat.last.eq(last), beat.refused.eq(refused),
            beat.last_of_word.eq(last | (after[OFFSET_BITS:] != low[OFFSET_BITS:])),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [
                burst.length.eq(burst.length - 1), first.eq(beat.last_of_word),
                burst.address.eq(Cat(after, burst.address[BOUNDARY_WIDTH:])),
                active.eq(~last),
            ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                burst.eq(self.i.payload), active.eq(1), first.eq(1),
                mask.eq(_mask(self.i.p)), refused.eq(self._refused(self.i.p)),
            ]
        return m

    @staticmethod
    def _refused(burst: data.View) -> Value:
        low = burst.address[:BOUNDARY_WIDTH]
        last_byte = (low | _within(burst.size)) + (burst.length << burst.size)
        length = burst.length
        wraps_well = Cat(length == n - 1 for n in WRAP_LENGTHS).any() & (
            (low & _within(burst.size)) == 0)
        return ((burst.size > SIZE_MAX) | (burst.burst == Burst.RESERVED)
                | ((burst.burst == Burst.INCR) & last_byte[BOUNDARY_WIDTH:].any())
                | ((burst.burst == Burst.WRAP) & ~wraps_well)
                | ((burst.burst == Burst.FIXED) & (length >= FIXED_MAX)))


def _within(size: Value) -> Value:
    """The address bits within a transfer: 2^size - 1."""
    return Cat(size > bit for bit in range(SIZE_MAX))


def _mask(burst: data.View) -> Value:
    whole = C((1 << BOUNDARY_WIDTH) - 1, BOUNDARY_WIDTH)
    container = ((burst.length << burst.size) | _within(burst.size))[:BOUNDARY_WIDTH]
    return Mux(burst.burst == Burst.FIXED, 0, Mux(burst.burst == Burst.WRAP, container, whole))
