"""The descriptor rings of the tenants, served in turn."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.descriptor_layouts import (
    DESCRIPTOR_LAYOUT,
    JOIN_BITS,
    RING_BITS,
    RING_SETTINGS_LAYOUT,
    board_layout,
)
from hdl.dma.layouts import spot_layout
from hdl.dma.port_share import StreamShare
from hdl.dma.ring_fetcher import INDEX_BITS, RingFetcher
from hdl.layouts import BEAT_WIDTH
from model.spec.attention_descriptor import EngineSpec, Opcode
from model.spec.dma import DmaSpec
from model.spec.slice import SliceSpec

RING_STATUS = data.StructLayout({"head": INDEX_BITS, "busy": 1, "bad_doorbell": 1})
"""Index of the oldest descriptor whose record is not in memory; any are there; a doorbell asked for
more than the ring holds, since reset."""


def ring_fetch_layout(spec: SliceSpec) -> data.StructLayout:
    """A read of half of a descriptor."""
    return data.StructLayout({"half": 1, "ring": RING_BITS, "spot": spot_layout(spec)})


class RingTurn(wiring.Component):
    """Whose turn it is: the next one behind the last that was taken; no latency.

    Parameters
    ----------
    rings : int

    Members
    -------
    ready, take : ``In(rings)``, ``In(1)``
        Who wants a turn; it is taken.
    pick : ``Out(rings)``
        One of them.
    """

    ready: Signal
    take: Signal
    pick: Signal

    def __init__(self, rings: int) -> None:
        super().__init__({"ready": In(rings), "take": In(1), "pick": Out(rings)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        behind, ahead = Signal.like(self.ready), Signal.like(self.ready)
        width = len(self.ready)
        turn = Mux(ahead.any(), ahead, self.ready)
        m.d.comb += [ahead.eq(self.ready & behind), self.pick.eq(turn & (~turn + 1)[:width])]
        with m.If(self.take):
            m.d.sync += behind.eq(~(self.pick | (self.pick - 1)[:width]))
        return m


class DescriptorRings(wiring.Component):
    """Hands out a descriptor of each ring that has any, in turn.

    A ring whose next descriptor is a part of a join that is not open yet has none until it is, and
    holds up no other.

    Parameters
    ----------
    spec : SliceSpec
    engine : EngineSpec

    Members
    -------
    settings_0 and so on : ``In(RING_SETTINGS_LAYOUT)``
        To be changed only while the ring is empty, but for ``enable``.
    doorbell, tail : ``In(rings)``, ``In(16)``
        Descriptors before index ``tail`` may be fetched.
    status_0 and so on : ``Out(RING_STATUS)``
    available : ``Out(1)``
    ring, tenant, index, faulty, descriptor : ``Out``
        The next descriptor.
    board : ``In(board_layout(engine))``
        The joins that are open for this pseudo-channel.
    joined, join, misfit : ``Out``
        The next descriptor is a part of a join; number of the join; which has another group or
        head size, or was refused.
    take : ``In(1)``
        It is begun.
    finish, finished_ring : ``In``
        The oldest descriptor of a ring that was begun is over, and its record in memory.
    fetch : ``Out(stream.Signature(ring_fetch_layout(spec)))``
    fetched, fetched_half, fetched_ring, ok, content : ``In``
        Its answers.
    """

    doorbell: Signal
    tail: Signal
    available: Signal
    ring: Signal
    tenant: Signal
    index: Signal
    faulty: Signal
    descriptor: data.View
    board: data.View
    joined: Signal
    join: Signal
    misfit: Signal
    take: Signal
    finish: Signal
    finished_ring: Signal
    fetch: stream.Interface
    fetched: Signal
    fetched_half: Signal
    fetched_ring: Signal
    ok: Signal
    content: Signal

    def __init__(self, spec: SliceSpec, engine: EngineSpec) -> None:
        self.spec, self.engine = spec, engine
        rings = range(engine.rings)
        super().__init__({
            **{f"settings_{n}": In(RING_SETTINGS_LAYOUT) for n in rings},
            **{f"status_{n}": Out(RING_STATUS) for n in rings},
            "doorbell": In(engine.rings), "tail": In(INDEX_BITS),
            "available": Out(1), "ring": Out(RING_BITS), "tenant": Out(8),
            "index": Out(INDEX_BITS), "faulty": Out(1), "descriptor": Out(DESCRIPTOR_LAYOUT),
            "board": In(board_layout(engine)), "joined": Out(1), "join": Out(JOIN_BITS),
            "misfit": Out(1), "take": In(1), "finish": In(1), "finished_ring": In(RING_BITS),
            "fetch": Out(stream.Signature(ring_fetch_layout(spec))),
            "fetched": In(1), "fetched_half": In(1), "fetched_ring": In(RING_BITS),
            "ok": In(1), "content": In(BEAT_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rings = self.engine.rings
        m.submodules.share = share = StreamShare(ring_fetch_layout(self.spec), rings)
        wiring.connect(m, share.o, wiring.flipped(self.fetch))
        fetchers = [self._ring(m, n, share) for n in range(rings)]
        m.submodules.turn = turn = RingTurn(rings)
        open_for = [self._open_joins(m, n, fetcher) for n, fetcher in enumerate(fetchers)]
        m.d.comb += [
            turn.ready.eq(Cat(f.available & ~f.hold & (hits.any() | ~joined)
                              for f, (joined, hits) in zip(fetchers, open_for, strict=True))),
            turn.take.eq(self.take), self.available.eq(turn.ready.any()),
        ]
        for n, fetcher in enumerate(fetchers):
            settings: Any = getattr(self, f"settings_{n}")
            joined, hits = open_for[n]
            with m.If(turn.pick[n]):
                self._show_join(m, joined, hits)
                m.d.comb += [
                    self.ring.eq(n), self.tenant.eq(settings.tenant),
                    self.index.eq(fetcher.begun), self.faulty.eq(fetcher.faulty),
                    self.descriptor.eq(data.View(DESCRIPTOR_LAYOUT,
                                                 fetcher.descriptor.as_value())),
                ]
        return m

    def _open_joins(self, m: Module, n: int, fetcher: RingFetcher) -> tuple[Signal, Signal]:
        """Whether the next descriptor of a ring is a part of a join; which joins it may be."""
        d = data.View(DESCRIPTOR_LAYOUT, fetcher.descriptor.as_value())
        settings: Any = getattr(self, f"settings_{n}")
        joined = Signal(name=f"joined_{n}")
        hits = Signal(self.engine.joins, name=f"hits_{n}")
        m.d.comb += joined.eq(~fetcher.faulty & (d.opcode == Opcode.ATTEND) & d.joined)
        for number, bit in enumerate(hits):
            entry = self.board[number]
            m.d.comb += bit.eq(entry.valid & (entry.join == d.join)
                               & (entry.tenant == settings.tenant))
        return joined, hits

    def _show_join(self, m: Module, joined: Signal, hits: Signal) -> None:
        d = self.descriptor
        m.d.comb += self.joined.eq(joined)
        for number, hit in enumerate(hits):
            entry = self.board[number]
            with m.If(joined & hit):
                m.d.comb += [
                    self.join.eq(number),
                    self.misfit.eq(entry.refused | (entry.heads != d.heads)
                                   | (entry.head_size != d.head_size))]

    def _ring(self, m: Module, n: int, share: StreamShare) -> RingFetcher:
        fetcher = RingFetcher(self.spec, DmaSpec(jobs=self.engine.jobs))
        m.submodules[f"ring_{n}"] = fetcher
        begun, head = Signal(INDEX_BITS, name=f"begun_{n}"), Signal(INDEX_BITS, name=f"head_{n}")
        settings: Any = getattr(self, f"settings_{n}")
        status: Any = getattr(self, f"status_{n}")
        port: Any = getattr(share, f"i_{n}")
        m.d.comb += [
            fetcher.settings.ring.eq(settings.ring),
            fetcher.settings.ring_log2.eq(settings.ring_log2),
            fetcher.hold.eq(~settings.enable),
            fetcher.doorbell.eq(self.doorbell[n]), fetcher.tail.eq(self.tail),
            fetcher.head.eq(head), fetcher.begun.eq(begun),
            port.valid.eq(fetcher.fetch.valid), fetcher.fetch.ready.eq(port.ready),
            port.p.half.eq(fetcher.fetch.p.kind[0]), port.p.ring.eq(n),
            port.p.spot.eq(fetcher.fetch.p.spot),
            fetcher.fetched.eq(self.fetched & (self.fetched_ring == n)),
            fetcher.kind.eq(self.fetched_half), fetcher.ok.eq(self.ok),
            fetcher.content.eq(self.content),
            status.head.eq(head),
            status.busy.eq(fetcher.pending | fetcher.available | (begun != head)),
        ]
        with m.If(self.take & (self.ring == n)):
            m.d.sync += begun.eq(begun + 1)
        with m.If(self.finish & (self.finished_ring == n)):
            m.d.sync += head.eq(head + 1)
        bad = Signal(name=f"bad_doorbell_{n}")
        m.d.comb += status.bad_doorbell.eq(bad)
        with m.If(fetcher.bad_doorbell):
            m.d.sync += bad.eq(1)
        return fetcher
