"""The attention sequencer's traffic with the registers of the PIM units, one role a component."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.layouts import (
    BEAT_WIDTH,
    AttentionShape,
    PartHeader,
    SoftmaxState,
    part_layout,
    register_request_layout,
    score_layout,
    weight_layout,
)
from hdl.pass_issuer import Progress
from hdl.wave_cursor import WaveCursor, context_range
from model.spec.attention import BLOCK_TOKENS, Register
from model.spec.registers import WAVES_MAX
from model.spec.slice import SliceSpec


class QueryLoader(wiring.Component):
    """Broadcasts the query vectors to all PIM units, a beat a clock.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    start : ``In(1)``
    shape : ``In(AttentionShape)``
    query : ``In(stream.Signature(256))``
        16 elements a beat; head by head, chunk by chunk.
    register : ``Out(stream)``
    loaded : ``Out(1)``
        All queries of this attention have been sent.
    """

    start: Signal
    shape: data.View
    query: stream.Interface
    register: stream.Interface
    loaded: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "start": In(1), "shape": In(AttentionShape(spec.pim)),
            "query": In(stream.Signature(BEAT_WIDTH)),
            "register": Out(stream.Signature(register_request_layout(spec))),
            "loaded": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pim, out = self._spec.pim, self.register
        beat = Signal(range(pim.group_max * pim.chunks_max + 1))
        total = (self.shape.last_head + 1) * (self.shape.last_chunk + 1)
        loading = Signal()
        m.d.comb += [
            self.loaded.eq(~loading),
            out.valid.eq(loading & self.query.valid),
            self.query.ready.eq(loading & out.ready),
            out.p.write.eq(1), out.p.register.eq(Register.QUERY),
            out.p.mask.eq((1 << self._spec.geometry.pim_banks) - 1),
            out.p.address.eq(beat[:len(out.p.address)]),
            out.p.data.eq(self.query.payload),
        ]
        with m.If(self.start):
            m.d.sync += [beat.eq(0), loading.eq(1)]
        with m.Elif(out.valid & out.ready):
            m.d.sync += beat.eq(beat + 1)
            with m.If(beat + 1 == total):
                m.d.sync += loading.eq(0)
        return m


class ScoreReader(wiring.Component):
    """Reads the scores of a wave out of the PIM units and hands them to the softmax unit.

    One beat a clock, head by head, block by block. A wave is read when its K passes are done and
    the weights of the wave before have been sent, so the softmax unit has room for all of it.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    start, context : ``In``
    shape : ``In(AttentionShape)``
    progress : ``In(Progress())``
    register : ``Out(stream)``
    register_valid, register_data : ``In``
        What the reads return.
    score : ``Out(stream.Signature(score_layout))``
    read : ``Out``
        Waves whose reads have all been accepted.
    """

    start: Signal
    context: Signal
    shape: data.View
    progress: data.View
    register: stream.Interface
    register_valid: Signal
    register_data: Signal
    score: stream.Interface
    read: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "start": In(1), "context": In(context_range(spec)),
            "shape": In(AttentionShape(spec.pim)), "progress": In(Progress()),
            "register": Out(stream.Signature(register_request_layout(spec))),
            "register_valid": In(1), "register_data": In(BEAT_WIDTH),
            "score": Out(stream.Signature(score_layout(spec.pim))),
            "read": Out(range(WAVES_MAX + 1)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, out = self._spec, self.register
        m.submodules.cursor = cursor = WaveCursor(spec)
        m.d.comb += [cursor.load.eq(self.start), cursor.context.eq(self.context),
                     self.read.eq(cursor.wave)]
        head, half = Signal(range(spec.pim.group_max)), Signal()
        block = Signal(range(spec.geometry.pim_banks))
        last_beat = half & (block == cursor.last_block)
        last_head = head == self.shape.last_head
        m.d.comb += [
            out.valid.eq(cursor.active & (self.progress.scored > cursor.wave)
                         & (self.progress.weighted == cursor.wave)),
            out.p.register.eq(Register.SCORE),
            out.p.mask.eq((1 << block)[:len(out.p.mask)]),
            out.p.address.eq(head * 2 + half),
        ]
        with m.If(out.valid & out.ready):
            m.d.sync += half.eq(~half)
            with m.If(last_beat):
                m.d.sync += [block.eq(0), head.eq(Mux(last_head, 0, head + 1))]
                m.d.comb += cursor.advance.eq(last_head)
            with m.Elif(half):
                m.d.sync += block.eq(block + 1)

        # What was asked for comes back after the read latency, and cannot be stalled.
        meta = data.StructLayout({
            name: score_layout(spec.pim)[name].shape
            for name in ("head", "count", "last", "last_head")})
        m.submodules.asked = asked = SyncFIFOBuffered(
            width=meta.size, depth=spec.timing.read_latency + 4)
        item, answer = Signal(meta), data.View(meta, asked.r_data)
        tokens = cursor.tokens - BLOCK_TOKENS * block
        per_beat = spec.pim.SCORES_PER_BEAT
        here = Signal.like(tokens - per_beat)
        m.d.comb += [
            here.eq(tokens - Mux(half, per_beat, 0)),
            item.head.eq(head), item.last.eq(last_beat), item.last_head.eq(last_head),
            item.count.eq(Mux(here < 0, 0, Mux(here > per_beat, per_beat, here))[:len(item.count)]),
            asked.w_data.eq(item), asked.w_en.eq(out.valid & out.ready),
            asked.r_en.eq(self.register_valid),
            self.score.valid.eq(self.register_valid & asked.r_rdy),
            self.score.p.data.eq(self.register_data),
            *(self.score.p[name].eq(answer[name]) for name in meta.members),
        ]
        return m


class WeightWriter(wiring.Component):
    """Sends each wave's rescale word and weights to the PIM units, a beat a clock.

    Waits until the wave before has been summed, since weights in use must not change, and until
    all scores of this wave have been read, so that the data bus turns around once.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    start, context : ``In``
    shape : ``In(AttentionShape)``
    progress : ``In(Progress())``
    rescale : ``In(stream.Signature(256))``
        One word a wave.
    weight : ``In(stream.Signature(weight_layout))``
        Head by head, block by block.
    register : ``Out(stream)``
    weighted : ``Out``
        Waves whose weights have all been sent.
    """

    start: Signal
    context: Signal
    shape: data.View
    progress: data.View
    rescale: stream.Interface
    weight: stream.Interface
    register: stream.Interface
    weighted: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "start": In(1), "context": In(context_range(spec)),
            "shape": In(AttentionShape(spec.pim)), "progress": In(Progress()),
            "rescale": In(stream.Signature(BEAT_WIDTH)),
            "weight": In(stream.Signature(weight_layout(spec.pim))),
            "register": Out(stream.Signature(register_request_layout(spec))),
            "weighted": Out(range(WAVES_MAX + 1)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        out, weight = self.register, self.weight
        m.submodules.cursor = cursor = WaveCursor(self._spec)
        rescaled = Signal()
        may = (cursor.active & (self.progress.summed >= cursor.wave)
               & (self.progress.read > cursor.wave))
        last = ((weight.p.head == self.shape.last_head)
                & (weight.p.block == cursor.last_block))
        m.d.comb += [
            cursor.load.eq(self.start), cursor.context.eq(self.context),
            self.weighted.eq(cursor.wave),
            out.p.write.eq(1),
        ]
        with m.If(rescaled):
            m.d.comb += [
                out.valid.eq(may & weight.valid), weight.ready.eq(may & out.ready),
                out.p.register.eq(Register.WEIGHT),
                out.p.mask.eq((1 << weight.p.block)[:len(out.p.mask)]),
                out.p.address.eq(weight.p.head), out.p.data.eq(weight.p.data),
            ]
        with m.Else():
            m.d.comb += [
                out.valid.eq(may & self.rescale.valid), self.rescale.ready.eq(may & out.ready),
                out.p.register.eq(Register.RESCALE),
                out.p.mask.eq(cursor.mask), out.p.data.eq(self.rescale.payload),
            ]
        with m.If(self.start):
            m.d.sync += rescaled.eq(0)
        with m.Elif(out.valid & out.ready):
            m.d.sync += rescaled.eq(~(rescaled & last))
            m.d.comb += cursor.advance.eq(rescaled & last)
        return m


class OutputReader(wiring.Component):
    """Reads the outputs of every bank that took part and hands them to the merge unit as parts.

    One beat a clock and one more a part for its header; head by head, bank by bank. Bank 0 carries
    the sum; a bank that sat out the last wave carries the maximum before it.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    start : ``In(1)``
        All outputs are accumulated and the softmax state is final.
    shape : ``In(AttentionShape)``
    last_bank, final_bank : ``In``
        The last bank that took part in any wave, in the last wave.
    state : ``In`` of ``SoftmaxState`` a head
    register : ``Out(stream)``
    register_valid, register_data : ``In``
    part : ``Out(stream.Signature(part_layout))``
    """

    start: Signal
    shape: data.View
    last_bank: Signal
    final_bank: Signal
    state: data.View
    register: stream.Interface
    register_valid: Signal
    register_data: Signal
    part: stream.Interface

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        banks = range(spec.geometry.pim_banks)
        super().__init__({
            "start": In(1), "shape": In(AttentionShape(spec.pim)),
            "last_bank": In(banks), "final_bank": In(banks),
            "state": In(data.ArrayLayout(SoftmaxState(), spec.pim.group_max)),
            "register": Out(stream.Signature(register_request_layout(spec))),
            "register_valid": In(1), "register_data": In(BEAT_WIDTH),
            "part": Out(stream.Signature(part_layout())),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        out, part = self.register, self.part
        m.submodules.asking = asking = _PartCursor(self._spec)
        m.submodules.giving = giving = _PartCursor(self._spec)
        for cursor in (asking, giving):
            m.d.comb += [cursor.start.eq(self.start), cursor.shape.eq(self.shape),
                         cursor.last_bank.eq(self.last_bank)]

        # A read is asked for only if there is room for what it returns.
        depth = self._spec.timing.read_latency + 6
        m.submodules.beats = beats = SyncFIFOBuffered(width=BEAT_WIDTH, depth=depth)
        room = Signal(range(depth + 1), init=depth)
        asked, taken = out.valid & out.ready, beats.r_rdy & beats.r_en
        m.d.sync += room.eq((room - asked + taken)[:len(room)])
        beats_a_head = (self.shape.last_chunk + 1) * 2
        first = Signal(range(2 * self._spec.pim.group_max * self._spec.pim.chunks_max))
        with m.If(self.start):
            m.d.sync += first.eq(0)
        with m.Elif(asked & asking.last_beat & (asking.bank == self.last_bank)):
            m.d.sync += first.eq((first + beats_a_head)[:len(first)])
        m.d.comb += [
            asking.advance.eq(asked),
            out.valid.eq(asking.active & (room != 0)),
            out.p.register.eq(Register.OUTPUT),
            out.p.mask.eq((1 << asking.bank)[:len(out.p.mask)]),
            out.p.address.eq((first + asking.beat)[:len(out.p.address)]),
            beats.w_data.eq(self.register_data), beats.w_en.eq(self.register_valid),
        ]

        headed = Signal()               # the header of the part being given has been sent
        state = self.state[giving.head]
        header = Signal(PartHeader())
        m.d.comb += [
            header.m.eq(Mux(giving.bank > self.final_bank, state.m_before, state.m)),
            header.l.eq(Mux(giving.bank == 0, state.l, 0)),
            header.first.eq(giving.bank == 0),
            header.last.eq(giving.bank == self.last_bank),
            part.p.header.eq(~headed),
            part.p.data.eq(Mux(headed, beats.r_data, header.as_value())),
            part.valid.eq(giving.active & (~headed | beats.r_rdy)),
            beats.r_en.eq(headed & part.ready),
        ]
        with m.If(part.valid & part.ready):
            m.d.sync += headed.eq(~(headed & giving.last_beat))
            m.d.comb += giving.advance.eq(headed)
        return m


class _PartCursor(wiring.Component):
    """Counts head by head, bank by bank, beat by beat over the outputs of an attention."""

    start: Signal
    advance: Signal
    shape: data.View
    last_bank: Signal
    active: Signal
    last_beat: Signal
    head: Signal
    bank: Signal
    beat: Signal

    def __init__(self, spec: SliceSpec) -> None:
        banks = range(spec.geometry.pim_banks)
        super().__init__({
            "start": In(1), "advance": In(1),
            "shape": In(AttentionShape(spec.pim)), "last_bank": In(banks),
            "active": Out(1), "last_beat": Out(1),
            "head": Out(range(spec.pim.group_max)), "bank": Out(banks),
            "beat": Out(range(2 * spec.pim.chunks_max)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        last_bank = self.bank == self.last_bank
        m.d.comb += self.last_beat.eq(self.beat == self.shape.last_chunk * 2 + 1)
        with m.If(self.start):
            m.d.sync += [self.active.eq(1), self.head.eq(0), self.bank.eq(0), self.beat.eq(0)]
        with m.Elif(self.advance):
            m.d.sync += self.beat.eq(Mux(self.last_beat, 0, self.beat + 1))
            with m.If(self.last_beat):
                m.d.sync += self.bank.eq(Mux(last_bank, 0, self.bank + 1))
                with m.If(last_bank):
                    m.d.sync += [self.head.eq(self.head + 1),
                                 self.active.eq(self.head != self.shape.last_head)]
        return m
