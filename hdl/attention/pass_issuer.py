"""Turns waves into row passes: scores of the next wave before outputs of this one."""

from typing import Any

from amaranth import Array, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.attention.wave import (
    COUNT_BITS,
    Progress,
    append_layout,
    lead,
    wave_layout,
    wave_mask,
)
from hdl.layouts import AttentionShape, row_pass_layout
from model.spec.attention import BLOCK_TOKENS, REGISTER_SETS, KvLayout, MacMode
from model.spec.mx import StoredFormat
from model.spec.slice import SliceSpec

PASSES_IN_FLIGHT = 8
"""Passes that may be issued and not yet done; the channel holds fewer."""

WAVES_AHEAD = 2
"""Waves whose scores may be made before the outputs of the first of them."""


class PassIssuer(wiring.Component):
    """Issues the row passes of one wave after another, and counts those that are done.

    The order is K0 K1 V0 K2 V1 ..., over the borders of attentions: while the outputs of a wave
    are accumulated, the softmax unit has the scores of the next. K(w) waits for the rows and
    queries of its wave and until the scores of wave w-1 have been read, since it overwrites them;
    V(w) waits for the weights of wave w, and that of a first wave until a register set is free for
    its outputs: those of the attention before the last have been read. Neither waits for the
    other, so queries that come late hold up no attention before theirs. Before K of quantised
    blocks come their scales, those of V among them. All banks take part in V, with weights 0 where
    there is no block, so that the outputs of all refer to the same maximum.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    keys, values : ``In(stream.Signature(wave_layout(spec)))``
        The waves, twice.
    shape : ``In(AttentionShape)``
    queries_loaded : ``In``
        Attentions whose queries the PIM units hold, modulo 16.
    read_out : ``In(1)``
        For one clock: the outputs of an attention have been read.
    progress : ``In(Progress())``
        ``scored`` and ``summed`` come from here.
    scored, summed : ``Out``
        Waves whose K, whose V passes are done, modulo 16.
    row_pass : ``Out(stream)``, pass_done : ``In(1)``
        To the memory channel.
    """

    keys: stream.Interface
    values: stream.Interface
    shape: data.View
    queries_loaded: Signal
    read_out: Signal
    progress: data.View
    scored: Signal
    summed: Signal
    row_pass: stream.Interface
    pass_done: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        wave = stream.Signature(wave_layout(spec))
        super().__init__({
            "keys": In(wave), "values": In(wave),
            "shape": In(AttentionShape(spec.pim)),
            "queries_loaded": In(COUNT_BITS), "read_out": In(1), "progress": In(Progress()),
            "scored": Out(COUNT_BITS), "summed": Out(COUNT_BITS),
            "row_pass": Out(stream.Signature(row_pass_layout(spec))), "pass_done": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        out, mode = self.row_pass.p, Signal(MacMode)
        dot = mode != MacMode.AXPY                       # of K, or the scales before it
        quantised = self.shape.format != StoredFormat.WIDE
        k_waves, v_waves, begun = (Signal(COUNT_BITS, name=name)
                                   for name in ("k_waves", "v_waves", "begun"))
        may_score, may_sum = Signal(), Signal()
        adds, held = Signal(), Signal(range(REGISTER_SETS + 1))     # sets that outputs are in
        m.d.comb += [
            may_score.eq(self.keys.valid & (lead(k_waves, v_waves) < WAVES_AHEAD)
                         & (self.progress.latched != k_waves)
                         & (self.progress.read == k_waves)
                         & (~self.keys.p.first | (self.queries_loaded != begun))),
            may_sum.eq(self.values.valid & (self.progress.weighted != v_waves)
                       & (~self.values.p.first | (held != REGISTER_SETS))),
            out.mode.eq(mode),
            out.mask.eq(Mux(mode == MacMode.DOT, wave_mask(self.keys.p), ~0)),
            out.latch.eq(Mux(dot, k_waves, v_waves)[:len(out.latch)]),
            out.set.eq(Mux(dot, self.keys.p.set, self.values.p.set)),
        ]
        begin, issue, last_row, fire = Signal(), Signal(), Signal(), Signal()
        m.d.comb += fire.eq(self.row_pass.valid & self.row_pass.ready)
        with m.FSM():
            with m.State("CHOOSE"):
                m.d.sync += mode.eq(Mux(~may_score, MacMode.AXPY,
                                        Mux(quantised, MacMode.SCALE, MacMode.DOT)))
                with m.If(may_score | may_sum):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += begin.eq(1)
                m.next = "ISSUE"
            with m.State("ISSUE"):
                m.d.comb += issue.eq(1)
                with m.If(fire & (mode == MacMode.SCALE)):
                    m.d.sync += mode.eq(MacMode.DOT)
                    m.next = "BEGIN"
                with m.Elif(fire & last_row):
                    m.d.comb += [self.keys.ready.eq(dot), self.values.ready.eq(~dot)]
                    with m.If(dot):
                        m.d.sync += [k_waves.eq(k_waves + 1),
                                     begun.eq((begun + self.keys.p.first)[:len(begun)])]
                    with m.Else():
                        m.d.sync += v_waves.eq(v_waves + 1)
                        m.d.comb += adds.eq(self.values.p.first)
                    m.next = "CHOOSE"
        m.d.sync += held.eq((held + adds - self.read_out)[:len(held)])
        self._rows(m, mode, quantised, begin, fire, last_row)
        self._elaborate_retirement(m, dot, issue, fire,
                                   last_row & (mode != MacMode.SCALE))
        return m

    def _rows(self, m: Module, mode: Signal, quantised: Value, begin: Signal, fire: Signal,
              last_row: Signal) -> None:
        """Walks the rows of one block's K, V or scales, counted from the block's first row."""
        pim, columns, out = self._spec.pim, self._spec.geometry.columns, self.row_pass.p
        chunks, last_chunk = range(1, pim.chunks_max + 1), self.shape.last_chunk
        append: Any = Mux(mode == MacMode.DOT, self.keys.p.append.as_value(),
                          self.values.p.append.as_value())
        append = data.View(append_layout(self._spec), append)
        number = Signal.like(out.row)       # of the row in K or in V
        m.d.comb += out.append.eq(append.valid & (mode != MacMode.SCALE)
                                  & (number >= append.first) & (number <= append.last))
        first, count = Signal.like(out.row), Signal(range(BLOCK_TOKENS * pim.chunks_max + 1))
        half_columns, half_rows = Signal.like(count), Signal.like(count)
        m.d.comb += [
            half_columns.eq(Array(BLOCK_TOKENS * n for n in chunks)[last_chunk]),
            half_rows.eq(Array(KvLayout.rows_for(BLOCK_TOKENS * n, columns)
                               for n in chunks)[last_chunk])]
        # Of a column: a unit's heads, one after the other.
        passes: Value = self.shape.last_head[pim.units - 1:] + 1
        if pim.quantised:       # two elements in the place of one; heads fill whole rows
            passes = Mux(quantised, passes << 1, passes)
            with m.If(quantised):
                m.d.comb += [
                    half_columns.eq(Array(BLOCK_TOKENS * n // 2 for n in chunks)[last_chunk]),
                    half_rows.eq(Array(BLOCK_TOKENS * n // (2 * columns)
                                       for n in chunks)[last_chunk])]
        with m.Switch(mode):
            with m.Case(MacMode.DOT):
                m.d.comb += [first.eq(0), count.eq(half_columns)]
            with m.Case(MacMode.AXPY):
                m.d.comb += [first.eq(half_rows[:len(first)]), count.eq(half_columns)]
            with m.Case(MacMode.SCALE):
                m.d.comb += [first.eq((half_rows << 1)[:len(first)]),
                             count.eq((last_chunk + 1) >> 1)]
        left = Signal.like(count)                               # columns to go
        m.d.comb += [
            last_row.eq(left <= columns),
            out.last_column.eq((Mux(last_row, left, columns) - 1)[:len(out.last_column)]),
            out.spacing.eq(Mux((passes > self._spec.mac_spacing) & (mode != MacMode.SCALE), passes,
                               self._spec.mac_spacing)),
        ]
        with m.If(begin):
            m.d.sync += [out.row.eq(first), number.eq(0), left.eq(count), out.start.eq(1)]
        with m.Elif(fire):
            m.d.sync += [out.row.eq(out.row + 1), number.eq(number + 1), out.start.eq(0),
                         left.eq((left - columns)[:len(left)])]

    def _elaborate_retirement(self, m: Module, dot: Value, issue: Signal, fire: Signal,
                              last_row: Value) -> None:
        """Remembers what each pass was until it is done."""
        tag = data.StructLayout({"dot": 1, "last": 1})
        m.submodules.tags = tags = SyncFIFO(width=tag.size, depth=PASSES_IN_FLIGHT)
        issued, done = Signal(tag), data.View(tag, tags.r_data)
        m.d.comb += [
            self.row_pass.valid.eq(issue & tags.w_rdy),
            issued.dot.eq(dot), issued.last.eq(last_row),
            tags.w_data.eq(issued), tags.w_en.eq(fire), tags.r_en.eq(self.pass_done),
        ]
        with m.If(self.pass_done & done.last):
            with m.If(done.dot):
                m.d.sync += self.scored.eq(self.scored + 1)
            with m.Else():
                m.d.sync += self.summed.eq(self.summed + 1)
