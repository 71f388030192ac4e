"""The read half of an AXI4 memory port: words in any order become beats in order."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.host.axi import beat_layout, check_slots
from hdl.host.axi_lite import Response
from hdl.layouts import BEAT_WIDTH
from model.spec.address_map import OFFSET_BITS


def fetch_layout(address_width: int, slots: int) -> data.StructLayout:
    """A word to be read, and the slot for it."""
    return data.StructLayout({"slot": range(slots), "word": address_width - OFFSET_BITS})


def fetched_layout(slots: int) -> data.StructLayout:
    """A word that was read."""
    return data.StructLayout({"slot": range(slots), "data": BEAT_WIDTH, "response": Response})


def read_beat_layout(id_width: int) -> data.StructLayout:
    """An R transfer."""
    return data.StructLayout({"id": id_width, "data": BEAT_WIDTH, "response": Response, "last": 1})


class ReadOrder(wiring.Component):
    """Fetches each word of a burst once and returns the beats in the order of the requests.

    One beat a clock; the clock after the word has come, if it is the turn of its beat. Order is
    kept over all IDs, which is more than AXI4 asks.

    Parameters
    ----------
    address_width, id_width : int
    slots : int
        Beats, and so words, under way and waiting for their turn; a power of two.

    Members
    -------
    i : ``In(stream.Signature(beat_layout(address_width, id_width)))``
    fetch : ``Out(stream.Signature(fetch_layout(address_width, slots)))``
    fetched : ``In(fetched_layout(slots))``, fetched_valid : ``In(1)``
        In any order; there is always room.
    o : ``Out(stream.Signature(read_beat_layout(id_width)))``
    """

    i: stream.Interface
    fetch: stream.Interface
    fetched: data.View
    fetched_valid: Signal
    o: stream.Interface

    def __init__(self, address_width: int, id_width: int, *, slots: int = 64) -> None:
        check_slots("slots", slots)
        self.slots = slots
        self.entry = data.StructLayout({
            "id": id_width, "slot": range(slots), "last": 1, "refused": 1, "leaves": 1})
        super().__init__({
            "i": In(stream.Signature(beat_layout(address_width, id_width))),
            "fetch": Out(stream.Signature(fetch_layout(address_width, slots))),
            "fetched": In(fetched_layout(slots)), "fetched_valid": In(1),
            "o": Out(stream.Signature(read_beat_layout(id_width))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.order = order = SyncFIFO(width=self.entry.size, depth=self.slots)
        beat, entry = self.i.p, Signal(self.entry)
        # A word has a beat in the queue for as long as it has a slot: room there is a free slot
        slot, needs, leaves = Signal(range(self.slots)), Signal(), Signal()
        m.d.comb += [
            needs.eq(beat.first_of_word & ~beat.refused),
            self.fetch.valid.eq(self.i.valid & needs & order.w_rdy),
            self.fetch.p.slot.eq(slot), self.fetch.p.word.eq(beat.word),
            self.i.ready.eq(order.w_rdy & (~needs | self.fetch.ready)),
            entry.id.eq(beat.info), entry.last.eq(beat.last), entry.refused.eq(beat.refused),
            entry.slot.eq(Mux(needs, slot, (slot - 1)[:len(slot)])),
            entry.leaves.eq(beat.last_of_word & ~beat.refused),
            order.w_en.eq(self.i.valid & self.i.ready), order.w_data.eq(entry),
        ]
        with m.If(self.fetch.valid & self.fetch.ready):
            m.d.sync += slot.eq(slot + 1)

        words = Memory(shape=data.StructLayout({"data": BEAT_WIDTH, "response": Response}),
                       depth=self.slots, init=[])
        m.submodules.words = words
        write, read = words.write_port(), words.read_port(domain="comb")
        filled = Signal(self.slots)
        oldest = data.View(self.entry, order.r_data)
        beat_out = self.o.p
        m.d.comb += [
            write.en.eq(self.fetched_valid), write.addr.eq(self.fetched.slot),
            write.data.data.eq(self.fetched.data), write.data.response.eq(self.fetched.response),
            read.addr.eq(oldest.slot),
            self.o.valid.eq(order.r_rdy & (oldest.refused | filled.bit_select(oldest.slot, 1))),
            order.r_en.eq(self.o.valid & self.o.ready),
            leaves.eq(order.r_en & oldest.leaves),
            beat_out.id.eq(oldest.id), beat_out.last.eq(oldest.last),
            beat_out.response.eq(Mux(oldest.refused, Response.SLVERR, read.data.response)),
            beat_out.data.eq(Mux(oldest.refused, 0, read.data.data)),
        ]
        for n in range(self.slots):
            with m.If(self.fetched_valid & (self.fetched.slot == n)):
                m.d.sync += filled[n].eq(1)
            with m.Elif(leaves & (oldest.slot == n)):
                m.d.sync += filled[n].eq(0)
        return m
