"""Runs one attention on the PIM units of a pseudo-channel."""

from typing import Any

from amaranth import Array, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.layouts import (
    BEAT_WIDTH,
    AttentionShape,
    PimPortSignature,
    SoftmaxState,
    part_layout,
    score_layout,
    weight_layout,
)
from hdl.pass_issuer import PassIssuer
from hdl.register_traffic import OutputReader, QueryLoader, ScoreReader, WeightWriter
from hdl.wave_cursor import WaveCursor, context_range, wave_tokens
from model.spec.attention import BLOCK_TOKENS, KvLayout
from model.spec.registers import WAVES_MAX
from model.spec.slice import SliceSpec

RegisterRole = QueryLoader | ScoreReader | WeightWriter | OutputReader
"""A part of the sequencer that reads or writes registers of the PIM units."""


class AttentionRequest(data.StructLayout):
    """An attention as software describes it; any value may be given."""

    def __init__(self) -> None:
        super().__init__({
            "context": 32,           # tokens
            "last_chunk": 8,         # head size / 16 - 1
            "last_head": 8,          # query heads - 1
            "partial": 1,            # the result is (m, l, o), not normalised
        })


class RequestCheck(wiring.Component):
    """Accepts or refuses an attention, one clock a wave after it was asked for.

    Refused: context 0 or longer than the wave table, a head size or group that was not built, a
    wave whose blocks would lie beyond the last row.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    start, request : ``In``
        ``request`` must stay until the answer.
    accept, refuse : ``Out(1)``
        The answer, for one clock.
    busy : ``Out(1)``
    wave : ``Out``, wave_row : ``In``
        Read port of the wave table.
    """

    start: Signal
    request: data.View
    accept: Signal
    refuse: Signal
    busy: Signal
    wave: Signal
    wave_row: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "start": In(1), "request": In(AttentionRequest()),
            "accept": Out(1), "refuse": Out(1), "busy": Out(1),
            "wave": Out(range(WAVES_MAX)), "wave_row": In(range(spec.geometry.rows)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, request = self._spec, self.request
        m.submodules.cursor = cursor = WaveCursor(spec)
        smallest = KvLayout.SMALLEST_CHUNKS
        possible = ((request.context != 0) & (request.context < context_range(spec).stop)
                    & (request.last_chunk >= smallest - 1)
                    & (request.last_chunk < spec.pim.chunks_max)
                    & (request.last_head < spec.pim.group_max))
        block_rows = Array(2 * KvLayout.rows_for(BLOCK_TOKENS * n, spec.geometry.columns)
                           for n in range(1, spec.pim.chunks_max + 1))
        fits = self.wave_row + block_rows[request.last_chunk] <= spec.geometry.rows
        m.d.comb += [
            cursor.context.eq(request.context[:len(cursor.context)]),
            self.wave.eq(cursor.wave[:len(self.wave)]),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.comb += [cursor.load.eq(possible), self.refuse.eq(~possible)]
                    with m.If(possible):
                        m.next = "ASK"
            with m.State("ASK"):
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [
                    cursor.advance.eq(1),
                    self.refuse.eq(~fits), self.accept.eq(fits & cursor.last),
                ]
                m.next = "ASK"
                with m.If(~fits | cursor.last):
                    m.next = "IDLE"
        return m


class AttentionSequencer(wiring.Component):
    """Carries out one attention: queries, row passes, scores to softmax, weights back, parts out.

    One request at a time; a start while busy is ignored. The stages overlap: while the outputs of
    one wave are accumulated, the softmax unit works on the scores of the next.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    start, request : ``In``
    busy : ``Out(1)``
        From the clock after ``start`` to the last beat of the result.
    refused : ``Out(1)``
        For one clock: the request cannot be carried out (:class:`RequestCheck`).
    begin : ``Out(1)``
        For one clock: an accepted attention begins.
    shape, partial : ``Out(AttentionShape)``, ``Out(1)``
        Shape of the attention under way, and whether its result is a partial one.
    wave : ``Out``, wave_row : ``In``
        Read port of the wave table: the entry one clock after its number.
    query : ``In(stream.Signature(256))``
        Query vectors, 16 elements a beat, head by head.
    pim : ``Out(PimPortSignature(spec))``
    score : ``Out(stream)``, rescale, weight : ``In(stream)``, state, softmax_busy : ``In``
        To and from the softmax unit.
    part : ``Out(stream)``
        To the merge unit.
    head_done : ``In(1)``
        For one clock: the last beat of a head's result has been taken.
    """

    start: Signal
    request: data.View
    busy: Signal
    refused: Signal
    begin: Signal
    shape: data.View
    partial: Signal
    wave: Signal
    wave_row: Signal
    query: stream.Interface
    pim: Any
    score: stream.Interface
    rescale: stream.Interface
    weight: stream.Interface
    state: data.View
    softmax_busy: Signal
    part: stream.Interface
    head_done: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "start": In(1), "request": In(AttentionRequest()),
            "busy": Out(1), "refused": Out(1), "begin": Out(1),
            "shape": Out(AttentionShape(spec.pim)), "partial": Out(1),
            "wave": Out(range(WAVES_MAX)), "wave_row": In(range(spec.geometry.rows)),
            "query": In(stream.Signature(BEAT_WIDTH)),
            "pim": Out(PimPortSignature(spec)),
            "score": Out(stream.Signature(score_layout(spec.pim))),
            "rescale": In(stream.Signature(BEAT_WIDTH)),
            "weight": In(stream.Signature(weight_layout(spec.pim))),
            "state": In(data.ArrayLayout(SoftmaxState(), spec.pim.group_max)),
            "softmax_busy": In(1),
            "part": Out(stream.Signature(part_layout())),
            "head_done": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        m.submodules.check = check = RequestCheck(spec)
        m.submodules.issuer = issuer = PassIssuer(spec)
        m.submodules.queries = queries = QueryLoader(spec)
        m.submodules.scores = scores = ScoreReader(spec)
        m.submodules.weights = weights = WeightWriter(spec)
        m.submodules.outputs = outputs = OutputReader(spec)
        roles = (queries, scores, weights, outputs)

        request = Signal(AttentionRequest())     # registers may be written while it runs
        gathering = self._elaborate_phases(m, request, check, issuer, outputs)
        context = request.context[:len(issuer.context)]
        for role in (issuer, queries, scores, weights):
            m.d.comb += role.start.eq(self.begin)
        for role in (issuer, scores, weights):
            m.d.comb += [
                role.context.eq(context),
                role.progress.scored.eq(issuer.scored), role.progress.read.eq(scores.read),
                role.progress.weighted.eq(weights.weighted),
                role.progress.summed.eq(issuer.summed),
            ]
        for role in (issuer, *roles):
            m.d.comb += role.shape.eq(self.shape)
        m.d.comb += [
            self.wave.eq(Mux(check.busy, check.wave, issuer.wave)),
            check.wave_row.eq(self.wave_row), issuer.wave_row.eq(self.wave_row),
            issuer.queries_loaded.eq(queries.loaded),
            issuer.pass_done.eq(self.pim.pass_done), self.pim.active.eq(self.busy),
            outputs.state.eq(self.state), outputs.final_bank.eq(issuer.final_block),
            outputs.last_bank.eq(self._last_bank(request)),
        ]
        connect(m, queries.query, flipped(self.query))
        connect(m, issuer.row_pass, flipped(self.pim.row_pass))
        connect(m, scores.score, flipped(self.score))
        connect(m, weights.rescale, flipped(self.rescale))
        connect(m, weights.weight, flipped(self.weight))
        connect(m, outputs.part, flipped(self.part))
        self._elaborate_registers(m, roles, scores, outputs, gathering)
        return m

    def _last_bank(self, request: data.View) -> Value:
        """The last bank that takes part in wave 0."""
        context, full = request.context, wave_tokens(self._spec)
        shift = (BLOCK_TOKENS - 1).bit_length()
        width = (self._spec.geometry.pim_banks - 1).bit_length()
        return Mux(context >= full, self._spec.geometry.pim_banks - 1,
                   ((context - 1) >> shift)[:width])

    def _elaborate_phases(self, m: Module, request: data.View, check: RequestCheck,
                          issuer: PassIssuer, outputs: OutputReader) -> Signal:
        """Check, attend, gather; returns whether outputs are being gathered."""
        heads_done = Signal(range(self._spec.pim.group_max + 1))
        gathering, asked = Signal(), Signal()
        m.d.sync += asked.eq(self.start & ~self.busy)
        m.d.comb += [
            check.request.eq(request), check.start.eq(asked),
            self.begin.eq(check.accept), self.refused.eq(check.refuse),
            self.partial.eq(request.partial),
            self.shape.last_chunk.eq(request.last_chunk[:len(self.shape.last_chunk)]),
            self.shape.last_head.eq(request.last_head[:len(self.shape.last_head)]),
        ]
        with m.If(self.start & ~self.busy):
            m.d.sync += [self.busy.eq(1), gathering.eq(0), heads_done.eq(0),
                         request.eq(self.request)]
        with m.If(check.refuse):
            m.d.sync += self.busy.eq(0)
        running = Signal()
        with m.If(self.begin):
            m.d.sync += running.eq(1)
        with m.Elif(running & issuer.finished & ~self.softmax_busy):
            m.d.sync += [running.eq(0), gathering.eq(1)]
            m.d.comb += outputs.start.eq(1)
        with m.If(self.head_done):
            m.d.sync += heads_done.eq(heads_done + 1)
            with m.If(heads_done == self.shape.last_head):
                m.d.sync += [self.busy.eq(0), gathering.eq(0)]
        return gathering

    def _elaborate_registers(self, m: Module, roles: tuple[RegisterRole, ...],
                             scores: ScoreReader, outputs: OutputReader,
                             gathering: Signal) -> None:
        """Joins the roles on the one register port; the waits between them keep them apart."""
        bus = self.pim.register
        for role in roles:
            with m.If(role.register.valid):
                m.d.comb += [bus.payload.eq(role.register.payload), bus.valid.eq(1),
                             role.register.ready.eq(bus.ready)]
        for role, mine in ((scores, ~gathering), (outputs, gathering)):
            m.d.comb += [
                role.register_valid.eq(self.pim.register_valid & mine),
                role.register_data.eq(self.pim.register_data),
            ]
