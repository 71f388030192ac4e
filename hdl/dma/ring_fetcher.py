"""Fetches descriptors from the ring of a channel, in order and ahead of their use."""

from amaranth import Cat, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.dma.layouts import (
    DESCRIPTOR_HIGH,
    DESCRIPTOR_LAYOUT,
    DESCRIPTOR_LOW,
    PLACE_LAYOUT,
    SETTINGS_LAYOUT,
    spot_layout,
)
from hdl.dma.region import line_place
from hdl.layouts import BEAT_WIDTH
from model.spec.dma import DESCRIPTOR_BEATS, RING_LOG2_MAX, DmaSpec
from model.spec.slice import SliceSpec

INDEX_BITS = 16
"""Bits of a descriptor's index; a ring is shorter by far, so that full and empty differ."""


def ring_entry(index: Value, ring_log2: Value) -> Value:
    """The entry of the ring that a descriptor lies in."""
    ones = Const((1 << RING_LOG2_MAX) - 1, 2 * RING_LOG2_MAX)
    return index[:RING_LOG2_MAX] & ~(ones << ring_log2)[:RING_LOG2_MAX]


class RingFetcher(wiring.Component):
    """Keeps up to ``jobs`` descriptors ready; fetches one at a time, two beats together.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    dma : DmaSpec

    Members
    -------
    settings : ``In(SETTINGS_LAYOUT)``
    doorbell, tail : ``In(1)``, ``In(16)``
        Descriptors before index ``tail`` may be fetched. One that would be more than the ring
        holds is ignored.
    head, begun : ``In(16)``
        Index of the oldest descriptor under way; of the first that has not been begun.
    hold : ``In(1)``
        Nothing more is fetched, and what was is forgotten unless begun.
    fetch : ``Out(stream.Signature({kind, spot}))``
        Reads of both beats.
    fetched, kind, ok, content : ``In``
        Their answers, in any order.
    available, faulty : ``Out(1)``
        Descriptor ``begun`` is here; it could not be read.
    descriptor : ``Out(DESCRIPTOR_LAYOUT)``
    waiting : ``Out(1)``
        Answers are outstanding.
    pending : ``Out(1)``
        Descriptors wait in the ring.
    bad_doorbell : ``Out(1)``
        For one clock.
    """

    settings: data.View
    doorbell: Signal
    tail: Signal
    head: Signal
    begun: Signal
    hold: Signal
    fetch: stream.Interface
    fetched: Signal
    kind: Signal
    ok: Signal
    content: Signal
    available: Signal
    faulty: Signal
    descriptor: data.View
    waiting: Signal
    pending: Signal
    bad_doorbell: Signal

    def __init__(self, spec: SliceSpec, dma: DmaSpec) -> None:
        self.spec, self.dma = spec, dma
        super().__init__({
            "settings": In(SETTINGS_LAYOUT), "doorbell": In(1), "tail": In(INDEX_BITS),
            "head": In(INDEX_BITS), "begun": In(INDEX_BITS), "hold": In(1),
            "fetch": Out(stream.Signature(data.StructLayout({
                "kind": 2, "spot": spot_layout(spec)}))),
            "fetched": In(1), "kind": In(2), "ok": In(1), "content": In(BEAT_WIDTH),
            "available": Out(1), "faulty": Out(1), "descriptor": Out(DESCRIPTOR_LAYOUT),
            "waiting": Out(1), "pending": Out(1), "bad_doorbell": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        end = Signal(INDEX_BITS)        # as the doorbell said
        ahead = Signal(INDEX_BITS)      # fetched before it
        half = Signal()
        asked = Signal(range(DESCRIPTOR_BEATS + 1))
        broken = Signal()
        wanted = Signal()
        entry = ring_entry(ahead, self.settings.ring_log2)
        ring = data.View(PLACE_LAYOUT, self.settings.ring)
        where, _ = line_place(self.spec.geometry, ring, Cat(half, entry))
        _, exists = line_place(self.spec.geometry, ring, Cat(Const(1), entry))
        full = (ahead - self.head)[:INDEX_BITS] == self.dma.jobs
        size = (1 << self.settings.ring_log2)[:INDEX_BITS]
        begin = ~self.waiting & (ahead != end) & ~full & ~self.hold
        m.d.comb += [
            wanted.eq(begin | half),
            self.fetch.valid.eq(wanted & exists),
            self.fetch.p.kind.eq(half),
            *(self.fetch.p.spot[name].eq(value) for name, value in where.items()),
            self.waiting.eq(asked != 0),
            self.pending.eq(ahead != end),
            self.available.eq(ahead != self.begun),
            self.bad_doorbell.eq(self.doorbell & ((self.tail - self.head)[:INDEX_BITS] > size)),
        ]
        with m.If(self.doorbell & ~self.bad_doorbell):
            m.d.sync += end.eq(self.tail)

        faults = Signal(self.dma.jobs)
        self._store(m, ahead, faults)
        asks = self.fetch.valid & self.fetch.ready
        missing = wanted & ~exists & ~half
        m.d.sync += asked.eq((asked + asks - self.fetched)[:len(asked)])
        with m.If(asks):
            m.d.sync += half.eq(~half)
        whole = self.fetched & (asked == 1) & ~half
        with m.If(self.fetched & ~self.ok):
            m.d.sync += broken.eq(1)
        with m.If(whole | missing):
            m.d.sync += [
                ahead.eq(ahead + 1), broken.eq(0),
                faults.bit_select(job_number(ahead, self.dma), 1).eq(
                    broken | missing | (self.fetched & ~self.ok)),
            ]
        with m.Elif(self.hold & ~self.waiting & ~half):
            m.d.sync += ahead.eq(self.begun)
        return m

    def _store(self, m: Module, ahead: Signal, faults: Signal) -> None:
        oldest = job_number(self.begun, self.dma)
        halves = []
        for kind in (DESCRIPTOR_LOW, DESCRIPTOR_HIGH):
            memory = Memory(shape=BEAT_WIDTH, depth=self.dma.jobs, init=[])
            m.submodules[f"half_{kind}"] = memory
            store, show = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [
                store.addr.eq(job_number(ahead, self.dma)), store.data.eq(self.content),
                store.en.eq(self.fetched & (self.kind == kind)),
                show.addr.eq(oldest),
            ]
            halves.append(show.data)
        m.d.comb += [self.descriptor.eq(Cat(halves)),
                     self.faulty.eq(faults.bit_select(oldest, 1))]


def job_number(index: Value, dma: DmaSpec) -> Value:
    return index[:(dma.jobs - 1).bit_length()]

