"""The requests that wait for walks, and what each operation of the pipeline makes of them."""

import enum
from typing import Any

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.translator.judge import finding_layout, job_layout
from hdl.translator.layouts import tables_layout
from hdl.translator.miss_slot import (
    Command,
    MissSlot,
    Step,
    slot_layout,
    walk_start_layout,
    walk_step_layout,
)
from hdl.translator.one_hot import lowest, number_of
from hdl.translator.tlb import probe_layout
from model.spec.translation import Fault, Scope, TranslatorSpec


class Kind(enum.IntEnum):
    """Operations of the translator's pipeline."""

    NONE = 0
    LOOKUP = 1          # a new lookup
    COMMIT = 2          # a new commit
    FILL = 3            # the walk of a lookup has ended
    FOLLOW = 4          # a lookup is answered by another's walk
    DONE = 5            # the walk of a commit has ended
    FORGET = 6          # one set of an invalidation


def operation_layout(spec: TranslatorSpec) -> data.StructLayout:
    """An operation on its way through the pipeline."""
    return data.StructLayout({
        "kind": Kind,
        "job": job_layout(),                # of an invalidation: its block id
        "slot": range(spec.slots),          # whose request it is
        "source": range(spec.slots),        # which slot's walk answers it
        "scope": Scope,                     # of an invalidation; else BLOCK
        "first": 1, "last": 1,              # operation of an invalidation
    })


