"""What a PIM bank unit needs to multiply quantised KV where it lies."""

from typing import Any

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.floating import Adder, FloatLayout, canonical_nan, infinity, normalise
from hdl.layouts import BEAT_WIDTH
from hdl.pim.register_files import lanes_layout
from hdl.quantiser.element_decoder import ElementDecoder
from hdl.quantiser.layouts import CODE_WIDTH
from model.spec.attention import SCALE_SLOTS, PimSpec
from model.spec.formats import BF16, FP32, FloatFormat
from model.spec.mx import SCALE_BIAS, SCALE_NAN, StoredFormat

SCALE_WIDTH = 8
"""Bits of an E8M0 scale."""

SCALES_PER_COLUMN = BEAT_WIDTH // SCALE_WIDTH


def scaled(fmt: FloatFormat, x: Value, scale: Value) -> Value:
    """``x`` times an E8M0 scale, in the format of ``x``; combinational.

    Exact, except that what is below the normal range, before or after, becomes a zero of its sign,
    and what is beyond the largest number infinity. NaN if the scale is.
    """
    fields = data.View(FloatLayout(fmt), x)
    exponent = fields.exponent + scale - SCALE_BIAS
    below_sign = fmt.width - fmt.signed
    top = (1 << fmt.exponent_bits) - 1
    moved = Cat(fields.fraction, exponent[:fmt.exponent_bits])
    finite = Mux(~fields.exponent.any() | (exponent <= 0), 0,
                 Mux(exponent >= top, infinity(fmt), moved))
    magnitude = Mux(fields.exponent == top, x[:below_sign], finite)
    return Mux(scale == SCALE_NAN, canonical_nan(fmt),
               Cat(magnitude[:below_sign], x[below_sign:]))


class ScaleFile(wiring.Component):
    """The scales of the blocks of two waves: those whose K, and those whose V is in use.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    write_en, write_slot, start, column : ``In``
        A column of scales; ``start``: the first one of a block.
    slot, index : ``In``
        Which scale is wanted: of K and V of a slot's block, in their order.
    scale : ``Out(8)``
        That scale; combinational.
    """

    write_en: Signal
    write_slot: Signal
    start: Signal
    column: Signal
    slot: Signal
    index: Signal
    scale: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.words = -(-pim.head_size_max // SCALES_PER_COLUMN)
        super().__init__({
            "write_en": In(1), "write_slot": In(range(SCALE_SLOTS)), "start": In(1),
            "column": In(BEAT_WIDTH),
            "slot": In(range(SCALE_SLOTS)), "index": In(range(pim.head_size_max)),
            "scale": Out(SCALE_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word = Signal(range(self.words))
        this = Mux(self.start, 0, word)[:len(word)]
        m.submodules.scales = scales = Memory(
            shape=BEAT_WIDTH, depth=SCALE_SLOTS << len(word), init=[])
        write, read = scales.write_port(), scales.read_port(domain="comb")
        byte = (SCALES_PER_COLUMN - 1).bit_length()
        m.d.comb += [
            write.en.eq(self.write_en), write.addr.eq(Cat(this, self.write_slot)),
            write.data.eq(self.column),
            read.addr.eq(Cat(self.index[byte:byte + len(word)], self.slot)),
            self.scale.eq(read.data.word_select(self.index[:byte], SCALE_WIDTH)),
        ]
        with m.If(self.write_en):
            m.d.sync += word.eq((this + 1)[:len(word)])
        return m


class BlockSums(wiring.Component):
    """Adds the two chunks of a block and applies its scale once.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    first_en, second_en, head, tree : ``In``
        The sum of a block's first chunk for a head; some clocks later that of its second.
    scale, o : ``In(8)``, ``Out(32)``
        Two clocks after the second: the scale, and in the same clock the sum times it.
    """

    first_en: Signal
    second_en: Signal
    head: Signal
    tree: Signal
    scale: Signal
    o: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "first_en": In(1), "second_en": In(1), "head": In(range(pim.group_max)),
            "tree": In(FP32.width), "scale": In(SCALE_WIDTH), "o": Out(FP32.width),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.adder = adder = Adder()
        m.submodules.firsts = firsts = Memory(
            shape=FP32.width, depth=self.pim.group_max, init=[])
        write, read = firsts.write_port(), firsts.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.first_en), write.addr.eq(self.head), write.data.eq(self.tree),
            read.addr.eq(self.head),
            adder.en.eq(self.second_en), adder.a.eq(read.data), adder.b.eq(self.tree),
            self.o.eq(scaled(FP32, adder.o, self.scale)),
        ]
        return m


class ColumnDecoder(wiring.Component):
    """Half of a quantised column as numbers of the lanes, without their scale; combinational.

    Every element of the formats with 8 bits is a bfloat16 number.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    column, half, format : ``In``
        32 elements; the lower or the upper 16 of them.
    o : ``Out(lanes_layout)``
    """

    column: Signal
    half: Signal
    format: Signal
    o: data.View

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "column": In(BEAT_WIDTH), "half": In(1), "format": In(StoredFormat),
            "o": Out(lanes_layout(pim, BF16.width)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half = Signal(BEAT_WIDTH // 2)
        m.d.comb += half.eq(self.column.word_select(self.half, len(half)))
        for lane in range(self.pim.LANES):
            m.submodules[f"decoder_{lane}"] = decoder = ElementDecoder(self.pim.quantised)
            m.d.comb += [
                decoder.code.eq(half.word_select(lane, CODE_WIDTH)),
                decoder.format.eq(self.format),
                self.o[lane].eq(_number(m, decoder.o)),
            ]
        return m


def _number(m: Module, element: Any) -> Value:
    """An element as bfloat16: its significand moved up to the hidden bit."""
    width = len(element.significand)
    shifted, left = normalise(m, element.significand, C(width - 1, width.bit_length()))
    exponent = Signal(BF16.exponent_bits)
    # With all of the room used up the significand was 1; without its top bit it was 0.
    m.d.comb += exponent.eq((element.exponent + left + BF16.bias)[:BF16.exponent_bits])
    number = Mux(shifted[-1], Cat(shifted[:-1], exponent), 0)
    return Mux(element.nan, canonical_nan(BF16), Cat(number[:BF16.width - 1], element.sign))
