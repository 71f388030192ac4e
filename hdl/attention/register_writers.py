"""What the attention sequencer writes to the registers of the PIM units, one role a component."""

from typing import Any

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.attention.wave import (
    COUNT_BITS,
    WAVES_IN_FLIGHT,
    BankWalk,
    Progress,
    lead,
    wave_layout,
    wave_mask,
)
from hdl.layouts import BEAT_WIDTH, AttentionShape, register_request_layout, weight_layout
from model.spec.attention import BLOCK_TOKENS, Register
from model.spec.slice import SliceSpec


class RowWriter(wiring.Component):
    """Tells each bank the row of its block, a bank a clock, or all at once if the rows are equal.

    The first row goes to all banks, so that those without a block open one that exists.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    wave : ``In(stream.Signature(wave_layout(spec)))``
    progress : ``In(Progress())``
        A latch is written again when the wave that used it has been summed.
    register : ``Out(stream)``
    latched : ``Out``
        Waves whose rows all banks hold, modulo 16.
    """

    wave: stream.Interface
    progress: data.View
    register: stream.Interface
    latched: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "wave": In(stream.Signature(wave_layout(spec))), "progress": In(Progress()),
            "register": Out(stream.Signature(register_request_layout(spec))),
            "latched": Out(COUNT_BITS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, out, wave = self._spec, self.register, self.wave.p
        banks = spec.geometry.pim_banks
        m.submodules.walk = walk = BankWalk(banks)
        sent, first = Signal(COUNT_BITS), Signal(init=1)
        last = wave.uniform | walk.last
        m.d.comb += [
            walk.mask.eq(wave_mask(wave)),
            out.valid.eq(self.wave.valid
                         & (lead(sent, self.progress.summed) < WAVES_IN_FLIGHT)),
            out.p.write.eq(1), out.p.register.eq(Register.ROW),
            out.p.mask.eq(Mux(first, ~0, walk.one_hot)),
            out.p.address.eq(sent[:(WAVES_IN_FLIGHT - 1).bit_length()]),
            out.p.data.eq(Mux(wave.uniform, wave.rows[0], wave.rows[walk.bank])),
            walk.advance.eq(out.valid & out.ready & ~wave.uniform),
            self.wave.ready.eq(out.valid & out.ready & last),
        ]
        with m.If(out.valid & out.ready):
            m.d.sync += first.eq(last)
        with m.If(self.wave.ready):
            m.d.sync += sent.eq(sent + 1)

        # The latch holds the row when the word has crossed the bus.
        flight = Signal(spec.timing.write_latency + 1)
        m.d.sync += flight.eq(Cat(self.wave.ready, flight)[:len(flight)])
        with m.If(flight[-1]):
            m.d.sync += self.latched.eq(self.latched + 1)
        return m


class QueryLoader(wiring.Component):
    """Broadcasts the query vectors of one attention after another to all PIM units, a beat a clock.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    i : ``In(stream.Signature(1))``
        The register set for the queries of the next attention; taken with their last beat.
    shape : ``In(AttentionShape)``
    query : ``In(stream.Signature(256))``
        16 elements a beat; head by head, chunk by chunk.
    register : ``Out(stream)``
    loaded : ``Out``
        Attentions whose queries have been sent, modulo 16.
    """

    i: stream.Interface
    shape: data.View
    query: stream.Interface
    register: stream.Interface
    loaded: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "i": In(stream.Signature(1)), "shape": In(AttentionShape(spec.pim)),
            "query": In(stream.Signature(BEAT_WIDTH)),
            "register": Out(stream.Signature(register_request_layout(spec))),
            "loaded": Out(COUNT_BITS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pim, out = self._spec.pim, self.register
        beat = Signal(range(pim.group_max * pim.chunks_max))
        last = beat + 1 == (self.shape.last_head + 1) * (self.shape.last_chunk + 1)
        m.d.comb += [
            out.valid.eq(self.i.valid & self.query.valid),
            self.query.ready.eq(self.i.valid & out.ready),
            out.p.write.eq(1), out.p.register.eq(Register.QUERY),
            out.p.mask.eq((1 << self._spec.geometry.pim_banks) - 1),
            out.p.address.eq(register_address(pim.register_address_width, beat, self.i.payload)),
            out.p.data.eq(self.query.payload),
            self.i.ready.eq(out.valid & out.ready & last),
        ]
        with m.If(out.valid & out.ready):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        with m.If(self.i.ready):
            m.d.sync += self.loaded.eq(self.loaded + 1)
        return m


def register_address(width: int, address: Signal, register_set: Signal) -> Cat:
    """An address in one of the two sets of QUERY or OUTPUT."""
    return Cat(address, C(0, width - 1 - len(address)), register_set)


class WeightWriter(wiring.Component):
    """Sends each wave's rescale word and weights to the PIM units, a beat a clock.

    Waits until the wave before has been summed, since weights in use must not change, and until
    all scores of this wave have been read. Weights come slower than the bus takes them, and each
    pause would let reads in, for which the bus turns around twice. So they are collected until the
    others come while these are sent: all go without a pause, and the last one no later. Banks
    without a block get weights 0.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    wave : ``In(stream.Signature(wave_layout(spec)))``
    shape : ``In(AttentionShape)``
    progress : ``In(Progress())``
    rescale : ``In(stream.Signature(256))``
        One word a wave.
    weight : ``In(stream.Signature(weight_layout))``
        Head by head, block by block.
    register : ``Out(stream)``
    weighted : ``Out``
        Waves whose weights have all been sent, modulo 16.
    """

    wave: stream.Interface
    shape: data.View
    progress: data.View
    rescale: stream.Interface
    weight: stream.Interface
    register: stream.Interface
    weighted: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "wave": In(stream.Signature(wave_layout(spec))),
            "shape": In(AttentionShape(spec.pim)), "progress": In(Progress()),
            "rescale": In(stream.Signature(BEAT_WIDTH)),
            "weight": In(stream.Signature(weight_layout(spec.pim))),
            "register": Out(stream.Signature(register_request_layout(spec))),
            "weighted": Out(COUNT_BITS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        banks, heads = self._spec.geometry.pim_banks, self._spec.pim.group_max
        out, weight = self.register, stream.Signature(self.weight.p.shape()).create()
        m.submodules.walk = walk = BankWalk(banks)
        mask = Signal(banks)
        head = Signal(range(heads))
        may, sent, enough = Signal(), Signal(), Signal()
        self._collect(m, weight, mask, enough)
        m.d.comb += [
            mask.eq(wave_mask(self.wave.p)), walk.mask.eq(mask),
            may.eq(self.wave.valid & (self.progress.summed == self.weighted)
                   & (self.progress.read != self.weighted) & enough),
            sent.eq(out.valid & out.ready),
            out.p.write.eq(1),
        ]
        with m.FSM():
            with m.State("RESCALE"):
                m.d.comb += [
                    out.valid.eq(may & self.rescale.valid),
                    self.rescale.ready.eq(may & out.ready),
                    out.p.register.eq(Register.RESCALE),
                    out.p.mask.eq(~0), out.p.data.eq(self.rescale.payload),
                ]
                with m.If(sent):
                    m.next = "WEIGHTS"
                    with m.If(~mask.all()):
                        m.next = "ZEROS"
            with m.State("ZEROS"):
                m.d.comb += [
                    out.valid.eq(1), out.p.register.eq(Register.WEIGHT),
                    out.p.mask.eq(~mask), out.p.address.eq(head),
                ]
                with m.If(sent):
                    m.d.sync += head.eq(Mux(head == self.shape.last_head, 0, head + 1))
                    with m.If(head == self.shape.last_head):
                        m.next = "WEIGHTS"
            with m.State("WEIGHTS"):
                m.d.comb += [
                    out.valid.eq(weight.valid), weight.ready.eq(out.ready),
                    out.p.register.eq(Register.WEIGHT), out.p.mask.eq(walk.one_hot),
                    out.p.address.eq(weight.p.head), out.p.data.eq(weight.p.data),
                    walk.advance.eq(sent),
                ]
                with m.If(sent & walk.last & (weight.p.head == self.shape.last_head)):
                    m.d.comb += self.wave.ready.eq(1)
                    m.d.sync += self.weighted.eq(self.weighted + 1)
                    m.next = "RESCALE"
        return m

    def _collect(self, m: Module, weight: stream.Interface, mask: Signal, enough: Signal) -> None:
        """Queues weights; there are enough when the rest comes by the time that it is sent."""
        banks, heads = self._spec.geometry.pim_banks, self._spec.pim.group_max
        clocks = BLOCK_TOKENS // self._spec.pim.SOFTMAX_LANES       # a block, to the softmax unit
        rest = clocks - 1
        queue: Any = SyncFIFOBuffered(width=weight_layout(self._spec.pim).size,
                                      depth=-(-banks * heads * rest // clocks) + 1)
        m.submodules.queue = queue
        blocks, wanted = Signal(range(banks + 1)), Signal(range(banks * heads * rest + 1))
        m.d.comb += [
            queue.w_data.eq(self.weight.payload.as_value()), queue.w_en.eq(self.weight.valid),
            self.weight.ready.eq(queue.w_rdy),
            weight.payload.as_value().eq(queue.r_data), weight.valid.eq(queue.r_rdy),
            queue.r_en.eq(weight.ready),
            enough.eq(queue.level * clocks >= wanted),
        ]
        # The wave is there long before its weights.
        m.d.sync += [blocks.eq(sum(mask, C(0, 1))[:len(blocks)]),
                     wanted.eq((blocks * (self.shape.last_head + 1) * rest)[:len(wanted)])]
