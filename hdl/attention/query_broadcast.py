"""Queries of a join to the memories of all of its members."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.beat_reader import COUNT_BITS, BeatReader, MemoryReads
from hdl.attention.descriptor_layouts import write_layout
from hdl.attention.gather import Broadcast
from hdl.attention.join_layouts import JOIN_TAG
from hdl.dma.layouts import PLACE_LAYOUT
from hdl.dma.region import line_place
from model.spec.port import Status
from model.spec.slice import SliceSpec

READS = 1 << JOIN_TAG["number"].width
"""Beats that are asked for before the first one is written."""


class QueryBroadcast(wiring.Component):
    """Reads the queries once and writes each beat to the same place in every member's memory.

    A beat begins when all members have taken the one before. If one of the places does not exist,
    nothing is written; after any other trouble what is in the copies is not specified.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of every pseudo-channel.
    channels : int

    Members
    -------
    start, source, copy, beats, members : ``In``
        Copies so many beats, at least one, to these members; not again before ``done``.
    memory : ``Out(MemoryReads(spec, depth=READS))``
        To that of pseudo-channel 0.
    write_0 and so on : ``Out(stream.Signature(write_layout(spec)))``
        To the memory of each pseudo-channel.
    answered_0, answer_0 and so on : ``In(1)``, ``In(Status)``
        For one clock: a write has reached the array, or was refused.
    done, why : ``Out(1)``, ``Out(Status)``
        For one clock: every write was answered; what the first trouble was.
    """

    start: Signal
    source: data.View
    copy: data.View
    beats: Signal
    members: Signal
    memory: Any
    done: Signal
    why: Signal

    def __init__(self, spec: SliceSpec, *, channels: int) -> None:
        self.spec, self.channels = spec, channels
        super().__init__({
            "start": In(1), "source": In(PLACE_LAYOUT), "copy": In(PLACE_LAYOUT),
            "beats": In(COUNT_BITS), "members": In(channels),
            "memory": Out(MemoryReads(spec, depth=READS)),
            **{f"write_{n}": Out(stream.Signature(write_layout(spec))) for n in range(channels)},
            **{f"answered_{n}": In(1) for n in range(channels)},
            **{f"answer_{n}": In(Status) for n in range(channels)},
            "done": Out(1), "why": Out(Status),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reader = reader = BeatReader(self.spec, depth=READS)
        m.submodules.broadcast = broadcast = Broadcast(write_layout(self.spec), self.channels)
        copy, who = Signal(PLACE_LAYOUT), Signal(self.channels)
        beat, left = Signal(COUNT_BITS), Signal(COUNT_BITS)
        busy, goes = Signal(), Signal()
        where, _ = line_place(self.spec.geometry, copy, beat)
        _, exists = line_place(self.spec.geometry, self.copy, (self.beats - 1)[:COUNT_BITS])
        connect(m, reader.memory, flipped(self.memory))
        m.d.comb += [
            reader.start.eq(self.start), reader.place.eq(self.source), reader.beats.eq(self.beats),
            broadcast.members.eq(who), broadcast.i.valid.eq(reader.o.valid),
            broadcast.i.p.data.eq(reader.o.payload), reader.o.ready.eq(broadcast.i.ready),
            *(broadcast.i.p.spot[name].eq(value) for name, value in where.items()),
            goes.eq(broadcast.i.valid & broadcast.i.ready),
        ]
        with m.If(goes):
            m.d.sync += [beat.eq(beat + 1), left.eq(left - 1)]
        waits, refused = zip(*(self._way(m, n, broadcast) for n in range(self.channels)),
                             strict=True)
        with m.If(self.start):
            m.d.sync += [busy.eq(1), beat.eq(0), left.eq(self.beats), copy.eq(self.copy),
                         who.eq(Mux(exists & ~reader.bad, self.members, 0))]
        with m.Elif(self.done):
            m.d.sync += busy.eq(0)
        m.d.comb += self.done.eq(busy & (left == 0) & ~Cat(waits).any())
        self._judge(m, reader, self.start & ~exists, Cat(refused))
        return m

    def _way(self, m: Module, n: int, broadcast: Any) -> tuple[Value, Value]:
        """To the memory of a member; whether it owes answers, and whether it refuses a write."""
        write: Any = getattr(self, f"write_{n}")
        answered: Signal = getattr(self, f"answered_{n}")
        unanswered = Signal(COUNT_BITS, name=f"unanswered_{n}")
        connect(m, getattr(broadcast, f"o_{n}"), flipped(write))
        taken = write.valid & write.ready
        m.d.sync += unanswered.eq((unanswered + taken - answered)[:COUNT_BITS])
        return unanswered != 0, answered & (getattr(self, f"answer_{n}") != Status.OK)

    def _judge(self, m: Module, reader: BeatReader, nowhere: Value, refused: Value) -> None:
        """The first trouble since the start."""
        with m.If(self.start):
            m.d.sync += self.why.eq(Mux(nowhere, Status.NO_SUCH_BANK,
                                        Mux(reader.bad, reader.why, Status.OK)))
        with m.Elif(self.why == Status.OK):
            for n in reversed(range(self.channels)):
                with m.If(refused[n]):
                    m.d.sync += self.why.eq(getattr(self, f"answer_{n}"))
            with m.If(reader.bad):
                m.d.sync += self.why.eq(reader.why)
