"""From 16-bit beats to quantised columns."""

from itertools import pairwise

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH
from hdl.quantiser.columns import ColumnPacker, ScaleGather, column_layout, narrow_scale
from hdl.quantiser.element_encoder import HalfEncoder
from hdl.quantiser.layouts import (
    SCALE_WIDTH,
    Settings,
    counts_layout,
    input_layout,
    output_layout,
    region_layout,
)
from hdl.quantiser.scale_finder import ScaleFinder
from hdl.quantiser.tally import REGIONS, Tally
from model.spec.mx import QuantiserSpec

WAITING_BEATS = ScaleFinder.LATENCY + 3
"""Beats that wait for the scale of their block: two, and those that come in until it is known."""


def beat_layout() -> data.StructLayout:
    """Half a block with what belongs to it."""
    return data.StructLayout({
        "data": BEAT_WIDTH, "settings": Settings(),
        "last": 1,                           # last beat of the region
        "misplaced": 1,                      # the input's `last` was elsewhere
    })


class QuantisePath(wiring.Component):
    """Quantises regions, a beat a clock without a gap between blocks or regions.

    The first column of 8-bit elements is offered ``LATENCY`` clocks after the second beat was
    taken. Columns of elements come first, then those of scales.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    region : ``In(stream.Signature(region_layout))``
        What to do with the beats that follow those of the region before; ``REGIONS`` may wait.
    i : ``In(stream.Signature(input_layout))``
        16 elements a beat, two beats a block.
    taken : ``Out(1)``
        For one clock: the last beat of a region is taken.
    o : ``Out(stream.Signature(output_layout))``
        Columns (model.spec.mx.QuantisedRegion).
    counts : ``Out(stream.Signature(counts_layout))``
        Of each region; at most ``REGIONS`` regions may be under way or have counts waiting.
    """

    LATENCY = ScaleFinder.LATENCY + HalfEncoder.LATENCY + 3

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
        spec = self.spec
        m.submodules.beats = beats = SyncFIFO(width=beat_layout().size, depth=WAITING_BEATS)
        m.submodules.scales = scales = SyncFIFO(width=SCALE_WIDTH, depth=WAITING_BEATS // 2)
        m.submodules.finder = finder = ScaleFinder(spec)
        self._take(m, beats, finder)
        m.d.comb += [scales.w_en.eq(finder.valid), scales.w_data.eq(finder.scale)]

        # Halves of a block whose scale is known go through the lanes; all of them move together.
        m.submodules.encoder = encoder = HalfEncoder(spec)
        m.submodules.gather = gather = ScaleGather()
        m.submodules.scale_columns = scale_columns = SyncFIFO(
            width=column_layout().size, depth=spec.scale_columns_max + 2)
        step, go, second = Signal(), Signal(), Signal()
        beat = Signal(beat_layout())
        m.d.comb += [
            Cat(beat).eq(beats.r_data),
            go.eq(step & beats.r_rdy & scales.r_rdy & scale_columns.w_rdy),
            beats.r_en.eq(go), scales.r_en.eq(go & second),
            encoder.step.eq(step), encoder.beat.as_value().eq(beat.data),
            encoder.scale.eq(scales.r_data), encoder.settings.eq(beat.settings),
            gather.valid.eq(go & second), gather.scale.eq(scales.r_data),
            gather.wide.eq(~narrow_scale(spec, beat.settings.format)),
            gather.last.eq(beat.last),
            scale_columns.w_en.eq(gather.column_valid),
            scale_columns.w_data.eq(Cat(gather.column)),
        ]
        with m.If(go):
            m.d.sync += second.eq(~second)

        header = data.StructLayout({"valid": 1, "format": beat.settings.format.shape(),
                                    "last": 1, "misplaced": 1})
        headers = [Signal(header, name=f"header_{n}") for n in range(HalfEncoder.LATENCY + 1)]
        m.d.comb += [headers[0].valid.eq(go), headers[0].last.eq(beat.last),
                     headers[0].format.eq(beat.settings.format),
                     headers[0].misplaced.eq(beat.misplaced)]
        with m.If(step):
            m.d.sync += [after.eq(before) for before, after in pairwise(headers)]
        self._leave(m, encoder, headers[-1], step, scale_columns)
        return m

    def _take(self, m: Module, beats: SyncFIFO, finder: ScaleFinder) -> None:
        layout = region_layout(self.spec)
        m.submodules.regions = regions = SyncFIFO(width=layout.size, depth=REGIONS)
        region = Signal(layout)
        count = Signal(range(2 * self.spec.blocks_max))
        misplaced, wrong = Signal(), Signal()
        beat = Signal(beat_layout())
        take = self.i.valid & self.i.ready
        m.d.comb += [
            regions.w_en.eq(self.region.valid), regions.w_data.eq(Cat(self.region.payload)),
            self.region.ready.eq(regions.w_rdy), Cat(region).eq(regions.r_data),
            self.i.ready.eq(regions.r_rdy & beats.w_rdy),
            beat.data.eq(self.i.payload.data), beat.settings.eq(region.settings),
            beat.last.eq(count == Cat(C(1, 1), (region.blocks - 1)[:len(region.blocks)])),
            wrong.eq(misplaced | (self.i.payload.last != beat.last)), beat.misplaced.eq(wrong),
            beats.w_en.eq(take), beats.w_data.eq(Cat(beat)),
            finder.en.eq(take), finder.beat.eq(beat.data),
            finder.format.eq(region.settings.format),
            self.taken.eq(take & beat.last), regions.r_en.eq(self.taken),
        ]
        with m.If(take):
            m.d.sync += [count.eq(Mux(beat.last, 0, count + 1)[:len(count)]),
                         misplaced.eq(~beat.last & wrong)]

    def _leave(self, m: Module, encoder: HalfEncoder, header: data.View, step: Signal,
               scale_columns: SyncFIFO) -> None:
        m.submodules.tally = tally = Tally(self.spec)
        m.submodules.packer = packer = ColumnPacker(self.spec)
        # While the scales of a region leave, at half of them elements of the next come in.
        m.submodules.element_columns = columns = SyncFIFO(
            width=column_layout().size, depth=self.spec.scale_columns_max // 2 + 4)
        m.d.comb += [
            packer.codes.eq(encoder.codes), packer.format.eq(header.format),
            packer.last.eq(header.last), packer.valid.eq(header.valid), packer.step.eq(step),
            columns.w_en.eq(packer.column_valid), columns.w_data.eq(Cat(packer.column)),
            step.eq(~packer.column_valid | columns.w_rdy),
            tally.en.eq(step & header.valid), tally.flags.eq(encoder.flags),
            tally.last.eq(header.last), tally.misplaced.eq(header.misplaced),
        ]
        wiring.connect(m, tally.o, wiring.flipped(self.counts))

        turn, column = Signal(), Signal(column_layout())
        leaves = self.o.valid & self.o.ready
        m.d.comb += [
            Cat(column).eq(Mux(turn, scale_columns.r_data, columns.r_data)),
            self.o.valid.eq(Mux(turn, scale_columns.r_rdy, columns.r_rdy)),
            columns.r_en.eq(leaves & ~turn), scale_columns.r_en.eq(leaves & turn),
            self.o.payload.data.eq(column.data), self.o.payload.scale.eq(turn),
            self.o.payload.last.eq(turn & column.last),
        ]
        with m.If(leaves & column.last):
            m.d.sync += turn.eq(~turn)
