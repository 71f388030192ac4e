"""The write half of an AXI4 memory port: beats become words, words become one answer a burst."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.host.axi import LENGTH_WIDTH, beat_layout, check_slots, word_layout
from hdl.host.axi_lite import Response
from hdl.layouts import BEAT_WIDTH
from model.spec.geometry import BEAT_BYTES


def write_data_layout() -> data.StructLayout:
    """A W transfer; its last flag says nothing that the burst's length does not."""
    return data.StructLayout({"data": BEAT_WIDTH, "strobe": BEAT_BYTES})


class WordPacker(wiring.Component):
    """Puts together what neighbouring beats write into one word: a beat a clock, a clock later.

    A byte that several beats of a burst write in a row has the value of the last.

    Parameters
    ----------
    address_width, info_width : int

    Members
    -------
    i : ``In(stream.Signature(beat_layout(...)))``, w : ``In(stream.Signature(write_data_layout))``
        Taken together.
    o : ``Out(stream.Signature(word_layout(...)))``
    """

    i: stream.Interface
    w: stream.Interface
    o: stream.Interface

    def __init__(self, address_width: int, info_width: int) -> None:
        self.layout = word_layout(address_width, info_width)
        super().__init__({
            "i": In(stream.Signature(beat_layout(address_width, info_width))),
            "w": In(stream.Signature(write_data_layout())),
            "o": Out(stream.Signature(self.layout)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, word, complete = self.i.p, Signal(self.layout), Signal()
        room = ~complete | self.o.ready
        m.d.comb += [
            self.o.valid.eq(complete), self.o.payload.eq(word),
            self.i.ready.eq(self.w.valid & room), self.w.ready.eq(self.i.valid & room),
        ]
        kept = word.strobe & ~beat.first_of_word.replicate(BEAT_BYTES)
        written = Cat(bit.replicate(8) for bit in self.w.p.strobe)
        with m.If(complete & self.o.ready):
            m.d.sync += complete.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                word.info.eq(beat.info), word.word.eq(beat.word),
                word.last.eq(beat.last), word.refused.eq(beat.refused),
                word.strobe.eq(kept | self.w.p.strobe),
                word.data.eq((word.data & ~written) | (self.w.p.data & written)),
                complete.eq(beat.last_of_word),
            ]
        return m


class WriteTracker(wiring.Component):
    """Answers a burst once all its words are done, bursts in order: one a clock.

    Parameters
    ----------
    id_width : int
    slots : int
        Bursts under way; a power of two.

    Members
    -------
    room : ``Out(1)``, slot : ``Out(range(slots))``
        A burst may begin, and gets this slot.
    begin, id : ``In(1)``, ``In(id_width)``
        It begins; only with ``room``.
    pass_valid, pass_slot, pass_waits, pass_last, pass_refused : ``In``
        A word of a burst has passed: an answer of the memory is to be waited for; it is the
        burst's last; the burst is refused.
    done_valid, done_slot, done_response : ``In``
        The answer for a word.
    b : ``Out(stream.Signature({id, response}))``
    """

    room: Signal
    slot: Signal
    begin: Signal
    id: Signal
    pass_valid: Signal
    pass_slot: Signal
    pass_waits: Signal
    pass_last: Signal
    pass_refused: Signal
    done_valid: Signal
    done_slot: Signal
    done_response: data.View
    b: stream.Interface

    def __init__(self, id_width: int, *, slots: int = 16) -> None:
        check_slots("slots", slots)
        self.slots, self.id_width = slots, id_width
        super().__init__({
            "room": Out(1), "slot": Out(range(slots)), "begin": In(1), "id": In(id_width),
            "pass_valid": In(1), "pass_slot": In(range(slots)), "pass_waits": In(1),
            "pass_last": In(1), "pass_refused": In(1),
            "done_valid": In(1), "done_slot": In(range(slots)), "done_response": In(Response),
            "b": Out(stream.Signature(data.StructLayout({"id": id_width, "response": Response}))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        oldest, used = Signal(range(self.slots)), Signal(range(self.slots + 1))
        ended, response, ids = [], [], []
        answered = self.b.valid & self.b.ready
        m.d.comb += self.room.eq(used != self.slots)
        with m.If(self.begin):
            m.d.sync += self.slot.eq(self.slot + 1)
        with m.If(answered):
            m.d.sync += oldest.eq(oldest + 1)
        with m.If(self.begin & ~answered):
            m.d.sync += used.eq(used + 1)
        with m.Elif(answered & ~self.begin):
            m.d.sync += used.eq(used - 1)

        for n in range(self.slots):
            waiting = Signal(LENGTH_WIDTH + 1, name=f"waiting_{n}")
            whole, worst = Signal(name=f"whole_{n}"), Signal(2, name=f"worst_{n}")
            burst_id = Signal(self.id_width, name=f"id_{n}")
            passes = self.pass_valid & (self.pass_slot == n)
            done = self.done_valid & (self.done_slot == n)
            more = passes & self.pass_waits
            with m.If(more & ~done):
                m.d.sync += waiting.eq(waiting + 1)
            with m.Elif(done & ~more):
                m.d.sync += waiting.eq(waiting - 1)
            with m.If(passes & self.pass_last):
                m.d.sync += whole.eq(1)
            with m.If(passes & self.pass_refused):
                m.d.sync += worst.eq(Response.SLVERR)
            with m.Elif(done):
                # DECERR hides SLVERR
                m.d.sync += worst.eq(worst | Value.cast(self.done_response))
            with m.If(self.begin & (self.slot == n)):
                m.d.sync += [whole.eq(0), worst.eq(Response.OKAY), burst_id.eq(self.id)]
            ended.append(whole & (waiting == 0))
            response.append(worst)
            ids.append(burst_id)
        m.d.comb += [
            self.b.valid.eq((used != 0) & Cat(ended).bit_select(oldest, 1)),
            self.b.p.id.eq(Cat(ids).word_select(oldest, self.id_width)),
            self.b.p.response.eq(Cat(response).word_select(oldest, 2)),
        ]
        return m
