"""What is known of every descriptor under way in a channel."""

from typing import Any

from amaranth import Array, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.dma.layouts import JOB_BITS, PLACE_LAYOUT, JobEvents
from model.spec.dma import SEGMENT_BEATS, DmaSpec, Result

TROUBLE = data.StructLayout({"result": Result, "detail": 8, "place": PLACE_LAYOUT})
"""How a descriptor ended, and where it went wrong."""

NOTE = data.StructLayout({"cookie": 32, "interrupt": 1})
"""What the completion needs of the descriptor."""


class JobBook(wiring.Component):
    """Counts what is open of every job and keeps the first trouble of each; one clock late.

    Parameters
    ----------
    dma : DmaSpec
    number : int
        Of the channel; events of others are ignored.

    Members
    -------
    begins, beginning, note : ``In``
        A job begins.
    segment, walking : ``In``
        The job that is being walked, and whether one of its segments is taken.
    walk_valid, walk_trouble : ``In(1)``, ``In(TROUBLE)``
        Trouble of that job.
    cancel : ``In(1)``
        Trouble of all live jobs.
    events : ``In(JobEvents())``
        From the mover.
    finish, finishing : ``In``
        A job is over.
    finishing_valid, finishing_trouble : ``In(1)``, ``In(TROUBLE)``
        Trouble of that job.
    idle, failed, live : ``Out(jobs)``
        Nothing of it is open; it had trouble; it has begun and is not over.
    trouble, told : ``Out(TROUBLE)``, ``Out(NOTE)``
        Of the job ``finishing``.
    """

    begins: Signal
    beginning: Signal
    note: data.View
    segment: Signal
    walking: Signal
    walk_valid: Signal
    walk_trouble: data.View
    cancel: Signal
    events: Any
    finish: Signal
    finishing: Signal
    finishing_valid: Signal
    finishing_trouble: data.View
    idle: Signal
    failed: Signal
    live: Signal
    trouble: data.View
    told: data.View

    def __init__(self, dma: DmaSpec, number: int) -> None:
        self.dma, self.number = dma, number
        super().__init__({
            "begins": In(1), "beginning": In(JOB_BITS), "note": In(NOTE),
            "segment": In(1), "walking": In(JOB_BITS),
            "walk_valid": In(1), "walk_trouble": In(TROUBLE), "cancel": In(1),
            "events": In(JobEvents()),
            "finish": In(1), "finishing": In(JOB_BITS),
            "finishing_valid": In(1), "finishing_trouble": In(TROUBLE),
            "idle": Out(dma.jobs), "failed": Out(dma.jobs), "live": Out(dma.jobs),
            "trouble": Out(TROUBLE), "told": Out(NOTE),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        troubles, notes = [], []
        for job in range(self.dma.jobs):
            trouble, note = Signal(TROUBLE, name=f"trouble_{job}"), Signal(NOTE, name=f"note_{job}")
            troubles.append(trouble)
            notes.append(note)
            self._count(m, job)
            self._judge(m, job, trouble)
            with m.If(self.begins & (self.beginning == job)):
                m.d.sync += [note.eq(self.note), trouble.eq(0), self.live[job].eq(1)]
            with m.If(self.finish & (self.finishing == job)):
                m.d.sync += self.live[job].eq(0)
            m.d.comb += self.failed[job].eq(self.live[job] & (trouble.result != Result.DONE))
        bits = (self.dma.jobs - 1).bit_length()
        m.d.comb += [
            self.trouble.eq(Array(troubles)[self.finishing[:bits]]),
            self.told.eq(Array(notes)[self.finishing[:bits]]),
        ]
        return m

    def _mine(self, valid: Signal, job: data.View, number: int) -> Signal:
        return valid & (job.channel == self.number) & (job.number == number)

    def _count(self, m: Module, job: int) -> None:
        e = self.events
        # Beats that are being written, and one for each segment in the buffer.
        count = Signal(range(4 * self.dma.slots * SEGMENT_BEATS), name=f"open_{job}")
        more = (self.segment & (self.walking == job)) + self._mine(e.issued_valid, e.issued, job)
        fewer = (self._mine(e.ended_valid, e.ended, job) + self._mine(e.acked_valid, e.acked, job)
                 + self._mine(e.spoiled_valid, e.spoiled, job))
        m.d.sync += count.eq((count + more - fewer)[:len(count)])
        m.d.comb += self.idle[job].eq(count == 0)

    def _judge(self, m: Module, job: int, trouble: data.View) -> None:
        e = self.events
        news = Signal(TROUBLE, name=f"news_{job}")
        with m.If(self.cancel & self.live[job]):
            m.d.comb += news.result.eq(Result.ABORTED)
        with m.If(self.finishing_valid & (self.finishing == job)):
            m.d.comb += news.eq(self.finishing_trouble)
        with m.If(self.walk_valid & (self.walking == job)):
            m.d.comb += news.eq(self.walk_trouble)
        with m.If(self._mine(e.spoiled_valid, e.spoiled, job)):
            m.d.comb += news.result.eq(Result.BUFFER_FAULT)
        with m.If(self._mine(e.fault_valid, e.fault_job, job)):
            m.d.comb += [news.result.eq(e.fault), news.detail.eq(e.fault_status),
                         news.place.eq(e.fault_place)]
        with m.If((news.result != Result.DONE) & (trouble.result == Result.DONE)):
            m.d.sync += trouble.eq(news)
