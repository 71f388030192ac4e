"""Queries to a group of pseudo-channels, and their partial results back to one merge unit."""

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH, AttentionShape, PartHeader, part_layout
from model.spec.gather import GatherSpec


class Broadcast(wiring.Component):
    """Hands every payload to each member of a group, once; each takes it at its own pace.

    Parameters
    ----------
    shape : ShapeLike
        Of the payload.
    outputs : int

    Members
    -------
    members : ``In(outputs)``
        With the payload: who gets it. To none, it is dropped.
    i : ``In(stream.Signature(shape))``
        Taken with the last member's turn.
    o_0 and so on : ``Out(stream.Signature(shape))``
    """

    members: Signal
    i: stream.Interface

    def __init__(self, shape: ShapeLike, outputs: int) -> None:
        self.outputs = outputs
        super().__init__({
            "members": In(outputs), "i": In(stream.Signature(shape)),
            **{f"o_{n}": Out(stream.Signature(shape)) for n in range(outputs)}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        served, takes = Signal(self.outputs), Signal(self.outputs)
        for n in range(self.outputs):
            port: stream.Interface = getattr(self, f"o_{n}")
            m.d.comb += [
                port.payload.eq(self.i.payload),
                port.valid.eq(self.i.valid & self.members[n] & ~served[n]),
                takes[n].eq(port.valid & port.ready),
            ]
        m.d.comb += self.i.ready.eq(((served | takes) & self.members) == self.members)
        with m.If(self.i.valid):
            m.d.sync += served.eq(Mux(self.i.ready, 0, served | takes))
        return m


def slot_part_layout(spec: GatherSpec) -> data.StructLayout:
    """A beat of a partial result on its way to the gatherer: header first, then its outputs."""
    return data.StructLayout({"slot": range(spec.slots), "last": 1, "data": BEAT_WIDTH})


def group_layout(spec: GatherSpec) -> data.StructLayout:
    """A head whose partial results are awaited."""
    return data.StructLayout({"members": spec.channels, "tag": spec.tag_width})


class Gather(wiring.Component):
    """Collects the parts of several heads at a time; hands out each head when all of it is there.

    Opening a head reserves room for a part in the buffer of every member: that is its credit. So a
    part is always taken at once, whatever other heads wait for, and heads are merged in the order
    in which they are complete. The parts of a head are merged in the order of the channels, so the
    result does not depend on when they came.

    Parameters
    ----------
    spec : GatherSpec

    Members
    -------
    shape : ``In(AttentionShape(spec.pim))``
        Head size; constant while ``busy``.
    open : ``In(stream.Signature(group_layout(spec)))``, slot : ``Out``
        A head, taken while a slot is free; its parts are to name the slot shown.
    refused : ``Out(1)``
        For one clock: a head without members was taken and dropped.
    i_0 and so on : ``In(stream.Signature(slot_part_layout(spec)))``
        Parts of the channels, each ``1 + head size / 8`` beats that follow each other.
    leave_0 and so on : ``In(slots)``
        For one clock: the channel has no part for these slots, and is no member any more.
    stray : ``Out(1)``
        For one clock: a beat came for a slot of which the channel is no member, or whose part is
        there; it was dropped.
    part : ``Out(stream.Signature(part_layout()))``
        To the merge unit, a beat a clock.
    tag : ``Out(stream.Signature(tag_width))``
        Of the heads, in the order in which they go to the merge unit.
    busy : ``Out(1)``
    """

    shape: data.View
    open: stream.Interface
    slot: Signal
    refused: Signal
    stray: Signal
    part: stream.Interface
    tag: stream.Interface
    busy: Signal

    def __init__(self, spec: GatherSpec) -> None:
        self.spec = spec
        super().__init__({
            "shape": In(AttentionShape(spec.pim)),
            "open": In(stream.Signature(group_layout(spec))), "slot": Out(range(spec.slots)),
            "refused": Out(1), "stray": Out(1),
            **{f"i_{n}": In(stream.Signature(slot_part_layout(spec)))
               for n in range(spec.channels)},
            **{f"leave_{n}": In(spec.slots) for n in range(spec.channels)},
            "part": Out(stream.Signature(part_layout())),
            "tag": Out(stream.Signature(spec.tag_width)), "busy": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slots = range(self.spec.slots)
        members = [Signal(self.spec.channels, name=f"members_{n}") for n in slots]
        here = [Signal(self.spec.channels, name=f"here_{n}") for n in slots]
        tags = [Signal(self.spec.tag_width, name=f"tag_{n}") for n in slots]
        queued, taken = Signal(self.spec.slots), Signal(self.spec.slots)
        free = Cat(~mask.any() for mask in members)
        opens, none = Signal(), Signal()
        m.d.comb += [
            none.eq(~self.open.p.members.any()), self.busy.eq(~free.all()),
            self.open.ready.eq(free.any() | none), self.refused.eq(self.open.valid & none),
            opens.eq(self.open.valid & self.open.ready & ~none),
        ]
        for n in reversed(slots):
            with m.If(free[n]):
                m.d.comb += self.slot.eq(n)
        buffers = self._store(m, members, here)
        done = self._hand_out(m, members, here, tags, queued, taken, buffers)
        for n in slots:
            with m.If(opens & (self.slot == n)):
                m.d.sync += [members[n].eq(self.open.p.members), tags[n].eq(self.open.p.tag),
                             here[n].eq(0), queued[n].eq(0)]
            with m.Elif(done & taken[n]):
                m.d.sync += members[n].eq(0)
            with m.Else():
                leaves = Cat(getattr(self, f"leave_{c}")[n] for c in range(self.spec.channels))
                m.d.sync += members[n].eq(members[n] & ~leaves)
        return m

    def _store(self, m: Module, members: list[Signal], here: list[Signal]) -> list[Any]:
        """A buffer for each channel; returns their read ports."""
        spec, strays, ports = self.spec, [], []
        for n in range(spec.channels):
            way: Any = getattr(self, f"i_{n}")
            memory = Memory(shape=BEAT_WIDTH, depth=spec.slots << spec.beat_bits, init=[])
            m.submodules[f"buffer_{n}"] = memory
            write, beat = memory.write_port(), Signal(spec.beat_bits, name=f"beat_{n}")
            awaited = Cat(mask[n] & ~got[n] for mask, got in zip(members, here, strict=True)
                          ).bit_select(way.p.slot, 1)
            ends = beat == 2 * (self.shape.last_chunk + 1)
            m.d.comb += [
                way.ready.eq(1), write.en.eq(way.valid & awaited), write.data.eq(way.p.data),
                write.addr.eq(Cat(beat, way.p.slot)),
            ]
            strays.append(way.valid & ~awaited)
            with m.If(write.en):
                m.d.sync += beat.eq(Mux(ends, 0, beat + 1))
            for slot, got in enumerate(here):
                with m.If(write.en & ends & (way.p.slot == slot)):
                    m.d.sync += got[n].eq(1)
            ports.append(memory.read_port(domain="comb"))
        m.d.comb += self.stray.eq(Cat(strays).any())
        return ports

    def _hand_out(self, m: Module, members: list[Signal], here: list[Signal], tags: list[Signal],
                  queued: Signal, taken: Signal, buffers: list[Any]) -> Signal:
        """Complete heads, first come, first served; those of one clock in the order of slots."""
        spec = self.spec
        bits = max(1, (spec.slots - 1).bit_length())
        m.submodules.complete = complete = SyncFIFO(width=bits, depth=spec.slots)
        m.submodules.tags = names = SyncFIFO(width=spec.tag_width, depth=spec.slots)
        whole = Signal(spec.slots)
        m.d.comb += [whole[n].eq(mask.any() & (mask == got) & ~queued[n])
                     for n, (mask, got) in enumerate(zip(members, here, strict=True))]
        first = Signal(range(max(2, spec.slots)))
        for n in reversed(range(spec.slots)):
            with m.If(whole[n]):
                m.d.comb += first.eq(n)
        puts = whole.any() & names.w_rdy
        m.d.comb += [
            complete.w_data.eq(first), complete.w_en.eq(puts),
            names.w_data.eq(Array(tags)[first]), names.w_en.eq(puts),
            self.tag.payload.eq(names.r_data), self.tag.valid.eq(names.r_rdy),
            names.r_en.eq(self.tag.ready),
        ]
        with m.If(puts):
            m.d.sync += queued.bit_select(first, 1).eq(1)

        slot, served = complete.r_data, Signal(spec.channels)
        beat, done = Signal(spec.beat_bits), Signal()
        mask, left, pick = (Signal(spec.channels, name=name) for name in ("mask", "left", "pick"))
        header, word = Signal(PartHeader()), Signal(BEAT_WIDTH)
        ends = beat == 2 * (self.shape.last_chunk + 1)
        fire = self.part.valid & self.part.ready
        m.d.comb += [
            taken.eq(1 << slot), mask.eq(Array(members)[slot]), left.eq(mask & ~served),
            pick.eq(left & (~left + 1)[:spec.channels]),
            *(port.addr.eq(Cat(beat, slot)) for port in buffers),
            header.eq(word[:PartHeader().size]),
            self.part.valid.eq(complete.r_rdy), self.part.p.header.eq(beat == 0),
            self.part.p.data.eq(word),
            done.eq(fire & ends & (left == pick)), complete.r_en.eq(done),
        ]
        for n, port in enumerate(buffers):
            with m.If(pick[n]):
                m.d.comb += word.eq(port.data)
        with m.If(beat == 0):
            named = Signal(PartHeader())
            m.d.comb += [named.eq(header), named.first.eq(~served.any()),
                         named.last.eq(left == pick), self.part.p.data.eq(named)]
        with m.If(fire):
            m.d.sync += beat.eq(Mux(ends, 0, beat + 1))
            with m.If(ends):
                m.d.sync += served.eq(Mux(done, 0, served | pick))
        return done
