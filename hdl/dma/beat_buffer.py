"""The engine's buffer: every beat with its check bits."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH
from hdl.reliability.secded import SecdedDecoder, SecdedEncoder
from model.spec.secded import BEAT_CHECK_BITS


class BeatBuffer(wiring.Component):
    """One write and one read a clock; what is read shows a clock later, corrected, until the next.

    Parameters
    ----------
    beats : int

    Members
    -------
    store, store_at, content : ``In``
        A write.
    inject : ``In(288)``
        Bits of data and check bits that are flipped as they are written; for tests.
    fetch, fetch_at : ``In``
        A read.
    shown : ``Out(256)``
        What was read last.
    spoiled, corrected : ``Out(1)``
        It cannot be corrected; it was corrected.
    """

    store: Signal
    store_at: Signal
    content: Signal
    inject: Signal
    fetch: Signal
    fetch_at: Signal
    shown: Signal
    spoiled: Signal
    corrected: Signal

    def __init__(self, beats: int) -> None:
        self.beats = beats
        super().__init__({
            "store": In(1), "store_at": In(range(beats)), "content": In(BEAT_WIDTH),
            "inject": In(BEAT_WIDTH + BEAT_CHECK_BITS),
            "fetch": In(1), "fetch_at": In(range(beats)),
            "shown": Out(BEAT_WIDTH), "spoiled": Out(1), "corrected": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.encoder = encoder = SecdedEncoder()
        m.submodules.decoder = decoder = SecdedDecoder()
        m.submodules.memory = memory = Memory(
            shape=BEAT_WIDTH + BEAT_CHECK_BITS, depth=self.beats, init=[])
        store, fetch = memory.write_port(), memory.read_port()
        m.d.comb += [
            encoder.data.eq(self.content),
            store.en.eq(self.store), store.addr.eq(self.store_at),
            store.data.eq(Cat(self.content, encoder.check) ^ self.inject),
            fetch.en.eq(self.fetch), fetch.addr.eq(self.fetch_at),
            decoder.data.eq(fetch.data[:BEAT_WIDTH]), decoder.check.eq(fetch.data[BEAT_WIDTH:]),
            self.shown.eq(decoder.decoded),
            self.spoiled.eq(decoder.uncorrectable.any()),
            self.corrected.eq(decoder.corrected.any()),
        ]
        return m
