"""The PIM unit of one bank: 16 lanes that consume the columns of an open row as they are read.

A *pass* is one column with one query head. Its way, in clocks from the column's arrival at head 0::

    0     1         2                  4   6   8   10                 12
    fetch operands  products | level 0   1   2   3   score accumulator  SCORE      (dot)
                    products + OUTPUT    OUTPUT                                    (axpy)

A quantised column is a block of two chunks: all heads pass over the first, then all over the
second. In dot mode their sums are added, the scale is applied to that, and what follows comes two
clocks later; in axpy mode it is applied to the weight.
"""

from dataclasses import dataclass
from typing import Any

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH, AttentionShape, PimColumnSignature
from hdl.pim.mac_array import AdderArray, LaneArray
from hdl.pim.quantised import SCALE_WIDTH, BlockSums, ColumnDecoder, ScaleFile
from hdl.pim.register_files import OperandFile, OutputFile, ScoreFile
from model.spec.attention import BLOCK_TOKENS, REGISTER_SETS, MacMode, PimSpec, Register
from model.spec.formats import FP32
from model.spec.mx import StoredFormat

MINUS_ZERO = 1 << FP32.width - 1
"""The number that added to any other, either zero included, changes nothing."""


class PassLayout(data.StructLayout):
    """What one pass is about; travels with it down the pipeline."""

    def __init__(self, pim: PimSpec) -> None:
        super().__init__({
            "mode": MacMode,
            "head": range(pim.group_max),
            "token": range(BLOCK_TOKENS),
            "address": range(pim.group_max * pim.chunks_max),   # head * chunks + chunk
            "set": range(REGISTER_SETS),                        # of QUERY and OUTPUT
            "first": 1, "last": 1,                              # chunk of the token
            **({"half": 1, "scale": SCALE_WIDTH} if pim.quantised else {}),
        })


@dataclass(frozen=True)
class Stage:
    """A pass at one clock of the pipeline. ``about`` keeps its value while ``valid`` is low."""

    valid: Value
    about: Any

    @property
    def dot(self) -> Value:
        """A valid pass of scores."""
        return self.valid & (self.about.mode == MacMode.DOT)

    @property
    def axpy(self) -> Value:
        """A valid pass of outputs."""
        return self.valid & (self.about.mode == MacMode.AXPY)


def delayed(m: Module, stage: Stage, clocks: int) -> list[Stage]:
    """The stage and its copies 1, 2, ... ``clocks`` later."""
    stages = [stage]
    for n in range(1, clocks + 1):
        valid = Signal(name=f"valid_{n}")
        about = Signal(stage.about.shape(), name=f"pass_{n}")
        m.d.sync += valid.eq(stages[-1].valid)
        with m.If(stages[-1].valid):
            m.d.sync += about.eq(stages[-1].about)
        stages.append(Stage(valid, about))
    return stages


