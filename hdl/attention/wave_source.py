"""From attentions that software asks for to a stream of waves."""

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.attention.wave import wave_layout
from hdl.layouts import AttentionShape
from model.spec.attention import (
    BLOCK_TOKENS,
    QUANTISED_HEADS,
    REGISTER_SETS,
    KvLayout,
    QuantisedKvLayout,
)
from model.spec.formats import FP32
from model.spec.mx import StoredFormat
from model.spec.registers import WAVES_MAX
from model.spec.slice import SliceSpec

REQUESTS = 4
"""Attentions that wait; further ones are refused."""

OPEN_MAX = REGISTER_SETS + 2
"""Attentions under way: one in each register set, one whose outputs are being read, and one whose
result leaves."""


QUERIES = data.StructLayout({"set": 1, "ordered": 1})
"""The queries of an attention: into which register set, and whether it came through ``order``."""


class AttentionRequest(data.StructLayout):
    """An attention as software describes it; any value may be given."""

    def __init__(self) -> None:
        super().__init__({
            "context": 32,           # tokens
            "first_wave": 16,        # entry of the wave table
            "format": StoredFormat,  # of K and V
            "last_chunk": 8,         # head size / 16 - 1
            "last_head": 8,          # query heads - 1
            "partial": 1,            # the result is (m, l, o), not normalised
            "scale": FP32.width,     # log2(e) / sqrt(head size)
            "paged": 1,              # its waves come by themselves, not from the wave table
        })


def wave_tokens(spec: SliceSpec) -> int:
    """Tokens of a full wave: one block in every PIM bank."""
    return BLOCK_TOKENS * spec.geometry.pim_banks


def block_rows(spec: SliceSpec) -> list[int]:
    """Rows of a block in the KV format for 1, 2, ... chunks a token."""
    return [2 * KvLayout.rows_for(BLOCK_TOKENS * n, spec.geometry.columns)
            for n in range(1, spec.pim.chunks_max + 1)]


def quantised_block_rows(spec: SliceSpec) -> list[int]:
    """Rows of a quantised block for 1, 2, ... chunks a token; 0 where that cannot be."""
    return [QuantisedKvLayout(head_size=spec.pim.LANES * n, columns=spec.geometry.columns).rows
            if spec.pim.LANES * n % QUANTISED_HEADS == 0 else 0
            for n in range(1, spec.pim.chunks_max + 1)]


def context_range(spec: SliceSpec) -> range:
    """Contexts that the wave table can hold, and 0."""
    return range(WAVES_MAX * wave_tokens(spec) + 1)


class WaveWalk(wiring.Component):
    """Walks the waves of an attention; an entry of the wave table is known a clock after a step.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    load, context, first_wave : ``In``
        Goes to the first wave of an attention to so many tokens.
    advance : ``In(1)``
        Goes to the next wave.
    entry : ``Out``
        Number of its entry in the wave table.
    tokens : ``Out``
        Tokens from the first one of this wave to the end of the context.
    first, last : ``Out(1)``
        It is the first, the last wave.
    """

    load: Signal
    context: Signal
    first_wave: Signal
    advance: Signal
    entry: Signal
    tokens: Signal
    first: Signal
    last: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "load": In(1), "context": In(context_range(spec)), "first_wave": In(range(WAVES_MAX)),
            "advance": In(1),
            "entry": Out(range(WAVES_MAX)), "tokens": Out(context_range(spec)),
            "first": Out(1), "last": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        full = wave_tokens(self._spec)
        m.d.comb += self.last.eq(self.tokens <= full)
        with m.If(self.load):
            m.d.sync += [self.entry.eq(self.first_wave), self.tokens.eq(self.context),
                         self.first.eq(1)]
        with m.Elif(self.advance):
            m.d.sync += [self.entry.eq(self.entry + 1), self.first.eq(0),
                         self.tokens.eq((self.tokens - full)[:len(self.tokens)])]
        return m


