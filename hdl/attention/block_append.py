"""A new token's K and V, from where the model has left them into the last block of its sequence."""

from amaranth import Array, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.beat_reader import COUNT_BITS, BeatReader
from hdl.attention.descriptor_layouts import write_layout
from hdl.dma.layouts import PLACE_LAYOUT, spot_layout
from hdl.layouts import BEAT_WIDTH
from model.spec.attention import BLOCK_TOKENS, KvLayout
from model.spec.port import Status
from model.spec.slice import SliceSpec


class BlockAppend(wiring.Component):
    """Reads the token as soon as it is known where it is; writes it, whole or not at all.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    load, place : ``In(1)``, ``In(PLACE_LAYOUT)``
        Where the token is: K, then V; only without ``waiting``.
    last_chunk : ``In``
        Head size / 16 - 1; constant until ``done``.
    stop : ``In(1)``
        Nothing more is read.
    go, bank, row, token : ``In``
        Where it has to be: first row of the block, number of the token in it; until ``done``.
    done : ``Out(1)``
        For one clock: all words have reached the array, or none will.
    failed, why : ``Out(1)``, ``Out(Status)``
        Something of the token could not be read or written; until the next ``load``.
    fetch, slot, fetched, fetched_slot, status, content : see :class:`BeatReader`
    write : ``Out(stream.Signature(write_layout(spec)))``
    written, written_status : ``In(1)``, ``In(Status)``
        A write has been answered.
    waiting : ``Out(1)``
        Answers are outstanding.
    """

    load: Signal
    place: Signal
    last_chunk: Signal
    stop: Signal
    go: Signal
    bank: Signal
    row: Signal
    token: Signal
    done: Signal
    failed: Signal
    why: Signal
    fetch: stream.Interface
    slot: Signal
    fetched: Signal
    fetched_slot: Signal
    status: Signal
    content: Signal
    write: stream.Interface
    written: Signal
    written_status: Signal
    waiting: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec, g = spec, spec.geometry
        self.depth = 1 << (2 * spec.pim.chunks_max - 1).bit_length()
        super().__init__({
            "load": In(1), "place": In(PLACE_LAYOUT), "last_chunk": In(range(spec.pim.chunks_max)),
            "stop": In(1),
            "go": In(1), "bank": In(range(max(2, g.pim_banks))), "row": In(range(g.rows)),
            "token": In(range(BLOCK_TOKENS)), "done": Out(1), "failed": Out(1), "why": Out(Status),
            "fetch": Out(stream.Signature(spot_layout(spec))), "slot": Out(range(self.depth)),
            "fetched": In(1), "fetched_slot": In(range(self.depth)), "status": In(Status),
            "content": In(BEAT_WIDTH),
            "write": Out(stream.Signature(write_layout(spec))),
            "written": In(1), "written_status": In(Status), "waiting": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reader = reader = BeatReader(self.spec, depth=self.depth)
        connect(m, reader.fetch, flipped(self.fetch))
        bad, refused = Signal(), Signal()
        unanswered = Signal(range(2 * self.depth))
        beats = Signal(COUNT_BITS)
        m.d.comb += [
            beats.eq(2 * (self.last_chunk + 1)),
            reader.start.eq(self.load), reader.place.eq(self.place), reader.beats.eq(beats),
            reader.stop.eq(self.stop), self.slot.eq(reader.slot),
            reader.fetched.eq(self.fetched), reader.fetched_slot.eq(self.fetched_slot),
            reader.status.eq(self.status), reader.content.eq(self.content),
            self.waiting.eq(reader.waiting | (unanswered != 0)),
            refused.eq(self.written & (self.written_status != Status.OK)),
            bad.eq(reader.bad | refused),
        ]
        with m.If(self.load | (bad & ~self.failed)):
            m.d.sync += [self.failed.eq(bad),
                         self.why.eq(Mux(refused, self.written_status, reader.why))]
        fire = self.write.valid & self.write.ready
        m.d.sync += unanswered.eq((unanswered + fire - self.written)[:len(unanswered)])
        last = Signal()
        with m.FSM():
            with m.State("READ"):
                with m.If(self.go & reader.asked & ~reader.waiting):
                    m.next = "WRITE"
                    with m.If(self.failed):
                        m.next = "ANSWERS"
            with m.State("WRITE"):
                m.d.comb += [self.write.valid.eq(reader.o.valid),
                             reader.o.ready.eq(self.write.ready)]
                with m.If(fire & last):
                    m.next = "ANSWERS"
            with m.State("ANSWERS"):
                with m.If(unanswered == 0):
                    m.d.comb += self.done.eq(1)
                    m.next = "READ"
        self._walk(m, fire, last)
        m.d.comb += self.write.p.data.eq(reader.o.payload)
        return m

    def _walk(self, m: Module, fire: Value, last: Signal) -> None:
        """Which column of the block a beat belongs to: K of the token, then its V."""
        columns = self.spec.geometry.columns
        chunk, value = Signal(range(self.spec.pim.chunks_max)), Signal()
        at_end = chunk == self.last_chunk
        half_rows = Array(KvLayout.rows_for(BLOCK_TOKENS * n, columns)
                          for n in range(1, self.spec.pim.chunks_max + 1))
        index = Signal(range(BLOCK_TOKENS * self.spec.pim.chunks_max))
        bits = (columns - 1).bit_length()
        spot = self.write.p.spot
        row = self.row + (index >> bits) + Mux(value, half_rows[self.last_chunk], 0)
        m.d.comb += [
            index.eq((self.token * (self.last_chunk + 1) + chunk)[:len(index)]),
            spot.bank.eq(self.bank), spot.row.eq(row[:len(spot.row)]),
            spot.column.eq(index[:len(spot.column)]),
            last.eq(value & at_end),
        ]
        with m.If(fire):
            m.d.sync += chunk.eq(Mux(at_end, 0, chunk + 1))
            with m.If(at_end):
                m.d.sync += value.eq(~value)
