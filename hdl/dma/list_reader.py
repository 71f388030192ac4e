"""Reads the places of a list from memory, ahead of their use."""

from amaranth import Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hdl.dma.layouts import PLACE_LAYOUT, spot_layout
from hdl.dma.region import line_place
from hdl.layouts import BEAT_WIDTH
from model.spec.dma import LIST_ENTRIES
from model.spec.slice import SliceSpec

BEATS_AHEAD = 2
"""Beats of a list that are read before the one in use is through."""


class ListReader(wiring.Component):
    """One place a clock, eight a beat; one beat is read at a time, two ahead of the one in use.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.

    Members
    -------
    load, place, entries : ``In``
        Starts a list; what is left of the one before is forgotten.
    stop : ``In(1)``
        Nothing more is read.
    fetch : ``Out(stream.Signature(spot_layout(spec)))``
        Reads.
    fetched, ok, content : ``In(1)``, ``In(1)``, ``In(256)``
        Their answers, one at a time.
    entry : ``Out(stream.Signature(PLACE_LAYOUT))``
        The places, in order.
    waiting : ``Out(1)``
        An answer is outstanding.
    fault : ``Out(1)``
        The list could not be read; until the next one is started.
    """

    load: Signal
    place: data.View
    entries: Signal
    stop: Signal
    fetch: stream.Interface
    fetched: Signal
    ok: Signal
    content: Signal
    entry: stream.Interface
    waiting: Signal
    fault: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        super().__init__({
            "load": In(1), "place": In(PLACE_LAYOUT), "entries": In(16), "stop": In(1),
            "fetch": Out(stream.Signature(spot_layout(spec))),
            "fetched": In(1), "ok": In(1), "content": In(BEAT_WIDTH),
            "entry": Out(stream.Signature(PLACE_LAYOUT)),
            "waiting": Out(1), "fault": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fifo = SyncFIFOBuffered(width=BEAT_WIDTH, depth=BEATS_AHEAD)
        m.submodules.fifo = ResetInserter(self.load)(fifo)
        start = Signal(PLACE_LAYOUT)
        beat = Signal(13)
        number = Signal(range(LIST_ENTRIES))
        unread = Signal(16)
        where, exists = line_place(self.spec.geometry, start, beat)
        wanted = Signal()
        offered = Signal()                # a request that was shown stays
        m.d.comb += [
            wanted.eq((unread != 0) & ~self.waiting & ~self.fault & fifo.w_rdy
                      & (offered | ~self.stop)),
            self.fetch.valid.eq(wanted & exists),
            *(self.fetch.p[name].eq(value) for name, value in where.items()),
            fifo.w_data.eq(self.content), fifo.w_en.eq(self.fetched & self.ok),
            self.entry.payload.eq(fifo.r_data.word_select(number, PLACE_LAYOUT.size)),
            self.entry.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.entry.ready & (number == LIST_ENTRIES - 1)),
        ]
        m.d.sync += offered.eq(self.fetch.valid & ~self.fetch.ready)
        with m.If(self.entry.valid & self.entry.ready):
            m.d.sync += number.eq(number + 1)
        with m.If(wanted & ~exists):
            m.d.sync += self.fault.eq(1)
        with m.If(self.fetch.valid & self.fetch.ready):
            fewer = Mux(unread > LIST_ENTRIES, unread - LIST_ENTRIES, 0)
            m.d.sync += [self.waiting.eq(1), beat.eq(beat + 1), unread.eq(fewer[:len(unread)])]
        with m.If(self.fetched):
            m.d.sync += [self.waiting.eq(0), self.fault.eq(~self.ok)]
        with m.If(self.load):
            m.d.sync += [start.eq(self.place), unread.eq(self.entries), beat.eq(0),
                         number.eq(0), self.fault.eq(0)]
        return m