class WaveSource(wiring.Component):
    """Checks attentions one after another and hands out their waves; holds ``REQUESTS`` of them.

    An attention is checked to the end before its first wave leaves, two clocks a wave, while those
    before it are under way. It begins when a set of queries and softmax state is free, and if its
    shape, scale or kind differs from theirs, when they are done. Then a wave leaves every third
    clock.

    Refused: context 0, waves beyond the end of the wave table, a head size, group or format that
    was not built, a wave whose blocks would lie beyond the last row, a request too many.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    start, request : ``In``
        Asks for an attention.
    refused : ``Out(1)``
        For one clock: one is refused; nothing was read for it.
    order, paged : ``In(stream.Signature(AttentionRequest()))``, ``In(stream)``
        Attentions whose waves come by themselves, and these waves, in order. They must be possible.
    entry : ``Out``, wave_row : ``In``
        Read port of the wave table: the entry one clock after its number.
    queries : ``Out(stream.Signature(QUERIES))``
        An attention begins; the register set of its queries.
    o : ``Out(stream.Signature(wave_layout(spec)))``
        Its waves.
    shape, partial, scale : ``Out``
        What all attentions under way have in common.
    free, done : ``In(1)``
        For one clock: the queries and the softmax state of an attention are no longer needed; the
        result of the oldest has left.
    ordered : ``Out(1)``
        The oldest attention under way came through ``order``.
    busy : ``Out(1)``
        Attentions wait or are under way.
    """

    start: Signal
    request: data.View
    refused: Signal
    order: stream.Interface
    paged: stream.Interface
    entry: Signal
    wave_row: Signal
    queries: stream.Interface
    o: stream.Interface
    shape: data.View
    partial: Signal
    scale: Signal
    free: Signal
    done: Signal
    ordered: Signal
    busy: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "start": In(1), "request": In(AttentionRequest()), "refused": Out(1),
            "order": In(stream.Signature(AttentionRequest())),
            "paged": In(stream.Signature(wave_layout(spec))),
            "entry": Out(range(WAVES_MAX)), "wave_row": In(range(spec.geometry.rows)),
            "queries": Out(stream.Signature(QUERIES)),
            "o": Out(stream.Signature(wave_layout(spec))),
            "shape": Out(AttentionShape(spec.pim)), "partial": Out(1), "scale": Out(FP32.width),
            "free": In(1), "done": In(1), "ordered": Out(1), "busy": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.waiting = waiting = SyncFIFO(width=AttentionRequest().size, depth=REQUESTS)
        m.submodules.walk = walk = WaveWalk(self._spec)
        request = data.View(AttentionRequest(), waiting.r_data)
        admit, finished, bad = Signal(), Signal(), Signal()
        idle = Signal()
        may_begin, under_way = self._under_way(m, request, admit)
        m.d.comb += [
            waiting.w_data.eq(Mux(self.start, self.request.as_value(),
                                  self.order.payload.as_value())),
            waiting.w_en.eq(self.start | self.order.valid),
            self.order.ready.eq(waiting.w_rdy & ~self.start),
            waiting.r_en.eq(finished | bad),
            self.refused.eq(bad | (self.start & ~waiting.w_rdy)),
            walk.context.eq(request.context[:len(walk.context)]),
            walk.first_wave.eq(request.first_wave[:len(walk.first_wave)]),
            self.entry.eq(walk.entry),
            self.busy.eq(waiting.r_rdy | ~idle | under_way),
        ]
        possible, fits = self._check(request)
        with m.FSM() as fsm:
            m.d.comb += idle.eq(fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.comb += [walk.load.eq(1), bad.eq(waiting.r_rdy & ~possible)]
                with m.If(waiting.r_rdy & possible):
                    m.next = "LOOK"
                    with m.If(request.paged):
                        m.next = "BEGIN"
            with m.State("LOOK"):
                m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += [walk.advance.eq(1), bad.eq(~fits)]
                m.next = "LOOK"
                with m.If(~fits):
                    m.next = "IDLE"
                with m.Elif(walk.last):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [walk.load.eq(1), admit.eq(may_begin)]
                with m.If(admit):
                    m.next = "FETCH"
                    with m.If(request.paged):
                        m.next = "PAGED"
            with m.State("FETCH"):
                m.next = "HAND_OUT"
            with m.State("HAND_OUT"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += [walk.advance.eq(1), finished.eq(walk.last)]
                    m.next = "FETCH"
                    with m.If(walk.last):
                        m.next = "IDLE"
            with m.State("PAGED"):
                m.d.comb += [
                    self.o.valid.eq(self.paged.valid), self.paged.ready.eq(self.o.ready),
                    finished.eq(self.o.valid & self.o.ready & self.paged.p.last)]
                with m.If(finished):
                    m.next = "IDLE"
        self._wave(m, walk, fsm.ongoing("PAGED"))
        return m

    def _check(self, request: data.View) -> tuple[Value, Value]:
        """Whether an attention is possible at all, and whether the wave at hand fits its bank."""
        spec = self._spec
        smallest, full = spec.pim.head_size_min // spec.pim.LANES, wave_tokens(spec)
        # In units of a token, so that nothing is divided.
        end = request.context + request.first_wave * full
        listed = (request.context != 0) & (end <= WAVES_MAX * full)
        possible = ((listed | request.paged)
                    & (request.last_chunk >= smallest - 1)
                    & (request.last_chunk < spec.pim.chunks_max)
                    & (request.last_head < spec.pim.group_max))
        rows = Array(block_rows(spec))[request.last_chunk]
        if not spec.pim.quantised:
            wide = request.format == StoredFormat.WIDE
            return possible & wide, self.wave_row + rows <= spec.geometry.rows
        stored = Array(quantised_block_rows(spec))[request.last_chunk]
        wide, known = request.format == StoredFormat.WIDE, request.format.matches(
            *(fmt.code for fmt in spec.pim.quantised))
        return (possible & (wide | known & (stored != 0)),
                self.wave_row + Mux(wide, rows, stored) <= spec.geometry.rows)

    def _under_way(self, m: Module, request: data.View, admit: Signal) -> tuple[Value, Value]:
        """Keeps count of attentions; whether the next may begin, whether any is under way."""
        sets, opened = Signal(range(REGISTER_SETS + 1)), Signal(range(OPEN_MAX + 1))
        next_set = Signal()
        m.d.sync += [
            sets.eq((sets + admit - self.free)[:len(sets)]),
            opened.eq((opened + admit - self.done)[:len(opened)]),
        ]
        m.submodules.begun = begun = SyncFIFO(width=QUERIES.size, depth=REGISTER_SETS)
        m.submodules.kinds = kinds = SyncFIFO(width=1, depth=OPEN_MAX)
        m.d.comb += [
            self.o.p.set.eq(~next_set),             # it has changed when the waves leave
            begun.w_data.eq(Cat(next_set, request.paged)), begun.w_en.eq(admit),
            kinds.w_data.eq(request.paged), kinds.w_en.eq(admit),
            kinds.r_en.eq(self.done), self.ordered.eq(kinds.r_data),
            self.queries.payload.as_value().eq(begun.r_data), self.queries.valid.eq(begun.r_rdy),
            begun.r_en.eq(self.queries.ready),
        ]
        same = ((request.last_chunk == self.shape.last_chunk)
                & (request.last_head == self.shape.last_head)
                & (request.partial == self.partial) & (request.scale == self.scale)
                & (request.format == self.shape.format))
        with m.If(admit):
            m.d.sync += [
                next_set.eq(~next_set),
                self.shape.last_chunk.eq(request.last_chunk[:len(self.shape.last_chunk)]),
                self.shape.last_head.eq(request.last_head[:len(self.shape.last_head)]),
                self.shape.format.eq(request.format),
                self.partial.eq(request.partial), self.scale.eq(request.scale),
            ]
        free = (sets != REGISTER_SETS) & (opened != OPEN_MAX)
        return free & (same | (opened == 0)), opened != 0

    def _wave(self, m: Module, walk: WaveWalk, paged: Value) -> None:
        wave, given = self.o.p, self.paged.p
        m.d.comb += [wave.uniform.eq(1), wave.first.eq(walk.first), wave.last.eq(walk.last)]
        for bank in range(self._spec.geometry.pim_banks):
            before = BLOCK_TOKENS * bank
            m.d.comb += [
                wave.rows[bank].eq(self.wave_row),
                wave.tokens[bank].eq(Mux(
                    walk.tokens >= before + BLOCK_TOKENS, BLOCK_TOKENS,
                    Mux(walk.tokens > before,
                        (walk.tokens - before)[:len(wave.tokens[bank])], 0))),
            ]
        with m.If(paged):
            m.d.comb += [wave[name].eq(given[name])
                         for name in ("rows", "tokens", "uniform", "first", "last", "append")]
