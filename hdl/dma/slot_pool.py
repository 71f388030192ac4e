"""The segments in the buffer and what each of them waits for."""

import enum

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.dma.age import AgeOrder
from hdl.dma.lanes import Lanes, chosen, lane_layout
from hdl.dma.layouts import JOB, segment_layout
from model.spec.dma import DmaSpec
from model.spec.slice import SliceSpec


class State(enum.Enum):
    """What a slot does."""

    FREE = 0
    WAITING = 1         # to be read
    READING = 2
    LOADING = 3         # filled from a stream
    FULL = 4            # waits to be written, or emptied into a stream
    WRITING = 5
    OVER = 6            # becomes free as soon as it has been counted


class SlotPool(wiring.Component):
    """Takes one segment a clock, hands them to lanes and streams, and counts one a clock when over.

    Parameters
    ----------
    spec : SliceSpec
    dma : DmaSpec

    Members
    -------
    offer, segment : ``In(1)``, ``In(segment_layout(spec))``
        A segment wants a slot.
    accept : ``Out(1)``
        It gets one: there is room, and it does not touch what an older one still has to write, nor
        write what an older one may still read.
    failed : ``In(channels * jobs)``
        Jobs of which nothing more is to be moved.
    read_offer, read_segment, read_accept, read_ended, read_lost : ``In``, ``Out``
        The lanes of reads: a segment for them; slots that are through; those that are not full.
    write_offer, write_segment, write_accept, write_ended : ``In``, ``Out``
        The lanes of writes.
    load_ready, load_slot, load : ``Out``, ``Out``, ``In(1)``
        The slot that a stream fills, oldest first; it is full.
    unload_ready, unload_slot, unload : ``Out``, ``Out``, ``In(1)``
        The slot that is emptied into a stream, oldest first; it is empty.
    load_content, unload_content : ``Out(segment_layout(spec))``
    ended_valid, ended : ``Out(1)``, ``Out(JOB)``
        A segment is over.
    free, waiting, full : ``Out(1)``
        There are slots that are free; that are to be read; to be written.
    unload_room, load_room : ``Out(1)``
        One more segment may be taken that will be emptied into, or filled from, a stream.
    """

    def __init__(self, spec: SliceSpec, dma: DmaSpec) -> None:
        self.spec, self.dma = spec, dma
        self.layout, lane = segment_layout(spec), lane_layout(spec, dma.slots)
        slots = dma.slots
        super().__init__({
            "offer": In(1), "segment": In(self.layout), "accept": Out(1),
            "failed": In(dma.channels * dma.jobs),
            "read_offer": Out(1), "read_segment": Out(lane), "read_accept": In(1),
            "read_ended": In(slots), "read_lost": In(slots),
            "write_offer": Out(1), "write_segment": Out(lane), "write_accept": In(1),
            "write_ended": In(slots),
            "load_ready": Out(1), "load_slot": Out(range(slots)), "load": In(1),
            "unload_ready": Out(1), "unload_slot": Out(range(slots)), "unload": In(1),
            "load_content": Out(self.layout), "unload_content": Out(self.layout),
            "ended_valid": Out(1), "ended": Out(JOB),
            "free": Out(1), "waiting": Out(1), "full": Out(1),
            "unload_room": Out(1), "load_room": Out(1),
        })

    offer: Signal
    segment: data.View
    accept: Signal
    failed: Signal
    read_offer: Signal
    read_segment: data.View
    read_accept: Signal
    read_ended: Signal
    read_lost: Signal
    write_offer: Signal
    write_segment: data.View
    write_accept: Signal
    write_ended: Signal
    load_ready: Signal
    load_slot: Signal
    load: Signal
    unload_ready: Signal
    unload_slot: Signal
    unload: Signal
    load_content: data.View
    unload_content: data.View
    ended_valid: Signal
    ended: data.View
    free: Signal
    waiting: Signal
    full: Signal
    unload_room: Signal
    load_room: Signal

    def connect_lanes(self, reads: Lanes, writes: Lanes) -> None:
        """Says which lanes it serves; before it is elaborated."""
        self._reads, self._writes = reads, writes

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = self.dma.slots
        m.submodules.ages = ages = AgeOrder(count)
        slots = [Signal(self.layout, name=f"slot_{i}") for i in range(count)]
        states = [Signal(State, name=f"state_{i}") for i in range(count)]
        free, into, over, lost = (Signal(count, name=n)
                                  for n in ("free_slots", "into", "over", "lost"))
        m.d.comb += [
            free.eq(Cat(s == State.FREE for s in states)),
            over.eq(Cat(s == State.OVER for s in states)),
            lost.eq(Cat(self._lost(slot) for slot in slots)),
            self.free.eq(free.any()),
            self.accept.eq(self.offer & free.any() & ~self._touches(slots, states)),
            into.eq(Mux(self.accept, free & (~free + 1)[:count], 0)),
            ages.taken.eq(into), ages.used.eq(~free),
        ]
        for i, slot in enumerate(slots):
            with m.If(into[i]):
                m.d.sync += slot.eq(self.segment)
        picks = self._lanes(m, ages, slots, states, lost)
        picks |= self._streams(m, ages, slots, states)
        self._count(m, slots, over)
        for i, state in enumerate(states):
            self._step(m, i, state, lost, into, over, picks)
        return m

    def _touches(self, slots: list[data.View], states: list[Signal]) -> Value:
        """The new segment must wait for an older one that moves the same beats."""
        new = self.segment

        def meet(a: data.View, b: data.View, beats: Value) -> Value:
            return ((a.bank == b.bank) & (a.row == b.row)
                    & (a.column < b.column + new.beats) & (b.column < a.column + beats))

        found = []
        for slot, state in zip(slots, states, strict=True):
            # What passes through a stream is alone in its channel, and others promise no order.
            moves = (state != State.FREE) & (state != State.OVER) & slot.reads & slot.writes
            found.append(moves & new.reads & new.writes & (
                meet(slot.destination, new.source, slot.beats)
                | meet(slot.destination, new.destination, slot.beats)
                | meet(slot.source, new.destination, slot.beats)))
        return Cat(found).any()

    def _lanes(self, m: Module, ages: AgeOrder, slots: list[data.View],
               states: list[Signal], lost: Signal) -> dict[str, Value]:
        """Offers each kind of lane the oldest segment whose bank is not in use by another row.

        One of a bank group that few lanes have goes before: columns of one group alone use half of
        the bus. Among those, and among others, one goes before whose bank did not have another row
        last. Not all lanes may take every group.
        """
        picks = {}
        for name, lanes, waits, side in (("read", self._reads, State.WAITING, "source"),
                                         ("write", self._writes, State.FULL, "destination")):
            asking, able, scarce, soon, pick = (
                Signal(len(slots), name=f"{name}_{n}")
                for n in ("asking", "able", "scarce", "soon", "pick"))
            m.d.comb += [
                asking.eq(Cat((state == waits) & (slot.writes | (waits == State.WAITING))
                              for slot, state in zip(slots, states, strict=True))),
                able.eq(Cat(asking[i] & ~lost[i] & lanes.admits(slot[side])
                            & ~lanes.clashes(slot[side])
                            for i, slot in enumerate(slots))),
                scarce.eq(Cat(able[i] & lanes.lacks(slot[side]) for i, slot in enumerate(slots))),
                soon.eq(Cat(~lanes.recent(slot[side]) for slot in slots)),
                pick.eq(ages.oldest(self._first_of(scarce & soon, scarce, able & soon, able))),
                getattr(self, f"{name}_offer").eq(able.any()),
                (self.waiting if name == "read" else self.full).eq(asking.any()),
            ]
            content = chosen(m, pick, slots, f"{name}_content")
            offered = getattr(self, f"{name}_segment")
            m.d.comb += [
                offered.slot.eq(_number(pick)), offered.job.eq(content.job),
                offered.spot.eq(content[side]), offered.beats.eq(content.beats),
            ]
            accept = getattr(self, f"{name}_accept")
            picks[name] = Mux(accept, pick, 0)
        return picks

    @staticmethod
    def _first_of(*groups: Value) -> Value:
        """The first group that is not empty, the last one if all are."""
        first = groups[-1]
        for group in reversed(groups[:-1]):
            first = Mux(group.any(), group, first)
        return first

    def _streams(self, m: Module, ages: AgeOrder, slots: list[data.View],
                 states: list[Signal]) -> dict[str, Value]:
        picks = {}
        loading, leaving, ready = (Signal(len(slots), name=n)
                                   for n in ("loading", "leaving", "ready"))
        m.d.comb += [
            loading.eq(Cat(state == State.LOADING for state in states)),
            leaving.eq(Cat(~slot.writes & state.matches(State.WAITING, State.READING, State.FULL)
                           for slot, state in zip(slots, states, strict=True))),
            ready.eq(Cat(state == State.FULL for state in states)),
        ]
        for name, among in (("load", loading), ("unload", leaving)):
            pick = Signal(len(slots), name=f"{name}_pick")
            m.d.comb += [
                pick.eq(ages.oldest(among)),
                getattr(self, f"{name}_slot").eq(_number(pick)),
                getattr(self, f"{name}_ready").eq(
                    (pick & ready).any() if name == "unload" else pick.any()),
                getattr(self, f"{name}_content").eq(
                    chosen(m, pick, slots, f"{name}_chosen")),
            ]
            picks[name] = Mux(getattr(self, name), pick, 0)
        half = len(slots) // 2
        m.d.comb += [
            self.unload_room.eq(sum(leaving[i] for i in range(len(slots))) < half - 1),
            self.load_room.eq(sum(loading[i] for i in range(len(slots))) < half - 1),
        ]
        return picks

    def _count(self, m: Module, slots: list[data.View], over: Signal) -> None:
        first = Signal(len(slots))
        m.d.comb += [
            first.eq(over & (~over + 1)[:len(over)]),
            self.ended_valid.eq(over.any()),
            self.ended.eq(chosen(m, first, slots, "counted").job),
        ]

    def _step(self, m: Module, i: int, state: Signal, lost: Signal, into: Signal, over: Signal,
              picks: dict[str, Value]) -> None:
        first_over = over[i] & ~over[:i].any() if i else over[0]
        with m.If(into[i]):
            m.d.sync += state.eq(Mux(self.segment.reads, State.WAITING, State.LOADING))
        with m.Elif(first_over):
            m.d.sync += state.eq(State.FREE)
        with m.Elif(picks["read"][i]):
            m.d.sync += state.eq(State.READING)
        with m.Elif(picks["write"][i]):
            m.d.sync += state.eq(State.WRITING)
        with m.Elif(self.read_ended[i]):
            m.d.sync += state.eq(Mux(self.read_lost[i], State.OVER, State.FULL))
        with m.Elif(self.write_ended[i] | picks["unload"][i]):
            m.d.sync += state.eq(State.OVER)
        with m.Elif(lost[i] & state.matches(State.WAITING, State.LOADING, State.FULL)):
            m.d.sync += state.eq(State.OVER)
        with m.Elif(picks["load"][i]):
            m.d.sync += state.eq(State.FULL)

    def _lost(self, slot: data.View) -> Value:
        """Whether the job of a slot has failed."""
        return self.failed.bit_select(job_index(slot.job, self.dma), 1)


def job_index(job: data.View, dma: DmaSpec) -> Value:
    """A job's number among those of all channels."""
    return Cat(job.number[:(dma.jobs - 1).bit_length()], job.channel)


def _number(pick: Signal) -> Value:
    value: Value = Cat(pick).any() & 0
    for i in range(len(pick)):
        value = value | Mux(pick[i], i, 0)
    return value
