"""Walks over one side of a move: region, strided elements or elements of a list."""

import enum

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.dma.layouts import PLACE_LAYOUT, spot_layout
from hdl.dma.region import POSITION_BITS, bank_flips, column_bits, in_turn, region_exists
from model.spec.dma import INTERLEAVE_MAX, SEGMENT_BEATS
from model.spec.slice import SliceSpec

WALK = data.StructLayout({
    "listed": 1,                    # places come from a list
    "place": PLACE_LAYOUT,          # of the first element, unless listed
    "interleave": 4,
    "stride": 24,                   # beats from one element to the next
    "elements": 16, "beats": 16,
    "first": 16,                    # beats at the end of an element that come before the others
})
"""One side of a move."""


class _State(enum.Enum):
    DONE = 0
    ENTRY = 1       # waits for the place of an element
    EXTENT = 2      # computes the last beat of the region
    CHECK = 3       # asks whether all of it exists
    RUN = 4
    BAD = 5


class AddressWalker(wiring.Component):
    """Offers one run of beats after another, each within a row; one a clock within an element.

    The first run, and one of a list's element, comes two clocks after its place. No run is offered
    before the place of the whole region, or of the whole element of a list, has been found to
    exist.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.

    Members
    -------
    load, walk : ``In(1)``, ``In(WALK)``
        Starts a side; whatever was under way is forgotten.
    entry : ``In(stream.Signature(PLACE_LAYOUT))``
        Places of the elements, if listed.
    valid, spot : ``Out(1)``, ``Out(spot_layout(spec))``
        A run is offered and begins there.
    run : ``Out``
        Its beats, at most ``SEGMENT_BEATS``.
    left, last_element : ``Out``
        Beats left in the element; it is the last one.
    take : ``In``
        Beats of the run that are taken in this clock, 0 for none.
    checked, done, bad : ``Out(1)``
        The place of the region exists, or the side is listed; all was taken; a place does not
        exist, and nothing more is offered.
    place : ``Out(PLACE_LAYOUT)``
        The place that was looked at.
    bank, flips, first_row, last_row : ``Out``
        Once checked: the region lies in these rows of ``bank`` with any of ``flips`` flipped.
    """

    load: Signal
    walk: data.View
    entry: stream.Interface
    valid: Signal
    spot: data.View
    run: Signal
    left: Signal
    last_element: Signal
    take: Signal
    checked: Signal
    done: Signal
    bad: Signal
    place: data.View
    bank: Signal
    flips: Signal
    first_row: Signal
    last_row: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        super().__init__({
            "load": In(1), "walk": In(WALK), "entry": In(stream.Signature(PLACE_LAYOUT)),
            "valid": Out(1), "spot": Out(spot_layout(spec)),
            "run": Out(range(SEGMENT_BEATS + 1)), "left": Out(16), "last_element": Out(1),
            "take": In(range(SEGMENT_BEATS + 1)),
            "checked": Out(1), "done": Out(1), "bad": Out(1), "place": Out(PLACE_LAYOUT),
            "bank": Out(8), "flips": Out(8), "first_row": Out(16), "last_row": Out(16),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(_State)
        side = Signal(WALK)
        position = Signal(POSITION_BITS)
        start = Signal(POSITION_BITS)
        elements = Signal(16)
        last = Signal(2 * POSITION_BITS)
        rest = Signal(16)       # beats after the first ones
        part = Signal(16)       # left of either part
        m.d.comb += [
            self.place.eq(side.place), self.last_element.eq(elements == 1),
            rest.eq(Mux(side.first.any(), (side.beats - side.first)[:16], 0)),
            part.eq(Mux(self.left > rest, (self.left - rest)[:16], self.left)),
        ]
        with m.Switch(state):
            with m.Case(_State.ENTRY):
                m.d.comb += self.entry.ready.eq(1)
                m.d.sync += [side.place.eq(self.entry.p),
                             last.eq(self.entry.p.column + side.beats - 1)]
                with m.If(self.entry.valid):
                    m.d.sync += state.eq(_State.CHECK)
            with m.Case(_State.EXTENT):
                m.d.sync += [last.eq(((elements - 1)[:16] * side.stride
                                      + side.place.column + side.beats - 1)[:len(last)]),
                             state.eq(_State.CHECK)]
            with m.Case(_State.CHECK):
                exists = region_exists(m, self.spec.geometry, side.place, side.interleave, last)
                m.d.sync += [position.eq((side.place.column + rest)[:POSITION_BITS]),
                             start.eq(side.place.column), self.left.eq(side.beats),
                             state.eq(Mux(exists, _State.RUN, _State.BAD))]
            with m.Case(_State.RUN):
                self._advance(m, state, side, position, start, elements, rest, part)
        with m.If(self.load):
            m.d.sync += [side.eq(self.walk), elements.eq(self.walk.elements),
                         state.eq(Mux(self.walk.listed, _State.ENTRY, _State.EXTENT))]
        m.d.comb += [
            self.valid.eq(state == _State.RUN), self.done.eq(state == _State.DONE),
            self.bad.eq(state == _State.BAD),
            self.checked.eq(side.listed | (state == _State.RUN) | (state == _State.DONE)),
        ]
        self._show(m, side, position, last, part)
        return m

    def _advance(self, m: Module, state: Signal, side: data.View, position: Signal,
                 start: Signal, elements: Signal, rest: Signal, part: Signal) -> None:
        """Moves on by what is taken; from the end of an element to the next."""
        ahead = Signal(POSITION_BITS)
        m.d.comb += ahead.eq((start + side.stride)[:POSITION_BITS])
        m.d.sync += [position.eq((position + self.take)[:POSITION_BITS]),
                     self.left.eq((self.left - self.take)[:len(self.left)])]
        with m.If(self.take == part):
            m.d.sync += position.eq(start)
        with m.If(self.take == self.left):
            m.d.sync += [elements.eq(elements - 1), self.left.eq(side.beats),
                         position.eq((ahead + rest)[:POSITION_BITS]), start.eq(ahead)]
            with m.If(self.last_element):
                m.d.sync += state.eq(_State.DONE)
            with m.Elif(side.listed):
                m.d.sync += state.eq(_State.ENTRY)

    def _show(self, m: Module, side: data.View, position: Signal, last: Signal,
              part: Signal) -> None:
        geometry = self.spec.geometry
        bits = column_bits(geometry)
        row = position >> bits
        span = min(SEGMENT_BEATS, geometry.columns)
        room = Signal(range(span + 1))
        every = (1 << INTERLEAVE_MAX) - 1
        m.d.comb += [
            room.eq((span - position[:(span - 1).bit_length()])[:len(room)]),
            self.run.eq(Mux(part < room, part[:len(self.run)], room)),
            self.spot.column.eq(position[:bits]),
            self.spot.row.eq((side.place.row + (row >> side.interleave))[:len(self.spot.row)]),
            self.spot.bank.eq((side.place.bank ^ bank_flips(geometry, in_turn(
                row, side.interleave)))[:len(self.spot.bank)]),
            self.bank.eq(side.place.bank),
            self.flips.eq(bank_flips(geometry, in_turn(Const(every, INTERLEAVE_MAX),
                                                       side.interleave))),
            self.first_row.eq(side.place.row),
            self.last_row.eq((side.place.row + (last >> bits >> side.interleave))[:16]),
        ]
