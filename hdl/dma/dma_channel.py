"""One channel of the DMA engine: a ring of descriptors from fetch to completion."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.dma.block_resolver import BlockResolver
from hdl.dma.completer import Completer
from hdl.dma.job_book import TROUBLE, JobBook
from hdl.dma.job_walker import JobWalker
from hdl.dma.layouts import (
    DESCRIPTOR_HIGH,
    DESCRIPTOR_LAYOUT,
    DESTINATION_LIST,
    FETCHED,
    SETTINGS_LAYOUT,
    SOURCE_LIST,
    JobEvents,
    fetch_layout,
    record_layout,
    segment_layout,
)
from hdl.dma.ring_fetcher import INDEX_BITS, RingFetcher, job_number
from hdl.translator.layouts import (
    commit_layout,
    committed_layout,
    lookup_layout,
    translation_layout,
)
from model.spec.dma import DmaSpec, Result
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec

STATUS = data.StructLayout({
    "busy": 1,              # descriptors are under way, or wait and may be begun
    "stopped": 1,           # by an abort or a failure, until resumed
    "bad_doorbell": 1,      # a doorbell asked for more than the ring holds, since the last resume
    "lost_record": 1,       # a completion record could not be written, since the last resume
    "head": INDEX_BITS,     # descriptors before this index are done, their records in memory
})
"""What software sees of a channel."""


class DmaChannel(wiring.Component):
    """Fetches descriptors, cuts them into segments, ends them with a record, in order.

    ``cancel`` gives up what has begun: nothing more is moved, records say so, and the channel stops
    before the first descriptor that has not begun. ``resume`` goes on from there.

    Parameters
    ----------
    spec : SliceSpec
        Geometry of the channel.
    dma : DmaSpec
    translator : TranslatorSpec
    number : int
        Of this channel.

    Members
    -------
    settings, doorbell, tail, cancel, resume : ``In``
        From software.
    status : ``Out(STATUS)``
    pseudo_channel : ``In(8)``
        See :class:`~hdl.dma.block_resolver.BlockResolver`.
    fetch, fetched : ``Out(stream.Signature(fetch_layout(spec)))``, ``In(FETCHED)``
        Reads of the ring and of lists.
    offer, segment, accept, unload_room, load_room : as in the mover
    events, failed : ``In(JobEvents())``, ``Out(jobs)``
        From and to the mover.
    record : ``Out(stream.Signature(record_layout(spec)))``
    current : ``Out(DESCRIPTOR_LAYOUT)``
        The descriptor that is walked.
    streams_wanted, streams_granted, streams_used : ``Out``, ``In``, ``Out``
        The engine's streams.
    streams_failed : ``Out(1)``
        The move that uses them has failed.
    streams_busy, streams_trouble_valid, streams_trouble : ``In``
        Beats are under way there; trouble.
    lookup, translation, commit, committed : the translator's port
    completed, erred : ``Out(1)``
        For one clock: a record for the interrupt; of a failure.
    """

    settings: data.View
    doorbell: Signal
    tail: Signal
    cancel: Signal
    resume: Signal
    status: data.View
    pseudo_channel: Signal
    fetch: stream.Interface
    fetched: data.View
    offer: Signal
    segment: data.View
    accept: Signal
    unload_room: Signal
    load_room: Signal
    events: Any
    failed: Signal
    record: stream.Interface
    current: data.View
    streams_wanted: Signal
    streams_granted: Signal
    streams_used: Signal
    streams_failed: Signal
    streams_busy: Signal
    streams_trouble_valid: Signal
    streams_trouble: data.View
    lookup: stream.Interface
    translation: stream.Interface
    commit: stream.Interface
    committed: stream.Interface
    completed: Signal
    erred: Signal

    def __init__(self, spec: SliceSpec, dma: DmaSpec, translator: TranslatorSpec,
                 number: int) -> None:
        self.spec, self.dma, self.translator, self.number = spec, dma, translator, number
        super().__init__({
            "settings": In(SETTINGS_LAYOUT), "doorbell": In(1), "tail": In(INDEX_BITS),
            "cancel": In(1), "resume": In(1), "status": Out(STATUS), "pseudo_channel": In(8),
            "fetch": Out(stream.Signature(fetch_layout(spec))), "fetched": In(FETCHED),
            "offer": Out(1), "segment": Out(segment_layout(spec)), "accept": In(1),
            "unload_room": In(1), "load_room": In(1),
            "events": In(JobEvents()), "failed": Out(dma.jobs),
            "record": Out(stream.Signature(record_layout(spec))),
            "current": Out(DESCRIPTOR_LAYOUT),
            "streams_wanted": Out(1), "streams_granted": In(1), "streams_used": Out(1),
            "streams_failed": Out(1), "streams_busy": In(1),
            "streams_trouble_valid": In(1), "streams_trouble": In(TROUBLE),
            "lookup": Out(stream.Signature(lookup_layout())),
            "translation": In(stream.Signature(translation_layout(translator))),
            "commit": Out(stream.Signature(commit_layout())),
            "committed": In(stream.Signature(committed_layout())),
            "completed": Out(1), "erred": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, dma = self.spec, self.dma
        m.submodules.fetcher = fetcher = RingFetcher(spec, dma)
        m.submodules.walker = walker = JobWalker(spec, dma)
        m.submodules.book = book = JobBook(dma, self.number)
        m.submodules.completer = completer = Completer(spec, dma, self.number)
        m.submodules.resolver = resolver = BlockResolver(self.translator)
        hold = self._hold(m, fetcher, book, completer)
        self._fetches(m, fetcher, walker)
        self._translator(m, resolver, completer)
        failed = book.failed.bit_select(job_number(walker.job, dma), 1)
        wiring.connect(m, wiring.flipped(self.record), completer.record)
        wiring.connect(m, book.events, wiring.flipped(self.events))
        m.d.comb += [
            fetcher.settings.eq(self.settings), completer.settings.eq(self.settings),
            fetcher.doorbell.eq(self.doorbell), fetcher.tail.eq(self.tail),
            fetcher.head.eq(completer.head), fetcher.begun.eq(walker.begun),
            fetcher.hold.eq(hold),

            walker.available.eq(fetcher.available), walker.descriptor.eq(fetcher.descriptor),
            walker.faulty.eq(fetcher.faulty), walker.hold.eq(hold), walker.failed.eq(failed),
            walker.alone.eq((walker.begun - completer.finished)[:INDEX_BITS] == 1),
            walker.over.eq(walker.walked == completer.finished),
            walker.unload_room.eq(self.unload_room), walker.load_room.eq(self.load_room),
            walker.accept.eq(self.accept), walker.streams_granted.eq(self.streams_granted),
            self.offer.eq(walker.offer), self.segment.eq(walker.segment),
            self.segment.job.channel.eq(self.number),
            self.current.eq(walker.current), self.streams_wanted.eq(walker.streams_wanted),
            self.streams_used.eq(walker.streams_used),
            self.streams_failed.eq(walker.streams_used & failed),

            resolver.start.eq(walker.resolve), resolver.question.eq(walker.current.block),
            resolver.reads.eq(walker.source_block), resolver.fills.eq(walker.destination_block),
            resolver.convert.eq(walker.current.convert), resolver.format.eq(walker.current.format),
            resolver.pseudo_channel.eq(self.pseudo_channel), resolver.tag.eq(self.number),
            walker.resolved.eq(resolver.done & ~walker.resolve),
            walker.resolved_source.eq(resolver.source),
            walker.resolved_destination.eq(resolver.destination),

            completer.walked.eq(walker.walked), completer.idle.eq(book.idle),
            completer.streams_busy.eq(walker.streams_used & self.streams_busy),
            self.failed.eq(book.failed),
            self.completed.eq(completer.completed), self.erred.eq(completer.failed),
        ]
        self._books(m, walker, book, completer, resolver)
        return m

    def _hold(self, m: Module, fetcher: RingFetcher, book: JobBook,
              completer: Completer) -> Signal:
        """Whether no descriptor may be begun."""
        stopped, doorbell, lost, hold = (Signal(name=n) for n in
                                         ("stopped", "bad_doorbell", "lost", "hold"))
        failure = self.settings.stop_on_error & book.failed.any()
        m.d.comb += [
            hold.eq(stopped | failure | self.cancel | ~self.settings.enable),
            self.status.busy.eq((fetcher.begun != completer.head) | fetcher.waiting
                                | (fetcher.pending | fetcher.available) & ~hold),
            self.status.stopped.eq(stopped), self.status.bad_doorbell.eq(doorbell),
            self.status.lost_record.eq(lost), self.status.head.eq(completer.head),
        ]
        with m.If(self.resume):
            m.d.sync += [stopped.eq(0), doorbell.eq(0), lost.eq(0)]
        with m.If(fetcher.bad_doorbell):
            m.d.sync += doorbell.eq(1)
        with m.If(completer.lost):
            m.d.sync += lost.eq(1)
        with m.If(self.cancel | failure | completer.lost):
            m.d.sync += stopped.eq(1)
        return hold

    def _fetches(self, m: Module, fetcher: RingFetcher, walker: JobWalker) -> None:
        """The ring's reads go before those of lists; one that was shown stays."""
        lists = (walker.lists["source"], walker.lists["destination"])
        asks = (fetcher.fetch, lists[0].fetch, lists[1].fetch)
        chosen = Signal(range(len(asks)))
        locked = Signal()
        kind = Signal(range(len(asks)))
        m.d.comb += kind.eq(Mux(locked, chosen, Mux(
            asks[0].valid, 0, Mux(asks[1].valid, 1, 2))))
        m.d.comb += self.fetch.p.channel.eq(self.number)
        with m.Switch(kind):
            for number, ask in enumerate(asks):
                with m.Case(number):
                    m.d.comb += [
                        self.fetch.valid.eq(ask.valid), ask.ready.eq(self.fetch.ready),
                        self.fetch.p.spot.eq(ask.p.spot if number == 0 else ask.p),
                        self.fetch.p.kind.eq(ask.p.kind if number == 0
                                             else (SOURCE_LIST, DESTINATION_LIST)[number - 1]),
                    ]
        m.d.sync += [chosen.eq(kind), locked.eq(self.fetch.valid & ~self.fetch.ready)]
        mine = self.fetched.valid & (self.fetched.channel == self.number)
        m.d.comb += [
            fetcher.fetched.eq(mine & (self.fetched.kind <= DESCRIPTOR_HIGH)),
            fetcher.kind.eq(self.fetched.kind), fetcher.ok.eq(self.fetched.ok),
            fetcher.content.eq(self.fetched.data),
        ]
        for reader, number in zip(lists, (SOURCE_LIST, DESTINATION_LIST), strict=True):
            m.d.comb += [
                reader.fetched.eq(mine & (self.fetched.kind == number)),
                reader.ok.eq(self.fetched.ok), reader.content.eq(self.fetched.data),
            ]

    def _translator(self, m: Module, resolver: BlockResolver, completer: Completer) -> None:
        """One port for both; what it answers says by its tag whose it is."""
        ends = Signal()                      # the port belongs to the completer
        locked = Signal()
        wiring.connect(m, wiring.flipped(self.lookup), resolver.lookup)
        wiring.connect(m, resolver.translation, wiring.flipped(self.translation))
        last = Signal()
        m.d.comb += ends.eq(Mux(locked, last, completer.commit.valid))
        m.d.sync += [last.eq(ends), locked.eq(self.commit.valid & ~self.commit.ready)]
        m.d.comb += [
            self.commit.valid.eq(completer.commit.valid | resolver.commit.valid),
            self.commit.payload.eq(Mux(ends, completer.commit.payload.as_value(),
                                       resolver.commit.payload.as_value())),
            completer.commit.ready.eq(ends & self.commit.ready),
            resolver.commit.ready.eq(~ends & self.commit.ready),
            self.commit.p.tag.eq(Cat(ends, Const(self.number, 3))),
            self.committed.ready.eq(1),
            completer.committed.valid.eq(self.committed.valid & self.committed.p.tag[0]),
            resolver.committed.valid.eq(self.committed.valid & ~self.committed.p.tag[0]),
            completer.committed.payload.eq(self.committed.payload),
            resolver.committed.payload.eq(self.committed.payload),
        ]

    def _books(self, m: Module, walker: JobWalker, book: JobBook, completer: Completer,
               resolver: BlockResolver) -> None:
        started = Signal()
        settled = Signal()
        m.d.sync += started.eq(walker.begins)
        refused = resolver.done & ~settled
        with m.If(walker.resolve):
            m.d.sync += settled.eq(0)
        with m.Elif(resolver.done):
            m.d.sync += settled.eq(1)
        m.d.comb += [
            # The job's number and descriptor are known a clock after it has begun.
            book.begins.eq(walker.begins),
            book.beginning.eq(job_number(walker.begun, self.dma)),
            book.note.cookie.eq(walker.descriptor.cookie),
            book.note.interrupt.eq(walker.descriptor.interrupt),
            book.segment.eq(self.accept), book.walking.eq(walker.job),
            book.cancel.eq(self.cancel),
            book.finish.eq(completer.finish), book.finishing.eq(completer.finishing),
            book.finishing_valid.eq(completer.trouble_valid),
            book.finishing_trouble.eq(completer.news),
            completer.trouble.eq(book.trouble), completer.told.eq(book.told),
            completer.settle.eq(started | refused), completer.settle_job.eq(walker.job),
            completer.settlement.eq(Mux(started, 0, resolver.settlement.as_value())),
            completer.recorded.eq(self.events.recorded_valid
                                  & (self.events.recorded.channel == self.number)),
            completer.recorded_job.eq(self.events.recorded.number),
            completer.recorded_ok.eq(self.events.recorded_ok),
        ]
        with m.If(walker.trouble_valid):
            m.d.comb += [book.walk_valid.eq(1), book.walk_trouble.eq(walker.trouble)]
        with m.Elif(refused & (resolver.result != Result.DONE)):
            m.d.comb += [book.walk_valid.eq(1), book.walk_trouble.result.eq(resolver.result),
                         book.walk_trouble.detail.eq(resolver.detail)]
        with m.Elif(walker.streams_used & self.streams_trouble_valid):
            m.d.comb += [book.walk_valid.eq(1), book.walk_trouble.eq(self.streams_trouble)]
