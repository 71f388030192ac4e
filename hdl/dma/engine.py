"""The DMA engine: channels, the arbiter between them, and what they share."""

from typing import Any

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dma.dma_channel import STATUS, DmaChannel
from hdl.dma.interrupt_coalescer import InterruptCoalescer
from hdl.dma.layouts import SETTINGS_LAYOUT, segment_layout, table_layout
from hdl.dma.mover import Mover
from hdl.dma.port_share import StreamShare
from hdl.dma.qos import QosArbiter, TokenBucket
from hdl.dma.ring_fetcher import INDEX_BITS
from hdl.dma.stream_path import HOST_IN, HOST_OUT, StreamPath
from hdl.layouts import BEAT_WIDTH, PortSignature
from hdl.quantiser.quantiser import Quantiser
from hdl.translator.layouts import TranslatorPort
from model.spec.dma import INTERRUPT_SETTINGS, DmaSpec
from model.spec.mx import QuantiserSpec
from model.spec.secded import BEAT_CHECK_BITS
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec


class DmaEngine(wiring.Component):
    """Moves KV blocks as descriptors in memory ask for it (docs/dma.md).

    An engine serves one pseudo-channel through one port of its memory channel. In steady state it
    reads and writes a beat a clock, turning the data bus twice for a buffer-full; from doorbell to
    first read lie two memory latencies and about 15 clocks, from last write to record one and 8.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    dma : DmaSpec
    translator : TranslatorSpec
        Of the translator that descriptors of blocks ask.
    quantiser : QuantiserSpec or None
        None: conversions are refused.

    Members
    -------
    settings_0 and so on : ``In(SETTINGS_LAYOUT)``
        Of each channel; those of ring and records change only while it is idle.
    doorbell, tail : ``In(channels)``, ``In(16)``
        Descriptors of these channels before index ``tail`` are ready.
    cancel, resume, clear : ``In(channels)``
        Gives up what has begun; goes on after a stop; clears the interrupt.
    status_0 and so on : ``Out(STATUS)``
    coalescing : ``In`` of ``INTERRUPT_SETTINGS``
    pending : ``Out(channels)``
        Channels that want attention; ``irq`` is any of them.
    irq : ``Out(1)``
    pseudo_channel : ``In(8)``
        Number of this pseudo-channel in the stack.
    port : ``Out(PortSignature(spec))``
    translator : ``Out(TranslatorPort(translator))``
    host_in, host_out : ``In(stream)``, ``Out(stream)``
    inject, corrected : ``In(288)``, ``Out(1)``
        Flips bits in the buffer, for tests; one was corrected.
    """

    doorbell: Signal
    tail: Signal
    cancel: Signal
    resume: Signal
    clear: Signal
    coalescing: data.View
    pending: Signal
    irq: Signal
    pseudo_channel: Signal
    port: Any
    translator: Any
    host_in: stream.Interface
    host_out: stream.Interface
    inject: Signal
    corrected: Signal

    def __init__(self, spec: SliceSpec, dma: DmaSpec | None = None, *,
                 translator: TranslatorSpec | None = None,
                 quantiser: QuantiserSpec | None = None) -> None:
        self.spec, self.dma = spec, dma or DmaSpec()
        self.translator_spec = translator or TranslatorSpec(channel=spec)
        self.quantiser = quantiser
        channels = self.dma.channels
        super().__init__({
            **{f"settings_{i}": In(SETTINGS_LAYOUT) for i in range(channels)},
            **{f"status_{i}": Out(STATUS) for i in range(channels)},
            "doorbell": In(channels), "tail": In(INDEX_BITS),
            "cancel": In(channels), "resume": In(channels), "clear": In(channels),
            "coalescing": In(table_layout(INTERRUPT_SETTINGS)),
            "pending": Out(channels), "irq": Out(1), "pseudo_channel": In(8),
            "port": Out(PortSignature(spec)),
            "translator": Out(TranslatorPort(self.translator_spec)),
            "host_in": In(stream.Signature(HOST_IN)), "host_out": Out(stream.Signature(HOST_OUT)),
            "inject": In(BEAT_WIDTH + BEAT_CHECK_BITS), "corrected": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.mover = mover = Mover(self.spec, self.dma)
        m.submodules.path = path = StreamPath(self.quantiser)
        channels = [DmaChannel(self.spec, self.dma, self.translator_spec, i)
                    for i in range(self.dma.channels)]
        for i, channel in enumerate(channels):
            m.submodules[f"channel_{i}"] = channel
            self._software(m, i, channel)
        connect(m, mover.port, flipped(self.port))
        m.d.comb += [
            mover.inject.eq(self.inject), self.corrected.eq(mover.corrected),
            mover.failed.eq(Cat(channel.failed for channel in channels)),
            self.irq.eq(self.pending.any()),
        ]
        self._segments(m, mover, channels)
        self._share(m, mover, channels)
        self._translate(m, channels)
        self._streams(m, mover, path, channels)
        if self.quantiser is not None:
            self._quantise(m, path, self.quantiser)
        return m

    def _software(self, m: Module, i: int, channel: DmaChannel) -> None:
        m.submodules[f"interrupt_{i}"] = coalescer = InterruptCoalescer()
        m.d.comb += [
            channel.settings.eq(getattr(self, f"settings_{i}")),
            channel.doorbell.eq(self.doorbell[i]), channel.tail.eq(self.tail),
            channel.cancel.eq(self.cancel[i]), channel.resume.eq(self.resume[i]),
            channel.pseudo_channel.eq(self.pseudo_channel),
            getattr(self, f"status_{i}").eq(channel.status),
            coalescer.count.eq(self.coalescing.count),
            coalescer.timeout.eq(self.coalescing.timeout),
            coalescer.completed.eq(channel.completed), coalescer.failed.eq(channel.erred),
            coalescer.clear.eq(self.clear[i]), self.pending[i].eq(coalescer.pending),
        ]

    def _segments(self, m: Module, mover: Mover, channels: list[DmaChannel]) -> None:
        """The arbiter picks; what it picked waits for the mover, while the others may go on."""
        m.submodules.arbiter = arbiter = QosArbiter(len(channels))
        held = Signal(segment_layout(self.spec))
        full = Signal()
        moves = Signal()
        m.d.comb += [
            mover.offer.eq(full), mover.segment.eq(held),
            moves.eq(~full | mover.accept), arbiter.take.eq(moves & arbiter.pick.any()),
        ]
        for i, channel in enumerate(channels):
            m.submodules[f"bucket_{i}"] = bucket = TokenBucket()
            settings: data.View = getattr(self, f"settings_{i}")
            m.d.comb += [
                bucket.rate.eq(settings.rate), bucket.burst.eq(settings.burst),
                bucket.spend.eq(channel.accept), bucket.beats.eq(channel.segment.beats),
                arbiter.asks[i].eq(channel.offer & bucket.open),
                getattr(arbiter, f"priority_{i}").eq(settings.priority),
                getattr(arbiter, f"weight_{i}").eq(settings.weight),
                channel.accept.eq(moves & arbiter.pick[i]),
                channel.unload_room.eq(mover.unload_room & ~full),
                channel.load_room.eq(mover.load_room & ~full),
            ]
            with m.If(arbiter.pick[i]):
                m.d.comb += arbiter.beats.eq(channel.segment.beats)
                with m.If(moves):
                    m.d.sync += held.eq(channel.segment)
        with m.If(moves):
            m.d.sync += full.eq(arbiter.pick.any())

    def _share(self, m: Module, mover: Mover, channels: list[DmaChannel]) -> None:
        """Reads of rings and lists, and records, from all channels."""
        for name in ("fetch", "record"):
            target = getattr(mover, name)
            share = StreamShare(target.payload.shape(), len(channels))
            m.submodules[f"{name}_share"] = share
            for i, channel in enumerate(channels):
                connect(m, getattr(share, f"i_{i}"), getattr(channel, name))
            connect(m, share.o, target)
        for channel in channels:
            connect(m, mover.events, channel.events)
            m.d.comb += channel.fetched.eq(mover.fetched)

    def _translate(self, m: Module, channels: list[DmaChannel]) -> None:
        for name, answer, low in (("lookup", "translation", 0), ("commit", "committed", 1)):
            target: Any = getattr(self.translator, name)
            response: Any = getattr(self.translator, answer)
            share = StreamShare(target.payload.shape(), len(channels))
            m.submodules[f"{name}_share"] = share
            connect(m, flipped(target), share.o)
            m.d.comb += response.ready.eq(1)
            for i, channel in enumerate(channels):
                connect(m, getattr(share, f"i_{i}"), getattr(channel, name))
                port = getattr(channel, answer)
                m.d.comb += [
                    port.payload.eq(response.payload),
                    port.valid.eq(response.valid & (response.p.tag[low:low + 3] == i)),
                ]

    def _streams(self, m: Module, mover: Mover, path: StreamPath,
                 channels: list[DmaChannel]) -> None:
        """One channel at a time has the streams, from its grant until its move is over."""
        used = Signal()
        wanted, pick, owner = (Signal(len(channels), name=n) for n in ("wanted", "pick", "owner"))
        m.d.comb += [
            wanted.eq(Cat(channel.streams_wanted for channel in channels)),
            used.eq(Cat(channel.streams_used for channel in channels).any()),
            pick.eq(Mux(used, 0, wanted & (~wanted + 1)[:len(wanted)])),
            path.start.eq(pick.any()),
        ]
        with m.If(path.start):
            m.d.sync += owner.eq(pick)
        holder = Mux(path.start, pick, owner)
        for i, channel in enumerate(channels):
            m.d.comb += [
                channel.streams_granted.eq(pick[i]), channel.streams_busy.eq(path.busy),
                channel.streams_trouble_valid.eq(path.trouble_valid),
                channel.streams_trouble.eq(path.trouble),
            ]
            with m.If(holder[i]):
                m.d.comb += [path.descriptor.eq(channel.current),
                             path.failed.eq(channel.streams_failed)]
        m.d.comb += mover.clear.eq(path.clear)
        connect(m, path.unload, mover.unload)
        connect(m, mover.load, path.load)
        connect(m, flipped(self.host_in), path.host_in)
        connect(m, flipped(self.host_out), path.host_out)

    def _quantise(self, m: Module, path: StreamPath, spec: QuantiserSpec) -> None:
        quantiser = Quantiser(spec)
        m.submodules.quantiser = ResetInserter(path.clear)(quantiser)
        for name, other in (("request", "request"), ("raw", "i")):
            connect(m, getattr(quantiser, other), getattr(path, name))
        for name, other in (("converted", "o"), ("result", "result")):
            connect(m, getattr(path, name), getattr(quantiser, other))
