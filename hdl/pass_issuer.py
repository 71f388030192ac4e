"""Turns an attention into row passes: scores of the next wave before outputs of this one."""

from amaranth import Array, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.layouts import AttentionShape, row_pass_layout
from hdl.wave_cursor import WaveCursor, context_range
from model.spec.attention import BLOCK_TOKENS, KvLayout, MacMode
from model.spec.registers import WAVES_MAX
from model.spec.slice import SliceSpec

PASSES_IN_FLIGHT = 8
"""Passes that may be issued and not yet done; the channel holds fewer."""

WAVES_AHEAD = 2
"""Waves whose scores may be made before the outputs of the first of them."""


class Progress(data.StructLayout):
    """How many waves each stage has finished; what the stages wait for."""

    def __init__(self) -> None:
        waves = range(WAVES_MAX + 1)
        super().__init__({
            "scored": waves,        # K passes done: scores lie in the PIM units
            "read": waves,          # scores handed to the softmax unit
            "weighted": waves,      # weights lie in the PIM units
            "summed": waves,        # V passes done: outputs are accumulated
        })


class PassIssuer(wiring.Component):
    """Issues the row passes of an attention, and counts those that are done.

    The order is K0 K1 V0 K2 V1 ... V(n-1): while the outputs of a wave are accumulated, the
    softmax unit has the scores of the next. K(w) waits until the scores of wave w-1 have been read,
    since it overwrites them; V(w) waits for the weights of wave w.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    start, context : ``In``
        Begins an attention.
    shape : ``In(AttentionShape)``
    queries_loaded : ``In(1)``
        The PIM units hold the queries.
    progress : ``In(Progress())``
        ``scored`` and ``summed`` come from here.
    scored, summed : ``Out``
        Waves whose K, whose V passes are done.
    wave : ``Out``, wave_row : ``In``
        Read port of the wave table: the entry one clock after its number.
    row_pass : ``Out(stream)``, pass_done : ``In(1)``
        To the memory channel.
    finished : ``Out(1)``
        Every pass of the attention is done.
    final_block : ``Out``
        The last block of the last wave.
    """

    start: Signal
    context: Signal
    shape: data.View
    queries_loaded: Signal
    progress: data.View
    scored: Signal
    summed: Signal
    wave: Signal
    wave_row: Signal
    row_pass: stream.Interface
    pass_done: Signal
    finished: Signal
    final_block: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "start": In(1), "context": In(context_range(spec)),
            "shape": In(AttentionShape(spec.pim)),
            "queries_loaded": In(1), "progress": In(Progress()),
            "scored": Out(range(WAVES_MAX + 1)), "summed": Out(range(WAVES_MAX + 1)),
            "wave": Out(range(WAVES_MAX)), "wave_row": In(range(spec.geometry.rows)),
            "row_pass": Out(stream.Signature(row_pass_layout(spec))), "pass_done": In(1),
            "finished": Out(1),
            "final_block": Out(range(spec.geometry.pim_banks)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.keys = keys = WaveCursor(self._spec)
        m.submodules.values = values = WaveCursor(self._spec)
        for cursor in (keys, values):
            m.d.comb += [cursor.load.eq(self.start), cursor.context.eq(self.context)]
        mode = Signal(MacMode)
        dot = mode == MacMode.DOT
        m.d.comb += [
            self.wave.eq(Mux(dot, keys.wave, values.wave)[:len(self.wave)]),
            self.row_pass.p.mode.eq(mode),
            self.row_pass.p.mask.eq(Mux(dot, keys.mask, values.mask)),
            self.finished.eq(~values.active & (self.summed == values.wave)),
        ]
        with m.If(values.last):
            m.d.sync += self.final_block.eq(values.last_block)

        begin, issue, last_row = Signal(), Signal(), Signal()
        fire = Signal()
        m.d.comb += fire.eq(self.row_pass.valid & self.row_pass.ready)
        with m.FSM():
            with m.State("CHOOSE"):
                ahead = keys.active & (keys.wave < values.wave + WAVES_AHEAD)
                m.d.sync += mode.eq(Mux(ahead, MacMode.DOT, MacMode.AXPY))
                with m.If(values.active):
                    m.next = "WAIT"
            with m.State("WAIT"):
                may_score = self.queries_loaded & (self.progress.read == keys.wave)
                may_sum = self.progress.weighted > values.wave
                with m.If(Mux(dot, may_score, may_sum)):
                    m.next = "LOOK_UP"
            with m.State("LOOK_UP"):             # the wave table has answered
                m.d.comb += begin.eq(1)
                m.next = "ISSUE"
            with m.State("ISSUE"):
                m.d.comb += issue.eq(1)
                with m.If(fire & last_row):
                    m.d.comb += [keys.advance.eq(dot), values.advance.eq(~dot)]
                    m.next = "CHOOSE"
        self._elaborate_rows(m, dot, begin, fire, last_row)
        self._elaborate_retirement(m, dot, issue, fire, last_row)
        return m

    def _elaborate_rows(self, m: Module, dot: Value, begin: Signal, fire: Signal,
                        last_row: Signal) -> None:
        """Walks the rows of one block's K or V."""
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
                out.row.eq((self.wave_row + Mux(dot, 0, half_rows[self.shape.last_chunk]))[
                    :len(out.row)]),
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
        with m.If(self.start):
            m.d.sync += [self.scored.eq(0), self.summed.eq(0)]
        with m.Elif(self.pass_done & done.last):
            with m.If(done.dot):
                m.d.sync += self.scored.eq(self.scored + 1)
            with m.Else():
                m.d.sync += self.summed.eq(self.summed + 1)
