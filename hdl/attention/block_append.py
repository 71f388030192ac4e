"""A new token's K and V, from where the model has left them to the sequencer."""

from typing import Any

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.beat_reader import COUNT_BITS, BeatReader, MemoryReads
from hdl.attention.token_writer import token_layout
from hdl.dma.layouts import PLACE_LAYOUT
from model.spec.attention import BLOCK_TOKENS
from model.spec.port import Status
from model.spec.slice import SliceSpec


class BlockAppend(wiring.Component):
    """Reads the token as soon as it is known where it is; hands it on, whole or not at all.

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
    go, bank, number : ``In``
        Where it has to be: bank of the block, number of the token in it; until ``done``.
    done : ``Out(1)``
        For one clock: all columns have been handed on, or none will.
    failed, why : ``Out(1)``, ``Out(Status)``
        Something of the token could not be read; until the next ``load``.
    memory : ``Out(MemoryReads(spec, depth=depth))``
    token : ``Out(stream.Signature(token_layout(spec)))``
        Its columns.
    waiting : ``Out(1)``
        Answers are outstanding.
    """

    load: Signal
    place: Signal
    last_chunk: Signal
    stop: Signal
    go: Signal
    bank: Signal
    number: Signal
    done: Signal
    failed: Signal
    why: Signal
    memory: Any
    token: stream.Interface
    waiting: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec, g = spec, spec.geometry
        self.depth = 1 << (2 * spec.pim.chunks_max - 1).bit_length()
        super().__init__({
            "load": In(1), "place": In(PLACE_LAYOUT), "last_chunk": In(range(spec.pim.chunks_max)),
            "stop": In(1),
            "go": In(1), "bank": In(range(max(2, g.pim_banks))),
            "number": In(range(BLOCK_TOKENS)),
            "done": Out(1), "failed": Out(1), "why": Out(Status),
            "memory": Out(MemoryReads(spec, depth=self.depth)),
            "token": Out(stream.Signature(token_layout(spec))), "waiting": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reader = reader = BeatReader(self.spec, depth=self.depth)
        connect(m, reader.memory, flipped(self.memory))
        beats = Signal(COUNT_BITS)
        m.d.comb += [
            beats.eq(2 * (self.last_chunk + 1)),
            reader.start.eq(self.load), reader.place.eq(self.place), reader.beats.eq(beats),
            reader.stop.eq(self.stop), self.waiting.eq(reader.waiting),
        ]
        with m.If(self.load | (reader.bad & ~self.failed)):
            m.d.sync += [self.failed.eq(reader.bad), self.why.eq(reader.why)]
        fire = self.token.valid & self.token.ready
        last = Signal()
        with m.FSM():
            with m.State("READ"):
                with m.If(self.go & reader.asked & ~reader.waiting):
                    m.next = "HAND_ON"
                    with m.If(self.failed):
                        m.next = "DONE"
            with m.State("HAND_ON"):
                m.d.comb += [self.token.valid.eq(reader.o.valid),
                             reader.o.ready.eq(self.token.ready)]
                with m.If(fire & last):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "READ"
        self._walk(m, fire, last)
        m.d.comb += self.token.p.data.eq(reader.o.payload)
        return m

    def _walk(self, m: Module, fire: Value, last: Signal) -> None:
        """Which column of the block a beat belongs to: K of the token, then its V."""
        columns = self.spec.geometry.columns
        chunk, value = Signal(range(self.spec.pim.chunks_max)), Signal()
        at_end = chunk == self.last_chunk
        index = Signal(range(BLOCK_TOKENS * self.spec.pim.chunks_max))
        column = self.token.p.column
        m.d.comb += [
            index.eq((self.number * (self.last_chunk + 1) + chunk)[:len(index)]),
            self.token.p.bank.eq(self.bank), column.eq(index[:len(column)]),
            self.token.p.value.eq(value),
            self.token.p.ends.eq(at_end | (column == columns - 1)),
            last.eq(value & at_end),
        ]
        with m.If(fire):
            m.d.sync += chunk.eq(Mux(at_end, 0, chunk + 1))
            with m.If(at_end):
                m.d.sync += value.eq(~value)
