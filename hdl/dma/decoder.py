"""Says what a descriptor asks for, and refuses what makes no sense before anything is touched."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.dma.address_walker import WALK
from hdl.dma.layouts import BLOCK_LAYOUT, DESCRIPTOR_LAYOUT
from model.spec.dma import INTERLEAVE_MAX, Convert, Kind, Opcode, Result
from model.spec.mx import QuantiserSpec, StoredFormat
from model.spec.translation import Tier

BLOCKS_MAX = QuantiserSpec().blocks_max


class Decoder(wiring.Component):
    """Splits a descriptor into its two sides; no latency.

    Members
    -------
    descriptor, faulty : ``In(DESCRIPTOR_LAYOUT)``, ``In(1)``
        What was fetched; it could not be read.
    result : ``Out(Result)``
        ``DONE``, or why it is refused.
    source, destination : ``Out(WALK)``
        Its sides; without their places if those are the translator's.
    source_list, destination_list : ``Out(1)``
        A side is a list.
    source_block, destination_block : ``Out(1)``
        A side is the translator's.
    source_host, destination_host : ``Out(1)``
        A side is the host port.
    serial : ``Out(1)``
        The data pass through a stream on their way.
    """

    descriptor: data.View
    faulty: Signal
    result: Signal
    source: data.View
    destination: data.View
    source_list: Signal
    destination_list: Signal
    source_block: Signal
    destination_block: Signal
    source_host: Signal
    destination_host: Signal
    serial: Signal

    def __init__(self) -> None:
        super().__init__({
            "descriptor": In(DESCRIPTOR_LAYOUT), "faulty": In(1), "result": Out(Result),
            "source": Out(WALK), "destination": Out(WALK),
            **{f"{side}_{kind}": Out(1) for side in ("source", "destination")
               for kind in ("list", "block", "host")},
            "serial": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.descriptor
        self._side(m, "source", d.beats)
        self._side(m, "destination", d.destination_beats)
        converts = d.convert != Convert.NONE
        wide = Mux(d.convert == Convert.QUANTISE, d.beats, d.destination_beats)
        # A region of quantised blocks ends with their scales, which the quantiser wants first.
        scales = Mux(d.format == StoredFormat.INT4, (wide + 31) >> 5, (wide + 63) >> 6)
        m.d.comb += self.source.first.eq(Mux(d.convert == Convert.DEQUANTISE, scales, 0))
        question = data.View(BLOCK_LAYOUT, d.block)
        block = self.source_block | self.destination_block
        reserved = d.reserved.any() | d.reserved_flags.any() | d.reserved_block.any()
        tiers = (question.source_tier > Tier.ANY) | (question.destination_tier >= Tier.ANY)
        opcode_bad = ((d.opcode != Opcode.MOVE) | reserved
                      | (block & (question.reserved.any() | tiers)))
        kind_bad = (
            (d.source_kind > Kind.BLOCK) | (d.destination_kind > Kind.BLOCK)
            | (d.source_interleave > INTERLEAVE_MAX) | (d.destination_interleave > INTERLEAVE_MAX)
            | (self.source_block & d.source_interleave.any())
            | (self.destination_block & d.destination_interleave.any())
            | (self.source_host & self.destination_host) | (d.convert > Convert.DEQUANTISE))
        length_bad = (~d.elements.any() | ~d.beats.any() | ~d.destination_beats.any()
                      | (block & (d.elements != 1))
                      | (converts & (wide[0] | (wide > 2 * BLOCKS_MAX)))
                      | ((d.convert == Convert.DEQUANTISE) & (d.beats <= scales))
                      | (~converts & (d.beats != d.destination_beats)))
        m.d.comb += self.serial.eq(self.source_host | self.destination_host | converts)
        for refused, result in ((length_bad, Result.BAD_LENGTH), (kind_bad, Result.BAD_KIND),
                                (opcode_bad, Result.BAD_OPCODE),
                                (self.faulty, Result.RING_FAULT)):
            with m.If(refused):                 # the last one wins
                m.d.comb += self.result.eq(result)
        return m

    def _side(self, m: Module, name: str, beats: Value) -> None:
        walk, d = getattr(self, name), self.descriptor
        kind = d[f"{name}_kind"]
        listed = getattr(self, f"{name}_list")
        m.d.comb += [
            listed.eq(kind == Kind.LIST),
            getattr(self, f"{name}_block").eq(kind == Kind.BLOCK),
            getattr(self, f"{name}_host").eq(kind == Kind.HOST),
            walk.listed.eq(listed),
            walk.place.eq(d[name]), walk.interleave.eq(d[f"{name}_interleave"]),
            walk.stride.eq(Mux(kind == Kind.STRIDED, d[f"{name}_stride"], beats)),
            walk.elements.eq(d.elements), walk.beats.eq(beats),
        ]
