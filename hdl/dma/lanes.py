"""Segments that are read, or written, at a time, and which of them goes next."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.dma.age import AgeOrder
from hdl.dma.layouts import BEAT_BITS, JOB, LOW_BITS, spot_layout
from model.spec.dma import SEGMENT_BEATS
from model.spec.slice import SliceSpec


def lane_layout(spec: SliceSpec, slots: int) -> data.StructLayout:
    """The part of a segment that a lane needs."""
    return data.StructLayout({
        "slot": range(slots), "job": JOB, "spot": spot_layout(spec),
        "beats": range(SEGMENT_BEATS + 1)})


def chosen(m: Module, picks: Value, items: list[data.View], name: str) -> Any:
    """The item of the one that is picked; zeros if none is."""
    layout = items[0].shape()
    view = Signal(layout, name=name)
    m.d.comb += view.eq(reduce(or_, (
        Mux(picks[i], item.as_value(), 0) for i, item in enumerate(items))))
    return view


class Lanes(wiring.Component):
    """Offers one beat a clock of the segments in its lanes, oldest first, bank groups in turn.

    A lane that has asked for nothing yet goes before all others, so that its row is being opened
    while others are under way. Lanes of writes, and of reads while ``crowded``, are shared out by
    bank group, even and odd ones: all of one group would use half of the bus, and beside others
    they would gather in the group that those use, since there they take longest.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    slots : int
        Of the buffer.
    lanes : int
    requests : int
        Beats of a lane that may be unanswered.
    window : int, optional
        Beats of all lanes that may be unanswered while ``crowded``; any number by default.
    answers : bool
        Whether a lane stays in use until its beats have been answered.

    Members
    -------
    offer, segment : ``In(1)``, ``In(lane_layout)``
        A segment wants a lane.
    accept : ``Out(1)``
        It gets one in this clock.
    held : ``Out(lanes)``
        Lanes in use.
    failed : ``In(lanes)``
        Lanes whose job is over: they ask for nothing more.
    crowded : ``In(1)``
        What is asked for stays in the memory channel's window: each lane has its share of it only,
        or else the oldest fill it and the banks of the others stay closed; and each bank group its
        share of the lanes.
    valid, lane, beat, current, at : ``Out``
        A beat may be asked for: of which lane, which beat, of which segment and where.
    take : ``In(1)``
        It is asked for.
    answered, answered_lane, answered_low : ``In``
        One was answered; with ``answers`` also the lowest bits of the beat's number, which no two
        unanswered beats of a lane have in common.
    dropped, dropped_lane : ``In``
        One that was asked for will not be answered.
    ended : ``Out(lanes)``
        In this clock these lanes become free.
    complete : ``Out(lanes)``
        All of the beats were asked for, and answered if need be, of a lane that ends.
    asking, unasked : ``Out(lanes)``, ``Out(1)``
        Lanes that have beats to ask for; there are such.
    content, asked : ``Out(lane_layout)``, ``Out`` for each lane, ``content_0`` and so on
        What it holds; beats that were asked for.
    """

    def __init__(self, spec: SliceSpec, *, slots: int, lanes: int, answers: bool,
                 requests: int, window: int | None = None) -> None:
        self.spec, self.lanes, self.answers, self.requests = spec, lanes, answers, requests
        self.share = requests if window is None else min(requests, max(window // lanes, 1))
        self.layout = lane_layout(spec, slots)
        super().__init__({
            "offer": In(1), "segment": In(self.layout), "accept": Out(1), "held": Out(lanes),
            "failed": In(lanes), "crowded": In(1),
            "valid": Out(1), "lane": Out(range(max(lanes, 2))), "beat": Out(BEAT_BITS),
            "current": Out(self.layout), "at": Out(spot_layout(spec)), "take": In(1),
            "answered": In(1), "answered_lane": In(BEAT_BITS), "answered_low": In(LOW_BITS),
            "dropped": In(1), "dropped_lane": In(BEAT_BITS),
            "ended": Out(lanes), "complete": Out(lanes), "asking": Out(lanes), "unasked": Out(1),
            **{f"content_{i}": Out(self.layout) for i in range(lanes)},
            **{f"asked_{i}": Out(range(SEGMENT_BEATS + 1)) for i in range(lanes)},
        })

    offer: Signal
    segment: data.View
    accept: Signal
    held: Signal
    failed: Signal
    crowded: Signal
    valid: Signal
    lane: Signal
    beat: Signal
    current: data.View
    at: data.View
    take: Signal
    answered: Signal
    answered_lane: Signal
    answered_low: Signal
    dropped: Signal
    dropped_lane: Signal
    ended: Signal
    complete: Signal
    asking: Signal
    unasked: Signal

    def contents(self) -> list[data.View]:
        """What each lane holds."""
        return [getattr(self, f"content_{i}") for i in range(self.lanes)]

    def asked(self) -> list[Signal]:
        """How many beats of each lane were asked for."""
        return [getattr(self, f"asked_{i}") for i in range(self.lanes)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.ages = ages = AgeOrder(self.lanes)
        contents = self.contents()
        asked = self.asked()
        free, usable, into, takes = (
            Signal(self.lanes, name=n) for n in ("free", "usable", "into", "takes"))
        m.d.comb += [
            free.eq(~self.held),
            usable.eq(free & self._for(self.segment.spot)),
            into.eq(Mux(self.accept, usable & (~usable + 1)[:self.lanes], 0)),
            self.accept.eq(self.offer & usable.any()),
            ages.taken.eq(into), ages.used.eq(self.held),
        ]
        for i, content in enumerate(contents):
            with m.If(into[i]):
                m.d.sync += [content.eq(self.segment), asked[i].eq(0)]
            with m.If(takes[i]):
                m.d.sync += asked[i].eq(asked[i] + 1)
        m.d.sync += self.held.eq((self.held & ~self.ended) | into)
        able, opening = self._progress(m, contents, asked, into, takes)
        self._choose(m, ages, contents, asked, able, opening, takes)
        return m

    def _for(self, spot: data.View) -> Value:
        """Lanes that may take a segment: every other one for even and for odd groups, or all."""
        every = C((1 << self.lanes) - 1, self.lanes)
        if self.lanes == 1:
            return every
        odd = C(sum(1 << i for i in range(1, self.lanes, 2)), self.lanes)
        share = Mux(self._group(spot)[0], odd, ~odd)
        return Mux(self.crowded, share, every) if self.answers else share

    def admits(self, spot: data.View) -> Value:
        """Whether a lane is free that takes segments of that bank's group."""
        return (~self.held & self._for(spot)).any()

    def clashes(self, spot: data.View) -> Value:
        """Whether a lane still asks for another row of that bank: each would close the other's."""
        return Cat(self.asking[i] & (c.spot.bank == spot.bank) & (c.spot.row != spot.row)
                   for i, c in enumerate(self.contents())).any()

    def recent(self, spot: data.View) -> Value:
        """Whether a lane has, or had last, another row of that bank, to be closed first."""
        return Cat((c.spot.bank == spot.bank) & (c.spot.row != spot.row)
                   for c in self.contents()).any()

    def lacks(self, spot: data.View) -> Value:
        """Whether fewer than half of the lanes ask for columns of that bank's group."""
        same = (self.asking[i] & (self._group(c.spot) == self._group(spot))
                for i, c in enumerate(self.contents()))
        return sum(same, C(0)) < (self.lanes + 1) // 2

    def _group(self, spot: data.View) -> Value:
        geometry = self.spec.geometry
        return spot.bank >> (geometry.banks_per_sid // geometry.bank_groups).bit_length() - 1

    def _progress(self, m: Module, contents: list[data.View], asked: list[Signal],
                  into: Signal, takes: Signal) -> tuple[Signal, Signal]:
        able, opening = (Signal(self.lanes, name=n) for n in ("able", "opening"))
        left = self.asking
        most = Mux(self.crowded, self.share, self.requests)
        for i, content in enumerate(contents):
            open_beats = Signal(range(SEGMENT_BEATS + 1), name=f"open_{i}")
            answer = self.answered & (self.answered_lane == i)
            drop = self.dropped & (self.dropped_lane == i)
            m.d.sync += open_beats.eq((open_beats + takes[i] - answer - drop)[:len(open_beats)])
            over = open_beats == 0 if self.answers else 1
            twin = self._twin(m, i, asked[i], takes[i], answer) if self.answers else C(0, 1)
            more = asked[i] != content.beats
            m.d.comb += [
                left[i].eq(self.held[i] & more & ~self.failed[i]),
                able[i].eq(left[i] & (open_beats < most) & ~twin),
                opening[i].eq(able[i] & (asked[i] == 0)),
                self.complete[i].eq(~more),
                self.ended[i].eq(self.held[i] & over & (~more | self.failed[i])),
            ]
        m.d.comb += self.unasked.eq(left.any())
        return able, opening

    def _twin(self, m: Module, lane: int, asked: Signal, take: Value, answer: Value) -> Value:
        """Whether a beat is unanswered that ends in the same bits as the next one."""
        unanswered = Signal(1 << LOW_BITS, name=f"unanswered_{lane}")
        m.d.sync += unanswered.eq(unanswered & ~Mux(answer, 1 << self.answered_low, 0)
                                  | Mux(take, 1 << asked[:LOW_BITS], 0))
        return unanswered.bit_select(asked[:LOW_BITS], 1)

    def _choose(self, m: Module, ages: AgeOrder, contents: list[data.View], asked: list[Signal],
                able: Signal, opening: Signal, takes: Signal) -> None:
        group = Signal(self.spec.geometry.bank_width)
        other, asking, pick = (Signal(self.lanes, name=n) for n in ("other", "asking", "pick"))
        m.d.comb += [
            other.eq(Cat(able[i] & (self._group(c.spot) != group)
                         for i, c in enumerate(contents))),
            asking.eq(Mux(opening.any(), opening, Mux(other.any(), other, able))),
            pick.eq(ages.oldest(asking)),
            self.valid.eq(able.any()),
            takes.eq(Mux(self.take, pick, 0)),
            self.beat.eq(reduce(or_, (Mux(pick[i], a[:BEAT_BITS], 0)
                                      for i, a in enumerate(asked)))),
            self.lane.eq(reduce(or_, (Mux(pick[i], i, 0) for i in range(self.lanes)))),
        ]
        current = chosen(m, pick, contents, "picked")
        m.d.comb += [
            self.current.eq(current), self.at.eq(current.spot),
            self.at.column.eq((current.spot.column + self.beat)[:len(self.at.column)]),
        ]
        with m.If(self.take):
            m.d.sync += group.eq(self._group(current.spot))
