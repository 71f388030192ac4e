"""Begins one descriptor after another and cuts it into segments."""

import enum

from amaranth import Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.dma.address_walker import AddressWalker
from hdl.dma.decoder import Decoder
from hdl.dma.job_book import TROUBLE
from hdl.dma.layouts import DESCRIPTOR_LAYOUT, JOB_BITS, PLACE_LAYOUT, segment_layout
from hdl.dma.list_reader import ListReader
from hdl.dma.ring_fetcher import INDEX_BITS
from model.spec.dma import DmaSpec, Result
from model.spec.slice import SliceSpec

SIDES = ("source", "destination")


class WalkState(enum.Enum):
    """What the walker does."""

    IDLE = 0
    DECODE = 1
    RESOLVE = 2         # asks the translator
    ALONE = 3           # waits for the streams, and for all other jobs of the channel
    LOAD = 4
    CHECK = 5           # waits for the walkers to find that the places exist
    WALK = 6
    SETTLE = 7          # a job that uses the streams is waited for


class JobWalker(wiring.Component):
    """Offers a segment a clock; five clocks from one descriptor to the next, lists and blocks more.

    Descriptors of a channel are walked in order. One that uses a stream begins when all before it
    are over, and is over before the next begins.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    dma : DmaSpec

    Members
    -------
    available, descriptor, faulty : ``In``
        The next descriptor.
    hold : ``In(1)``
        No other is begun.
    failed, alone, over : ``In(1)``
        The job that is walked has trouble; it is the only one under way; it is over.
    begins : ``Out(1)``
        A job begins; one clock later ``job`` and ``current`` are its own.
    job : ``Out``
        The job that is walked, or was last.
    begun, walked : ``Out(16)``
        Index of the first descriptor that has not begun; that has not been walked to its end.
    current : ``Out(DESCRIPTOR_LAYOUT)``
        The descriptor that is walked.
    decoder : submodule of which the sides are read by the resolver.
    resolve : ``Out(1)``
        The translator shall be asked, for one clock.
    resolved, resolved_source, resolved_destination : ``In``
        Its answer is here; a failure is told through ``failed``.
    streams_wanted, streams_granted, streams_used : ``Out(1)``, ``In(1)``, ``Out(1)``
        The streams of the engine; used from the grant until the job is over.
    source_block, destination_block, source_host, destination_host : ``Out(1)``
    trouble_valid, trouble : ``Out(1)``, ``Out(TROUBLE)``
        Of this job.
    offer, segment, accept : ``Out(1)``, ``Out(segment_layout(spec))``, ``In(1)``
        Segments; the channel's number is not filled in.
    unload_room, load_room : ``In(1)``
        See the mover.
    source_list, destination_list : submodules, whose fetches the channel connects.
    waiting : ``Out(1)``
        A list is being read.
    """

    available: Signal
    descriptor: data.View
    faulty: Signal
    hold: Signal
    failed: Signal
    alone: Signal
    over: Signal
    begins: Signal
    job: Signal
    begun: Signal
    walked: Signal
    current: data.View
    resolve: Signal
    resolved: Signal
    resolved_source: data.View
    resolved_destination: data.View
    streams_wanted: Signal
    streams_granted: Signal
    streams_used: Signal
    source_block: Signal
    destination_block: Signal
    source_host: Signal
    destination_host: Signal
    trouble_valid: Signal
    trouble: data.View
    offer: Signal
    segment: data.View
    accept: Signal
    unload_room: Signal
    load_room: Signal

    def __init__(self, spec: SliceSpec, dma: DmaSpec) -> None:
        self.dma = dma
        self.decoder = Decoder()
        self.walkers = {side: AddressWalker(spec) for side in SIDES}
        self.lists = {side: ListReader(spec) for side in SIDES}
        super().__init__({
            "available": In(1), "descriptor": In(DESCRIPTOR_LAYOUT), "faulty": In(1),
            "hold": In(1), "failed": In(1), "alone": In(1), "over": In(1),
            "begins": Out(1), "job": Out(JOB_BITS),
            "begun": Out(INDEX_BITS), "walked": Out(INDEX_BITS),
            "current": Out(DESCRIPTOR_LAYOUT),
            "resolve": Out(1), "resolved": In(1),
            "resolved_source": In(PLACE_LAYOUT), "resolved_destination": In(PLACE_LAYOUT),
            "streams_wanted": Out(1), "streams_granted": In(1), "streams_used": Out(1),
            "source_block": Out(1), "destination_block": Out(1),
            "source_host": Out(1), "destination_host": Out(1),
            "trouble_valid": Out(1), "trouble": Out(TROUBLE),
            "offer": Out(1), "segment": Out(segment_layout(spec)), "accept": In(1),
            "unload_room": In(1), "load_room": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = self.decoder
        state = Signal(WalkState)
        faulty = Signal()
        done = Signal()
        blocks = self.source_block | self.destination_block
        lists_wait = self.lists["source"].waiting | self.lists["destination"].waiting
        m.d.comb += [
            decoder.descriptor.eq(self.current), decoder.faulty.eq(faulty),
            *(getattr(self, f"{side}_{kind}").eq(getattr(decoder, f"{side}_{kind}"))
              for side in SIDES for kind in ("block", "host")),
        ]
        self._sides(m, state)
        walkable = self._check(m, state)
        self._offer(m, state, done)
        with m.Switch(state):
            with m.Case(WalkState.IDLE):
                m.d.comb += self.begins.eq(self.available & ~self.hold)
                with m.If(self.begins):
                    m.d.sync += [
                        self.current.eq(self.descriptor), faulty.eq(self.faulty),
                        self.job.eq(self.begun[:(self.dma.jobs - 1).bit_length()]),
                        self.begun.eq(self.begun + 1), state.eq(WalkState.DECODE)]
            with m.Case(WalkState.DECODE):
                with m.If(decoder.result != Result.DONE):
                    self._fail(m, decoder.result)
                    m.d.sync += state.eq(WalkState.ALONE)
                with m.Else():
                    m.d.comb += self.resolve.eq(blocks)
                    m.d.sync += state.eq(Mux(blocks, WalkState.RESOLVE,
                                             Mux(decoder.serial, WalkState.ALONE, WalkState.LOAD)))
            with m.Case(WalkState.RESOLVE):
                with m.If(self.resolved):
                    m.d.sync += state.eq(Mux(decoder.serial, WalkState.ALONE, WalkState.LOAD))
            with m.Case(WalkState.ALONE):
                m.d.comb += self.streams_wanted.eq(self.alone & ~self.failed)
                with m.If(self.streams_granted & self.streams_wanted):
                    m.d.sync += [state.eq(WalkState.LOAD), self.streams_used.eq(1)]
            with m.Case(WalkState.LOAD):
                with m.If(~lists_wait):
                    m.d.sync += state.eq(WalkState.CHECK)
            with m.Case(WalkState.CHECK):
                with m.If(walkable):
                    m.d.sync += state.eq(WalkState.WALK)
            with m.Case(WalkState.SETTLE):
                with m.If(self.over):
                    m.d.sync += [state.eq(WalkState.IDLE), self.streams_used.eq(0)]
        # A job that has failed is over for the walker, unless the translator is being asked.
        quits = self.failed & state.matches(WalkState.ALONE, WalkState.LOAD, WalkState.CHECK,
                                            WalkState.WALK)
        with m.If(quits | done):
            m.d.sync += [self.walked.eq(self.begun),
                         state.eq(Mux(self.streams_used, WalkState.SETTLE, WalkState.IDLE))]
        return m

    def _fail(self, m: Module, result: ValueLike, place: data.View | None = None) -> None:
        m.d.comb += [self.trouble_valid.eq(1), self.trouble.result.eq(result)]
        if place is not None:
            m.d.comb += self.trouble.place.eq(place)

    def _sides(self, m: Module, state: Signal) -> None:
        """Starts walkers and lists, and connects them."""
        for side in SIDES:
            m.submodules[f"{side}_walker"] = walker = self.walkers[side]
            m.submodules[f"{side}_list"] = reader = self.lists[side]
            walk = getattr(self.decoder, side)
            wiring.connect(m, walker.entry, reader.entry)
            m.d.comb += [
                walker.walk.eq(walk),
                walker.load.eq((state == WalkState.LOAD) & ~getattr(self, f"{side}_host")),
                reader.load.eq((state == WalkState.LOAD) & ~reader.waiting),
                reader.place.eq(walk.place),
                reader.entries.eq(Mux(walk.listed, walk.elements, 0)),
                reader.stop.eq((state != WalkState.CHECK) & (state != WalkState.WALK)),
            ]
            with m.If(getattr(self, f"{side}_block")):
                m.d.comb += walker.walk.place.eq(getattr(self, f"resolved_{side}"))

    def _check(self, m: Module, state: Signal) -> Value:
        """Refuses places that do not exist and sides that overlap; whether all is well."""
        source, destination = self.walkers["source"], self.walkers["destination"]
        d = self.decoder
        walkable = Signal()
        ready = {side: self.walkers[side].checked | getattr(self, f"{side}_host")
                 for side in SIDES}
        apart = ((((source.bank ^ destination.bank) & ~(source.flips | destination.flips)) != 0)
                 | (source.last_row < destination.first_row)
                 | (destination.last_row < source.first_row))
        regions = ~(d.source_list | d.destination_list | d.source_host | d.destination_host)
        overlap = regions & ~apart
        both = Signal()
        m.d.comb += [
            both.eq(ready["source"] & ready["destination"]),
            walkable.eq((state == WalkState.CHECK) & both & ~overlap),
        ]
        with m.If((state == WalkState.CHECK) & both & overlap):
            self._fail(m, Result.OVERLAP, destination.place)
        with m.If(state.matches(WalkState.CHECK, WalkState.WALK)):
            for side in SIDES:
                with m.If(self.walkers[side].bad & ~getattr(self, f"{side}_host")):
                    self._fail(m, Result.BAD_PLACE, self.walkers[side].place)
                with m.If(self.lists[side].fault):
                    self._fail(m, Result.LIST_FAULT)
        return walkable

    def _offer(self, m: Module, state: Signal, done: Signal) -> None:
        source, destination = self.walkers["source"], self.walkers["destination"]
        d, seg = self.decoder, self.segment
        walking = (state == WalkState.WALK) & ~self.failed
        fills = Signal()                         # a stream's move: the segment is filled from it
        run = Signal.like(source.run)
        last = Signal()
        m.d.comb += [
            fills.eq(d.serial & destination.valid & self.load_room & ~d.destination_host),
            seg.reads.eq(~fills), seg.writes.eq(fills | ~d.serial),
            seg.job.number.eq(self.job),
            seg.source.eq(source.spot), seg.destination.eq(destination.spot),
            seg.beats.eq(run), seg.last.eq(last),
            seg.final.eq(last & Mux(fills, destination.last_element, source.last_element)),
        ]
        with m.If(fills):
            m.d.comb += [run.eq(destination.run), last.eq(run == destination.left),
                         self.offer.eq(walking), destination.take.eq(Mux(self.accept, run, 0))]
        with m.Elif(d.serial):
            m.d.comb += [
                run.eq(source.run), last.eq(run == source.left),
                self.offer.eq(walking & source.valid & self.unload_room & ~d.source_host),
                source.take.eq(Mux(self.accept, run, 0))]
        with m.Else():
            shorter = source.run < destination.run
            m.d.comb += [
                run.eq(Mux(shorter, source.run, destination.run)),
                last.eq(run == source.left),
                self.offer.eq(walking & source.valid & destination.valid),
                source.take.eq(Mux(self.accept, run, 0)),
                destination.take.eq(Mux(self.accept, run, 0))]
        m.d.comb += done.eq((state == WalkState.WALK) & (source.done | d.source_host)
                            & (destination.done | d.destination_host))