class HeadSequencer(wiring.Component):
    """Turns a column into passes for heads 0..last_head, the first in the same clock.

    A quantised column is two chunks, and has twice as many passes. A column of scales has none.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    shape : ``In(AttentionShape)``
    column_valid, mode, start, set, slot : ``In``
        As in :class:`hdl.layouts.PimColumnSignature`.
    scale_index : ``Out``, scale : ``In(8)``
        Which scale of the slot the column has; combinational.
    valid, o : ``Out(1)``, ``Out(PassLayout)``
        A pass.
    early : ``Out(1)``
        A column came while passes of the one before are pending, or in the clock after it.
    """

    shape: data.View
    column_valid: Signal
    mode: Signal
    start: Signal
    set: Signal
    scale_index: Signal
    scale: Signal
    valid: Signal
    o: data.View
    early: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "shape": In(AttentionShape(pim)),
            "column_valid": In(1), "mode": In(MacMode), "start": In(1),
            "set": In(range(REGISTER_SETS)),
            "scale_index": Out(range(pim.head_size_max)), "scale": In(SCALE_WIDTH),
            "valid": Out(1), "o": Out(PassLayout(pim)), "early": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        o, shape = self.o, self.shape
        column = Signal()
        m.d.comb += column.eq(self.column_valid & (self.mode != MacMode.SCALE))
        chunk, token = Signal(range(self.pim.chunks_max)), Signal(range(BLOCK_TOKENS))
        this = (Mux(self.start, 0, chunk), Mux(self.start, 0, token))
        after = self._step(*this)
        pending, recent, following = Signal(), Signal(), Signal(PassLayout(self.pim))
        m.d.comb += [self.valid.eq(column | pending), o.eq(following)]
        with m.If(column):
            m.d.comb += [o.mode.eq(self.mode), o.set.eq(self.set), o.head.eq(0),
                         *self._chunk(*this)]
            m.d.sync += [chunk.eq(after[0]), token.eq(after[1])]
        m.d.sync += recent.eq(column)
        m.d.comb += self.early.eq(column & (pending | recent))

        ends = o.head == shape.last_head
        with m.If(self.valid):
            m.d.sync += [
                pending.eq(~ends),
                following.eq(o),
                following.head.eq(o.head + 1),
                following.address.eq((o.address + shape.last_chunk + 1)[:len(following.address)]),
            ]
        if self.pim.quantised:
            self._second_chunk(m, column, after, (chunk, token), ends, pending, following)
        return m

    def _step(self, chunk: Value, token: Value) -> tuple[Value, Value]:
        """The chunk after one, and its token."""
        ends_token = chunk == self.shape.last_chunk
        return (Mux(ends_token, 0, chunk + 1)[:(self.pim.chunks_max - 1).bit_length()],
                (token + ends_token)[:(BLOCK_TOKENS - 1).bit_length()])

    def _chunk(self, chunk: Value, token: Value) -> list[Any]:
        """What a pass needs to know of its chunk."""
        o = self.o
        return [o.token.eq(token), o.address.eq(chunk), o.first.eq(chunk == 0),
                o.last.eq(chunk == self.shape.last_chunk)]

    def _second_chunk(self, m: Module, column: Signal, after: tuple[Value, Value],
                      now: tuple[Signal, Signal], ends: Value, pending: Signal,
                      following: data.View) -> None:
        """After the last head of a quantised column's first chunk comes head 0 of its second."""
        o, quantised = self.o, self.shape.format != StoredFormat.WIDE
        chunk, token = (Signal.like(signal, name=f"second_{signal.name}") for signal in now)
        second = tuple(Mux(column, new, old)
                       for new, old in zip(after, (chunk, token), strict=True))
        beyond = self._step(*after)
        index = Signal.like(self.scale_index)
        m.d.comb += self.scale_index.eq(
            Mux(~self.start, index, Mux(self.mode == MacMode.AXPY,
                                        (self.shape.last_chunk + 1) << 3, 0))[:len(index)])
        with m.If(column):
            m.d.comb += [o.half.eq(0), o.scale.eq(self.scale)]
            m.d.sync += [index.eq(self.scale_index + 1), chunk.eq(after[0]), token.eq(after[1])]
            with m.If(quantised):
                m.d.sync += [now[0].eq(beyond[0]), now[1].eq(beyond[1])]
        with m.If(self.valid & ends & quantised & ~o.half):
            m.d.sync += [
                pending.eq(1), following.half.eq(1), following.head.eq(0),
                following.token.eq(second[1]), following.address.eq(second[0]),
                following.first.eq(second[0] == 1),         # of the token's blocks
                following.last.eq(second[0] == self.shape.last_chunk),
            ]


