"""Scores of one wave: kept until the maximum of their head is known, then replayed."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.floating import Unpacked, infinity
from hdl.layouts import score_layout
from model.spec.attention import BLOCK_TOKENS, PimSpec
from model.spec.formats import FP32

WAVE_BLOCKS = 16
"""Blocks of a wave: one a PIM bank (docs/numerics.md)."""

MINUS_INFINITY = (1 << FP32.width - 1) - 1 - infinity(FP32)
"""Key of minus infinity. As unsigned numbers keys are in the order of the scores; 0 is none."""


def quad_layout(pim: PimSpec) -> data.StructLayout:
    """Four scores of one head, on their way through the softmax lanes."""
    return data.StructLayout({
        "score": data.ArrayLayout(FP32.width, pim.SOFTMAX_LANES),
        "place": place_layout(pim),
    })


def place_layout(pim: PimSpec) -> data.StructLayout:
    """Where four scores or weights belong."""
    return data.StructLayout({
        "mask": pim.SOFTMAX_LANES,               # lanes that hold a valid token
        "head": range(pim.group_max),
        "block": range(WAVE_BLOCKS),
        "quad": range(BLOCK_TOKENS // pim.SOFTMAX_LANES),
        "last": 1,                               # last of this wave and head
        "last_head": 1,                          # of the last head
    })


def maximum_layout(pim: PimSpec) -> data.StructLayout:
    """The largest score of one head in a wave."""
    return data.StructLayout({
        "score": FP32.width,                     # FP32, never NaN
        "head": range(pim.group_max),
        "last_head": 1,
    })


class ScoreMaximum(wiring.Component):
    """Largest score of each head of a wave, ``LATENCY`` clocks after the head's last beat.

    A NaN counts as minus infinity. For a positive scale the largest score has the largest
    exponent, since rounding is monotonic; so one exponent a head is made instead of all.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    en, beat : ``In(1)``, ``In(score_layout(pim))``
        Scores, head by head; at least one of a head is valid.
    valid, o : ``Out(1)``, ``Out(maximum_layout(pim))``
        For one clock: a head has ended.
    nan : ``Out(1)``
        For one clock, one clock after a beat with a valid NaN.
    """

    LATENCY = 2

    en: Signal
    beat: data.View
    valid: Signal
    o: data.View
    nan: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "en": In(1), "beat": In(score_layout(pim)),
            "valid": Out(1), "o": Out(maximum_layout(pim)), "nan": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        keys: list[Value] = []
        nans: list[Value] = []
        for lane in range(self.pim.SCORES_PER_BEAT):
            score = self.beat.data.word_select(lane, FP32.width)
            valid, nan = lane < self.beat.count, Unpacked(FP32, score).nan
            key = Signal(FP32.width, name=f"key_{lane}")
            with m.If(~valid):
                m.d.comb += key.eq(0)
            with m.Elif(nan):
                m.d.comb += key.eq(MINUS_INFINITY)
            with m.Else():
                m.d.comb += key.eq(Cat(score[:-1] ^ score[-1].replicate(FP32.width - 1),
                                       ~score[-1]))
            keys.append(key)
            nans.append(valid & nan)
        while len(keys) > 1:
            keys = [Mux(a > b, a, b) for a, b in zip(keys[::2], keys[1::2], strict=True)]

        ended, beat_key = Signal(), Signal(FP32.width)
        running, largest = Signal(FP32.width), Signal(FP32.width)
        coming = Signal()
        head, last, last_head = Signal(self.beat.head.shape()), Signal(), Signal()
        m.d.comb += [
            largest.eq(Mux(beat_key > running, beat_key, running)),
            ended.eq(coming & last),
        ]
        m.d.sync += [coming.eq(self.en), self.valid.eq(ended),
                     self.nan.eq(self.en & Cat(nans).any())]
        with m.If(self.en):
            m.d.sync += [beat_key.eq(keys[0]), head.eq(self.beat.head),
                         last.eq(self.beat.last), last_head.eq(self.beat.last_head)]
        with m.If(coming):
            m.d.sync += running.eq(Mux(last, 0, largest))
        with m.If(ended):
            m.d.sync += [
                self.o.score.eq(Cat(largest[:-1] ^ (~largest[-1]).replicate(FP32.width - 1),
                                    ~largest[-1])),
                self.o.head.eq(head), self.o.last_head.eq(last_head),
            ]
        return m


class ScoreBuffer(wiring.Component):
    """Keeps the scores of one wave and replays each head in quads, four clocks a block.

    A head is replayed when its maximum is ``known``; a quad leaves every clock as long as the
    next block has ``room``, from the second clock after that on.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    i : ``In(stream.Signature(score_layout(pim)))``
        Scores; not ready from the last beat of a wave until ``release``.
    known : ``In(group_max)``
        Heads whose maximum is known.
    room, reserve : ``In(1)``, ``Out(1)``
        A block may start; it starts.
    drained : ``Out(1)``
        For one clock: the last block of the wave has been read.
    release : ``In(1)``
        The wave is done with.
    valid, o : ``Out(1)``, ``Out(quad_layout(pim))``
        Four scores.
    """

    i: stream.Interface
    known: Signal
    room: Signal
    reserve: Signal
    drained: Signal
    release: Signal
    valid: Signal
    o: data.View

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "i": In(stream.Signature(score_layout(pim))),
            "known": In(pim.group_max), "room": In(1), "reserve": Out(1), "drained": Out(1),
            "release": In(1), "valid": Out(1), "o": Out(quad_layout(pim)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beats = BLOCK_TOKENS // self.pim.SCORES_PER_BEAT * WAVE_BLOCKS
        layout = score_layout(self.pim)
        m.submodules.memory = memory = Memory(
            shape=layout, depth=beats * self.pim.group_max, init=[])
        write, read = memory.write_port(), memory.read_port()

        full = Signal()
        position = Signal(range(beats))
        taken = self.i.valid & self.i.ready
        m.d.comb += [
            self.i.ready.eq(~full), write.en.eq(taken), write.data.eq(self.i.payload),
            write.addr.eq(Cat(position, self.i.payload.head)),
        ]
        with m.If(taken):
            m.d.sync += position.eq(Mux(self.i.payload.last, 0, position + 1))
            with m.If(self.i.payload.last & self.i.payload.last_head):
                m.d.sync += full.eq(1)
        with m.If(self.release):
            m.d.sync += full.eq(0)

        # A beat is read every other clock and yields two quads.
        phase, phase_before = Signal(2), Signal(2)
        block, head = Signal(range(WAVE_BLOCKS)), Signal(range(self.pim.group_max))
        start = (phase == 0) & self.known.bit_select(head, 1) & self.room
        going = start | phase.any()
        ends = (phase == 3) & read.data.last
        m.d.comb += [
            self.reserve.eq(start),
            read.en.eq(going & ~phase[0]), read.addr.eq(Cat(phase[1], block, head)),
            self.drained.eq(ends & read.data.last_head),
        ]
        m.d.sync += self.valid.eq(going)
        with m.If(going):
            m.d.sync += [phase.eq(phase + 1), phase_before.eq(phase)]
        with m.If(phase == 3):
            m.d.sync += block.eq(Mux(ends, 0, block + 1))
        with m.If(ends):
            m.d.sync += head.eq(Mux(read.data.last_head, 0, head + 1))
        self._quad(m, read.data, phase_before, block)
        return m

    def _quad(self, m: Module, beat: data.View, quad: Signal,
              block: Signal) -> None:
        lanes = self.pim.SOFTMAX_LANES
        place = self.o.place
        last_quad = quad == BLOCK_TOKENS // lanes - 1
        own_block = Signal.like(block)
        with m.If(self.reserve):
            m.d.sync += own_block.eq(block)
        m.d.comb += [
            self.o.score.as_value().eq(beat.data.word_select(quad[0], lanes * FP32.width)),
            place.head.eq(beat.head), place.block.eq(own_block), place.quad.eq(quad),
            place.last.eq(beat.last & last_quad), place.last_head.eq(beat.last_head),
            place.mask.eq(Cat(quad[0] * lanes + lane < beat.count
                              for lane in range(lanes))),
        ]
