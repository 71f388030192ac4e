"""Turns waves into row passes: scores of the next wave before outputs of this one."""

from amaranth import Array, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.attention.wave import COUNT_BITS, Progress, lead, wave_layout, wave_mask
from hdl.layouts import AttentionShape, row_pass_layout
from model.spec.attention import BLOCK_TOKENS, KvLayout, MacMode
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
    V(w) waits for the weights of wave w. Neither waits for the other, so queries that come late
    hold up no attention before theirs. All banks take part in V, with weights 0 where there is no
    block, so that the outputs of all refer to the same maximum.

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
            "queries_loaded": In(COUNT_BITS), "progress": In(Progress()),
            "scored": Out(COUNT_BITS), "summed": Out(COUNT_BITS),
            "row_pass": Out(stream.Signature(row_pass_layout(spec))), "pass_done": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        out, mode = self.row_pass.p, Signal(MacMode)
        dot = mode == MacMode.DOT
        k_waves, v_waves, begun = (Signal(COUNT_BITS, name=name)
                                   for name in ("k_waves", "v_waves", "begun"))
        may_score, may_sum = Signal(), Signal()
        m.d.comb += [
            may_score.eq(self.keys.valid & (lead(k_waves, v_waves) < WAVES_AHEAD)
                         & (self.progress.latched != k_waves)
                         & (self.progress.read == k_waves)
                         & (~self.keys.p.first | (self.queries_loaded != begun))),
            may_sum.eq(self.values.valid & (self.progress.weighted != v_waves)),
            out.mode.eq(mode),
            out.mask.eq(Mux(dot, wave_mask(self.keys.p), ~0)),
            out.latch.eq(Mux(dot, k_waves, v_waves)[:len(out.latch)]),
            out.set.eq(Mux(dot, self.keys.p.set, self.values.p.set)),
        ]
        begin, issue, last_row, fire = Signal(), Signal(), Signal(), Signal()
        m.d.comb += fire.eq(self.row_pass.valid & self.row_pass.ready)
        with m.FSM():
            with m.State("CHOOSE"):
                m.d.sync += mode.eq(Mux(may_score, MacMode.DOT, MacMode.AXPY))
                with m.If(may_score | may_sum):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += begin.eq(1)
                m.next = "ISSUE"
            with m.State("ISSUE"):
                m.d.comb += issue.eq(1)
                with m.If(fire & last_row):
                    m.d.comb += [self.keys.ready.eq(dot), self.values.ready.eq(~dot)]
                    with m.If(dot):
                        m.d.sync += [k_waves.eq(k_waves + 1),
                                     begun.eq((begun + self.keys.p.first)[:len(begun)])]
                    with m.Else():
                        m.d.sync += v_waves.eq(v_waves + 1)
                    m.next = "CHOOSE"
        self._elaborate_rows(m, dot, begin, fire, last_row)
        self._elaborate_retirement(m, dot, issue, fire, last_row)
        return m

    def _elaborate_rows(self, m: Module, dot: Value, begin: Signal, fire: Signal,
                        last_row: Signal) -> None:
        """Walks the rows of one block's K or V, counted from the block's first row."""
        pim, columns = self._spec.pim, self._spec.geometry.columns
        chunks = range(1, pim.chunks_max + 1)
        half_rows = Array(KvLayout.rows_for(BLOCK_TOKENS * n, columns) for n in chunks)
        half_columns = Array(BLOCK_TOKENS * n for n in chunks)
        left = Signal(range(BLOCK_TOKENS * pim.chunks_max + 1))      # columns of K or V to go
        out = self.row_pass.p
        m.d.comb += [
            last_row.eq(left <= columns),
            out.last_column.eq((Mux(last_row, left, columns) - 1)[:len(out.last_column)]),
            out.spacing.eq(Mux(self.shape.last_head >= self._spec.mac_spacing,
                               self.shape.last_head + 1, self._spec.mac_spacing)),
        ]
        with m.If(begin):
            m.d.sync += [
                out.row.eq(Mux(dot, 0, half_rows[self.shape.last_chunk])[:len(out.row)]),
                left.eq(half_columns[self.shape.last_chunk]),
                out.start.eq(1),
            ]
        with m.Elif(fire):
            m.d.sync += [out.row.eq(out.row + 1), left.eq((left - columns)[:len(left)]),
                         out.start.eq(0)]

    def _elaborate_retirement(self, m: Module, dot: Value, issue: Signal, fire: Signal,
                              last_row: Signal) -> None:
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
