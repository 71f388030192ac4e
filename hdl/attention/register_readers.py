"""What the attention sequencer reads from the registers of the PIM units, one role a component."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.attention.register_writers import register_address
from hdl.attention.wave import (
    COUNT_BITS,
    BankWalk,
    Progress,
    passed,
    wave_layout,
    wave_mask,
)
from hdl.layouts import (
    BEAT_WIDTH,
    AttentionShape,
    PartHeader,
    SoftmaxState,
    part_layout,
    register_request_layout,
    score_layout,
)
from model.spec.attention import REGISTER_SETS, PimSpec, Register
from model.spec.slice import SliceSpec


def softmax_states(pim: PimSpec) -> data.ArrayLayout:
    """The state of every head, once for each register set."""
    return data.ArrayLayout(data.ArrayLayout(SoftmaxState(), pim.group_max), REGISTER_SETS)


class ScoreReader(wiring.Component):
    """Reads the scores of a wave out of the PIM units and hands them to the softmax unit.

    One beat a clock, head by head, block by block. A wave is read when its K passes are done and
    the weights of the wave before have been sent, so the softmax unit has room for all of it.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    wave : ``In(stream.Signature(wave_layout(spec)))``
    shape : ``In(AttentionShape)``
    progress : ``In(Progress())``
    register : ``Out(stream)``
    register_valid, register_data : ``In``
        What the reads return.
    score : ``Out(stream.Signature(score_layout))``
    read : ``Out``
        Waves whose reads have all been accepted, modulo 16.
    """

    wave: stream.Interface
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
            "wave": In(stream.Signature(wave_layout(spec))),
            "shape": In(AttentionShape(spec.pim)), "progress": In(Progress()),
            "register": Out(stream.Signature(register_request_layout(spec))),
            "register_valid": In(1), "register_data": In(BEAT_WIDTH),
            "score": Out(stream.Signature(score_layout(spec.pim))),
            "read": Out(COUNT_BITS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, out, wave = self._spec, self.register, self.wave.p
        m.submodules.walk = walk = BankWalk(spec.geometry.pim_banks)
        head, half = Signal(range(spec.pim.group_max)), Signal()
        last_beat, last_head, sent = Signal(), Signal(), Signal()
        m.d.comb += [
            walk.mask.eq(wave_mask(wave)),
            last_beat.eq(half & walk.last), last_head.eq(head == self.shape.last_head),
            out.valid.eq(self.wave.valid & (self.progress.scored != self.read)
                         & (self.progress.weighted == self.read)),
            out.p.register.eq(Register.SCORE), out.p.mask.eq(walk.one_hot),
            out.p.address.eq(head * 2 + half),
            sent.eq(out.valid & out.ready), walk.advance.eq(sent & half),
            self.wave.ready.eq(sent & last_beat & last_head),
        ]
        with m.If(sent):
            m.d.sync += half.eq(~half)
        with m.If(sent & last_beat):
            m.d.sync += head.eq(Mux(last_head, 0, head + 1))
        with m.If(self.wave.ready):
            m.d.sync += self.read.eq(self.read + 1)
        self._answers(m, walk, head, half, last_beat, last_head, sent)
        return m

    def _answers(self, m: Module, walk: BankWalk, head: Signal, half: Signal, last_beat: Signal,
                 last_head: Signal, sent: Signal) -> None:
        """What was asked for comes back after the read latency, and cannot be stalled."""
        spec, wave = self._spec, self.wave.p
        meta = data.StructLayout({
            name: score_layout(spec.pim)[name].shape
            for name in ("head", "count", "last", "last_head", "first_wave", "set")})
        m.submodules.asked = asked = SyncFIFOBuffered(
            width=meta.size, depth=spec.timing.read_latency + 4)
        item, answer = Signal(meta), data.View(meta, asked.r_data)
        per_beat = spec.pim.SCORES_PER_BEAT
        tokens = Signal.like(wave.tokens[0])
        here = tokens - Mux(half, per_beat, 0)
        m.d.comb += [
            tokens.eq(wave.tokens[walk.bank]),
            item.head.eq(head), item.last.eq(last_beat), item.last_head.eq(last_head),
            item.first_wave.eq(wave.first), item.set.eq(wave.set),
            item.count.eq(Mux(here < 0, 0, Mux(here > per_beat, per_beat, here))[:len(item.count)]),
            asked.w_data.eq(item), asked.w_en.eq(sent),
            asked.r_en.eq(self.register_valid),
            self.score.valid.eq(self.register_valid & asked.r_rdy),
            self.score.p.data.eq(self.register_data),
            *(self.score.p[name].eq(answer[name]) for name in meta.members),
        ]


class OutputReader(wiring.Component):
    """Reads the outputs of every bank that had a block and hands them to the merge unit as parts.

    One beat a clock and one more a part for its header; head by head, bank by bank. The first bank
    carries the sum. Others go on meanwhile: the next attention in the other register set, and the
    one after it up to its weights, since the softmax state is copied when the reading begins.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    wave : ``In(stream.Signature(wave_layout(spec)))``
        All waves of an attention are collected; its last one starts the reading.
    shape : ``In(AttentionShape)``
    progress : ``In(Progress())``
    state : ``In(softmax_states(pim))``
    register : ``Out(stream)``
    register_valid, register_data : ``In``
    part : ``Out(stream.Signature(part_layout()))``
    begun : ``Out(1)``
        For one clock: the queries and the softmax state of an attention are no longer needed.
    read_out : ``Out(1)``
        For one clock: the outputs of an attention have been read.
    """

    wave: stream.Interface
    shape: data.View
    progress: data.View
    state: data.View
    register: stream.Interface
    register_valid: Signal
    register_data: Signal
    part: stream.Interface
    begun: Signal
    read_out: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "wave": In(stream.Signature(wave_layout(spec))),
            "shape": In(AttentionShape(spec.pim)), "progress": In(Progress()),
            "state": In(softmax_states(spec.pim)),
            "register": Out(stream.Signature(register_request_layout(spec))),
            "register_valid": In(1), "register_data": In(BEAT_WIDTH),
            "part": Out(stream.Signature(part_layout())),
            "begun": Out(1), "read_out": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, wave = self._spec, self.wave.p
        m.submodules.asking = asking = _PartWalk(spec)
        m.submodules.giving = giving = _PartWalk(spec)
        banks = Signal(spec.geometry.pim_banks)      # that had a block in the waves before
        number, active, start, reg_set = Signal(COUNT_BITS), Signal(), Signal(), Signal()
        kept: Any = Signal(self.state[0].shape())
        for walk in (asking, giving):
            m.d.comb += [walk.start.eq(start), walk.shape.eq(self.shape)]
            with m.If(start):
                m.d.sync += walk.banks.eq(banks | wave_mask(wave))
        m.d.comb += [
            start.eq(self.wave.valid & wave.last & ~active
                     & passed(self.progress.summed, number)
                     & passed(self.progress.settled, number)),
            self.wave.ready.eq(start | (self.wave.valid & ~wave.last)), self.begun.eq(start),
        ]
        with m.If(self.wave.ready):
            m.d.sync += [number.eq(number + 1),
                         banks.eq(Mux(wave.last, 0, banks | wave_mask(wave)))]
        with m.If(start):
            m.d.sync += [active.eq(1), reg_set.eq(wave.set), kept.eq(self.state[wave.set])]
        with m.If(self.read_out):
            m.d.sync += active.eq(0)
        beats = self._ask(m, asking, reg_set)
        self._give(m, giving, kept, beats)
        return m

    def _ask(self, m: Module, asking: "_PartWalk", reg_set: Signal) -> SyncFIFOBuffered:
        """A read is asked for only if there is room for what it returns."""
        out, pim = self.register, self._spec.pim
        depth = self._spec.timing.read_latency + 6
        m.submodules.beats = beats = SyncFIFOBuffered(width=BEAT_WIDTH, depth=depth)
        room = Signal(range(depth + 1), init=depth)
        asked, taken = out.valid & out.ready, beats.r_rdy & beats.r_en
        m.d.sync += room.eq((room - asked + taken)[:len(room)])
        address, first = (Signal(range(2 * pim.group_max * pim.chunks_max), name=name)
                          for name in ("address", "first"))
        with m.If(asking.start):
            m.d.sync += first.eq(0)
        with m.Elif(asked & asking.last_beat & asking.last_bank):
            m.d.sync += first.eq((first + (self.shape.last_chunk + 1) * 2)[:len(first)])
        m.d.comb += [
            asking.advance.eq(asked),
            address.eq((first + asking.beat)[:len(address)]),
            out.valid.eq(asking.active & (room != 0)),
            out.p.register.eq(Register.OUTPUT), out.p.mask.eq(asking.one_hot),
            out.p.address.eq(register_address(pim.register_address_width, address, reg_set)),
            beats.w_data.eq(self.register_data), beats.w_en.eq(self.register_valid),
        ]
        return beats

    def _give(self, m: Module, giving: "_PartWalk", kept: data.View,
              beats: SyncFIFOBuffered) -> None:
        part = self.part
        headed = Signal()               # the header of the part being given has been sent
        header = Signal(PartHeader())
        state = Signal(SoftmaxState())
        m.d.comb += [
            state.eq(kept[giving.head]),
            header.m.eq(state.m),
            header.l.eq(Mux(giving.first_bank, state.l, 0)),
            header.first.eq(giving.first_bank), header.last.eq(giving.last_bank),
            part.p.header.eq(~headed),
            part.p.data.eq(Mux(headed, beats.r_data, header.as_value())),
            part.valid.eq(giving.active & (~headed | beats.r_rdy)),
            beats.r_en.eq(headed & part.ready),
        ]
        with m.If(part.valid & part.ready):
            m.d.sync += headed.eq(~(headed & giving.last_beat))
            m.d.comb += [giving.advance.eq(headed), self.read_out.eq(headed & giving.ends)]


class _PartWalk(wiring.Component):
    """Counts head by head, bank by bank, beat by beat over the outputs of an attention."""

    start: Signal
    advance: Signal
    shape: data.View
    banks: Signal
    active: Signal
    first_bank: Signal
    last_bank: Signal
    last_beat: Signal
    ends: Signal
    head: Signal
    one_hot: Signal
    beat: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._banks = spec.geometry.pim_banks
        super().__init__({
            "start": In(1), "advance": In(1),
            "shape": In(AttentionShape(spec.pim)), "banks": In(self._banks),
            "active": Out(1), "first_bank": Out(1), "last_bank": Out(1), "last_beat": Out(1),
            "ends": Out(1),
            "head": Out(range(spec.pim.group_max)), "one_hot": Out(self._banks),
            "beat": Out(range(2 * spec.pim.chunks_max)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = BankWalk(self._banks)
        next_bank = self.advance & self.last_beat
        m.d.comb += [
            walk.mask.eq(self.banks), walk.advance.eq(next_bank),
            self.one_hot.eq(walk.one_hot), self.last_bank.eq(walk.last),
            self.last_beat.eq(self.beat == self.shape.last_chunk * 2 + 1),
            self.ends.eq(self.last_beat & walk.last & (self.head == self.shape.last_head)),
        ]
        with m.If(self.start):
            m.d.sync += [self.active.eq(1), self.head.eq(0), self.beat.eq(0),
                         self.first_bank.eq(1)]
        with m.Elif(self.advance):
            m.d.sync += self.beat.eq(Mux(self.last_beat, 0, self.beat + 1))
            with m.If(self.last_beat):
                m.d.sync += self.first_bank.eq(walk.last)
                with m.If(walk.last):
                    m.d.sync += [self.head.eq(self.head + 1), self.active.eq(~self.ends)]
        return m
