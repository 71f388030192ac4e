"""The merge unit of a pseudo-channel: partial attention results to one."""

from itertools import pairwise

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.attention.fp32_reciprocal import Fp32Reciprocal
from hdl.floating import Adder, KvRound, Product, rescale
from hdl.layouts import BEAT_WIDTH, AttentionShape, PartHeader, part_layout, result_layout
from hdl.reserved_queue import ReservedQueue
from model.spec.attention import PimSpec
from model.spec.formats import FP32

RESULT_QUEUE = 4
"""Results under way: at one a clock a place is in use for three clocks, at one in two for five."""

SHIFT_WIDTH = 16
"""Bits of a distance between two maxima."""


def position_shape(pim: PimSpec) -> range:
    """Values of the number of an FP32 beat of a part."""
    return range(2 * pim.chunks_max)


class PartMerger(wiring.Component):
    """Merges parts into (m, l, o), one beat a clock without a pause.

    ``m`` and ``l`` are final 3 clocks after the last header; output ``k`` may be read ``k + 1``
    clocks after the last beat.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    shape : ``In(AttentionShape(pim))``
    en, part : ``In(1)``, ``In(part_layout())``
        A beat of a part.
    m, l : ``Out(signed(16))``, ``Out(32)``
    last_header, last_beat : ``Out(1)``
        With ``en``: the beat is the header of the last part, the last beat of it.
    read_en, read_position : ``In(1)``, ``In``
        Reads outputs; only while no part comes.
    read_data : ``Out(256)``
        One clock later.
    """

    HEADER_LATENCY = PimSpec.ADDER_LATENCY + 1

    shape: data.View
    en: Signal
    part: data.View
    m: Signal
    l: Signal
    last_header: Signal
    last_beat: Signal
    read_en: Signal
    read_position: Signal
    read_data: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "shape": In(AttentionShape(pim)), "en": In(1), "part": In(part_layout()),
            "m": Out(signed(16)), "l": Out(FP32.width),
            "last_header": Out(1), "last_beat": Out(1),
            "read_en": In(1), "read_position": In(position_shape(pim)),
            "read_data": Out(BEAT_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        header = Signal(PartHeader())
        is_header, is_beat = Signal(), Signal()
        first, last = Signal(), Signal()
        position = Signal(position_shape(self.pim))
        at_end = position == 2 * self.shape.last_chunk + 1
        m.d.comb += [
            header.eq(self.part.data[:PartHeader().size]),
            is_header.eq(self.en & self.part.header), is_beat.eq(self.en & ~self.part.header),
            self.last_header.eq(is_header & header.last),
            self.last_beat.eq(is_beat & last & at_end),
        ]
        with m.If(is_header):
            m.d.sync += [first.eq(header.first), last.eq(header.last), position.eq(0)]
        with m.If(is_beat):
            m.d.sync += position.eq(Mux(at_end, 0, position + 1))
        shifts = self._header(m, is_header, header)
        self._beats(m, is_beat, first, position, shifts)
        return m

    def _header(self, m: Module, valid: Signal, header: data.View) -> tuple[Signal, Signal]:
        """Merges (m, l); how far the outputs so far and those of the part are to be scaled."""
        m.submodules.sum = total = Adder()
        top, distance = Signal(signed(16)), Signal(signed(SHIFT_WIDTH + 1))
        shift_old, shift_new = Signal(SHIFT_WIDTH), Signal(SHIFT_WIDTH)
        old, new = Signal(SHIFT_WIDTH), Signal(SHIFT_WIDTH)
        m.d.comb += [
            distance.eq(header.m - self.m),
            top.eq(Mux(distance > 0, header.m, self.m)),
            old.eq(Mux(distance > 0, distance[:SHIFT_WIDTH], 0)),
            new.eq(Mux(distance < 0, (-distance)[:SHIFT_WIDTH], 0)),
            total.en.eq(valid & ~header.first),
            total.a.eq(rescale(self.l, old)), total.b.eq(rescale(header.l, new)),
        ]
        adding = [Signal(name=f"adding_{i}") for i in range(self.pim.ADDER_LATENCY + 1)]
        m.d.comb += adding[0].eq(total.en)
        m.d.sync += [after.eq(before) for before, after in pairwise(adding)]
        with m.If(adding[-1]):
            m.d.sync += self.l.eq(total.o)
        with m.If(valid):
            m.d.sync += [self.m.eq(Mux(header.first, header.m, top)),
                         shift_old.eq(old), shift_new.eq(new)]
            with m.If(header.first):
                m.d.sync += self.l.eq(header.l)
        return shift_old, shift_new

    def _beats(self, m: Module, valid: Signal, first: Signal, position: Signal,
               shifts: tuple[Signal, Signal]) -> None:
        """Merges the outputs: read, add in two clocks, write back long before the next part."""
        m.submodules.outputs = outputs = Memory(
            shape=BEAT_WIDTH, depth=2 * self.pim.chunks_max, init=[])
        read, write = outputs.read_port(), outputs.write_port()
        clocks = self.pim.ADDER_LATENCY + 1
        beat = Signal(BEAT_WIDTH)
        adding = [Signal(name=f"beat_adding_{i}") for i in range(clocks + 1)]
        places = [position] + [Signal.like(position, name=f"place_{i + 1}") for i in range(clocks)]
        copying = Signal()
        m.d.comb += [
            adding[0].eq(valid & ~first),
            read.en.eq(adding[0] | self.read_en),
            read.addr.eq(Mux(self.read_en, self.read_position, position)),
            self.read_data.eq(read.data),
        ]
        m.d.sync += copying.eq(valid & first)
        with m.If(valid):
            m.d.sync += beat.eq(self.part.data)
        for clock in range(clocks):
            m.d.sync += adding[clock + 1].eq(adding[clock])
            with m.If(valid if clock == 0 else adding[clock]):
                m.d.sync += places[clock + 1].eq(places[clock])

        sums: list[Signal] = []
        for lane in range(self.pim.SCORES_PER_BEAT):
            m.submodules[f"add_{lane}"] = adder = Adder()
            old, new = (word.word_select(lane, FP32.width) for word in (read.data, beat))
            m.d.comb += [
                adder.en.eq(adding[1]),
                adder.a.eq(rescale(old, shifts[0])), adder.b.eq(rescale(new, shifts[1])),
            ]
            sums.append(adder.o)
        with m.If(copying):
            m.d.comb += [write.en.eq(1), write.addr.eq(places[1]), write.data.eq(beat)]
        with m.Else():
            m.d.comb += [write.en.eq(adding[-1]), write.addr.eq(places[-1])]
            m.d.comb += [write.data.word_select(lane, FP32.width).eq(total)
                         for lane, total in enumerate(sums)]


class Normaliser(wiring.Component):
    """Multiplies FP32 outputs by a factor and rounds them to the KV format, 8 a clock.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    en, i, factor : ``In(1)``, ``In(256)``, ``In(32)``
        Eight outputs.
    valid, o : ``Out(1)``, ``Out(256)``
        With every second beat, one clock later: 16 elements.
    """

    en: Signal
    i: Signal
    factor: Signal
    valid: Signal
    o: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "en": In(1), "i": In(BEAT_WIDTH), "factor": In(FP32.width),
            "valid": Out(1), "o": Out(BEAT_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half = Signal(BEAT_WIDTH // 2)
        done, second = Signal(), Signal()
        m.d.sync += done.eq(self.en)
        width = self.pim.kv_format.width
        for lane in range(self.pim.SCORES_PER_BEAT):
            m.submodules[f"product_{lane}"] = product = Product(FP32)
            m.submodules[f"round_{lane}"] = rounding = KvRound(self.pim.kv_format)
            m.d.comb += [
                product.en.eq(self.en), product.b.eq(self.factor),
                product.a.eq(self.i.word_select(lane, FP32.width)),
                rounding.i.eq(product.o),
                self.o.word_select(len(half) // width + lane, width).eq(rounding.o),
            ]
        m.d.comb += [self.o[:len(half)].eq(half), self.valid.eq(done & second)]
        with m.If(done):
            m.d.sync += [half.eq(self.o[len(half):]), second.eq(~second)]
        return m


class Merge(wiring.Component):
    """Merges the parts of one head after another, in order, and hands out the result.

    A beat of a part is taken every clock. The result is offered ``RESULT_LATENCY`` clocks after
    the last header or ``DRAIN_LATENCY`` clocks after the last beat, whichever is later, and then a
    beat every two clocks. A partial result's header is offered ``PARTIAL_LATENCY`` clocks after
    the last beat, and from two clocks later on a beat a clock. The next head's parts are taken
    while the last results wait.

    Parameters
    ----------
    pim : PimSpec
        KV format and largest head.

    Members
    -------
    shape : ``In(AttentionShape(pim))``
        Head size; constant while ``busy``.
    partial : ``In(1)``
        The result is a part for another merge unit; constant while ``busy``.
    part : ``In(stream.Signature(part_layout()))``
        Parts, each a header and ``head size / 8`` beats. Not ready while a result is being read.
    result : ``Out(stream.Signature(result_layout()))``
        ``head size / 16`` beats of 16 elements each in the KV format; with ``partial`` a header
        and ``head size / 8`` beats of FP32. The header has neither ``first`` nor ``last`` set:
        they belong to the merge that the part goes to.
    busy : ``Out(1)``
        A first header was taken and its result has not left entirely.
    """

    RESULT_LATENCY = PartMerger.HEADER_LATENCY + Fp32Reciprocal.LATENCY + 6
    DRAIN_LATENCY = 6
    PARTIAL_LATENCY = 2

    shape: data.View
    partial: Signal
    part: stream.Interface
    result: stream.Interface
    busy: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "shape": In(AttentionShape(pim)), "partial": In(1),
            "part": In(stream.Signature(part_layout())),
            "result": Out(stream.Signature(result_layout())),
            "busy": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.merger = merger = PartMerger(self.pim)
        m.submodules.queue = queue = ReservedQueue(result_layout(), depth=RESULT_QUEUE)
        wiring.connect(m, wiring.flipped(self.result), queue.o)
        factor, factor_known = self._reciprocal(m, merger)

        active = Signal()
        position = Signal(position_shape(self.pim))
        at_end = position == 2 * self.shape.last_chunk + 1
        reading, header_leaves = Signal(), Signal()
        m.d.comb += [
            merger.shape.eq(self.shape), merger.part.eq(self.part.payload),
            merger.en.eq(self.part.valid & self.part.ready),
            merger.read_en.eq(reading), merger.read_position.eq(position),
            self.busy.eq(active | ~queue.empty),
        ]
        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += self.part.ready.eq(1)
                with m.If(self.part.valid):
                    m.d.sync += active.eq(1)
                with m.If(merger.last_beat):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += header_leaves.eq(self.partial & queue.room)
                with m.If(header_leaves | (~self.partial & factor_known)):
                    m.next = "RESULT"
            with m.State("RESULT"):
                # Two FP32 beats make one result, so a place is reserved for the first of them.
                needs_place = self.partial | ~position[0]
                m.d.comb += reading.eq(queue.room | ~needs_place)
                with m.If(reading):
                    m.d.sync += position.eq(position + 1)
                    with m.If(at_end):
                        m.d.sync += [position.eq(0), active.eq(0), factor_known.eq(0)]
                        m.next = "ACCEPT"
                m.d.comb += queue.reserve.eq(reading & needs_place)
        with m.If(header_leaves):
            m.d.comb += queue.reserve.eq(1)
        self._results(m, merger, queue, factor, header_leaves, reading, at_end)
        return m

    def _reciprocal(self, m: Module, merger: PartMerger) -> tuple[Signal, Signal]:
        """``1 / l``, begun while the outputs of the last part still arrive."""
        m.submodules.reciprocal = reciprocal = Fp32Reciprocal()
        factor, known = Signal(FP32.width), Signal()
        waiting = [merger.last_header & ~self.partial]
        for clock in range(merger.HEADER_LATENCY):
            waiting.append(Signal(name=f"sum_waits_{clock}"))
            m.d.sync += waiting[-1].eq(waiting[-2])
        m.d.comb += [
            reciprocal.i.valid.eq(waiting[-1]), reciprocal.i.payload.eq(merger.l),
            reciprocal.o.ready.eq(1),
        ]
        with m.If(reciprocal.o.valid):
            m.d.sync += [factor.eq(reciprocal.o.payload), known.eq(1)]
        return factor, known

    def _results(self, m: Module, merger: PartMerger, queue: ReservedQueue, factor: Signal,
                 header_leaves: Signal, reading: Signal, at_end: Signal) -> None:
        """What was read goes to the queue: as it is if partial, else by way of the normaliser."""
        m.submodules.normaliser = normaliser = Normaliser(self.pim)
        header = Signal(PartHeader())
        read, read_last, last = Signal(), Signal(), Signal()
        m.d.sync += read.eq(reading)
        with m.If(reading):
            m.d.sync += read_last.eq(at_end)
        with m.If(read):
            m.d.sync += last.eq(read_last)
        m.d.comb += [
            normaliser.en.eq(read & ~self.partial), normaliser.i.eq(merger.read_data),
            normaliser.factor.eq(factor), header.m.eq(merger.m), header.l.eq(merger.l),
        ]
        with m.If(normaliser.valid):
            m.d.comb += [queue.en.eq(1), queue.item.data.eq(normaliser.o),
                         queue.item.last.eq(last)]
        with m.Elif(header_leaves):
            m.d.comb += [queue.en.eq(1), queue.item.data.eq(header)]
        with m.Elif(read & self.partial):
            m.d.comb += [queue.en.eq(1), queue.item.data.eq(merger.read_data),
                         queue.item.last.eq(read_last)]