class MissTable(wiring.Component):
    """Slots for requests without an answer; says which is ready, and obeys the pipeline.

    A lookup of a block and tier that is being walked for follows that walk. What is ready can be
    answered in the clock after its walk's last word came.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    tables : ``In(tables_layout())``
    operation : ``In(operation_layout(spec))``
        What the pipeline does in this clock.
    hit : ``In(1)``
        The lookup needs no slot.
    ready : ``Out(operation_layout(spec))``
        What could be done next for the slots, the current operation's apart; kind NONE: nothing.
    room, much_room : ``Out(1)``
        One slot is free; two are.
    commit_room : ``Out(1)``
        Less than half of the slots hold commits.
    committing, commit_id : ``Out(1)``, ``In``
        A commit of that block is under way.
    finding, again : ``Out(finding_layout(spec))``, ``Out(1)``
        What the walk of the operation's source has found; it is stale and begins anew.
    followed : ``Out(1)``
        The lookup follows another's walk.
    slots, issued, answered, walk_step
        To the walker.
    """

    tables: data.View
    operation: data.View
    hit: Signal
    ready: data.View
    room: Signal
    much_room: Signal
    commit_room: Signal
    committing: Signal
    commit_id: data.View
    finding: data.View
    again: Signal
    followed: Signal
    slots: data.View
    issued: Signal
    answered: Signal
    walk_step: data.View

    def __init__(self, spec: TranslatorSpec) -> None:
        self.spec = spec
        super().__init__({
            "tables": In(tables_layout()), "operation": In(operation_layout(spec)), "hit": In(1),
            "ready": Out(operation_layout(spec)), "room": Out(1), "much_room": Out(1),
            "commit_room": Out(1), "committing": Out(1),
            "commit_id": In(job_layout()["id"].shape),
            "finding": Out(finding_layout(spec)), "again": Out(1), "followed": Out(1),
            "slots": Out(data.ArrayLayout(slot_layout(spec), spec.slots)),
            "issued": In(spec.slots), "answered": In(spec.slots),
            "walk_step": In(walk_step_layout(spec)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n, operation = self.spec.slots, self.operation
        units: list[Any] = [MissSlot(self.spec) for _ in range(n)]
        states: list[Any] = [unit.state for unit in units]
        start, probe = Signal(walk_start_layout(self.spec)), Signal(probe_layout())
        free, same = Signal(n), Signal(n)
        source: Any = data.View(slot_layout(self.spec),
                                Array(s.as_value() for s in states)[operation.source])
        changes = ((operation.kind == Kind.FORGET) & operation.first
                   | (operation.kind == Kind.DONE) & source.finding.done)
        m.d.comb += [
            probe.id.eq(operation.job.id), probe.tier.eq(operation.job.tier),
            probe.scope.eq(operation.scope),
            free.eq(Cat(state.step == Step.IDLE for state in states)),
            same.eq(Cat(unit.same for unit in units)),
            self.finding.eq(source.finding),
            self.again.eq((operation.kind == Kind.FILL) & source.stale),
            self.followed.eq((operation.kind == Kind.LOOKUP) & ~self.hit & same.any()),
            self.slots.as_value().eq(Cat(state.as_value() for state in states)),
        ]
        self._start(m, start)
        for i, unit in enumerate(units):
            m.submodules[f"slot_{i}"] = unit
            m.d.comb += [
                unit.job.eq(operation.job), unit.leader.eq(number_of(same)), unit.start.eq(start),
                unit.issued.eq(self.issued[i]), unit.answered.eq(self.answered[i]),
                unit.walk_step.eq(self.walk_step), unit.probe.eq(probe), unit.change.eq(changes),
            ]
        self._command(m, units, lowest(free))
        self._rooms(m, states, free)
        self._ready(m, states)
        return m

    def _start(self, m: Module, start: Any) -> None:
        sequence = self.operation.job.id.sequence
        address = self.tables.directory_base + sequence
        beyond = Signal()
        m.d.comb += [
            start.address.eq(address[:self.spec.address_width]),
            beyond.eq(address[self.spec.address_width:].any()),
        ]
        with m.If(sequence >= self.tables.sequences):
            m.d.comb += [start.ended.eq(1), start.finding.fault.eq(Fault.UNMAPPED)]
        with m.Elif(beyond):
            m.d.comb += [start.ended.eq(1), start.finding.fault.eq(Fault.TABLE_MEMORY)]

    def _command(self, m: Module, units: list[Any], free: Value) -> None:
        operation = self.operation
        for i, unit in enumerate(units):
            followers = Cat((other.state.step == Step.FOLLOWER) & (other.state.leader == i)
                            for other in units).any()
            mine = operation.slot == i
            with m.Switch(operation.kind):
                with m.Case(Kind.LOOKUP):
                    with m.If(free[i] & ~self.hit):
                        m.d.comb += unit.command.eq(
                            Mux(self.followed, Command.FOLLOW, Command.START))
                with m.Case(Kind.COMMIT):
                    with m.If(free[i]):
                        m.d.comb += unit.command.eq(Command.START)
                with m.Case(Kind.FILL):
                    with m.If(mine):
                        m.d.comb += unit.command.eq(
                            Mux(self.again, Command.RESTART,
                                Mux(followers, Command.HOLD, Command.RELEASE)))
                with m.Case(Kind.FOLLOW, Kind.DONE):
                    with m.If(mine):
                        m.d.comb += unit.command.eq(Command.RELEASE)
            with m.If((unit.state.step == Step.ANSWERED) & ~followers):
                m.d.comb += unit.command.eq(Command.RELEASE)

    def _rooms(self, m: Module, states: list[Any], free: Signal) -> None:
        commits = Cat((state.step != Step.IDLE) & state.job.commit for state in states)
        count = Signal(range(len(states) + 1))
        m.d.comb += [
            self.room.eq(free.any()),
            self.much_room.eq((free & ~lowest(free)).any()),
            count.eq(sum(commits[1:], commits[0])),
            self.commit_room.eq(count < len(states) // 2),
            self.committing.eq(Cat(
                commits[i] & (state.job.id.as_value() == self.commit_id.as_value())
                for i, state in enumerate(states)).any()),
        ]

    def _ready(self, m: Module, states: list[Any]) -> None:
        operation, ready = self.operation, self.ready
        answered, able = Signal(len(states)), Signal(len(states))
        number = Signal(range(len(states)))         # not ready.slot: it would be read and driven
        busy = ((operation.kind == Kind.FILL) | (operation.kind == Kind.FOLLOW)
                | (operation.kind == Kind.DONE))
        m.d.comb += [
            answered.eq(Cat(state.step == Step.ANSWERED for state in states)),
            able.eq(Cat((state.step == Step.READY) | (state.step == Step.FOLLOWER)
                        & answered.bit_select(state.leader, 1) for state in states)
                    & ~Mux(busy, Const(1, len(states)) << operation.slot, 0)[:len(states)]),
        ]
        slot: Any = data.View(slot_layout(self.spec),
                              Array(s.as_value() for s in states)[number])
        follows = slot.step == Step.FOLLOWER
        m.d.comb += [
            number.eq(number_of(lowest(able))), ready.slot.eq(number),
            ready.source.eq(Mux(follows, slot.leader, number)),
            ready.job.eq(slot.job),
        ]
        with m.If(able.any()):
            m.d.comb += ready.kind.eq(
                Mux(follows, Kind.FOLLOW, Mux(slot.job.commit, Kind.DONE, Kind.FILL)))
