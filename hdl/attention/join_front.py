"""From a descriptor to a join that is open."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.beat_reader import COUNT_BITS
from hdl.attention.descriptor_jobs import NOTE
from hdl.attention.descriptor_layouts import (
    DESCRIPTOR_LAYOUT,
    JOIN_BITS,
    RING_BITS,
    chunks_of,
    output_beats,
)
from hdl.attention.gather import group_layout
from hdl.attention.join_layouts import HEAD_BITS, HEAD_TAG, JOIN_LAYOUT
from hdl.dma.layouts import PLACE_LAYOUT
from hdl.dma.ring_fetcher import INDEX_BITS
from hdl.layouts import AttentionShape
from model.spec.attention import KvLayout
from model.spec.attention_descriptor import Opcode, Result
from model.spec.attention_join import JOIN
from model.spec.gather import GatherSpec
from model.spec.port import Status


class JoinFront(wiring.Component):
    """Takes joins in order, and opens each with all of its heads, so that no part of it has to wait
    for room.

    A join of another shape waits until none is open, and one of a name that is open until that is
    over. Its queries are copied to its members before, if it says so. One that is refused for its
    shape, its members or its queries is opened all the same, without room: whoever comes with a
    part is refused too, and no ring waits for it for ever.

    Parameters
    ----------
    gather : GatherSpec
        One channel more than the die: the last one is for foreign parts.

    Members
    -------
    available, ring, tenant, index, faulty, descriptor, take : see :class:`DescriptorRings`
    room, begin, note, newest : see :class:`JoinBook`
    current, current_tenant : ``Out``
        The join at hand.
    clash, idle : ``In(1)``
        A join of that name is open; none that was not refused is.
    shape, partial : ``Out``
        Of the joins that are open.
    open, slot : ``Out(stream)``, ``In``
        To the gatherer.
    head, placed : ``Out``, ``Out(1)``
        For one clock: this head of the newest join has the slot shown.
    copy, beats, copied, why : ``Out(1)``, ``Out``, ``In(1)``, ``In(Status)``
        For one clock: so many beats of queries are to be copied to ``members``; they have been,
        or why not.
    opened, members, refusal, detail : ``Out(1)``, ``Out(channels)``, ``Out(Result)``, ``Out(8)``
        For one clock: the newest join is open for these, refused if not ``DONE``.
    """

    available: Signal
    ring: Signal
    tenant: Signal
    index: Signal
    faulty: Signal
    descriptor: data.View
    take: Signal
    room: Signal
    begin: Signal
    note: data.View
    newest: Signal
    current: data.View
    current_tenant: Signal
    clash: Signal
    idle: Signal
    shape: data.View
    partial: Signal
    open: stream.Interface
    slot: Signal
    head: Signal
    placed: Signal
    copy: Signal
    beats: Signal
    copied: Signal
    why: Signal
    opened: Signal
    members: Signal
    refusal: Signal
    detail: Signal

    def __init__(self, gather: GatherSpec) -> None:
        self.gather = gather
        super().__init__({
            "available": In(1), "ring": In(RING_BITS), "tenant": In(8), "index": In(INDEX_BITS),
            "faulty": In(1), "descriptor": In(DESCRIPTOR_LAYOUT), "take": Out(1),
            "room": In(1), "begin": Out(1), "note": Out(NOTE), "newest": In(JOIN_BITS),
            "current": Out(JOIN_LAYOUT), "current_tenant": Out(8),
            "clash": In(1), "idle": In(1),
            "shape": Out(AttentionShape(gather.pim)), "partial": Out(1),
            "open": Out(stream.Signature(group_layout(gather))), "slot": In(range(gather.slots)),
            "head": Out(HEAD_BITS), "placed": Out(1),
            "copy": Out(1), "beats": Out(COUNT_BITS), "copied": In(1), "why": In(Status),
            "opened": Out(1), "members": Out(gather.channels), "refusal": Out(Result),
            "detail": Out(8),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d, faulty, untrusted = self.current, Signal(), Signal()
        tag = Signal(HEAD_TAG)
        chunks = chunks_of(d.head_size)
        last_chunk = Signal.like(self.shape.last_chunk)
        fits = (self.shape.last_chunk == last_chunk) & (self.partial == d.partial)
        self._check(m, faulty, untrusted)
        self._note(m)
        m.d.comb += [
            self.begin.eq(self.take), last_chunk.eq((chunks - 1)[:len(last_chunk)]),
            self.placed.eq(self.open.valid & self.open.ready),
            self.open.p.members.eq(self.members),
            self.beats.eq((d.heads[:HEAD_BITS + 1] * chunks[:5])[:COUNT_BITS]),
            tag.join.eq(self.newest), tag.head.eq(self.head), self.open.p.tag.eq(tag),
        ]
        with m.FSM():
            with m.State("PICK"):
                m.d.comb += self.take.eq(self.available & self.room)
                m.d.sync += self.head.eq(0)
                with m.If(self.take):
                    m.d.sync += [d.eq(data.View(JOIN_LAYOUT, self.descriptor.as_value())),
                                 faulty.eq(self.faulty), self.current_tenant.eq(self.tenant)]
                    m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(untrusted | (~self.clash & (self.refusal != Result.DONE))):
                    m.d.comb += self.opened.eq(1)
                    m.next = "PICK"
                with m.Elif(~self.clash & (self.idle | fits)):
                    m.d.sync += [self.shape.last_chunk.eq(last_chunk),
                                 self.partial.eq(d.partial)]
                    m.d.comb += self.copy.eq(d.broadcast)
                    m.next = "OPEN"
                    with m.If(d.broadcast):
                        m.next = "COPY"
            with m.State("COPY"):
                with m.If(self.copied & (self.why == Status.OK)):
                    m.next = "OPEN"
                with m.Elif(self.copied):
                    m.d.comb += [self.refusal.eq(Result.QUERY_FAULT), self.detail.eq(self.why),
                                 self.opened.eq(1)]
                    m.next = "PICK"
            with m.State("OPEN"):
                m.d.comb += self.open.valid.eq(1)
                with m.If(self.placed):
                    m.d.sync += self.head.eq(self.head + 1)
                    with m.If(self.head + 1 == d.heads):
                        m.d.comb += self.opened.eq(1)
                        m.next = "PICK"
        return m

    def _check(self, m: Module, faulty: Signal, untrusted: Signal) -> None:
        """Why it is refused; if what it says is not to be trusted, it has no members."""
        d, pim, channels = self.current, self.gather.pim, self.gather.channels - 1
        chunks, asked = chunks_of(d.head_size), Cat(d.members_low, d.members_high)
        reserved = Cat(d[name] for name in JOIN if name.startswith("reserved"))
        refusals = {
            Result.RING_FAULT: faulty,
            Result.BAD_OPCODE: (d.opcode != Opcode.JOIN) | reserved.any(),
            Result.WRONG_TENANT: d.tenant != self.current_tenant,
            Result.BAD_HEAD_SIZE: (d.head_size[:4].any() | (chunks < KvLayout.SMALLEST_CHUNKS)
                                   | (chunks > pim.chunks_max)),
            Result.BAD_GROUP: (d.heads == 0) | (d.heads > pim.group_max),
            Result.BAD_MEMBERS: asked[channels:].any() | ~(asked.any() | d.foreign),
        }
        for result, refused in reversed(refusals.items()):      # the last one wins
            with m.If(refused):
                m.d.comb += self.refusal.eq(result)
        m.d.comb += untrusted.eq(self.refusal.matches(
            Result.RING_FAULT, Result.BAD_OPCODE, Result.WRONG_TENANT))
        with m.If(~untrusted):          # nobody is asked for a foreign part of what is refused
            m.d.comb += self.members.eq(
                Cat(asked[:channels], d.foreign & (self.refusal == Result.DONE)))

    def _note(self, m: Module) -> None:
        d = data.View(JOIN_LAYOUT, self.descriptor.as_value())
        heads, chunks = d.heads[:HEAD_BITS + 1], chunks_of(d.head_size)[:5]
        m.d.comb += [
            self.note.cookie.eq(d.cookie), self.note.index.eq(self.index),
            self.note.ring.eq(self.ring), self.note.interrupt.eq(d.interrupt),
            self.note.output.eq(data.View(PLACE_LAYOUT, d.output)),
            self.note.beats.eq((heads * output_beats(d.partial, chunks))[:len(self.note.beats)]),
        ]
