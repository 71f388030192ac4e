"""Runs attentions on the PIM units of a pseudo-channel, one after another without a pause."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.pass_issuer import PassIssuer
from hdl.attention.register_arbiter import RegisterArbiter
from hdl.attention.register_readers import OutputReader, ScoreReader, softmax_states
from hdl.attention.register_writers import QueryLoader, RowWriter, WeightWriter
from hdl.attention.token_writer import TokenWriter, token_layout
from hdl.attention.wave import COUNT_BITS, WaveFork, wave_layout
from hdl.attention.wave_source import AttentionRequest, WaveSource
from hdl.layouts import (
    BEAT_WIDTH,
    AttentionShape,
    PimPortSignature,
    part_layout,
    score_layout,
    weight_layout,
)
from model.spec.formats import FP32
from model.spec.registers import WAVES_MAX
from model.spec.slice import SliceSpec

ROLES = ("rows", "keys", "values", "scores", "weights", "outputs")
"""Who needs every wave."""

REGISTER_ROLES = ("tokens", "rows", "scores", "weights", "queries", "outputs")
"""Who uses the registers of the PIM units; whom row passes wait for goes first."""


class AttentionSequencer(wiring.Component):
    """Carries out attentions: queries, row passes, scores to softmax, weights back, parts out.

    The stages overlap, within an attention and from one to the next of the same shape: while the
    outputs of a wave are accumulated, the softmax unit works on the scores of the next, the
    queries of the next attention are loaded and the outputs of the one before are read out.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    start, request : ``In``
        Asks for an attention; several may wait (:class:`~hdl.attention.wave_source.WaveSource`).
    order, waves : ``In(stream.Signature(AttentionRequest()))``, ``In(stream)``
        Attentions whose waves come by themselves (:class:`~hdl.attention.wave_source.WaveSource`).
    token : ``In(stream.Signature(token_layout(spec)))``
        New tokens, for those waves that append (:class:`~hdl.attention.token_writer.TokenWriter`).
    busy : ``Out(1)``
        From the clock after ``start`` to the last beat of the last result.
    refused : ``Out(1)``
        For one clock: a request cannot be carried out.
    shape, partial, scale : ``Out``
        Of the attentions under way: shape, whether results are partial ones, softmax scale.
    entry : ``Out``, wave_row : ``In``
        Read port of the wave table: the entry one clock after its number.
    query, ordered_query : ``In(stream.Signature(256))``
        Query vectors, 16 elements a beat, head by head, attention by attention: of those that were
        started, and of those of ``order``.
    ordered : ``Out(1)``
        The result that comes next is of an attention of ``order``.
    ended : ``Out(1)``
        For one clock: the last beat of the result of one that was started has been taken.
    pim : ``Out(PimPortSignature(spec))``
    score : ``Out(stream)``, rescale, weight : ``In(stream)``, state : ``In``, settled : ``In(1)``
        To and from the softmax unit.
    part : ``Out(stream)``
        To the merge unit.
    head_done : ``In(1)``
        For one clock: the last beat of a head's result has been taken.
    """

    start: Signal
    request: data.View
    order: stream.Interface
    waves: stream.Interface
    token: stream.Interface
    busy: Signal
    refused: Signal
    shape: data.View
    partial: Signal
    scale: Signal
    entry: Signal
    wave_row: Signal
    query: stream.Interface
    ordered_query: stream.Interface
    ordered: Signal
    ended: Signal
    pim: Any
    score: stream.Interface
    rescale: stream.Interface
    weight: stream.Interface
    state: data.View
    settled: Signal
    part: stream.Interface
    head_done: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "start": In(1), "request": In(AttentionRequest()),
            "order": In(stream.Signature(AttentionRequest())),
            "waves": In(stream.Signature(wave_layout(spec))),
            "token": In(stream.Signature(token_layout(spec))),
            "busy": Out(1), "refused": Out(1),
            "shape": Out(AttentionShape(spec.pim)), "partial": Out(1), "scale": Out(FP32.width),
            "entry": Out(range(WAVES_MAX)), "wave_row": In(range(spec.geometry.rows)),
            "query": In(stream.Signature(BEAT_WIDTH)),
            "ordered_query": In(stream.Signature(BEAT_WIDTH)),
            "ordered": Out(1), "ended": Out(1),
            "pim": Out(PimPortSignature(spec)),
            "score": Out(stream.Signature(score_layout(spec.pim))),
            "rescale": In(stream.Signature(BEAT_WIDTH)),
            "weight": In(stream.Signature(weight_layout(spec.pim))),
            "state": In(softmax_states(spec.pim)), "settled": In(1),
            "part": Out(stream.Signature(part_layout())),
            "head_done": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        m.submodules.source = source = WaveSource(spec)
        m.submodules.fork = fork = WaveFork(spec, ROLES)
        m.submodules.issuer = issuer = PassIssuer(spec)
        m.submodules.rows = rows = RowWriter(spec)
        m.submodules.queries = queries = QueryLoader(spec)
        m.submodules.scores = scores = ScoreReader(spec)
        m.submodules.weights = weights = WeightWriter(spec)
        m.submodules.outputs = outputs = OutputReader(spec)
        m.submodules.tokens = tokens = TokenWriter(spec)
        m.submodules.arbiter = arbiter = RegisterArbiter(spec, REGISTER_ROLES)

        connect(m, fork.i, source.o)
        connect(m, flipped(self.order), source.order)
        connect(m, flipped(self.waves), source.paged)
        for name, taker in (("rows", rows.wave), ("keys", issuer.keys), ("values", issuer.values),
                            ("scores", scores.wave), ("weights", weights.wave),
                            ("outputs", outputs.wave)):
            connect(m, taker, getattr(fork, name))
        for name, role in zip(
                REGISTER_ROLES, (tokens, rows, scores, weights, queries, outputs), strict=True):
            connect(m, getattr(arbiter, name), role.register)
        connect(m, arbiter.o, flipped(self.pim.register))
        connect(m, issuer.row_pass, flipped(self.pim.row_pass))
        connect(m, scores.score, flipped(self.score))
        connect(m, weights.rescale, flipped(self.rescale))
        connect(m, weights.weight, flipped(self.weight))
        connect(m, outputs.part, flipped(self.part))
        connect(m, flipped(self.token), tokens.token)

        settled = Signal(COUNT_BITS)
        m.d.sync += settled.eq(settled + self.settled)
        for role in (issuer, rows, scores, weights, outputs):
            m.d.comb += [
                role.progress.latched.eq(rows.latched), role.progress.scored.eq(issuer.scored),
                role.progress.read.eq(scores.read), role.progress.settled.eq(settled),
                role.progress.weighted.eq(weights.weighted),
                role.progress.summed.eq(issuer.summed),
            ]
        for role in (issuer, queries, scores, weights, outputs):
            m.d.comb += role.shape.eq(source.shape)
        for name, reader in (("scores", scores), ("outputs", outputs)):
            m.d.comb += [
                reader.register_valid.eq(arbiter.answered[REGISTER_ROLES.index(name)]),
                reader.register_data.eq(self.pim.register_data),
            ]
        m.d.comb += [
            source.start.eq(self.start), source.request.eq(self.request),
            source.wave_row.eq(self.wave_row), self.entry.eq(source.entry),
            source.free.eq(outputs.begun), issuer.read_out.eq(outputs.read_out),
            issuer.queries_loaded.eq(queries.loaded), issuer.pass_done.eq(self.pim.pass_done),
            outputs.state.eq(self.state), arbiter.register_valid.eq(self.pim.register_valid),
            self.shape.eq(source.shape), self.partial.eq(source.partial),
            self.scale.eq(source.scale), self.refused.eq(source.refused),
            tokens.appends.eq(self.pim.appends),
            tokens.appends_value.eq(self.pim.appends_value),
            self.busy.eq(source.busy), self.pim.active.eq(source.busy),
        ]
        self._queries(m, source, queries)
        self._count_heads(m, source)
        return m

    def _queries(self, m: Module, source: WaveSource, queries: QueryLoader) -> None:
        """Each attention has its queries from where it came from itself."""
        wanted: Any = source.queries
        m.d.comb += [
            queries.i.payload.eq(wanted.p.set), queries.i.valid.eq(wanted.valid),
            wanted.ready.eq(queries.i.ready),
        ]
        with m.If(wanted.p.ordered):
            connect(m, queries.query, flipped(self.ordered_query))
        with m.Else():
            connect(m, queries.query, flipped(self.query))

    def _count_heads(self, m: Module, source: WaveSource) -> None:
        """An attention is done with the last beat of its last head."""
        heads_done = Signal(range(self._spec.pim.group_max))
        last = heads_done == self.shape.last_head
        m.d.comb += [source.done.eq(self.head_done & last), self.ordered.eq(source.ordered),
                     self.ended.eq(source.done & ~source.ordered)]
        with m.If(self.head_done):
            m.d.sync += heads_done.eq(heads_done + 1)
            with m.If(last):
                m.d.sync += heads_done.eq(0)