class PimBank(wiring.Component):
    """The PIM unit of a bank: dot and axpy passes over columns, one pass a clock.

    A column is processed for heads 0..last_head in that many clocks, a quantised one in twice as
    many; it may come that often, but not more often than every second. The results of a block are
    readable ``PimSpec.drain_clocks`` clocks after its last column. Chunk and token are counted
    from the column with ``start``, over gaps and row changes of any length. Columns of one mode
    must wait until the passes of the other have drained. A set of OUTPUT cannot be read while axpy
    passes of it are in flight; the other one can. Arithmetic as in docs/numerics.md, points 1, 2,
    7 and 8.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    bank : ``In(PimColumnSignature)``
        ``hazard`` comes one clock after its cause: a column too early for the one before or for
        the other mode, or a write of an operand that passes under way are about to use. Writes of
        SCORE and OUTPUT are ignored, the other registers read as 0.
    shape : ``In(AttentionShape)``
        Constant from the first column of an attention until it has drained.
    """

    bank: Any
    shape: data.View

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        super().__init__({
            "bank": In(PimColumnSignature(pim)),
            "shape": In(AttentionShape(pim)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pim, bank = self.pim, self.bank
        m.submodules.sequencer = sequencer = HeadSequencer(pim)
        m.submodules.operands = operands = OperandFile(pim)
        m.submodules.lanes = lanes = LaneArray(pim)
        m.submodules.adders = adders = AdderArray(pim)
        m.submodules.scores = scores = ScoreFile(pim)
        m.submodules.outputs = outputs = OutputFile(pim)

        m.d.comb += [
            sequencer.shape.eq(self.shape),
            sequencer.column_valid.eq(bank.column_valid),
            sequencer.mode.eq(bank.mode),
            sequencer.start.eq(bank.start),
            sequencer.set.eq(bank.set),
        ]
        fetched = 1                                          # clocks from the column, head 0
        multiplied = fetched + pim.MULTIPLIER_LATENCY
        summed = multiplied + pim.ADDER_LATENCY              # axpy
        treed = multiplied + adders.levels * pim.ADDER_LATENCY
        scored = treed + pim.ADDER_LATENCY
        blocked = scored + pim.ADDER_LATENCY                 # scores of quantised columns
        at = delayed(m, Stage(sequencer.valid, sequencer.o),
                     blocked if pim.quantised else scored)

        adding, added = at[treed], at[scored]
        if pim.quantised:
            adding, added = (self._either(m, wide, late, name) for wide, late, name in (
                (adding, at[scored], "adding"), (added, at[blocked], "added")))

        column = Signal(BEAT_WIDTH)
        with m.If(bank.column_valid & (bank.mode != MacMode.SCALE)):
            m.d.sync += column.eq(bank.column_data)
        m.d.comb += [
            operands.write_valid.eq(bank.write_valid),
            operands.write_register.eq(bank.write_register),
            operands.write_address.eq(bank.write_address),
            operands.write_data.eq(bank.write_data),
            operands.query_en.eq(at[0].dot),
            operands.query_set.eq(at[0].about.set),
            operands.query_address.eq(at[0].about.address),
            operands.weight_en.eq(at[0].axpy),
            operands.weight_head.eq(at[0].about.head),
            operands.rescale_head.eq(at[multiplied].about.head),

            lanes.en.eq(at[fetched].valid),
            lanes.mode.eq(at[fetched].about.mode),
            lanes.token.eq(at[fetched].about.token),
            lanes.column.as_value().eq(column),
            lanes.query.eq(operands.query),
            lanes.weight.eq(operands.weight),

            adders.mode.eq(at[multiplied].about.mode),
            adders.en.levels.eq(Cat(
                at[multiplied + n * pim.ADDER_LATENCY].dot for n in range(adders.levels))),
            adders.en.score.eq(adding.dot),
            adders.en.lanes.eq(at[multiplied].axpy),
            adders.products.eq(lanes.products),
            adders.accumulators.eq(outputs.accumulators),
        ]
        self._keep_results(m, scores, outputs, adders, operands.rescale,
                           fetched=at[fetched], multiplied=at[multiplied], summed=at[summed],
                           treed=adding, scored=added)
        if pim.quantised:
            self._quantised(m, sequencer, lanes, column, at[fetched])
            self._block_sums(m, adders, at[treed], at[scored])
        self._read(m, scores, outputs)
        self._watch(m, sequencer.early, at, multiplied)
        return m

    def _either(self, m: Module, wide: Stage, late: Stage, name: str) -> Stage:
        """The stage of 16-bit columns, or that of the second chunk of quantised ones."""
        valid, about = Signal(name=f"{name}_valid"), Signal(wide.about.shape(), name=name)
        with m.If(self.shape.format == StoredFormat.WIDE):
            m.d.comb += [valid.eq(wide.valid), about.eq(wide.about)]
        with m.Else():
            m.d.comb += [valid.eq(late.valid & late.about.half), about.eq(late.about)]
        return Stage(valid, about)

    def _block_sums(self, m: Module, adders: AdderArray, treed: Stage, scored: Stage) -> None:
        """From the sums of a quantised block's chunks to what its score accumulates."""
        m.submodules.blocks = blocks = BlockSums(self.pim)
        m.d.comb += [
            blocks.first_en.eq(treed.dot & ~treed.about.half),
            blocks.second_en.eq(treed.dot & treed.about.half),
            blocks.head.eq(treed.about.head), blocks.tree.eq(adders.tree),
            blocks.scale.eq(scored.about.scale),
            adders.block_en.eq(self.shape.format != StoredFormat.WIDE), adders.block.eq(blocks.o),
        ]

    def _quantised(self, m: Module, sequencer: HeadSequencer, lanes: LaneArray, column: Signal,
                   fetched: Stage) -> None:
        """Scales are kept when they come, and go along with the passes of their columns."""
        bank, wide = self.bank, self.shape.format == StoredFormat.WIDE
        m.submodules.scales = scales = ScaleFile(self.pim)
        m.submodules.decoder = decoder = ColumnDecoder(self.pim)
        m.d.comb += [
            scales.write_en.eq(bank.column_valid & (bank.mode == MacMode.SCALE)),
            scales.write_slot.eq(bank.slot), scales.start.eq(bank.start),
            scales.column.eq(bank.column_data),
            scales.slot.eq(bank.slot), scales.index.eq(sequencer.scale_index),
            sequencer.scale.eq(scales.scale),
            decoder.column.eq(column), decoder.half.eq(fetched.about.half),
            decoder.format.eq(self.shape.format),
            lanes.scale_en.eq(~wide), lanes.scale.eq(fetched.about.scale),
        ]
        with m.If(~wide):
            m.d.comb += lanes.column.eq(decoder.o)

    def _keep_results(self, m: Module, scores: ScoreFile, outputs: OutputFile, adders: AdderArray,
                      shift: Signal, *, fetched: Stage, multiplied: Stage, summed: Stage,
                      treed: Stage, scored: Stage) -> None:
        """Closes both accumulation loops."""
        # Chunks of one head may follow each other at the adder's latency, before the sum is stored.
        just_summed = scored.dot & (scored.about.head == treed.about.head)
        m.d.comb += [
            scores.head.eq(treed.about.head),
            adders.partial.eq(Mux(treed.about.first, MINUS_ZERO,
                                  Mux(just_summed, adders.score, scores.partial))),
            scores.en.eq(scored.dot),
            scores.write_head.eq(scored.about.head),
            scores.token.eq(scored.about.token),
            scores.last.eq(scored.about.last),
            scores.sum.eq(adders.score),

            outputs.en.eq(fetched.axpy),
            outputs.set.eq(fetched.about.set),
            outputs.address.eq(fetched.about.address),
            outputs.shift.eq(Mux(multiplied.about.token == 0, shift, C(0, len(shift)))),
            outputs.write_en.eq(summed.axpy),
            outputs.write_set.eq(summed.about.set),
            outputs.write_address.eq(summed.about.address),
            outputs.sums.eq(adders.sums),
        ]

    def _read(self, m: Module, scores: ScoreFile, outputs: OutputFile) -> None:
        """Register reads."""
        bank = self.bank
        selected = Signal(Register)
        m.d.sync += selected.eq(bank.read_register)
        m.d.comb += [
            scores.read_en.eq(bank.read_register == Register.SCORE),
            scores.read_address.eq(bank.read_address),
            outputs.read_en.eq(bank.read_register == Register.OUTPUT),
            outputs.read_address.eq(bank.read_address),
        ]
        with m.Switch(selected):
            with m.Case(Register.SCORE):
                m.d.comb += bank.read_data.eq(scores.read_data)
            with m.Case(Register.OUTPUT):
                m.d.comb += bank.read_data.eq(outputs.read_data)
            with m.Default():
                m.d.comb += bank.read_data.eq(0)

    def _watch(self, m: Module, early: Signal, at: list[Stage], multiplied: int) -> None:
        """Finds uses that break the contract."""
        bank = self.bank
        other_mode = (bank.mode != MacMode.SCALE) & Cat(
            stage.valid & (stage.about.mode != bank.mode) for stage in at[1:]).any()
        axpy = Cat(stage.axpy for stage in at[:multiplied + 1]).any()
        overwritten = Signal()
        dots_of_set = Cat(stage.dot & (stage.about.set == bank.write_address[-1])
                          for stage in at[:multiplied + 1]).any()
        with m.Switch(bank.write_register):
            with m.Case(Register.QUERY):
                m.d.comb += overwritten.eq(dots_of_set)
            with m.Case(Register.WEIGHT, Register.RESCALE):
                m.d.comb += overwritten.eq(axpy)
            with m.Default():
                m.d.comb += overwritten.eq(0)
        m.d.sync += bank.hazard.eq(early | (bank.column_valid & other_mode)
                                   | (bank.write_valid & overwritten))
