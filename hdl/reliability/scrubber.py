"""Writes back what was corrected, marks what is lost, and flips stored bits on purpose."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH, PortSignature
from hdl.reliability.layouts import STORED_WIDTH, flaw_layout, place_layout
from model.spec.errors import require_int
from model.spec.port import Status
from model.spec.slice import SliceSpec

SUSPECTS = 8
"""Words that wait to be repaired; of more the next reader will find the flaw again."""


class Job(enum.Enum, shape=1):
    """What is done with a word."""

    REPAIR = 0
    INJECT = 1


class Scrubber(wiring.Component):
    """Reads a word again whose reader found a flaw, and writes it back: corrected, or poisoned.

    Words that other ports found flawed come first; between them a walk reads a word after every
    ``interval`` clocks of rest. If another port writes the word in between, the write back is void
    (:class:`WriteGuard`). An injection reads a word and writes it back with bits flipped, and
    starts again if that was void; it goes before everything else. One word is under way at a time.

    Parameters
    ----------
    spec : SliceSpec
    ports : int
        Ports that may read.
    own : int
        Which of them is the scrubber's.

    Members
    -------
    port : ``Out(PortSignature(spec))``
    flaw, flawed : ``In``
        From :class:`~hdl.reliability.protection.Protection`.
    interval : ``In(32)``
        0: no walk.
    inject : ``In(1)``, inject_place, inject_flips : ``In``
        For one clock, starts an injection; the other two stay until it has ended.
    injecting : ``Out(1)``
    write_poison : ``Out(1)``, write_flips : ``Out(288)``
        Belong to the write that is under way.
    place : ``Out(place_layout)``
        The word that is under way, for the guard.
    annulled : ``In(1)``
        For one clock: the write back was void.
    scrubbed : ``Out(1)``
        For one clock: a word was written back corrected.
    """

    port: Any
    flaw: data.View
    flawed: Signal
    interval: Signal
    inject: Signal
    inject_place: data.View
    inject_flips: Signal
    injecting: Signal
    write_poison: Signal
    write_flips: Signal
    place: data.View
    annulled: Signal
    scrubbed: Signal

    def __init__(self, spec: SliceSpec, *, ports: int, own: int) -> None:
        require_int("own", own, 0, ports - 1)
        self.spec, self.own = spec, own
        place = place_layout(spec.geometry)
        super().__init__({
            "port": Out(PortSignature(spec)),
            "flaw": In(flaw_layout(spec.geometry, ports)), "flawed": In(1),
            "interval": In(32),
            "inject": In(1), "inject_place": In(place), "inject_flips": In(STORED_WIDTH),
            "injecting": Out(1),
            "write_poison": Out(1), "write_flips": Out(STORED_WIDTH), "place": Out(place),
            "annulled": In(1), "scrubbed": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = place_layout(self.spec.geometry)
        m.submodules.suspects = suspects = SyncFIFO(width=layout.size, depth=SUSPECTS)
        mine = self.flaw.reader[self.own]
        m.d.comb += [
            suspects.w_en.eq(self.flawed & ~mine & ~self.flaw.poisoned),
            suspects.w_data.eq(self.flaw.place.as_value()),
        ]
        walk, due = self._elaborate_walk(m)
        request, response = self.port.request, self.port.response
        job, found, lost, is_void = Signal(Job), Signal(), Signal(), Signal()
        word = Signal(BEAT_WIDTH)
        m.d.comb += [
            request.p.bank.eq(self.place.bank), request.p.row.eq(self.place.row),
            request.p.column.eq(self.place.column), request.p.data.eq(word), response.ready.eq(1),
            self.write_poison.eq(lost),
            self.write_flips.eq(Mux(job == Job.INJECT, self.inject_flips, 0)),
        ]
        with m.If(self.inject):
            m.d.sync += self.injecting.eq(1)
        with m.If(self.flawed & mine):
            m.d.sync += [found.eq(~self.flaw.poisoned), lost.eq(self.flaw.uncorrectable)]
        with m.If(self.annulled):
            m.d.sync += is_void.eq(1)

        with m.FSM():
            with m.State("CHOOSE"):
                m.d.sync += [found.eq(0), lost.eq(0), is_void.eq(0)]
                with m.If(self.injecting):
                    m.d.sync += [job.eq(Job.INJECT), self.place.eq(self.inject_place)]
                    m.next = "READ"
                with m.Elif(suspects.r_rdy):
                    m.d.comb += suspects.r_en.eq(1)
                    m.d.sync += [job.eq(Job.REPAIR), self.place.as_value().eq(suspects.r_data)]
                    m.next = "READ"
                with m.Elif(due):
                    m.d.sync += [job.eq(Job.REPAIR), self.place.eq(walk)]
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += request.valid.eq(1)
                with m.If(request.ready):
                    m.next = "LOOK"
            with m.State("LOOK"):
                with m.If(response.valid):
                    m.d.sync += word.eq(response.p.data)
                    m.next = "WRITE"
                    with m.If((job == Job.REPAIR) & ~found):
                        m.next = "CHOOSE"
                    with m.If((job == Job.INJECT) & (response.p.status != Status.OK)):
                        m.d.sync += self.injecting.eq(0)
                        m.next = "CHOOSE"
            with m.State("WRITE"):
                m.d.comb += [request.valid.eq(1), request.p.write.eq(1)]
                with m.If(request.ready):
                    m.next = "DONE"
            with m.State("DONE"):
                with m.If(response.valid):
                    m.d.comb += self.scrubbed.eq((job == Job.REPAIR) & ~is_void & ~lost)
                    with m.If((job == Job.INJECT) & ~is_void):
                        m.d.sync += self.injecting.eq(0)
                    m.next = "CHOOSE"
        return m

    def _elaborate_walk(self, m: Module) -> tuple[data.View, Signal]:
        """The next word of the walk over the banks that exist, and when it is due."""
        geometry = self.spec.geometry
        walk = Signal(place_layout(geometry), init={"bank": geometry.banks[0]})
        waited, due = Signal(32), Signal()
        end_of_row, end_of_bank = Signal(), Signal()
        m.d.comb += [end_of_row.eq(walk.column == geometry.columns - 1),
                     end_of_bank.eq(end_of_row & (walk.row == geometry.rows - 1))]
        with m.If((self.interval == 0) | due):
            m.d.sync += waited.eq(0)
        with m.Elif(waited < self.interval):
            m.d.sync += waited.eq(waited + 1)
        with m.If((self.interval != 0) & (waited == self.interval)):
            m.d.sync += due.eq(1)
        with m.If(due & (self.place.as_value() == walk.as_value()) & self.port.request.valid):
            m.d.sync += [due.eq(0), walk.column.eq(Mux(end_of_row, 0, walk.column + 1))]
            with m.If(end_of_row):
                m.d.sync += walk.row.eq(Mux(end_of_bank, 0, walk.row + 1))
            with m.If(end_of_bank):
                following = (*geometry.banks[1:], geometry.banks[0])
                with m.Switch(walk.bank):
                    for bank, after in zip(geometry.banks, following, strict=True):
                        with m.Case(bank):
                            m.d.sync += walk.bank.eq(after)
        return walk, due


class WriteGuard(wiring.Component):
    """Makes a write back void, in the clock of its command, if another has written the word since.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    place : ``In(place_layout)``
        The scrubber's word.
    write : ``In(1)``, write_place : ``In(place_layout)``
        A write command in this clock, and where.
    own_read, own_write : ``In(1)``
        The command of this clock is the scrubber's.
    annulled : ``Out(1)``
        The scrubber's write of this clock must not change the array.
    """

    place: data.View
    write: Signal
    write_place: data.View
    own_read: Signal
    own_write: Signal
    annulled: Signal

    def __init__(self, spec: SliceSpec) -> None:
        place = place_layout(spec.geometry)
        super().__init__({
            "place": In(place), "write": In(1), "write_place": In(place),
            "own_read": In(1), "own_write": In(1), "annulled": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stale = Signal()
        m.d.comb += self.annulled.eq(self.own_write & stale)
        with m.If(self.own_read):
            m.d.sync += stale.eq(0)
        with m.Elif(self.write & ~self.own_write
                    & (self.write_place.as_value() == self.place.as_value())):
            m.d.sync += stale.eq(1)
        return m
