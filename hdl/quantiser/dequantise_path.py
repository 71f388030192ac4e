"""From quantised columns to 16-bit beats."""

import math
from itertools import pairwise

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH
from hdl.quantiser.columns import ColumnUnpacker, ScaleSpread
from hdl.quantiser.element_decoder import HalfDecoder
from hdl.quantiser.layouts import (
    CODE_WIDTH,
    SCALE_WIDTH,
    counts_layout,
    input_layout,
    output_layout,
    region_layout,
)
from hdl.quantiser.tally import REGIONS, Tally
from model.spec.mx import BLOCK_ELEMENTS, LANES, QuantiserSpec, StoredFormat


class DequantisePath(wiring.Component):
    """Dequantises regions, a beat of 16 elements a clock without a gap.

    It takes the columns of scales first, then those of elements; the first beat is offered
    ``LATENCY`` clocks after the first column of elements was taken.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    region : ``In(stream.Signature(region_layout))``
        What to do with the columns that follow those of the region before; ``REGIONS`` may wait.
    i : ``In(stream.Signature(input_layout))``
        Columns (model.spec.mx.QuantisedRegion), those of scales first.
    taken : ``Out(1)``
        For one clock: the last column of a region is taken.
    o : ``Out(stream.Signature(output_layout))``
        16 elements a beat.
    counts : ``Out(stream.Signature(counts_layout))``
        Of each region; at most ``REGIONS`` regions may be under way or have counts waiting.
    """

    LATENCY = HalfDecoder.LATENCY + 2

    region: stream.Interface
    i: stream.Interface
    taken: Signal
    o: stream.Interface
    counts: stream.Interface

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "region": In(stream.Signature(region_layout(spec))),
            "i": In(stream.Signature(input_layout())),
            "taken": Out(1),
            "o": Out(stream.Signature(output_layout())),
            "counts": Out(stream.Signature(counts_layout(spec))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, layout = self.spec, region_layout(self.spec)
        # Once for what comes in, once for what goes through the lanes.
        m.submodules.arriving = arriving = SyncFIFO(width=layout.size, depth=REGIONS)
        m.submodules.leaving = leaving = SyncFIFO(width=layout.size, depth=REGIONS)
        # The scales of the next region come in while the last elements of this one leave.
        m.submodules.scales = scales = SyncFIFO(width=BEAT_WIDTH, depth=spec.scale_columns_max + 2)
        m.submodules.elements = elements = SyncFIFO(
            width=BEAT_WIDTH + 1, depth=spec.scale_columns_max // 2 + 4)
        room = arriving.w_rdy & leaving.w_rdy
        m.d.comb += self.region.ready.eq(room)
        for queue in (arriving, leaving):
            m.d.comb += [queue.w_en.eq(self.region.valid & room),
                         queue.w_data.eq(Cat(self.region.payload))]
        self._take(m, arriving, scales, elements)
        self._leave(m, leaving, scales, elements)
        return m

    def _take(self, m: Module, regions: SyncFIFO, scales: SyncFIFO, elements: SyncFIFO) -> None:
        """Columns to the queue they belong to."""
        region = Signal(region_layout(self.spec))
        scale_columns = Signal(range(self.spec.scale_columns_max + 1))
        element_columns = Signal(range(self.spec.blocks_max + 1))
        with m.Switch(region.settings.format):
            for fmt in self.spec.formats:
                with m.Case(fmt.code):
                    m.d.comb += [
                        columns.eq(_columns(region.blocks, bits)[:len(columns)])
                        for columns, bits in ((scale_columns, fmt.scale_bits),
                                              (element_columns, BLOCK_ELEMENTS * fmt.bits))]
        turn, misplaced, wrong, last = Signal(), Signal(), Signal(), Signal()
        count = Signal(range(self.spec.blocks_max))
        take = self.i.valid & self.i.ready
        m.d.comb += [
            Cat(region).eq(regions.r_data),
            self.i.ready.eq(regions.r_rdy & Mux(turn, elements.w_rdy, scales.w_rdy)),
            last.eq(count == Mux(turn, element_columns, scale_columns) - 1),
            self.taken.eq(take & turn & last), regions.r_en.eq(self.taken),
            wrong.eq(misplaced | (self.i.payload.last != (turn & last))),
            scales.w_en.eq(take & ~turn), scales.w_data.eq(self.i.payload.data),
            elements.w_en.eq(take & turn), elements.w_data.eq(Cat(self.i.payload.data, wrong)),
        ]
        with m.If(take):
            m.d.sync += [turn.eq(turn ^ last), count.eq(Mux(last, 0, count + 1)[:len(count)]),
                         misplaced.eq(~(turn & last) & wrong)]

    def _leave(self, m: Module, regions: SyncFIFO, scales: SyncFIFO, elements: SyncFIFO) -> None:
        """Halves of blocks through the lanes; all of them move together."""
        spec = self.spec
        m.submodules.unpacker = unpacker = ColumnUnpacker(spec)
        m.submodules.spread = spread = ScaleSpread(spec)
        m.submodules.decoder = decoder = HalfDecoder(spec)
        m.submodules.tally = tally = Tally(spec)
        region = Signal(region_layout(spec))
        count = Signal(range(2 * spec.blocks_max))
        step, go, last = Signal(), Signal(), Signal()
        wrong, wrong_before = Signal(), Signal()
        m.d.comb += [
            Cat(region).eq(regions.r_data),
            last.eq(count == Cat(C(1, 1), (region.blocks - 1)[:len(region.blocks)])),
            go.eq(step & regions.r_rdy & scales.r_rdy & unpacker.valid),
            regions.r_en.eq(go & last),
            unpacker.step.eq(go), unpacker.format.eq(region.settings.format),
            unpacker.last.eq(last), unpacker.column.eq(elements.r_data[:BEAT_WIDTH]),
            unpacker.column_valid.eq(elements.r_rdy), elements.r_en.eq(unpacker.pop),
            wrong.eq(Mux(unpacker.pop, elements.r_data[-1], wrong_before)),
            spread.step.eq(go & count[0]), spread.last.eq(last),
            spread.format.eq(region.settings.format), spread.column.eq(scales.r_data),
            scales.r_en.eq(spread.pop),
        ]
        with m.If(go):
            m.d.sync += [count.eq(Mux(last, 0, count + 1)[:len(count)]), wrong_before.eq(wrong)]

        half = Signal(data.StructLayout({
            "codes": data.ArrayLayout(CODE_WIDTH, LANES), "scale": SCALE_WIDTH,
            "format": StoredFormat}))
        header = data.StructLayout({"valid": 1, "last": 1, "misplaced": 1})
        headers = [Signal(header, name=f"header_{n}") for n in range(HalfDecoder.LATENCY + 1)]
        with m.If(step):
            m.d.sync += [
                half.codes.eq(unpacker.codes), half.scale.eq(spread.scale),
                half.format.eq(region.settings.format),
                Cat(headers[0]).eq(Cat(go, last, wrong)),
                *(after.eq(before) for before, after in pairwise(headers)),
            ]
        m.d.comb += [
            decoder.step.eq(step), decoder.codes.eq(half.codes), decoder.scale.eq(half.scale),
            decoder.format.eq(half.format),
            self.o.valid.eq(headers[-1].valid), self.o.payload.data.eq(decoder.beat),
            self.o.payload.last.eq(headers[-1].last),
            step.eq(~self.o.valid | self.o.ready),
            tally.en.eq(step & headers[-1].valid), tally.flags.eq(decoder.flags),
            tally.last.eq(headers[-1].last), tally.misplaced.eq(headers[-1].misplaced),
        ]
        wiring.connect(m, tally.o, wiring.flipped(self.counts))


def _columns(blocks: Value, block_bits: int) -> Value:
    """Columns that so many blocks take."""
    unit = math.gcd(block_bits, BEAT_WIDTH)
    return (blocks * (block_bits // unit) + (BEAT_WIDTH // unit - 1)) // (BEAT_WIDTH // unit)
