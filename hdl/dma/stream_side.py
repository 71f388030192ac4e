"""Where the buffer meets streams: fills segments from one, empties them into another."""

from amaranth import Cat, Module, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dma.layouts import BEAT_BITS, segment_layout
from hdl.layouts import BEAT_WIDTH
from hdl.reserved_queue import ReservedQueue
from model.spec.dma import DmaSpec
from model.spec.slice import SliceSpec

QUEUE = 4
"""Beats between buffer and stream: one on its way, one shown, and room to go on at one a clock."""


def unload_layout() -> data.StructLayout:
    """A beat that has left the buffer."""
    return data.StructLayout({
        "data": BEAT_WIDTH,
        "last": 1,                  # of its element
        "final": 1,                 # of its move
        "spoiled": 1,               # it could not be corrected: not to be used
    })


class StreamSide(wiring.Component):
    """One beat a clock each way, whenever the buffer's ports are free.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    dma : DmaSpec

    Members
    -------
    load : ``In(stream.Signature(256))``
        Beats to be put into the buffer.
    load_ready, load_slot, load_content, load_done : ``In``, ``In``, ``In``, ``Out(1)``
        The slot that is being filled; it is full.
    load_last : ``Out(1)``
        The next beat is its last.
    store_free, store, store_at, content : ``In(1)``, ``Out``
        The buffer's write port.
    unload_ready, unload_slot, unload_content, unload_done : ``In``, ``In``, ``In``, ``Out(1)``
        The slot that is being emptied; all of it is on its way.
    fetch_free, fetch, fetch_at, shown, spoiled : ``In(1)``, ``Out``, ``In``
        The buffer's read port.
    unload : ``Out(stream.Signature(unload_layout()))``
        What comes out.
    clear : ``In(1)``
        The move has failed: what is half filled, half emptied or on its way is forgotten.
    """

    load: stream.Interface
    load_ready: Signal
    load_slot: Signal
    load_content: data.View
    load_done: Signal
    load_last: Signal
    store_free: Signal
    store: Signal
    store_at: Signal
    content: Signal
    unload_ready: Signal
    unload_slot: Signal
    unload_content: data.View
    unload_done: Signal
    fetch_free: Signal
    fetch: Signal
    fetch_at: Signal
    shown: Signal
    spoiled: Signal
    unload: stream.Interface
    clear: Signal

    def __init__(self, spec: SliceSpec, dma: DmaSpec) -> None:
        segment = segment_layout(spec)
        super().__init__({
            "load": In(stream.Signature(BEAT_WIDTH)),
            "load_ready": In(1), "load_slot": In(range(dma.slots)), "load_content": In(segment),
            "load_done": Out(1), "load_last": Out(1),
            "store_free": In(1), "store": Out(1), "store_at": Out(range(dma.buffer_beats)),
            "content": Out(BEAT_WIDTH),
            "unload_ready": In(1), "unload_slot": In(range(dma.slots)),
            "unload_content": In(segment), "unload_done": Out(1),
            "fetch_free": In(1), "fetch": Out(1), "fetch_at": Out(range(dma.buffer_beats)),
            "shown": In(BEAT_WIDTH), "spoiled": In(1),
            "unload": Out(stream.Signature(unload_layout())),
            "clear": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        loaded = Signal(BEAT_BITS)
        unloaded = Signal(BEAT_BITS)
        m.d.comb += [
            self.load.ready.eq(self.load_ready & self.store_free & ~self.clear),
            self.store.eq(self.load.ready & self.load.valid),
            self.store_at.eq(Cat(loaded, self.load_slot)), self.content.eq(self.load.payload),
            self.load_last.eq(loaded + 1 == self.load_content.beats),
            self.load_done.eq(self.store & self.load_last),
        ]
        with m.If(self.clear | self.load_done):
            m.d.sync += loaded.eq(0)
        with m.Elif(self.store):
            m.d.sync += loaded.eq(loaded + 1)

        queue = ReservedQueue(unload_layout(), depth=QUEUE)
        m.submodules.queue = ResetInserter(self.clear)(queue)
        last = unloaded + 1 == self.unload_content.beats
        flags = [Signal(name=n) for n in ("was_last", "was_final")]
        moves = Signal()
        m.d.comb += [
            self.fetch.eq(self.unload_ready & self.fetch_free & queue.room & ~self.clear),
            self.fetch_at.eq(Cat(unloaded, self.unload_slot)),
            self.unload_done.eq(self.fetch & last),
            queue.reserve.eq(self.fetch), queue.en.eq(moves),
            queue.item.eq(Cat(self.shown, *flags, self.spoiled)),
        ]
        connect(m, flipped(self.unload), queue.o)
        m.d.sync += [
            moves.eq(self.fetch),
            flags[0].eq(last & self.unload_content.last),
            flags[1].eq(last & self.unload_content.final),
        ]
        with m.If(self.clear | self.unload_done):
            m.d.sync += unloaded.eq(0)
        with m.Elif(self.fetch):
            m.d.sync += unloaded.eq(unloaded + 1)
        return m
