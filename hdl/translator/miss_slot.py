"""One request that waits for a walk of the tables."""

import enum
from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.translator.judge import finding_layout, job_layout
from hdl.translator.tlb import in_scope, probe_layout
from model.spec.translation import BLOCK_WORD, TranslatorSpec


class Step(enum.IntEnum):
    """Where a request stands."""

    IDLE = 0
    SEQUENCE = 1        # its sequence's word is read
    BLOCK = 2           # the block's word is read
    CHUNK = 3           # the chunk's word is read
    WRITE = 4           # a commit: the block's word is written
    READY = 5           # the walk has ended
    ANSWERED = 6        # others still need the finding
    FOLLOWER = 7        # waits for the walk of another slot


class Command(enum.IntEnum):
    """What becomes of a slot."""

    NONE = 0
    START = 1           # a request is taken in and walks
    FOLLOW = 2          # a request is taken in and waits for `leader`
    RESTART = 3         # the walk has to be made again
    HOLD = 4            # the request is answered, the finding is kept
    RELEASE = 5         # the slot is free


def block_word_layout() -> data.StructLayout:
    """The named fields of a block's table word."""
    return data.StructLayout({name: width for name, (_, width) in BLOCK_WORD.fields.items()})


def walk_start_layout(spec: TranslatorSpec) -> data.StructLayout:
    """How a walk begins."""
    return data.StructLayout({
        "address": spec.address_width,      # of the sequence's word
        "finding": finding_layout(spec),    # 0, or the fault that makes the walk unnecessary
        "ended": 1,
    })


def walk_step_layout(spec: TranslatorSpec) -> data.StructLayout:
    """What the answer of the memory makes of a walk."""
    return data.StructLayout({
        "step": Step,                       # the next; READY if the walk has ended
        "address": spec.address_width,
        "word": block_word_layout(),
        "finding": finding_layout(spec),
    })


def slot_layout(spec: TranslatorSpec) -> data.StructLayout:
    """State of a slot."""
    return data.StructLayout({
        "step": Step,
        "asking": 1,                        # the step's request is still to be made
        "stale": 1,                         # the tables have changed: the walk counts for nothing
        "leader": range(spec.slots),
        "address": spec.address_width,      # of the step's word
        "word": block_word_layout(),
        "job": job_layout(),
        "finding": finding_layout(spec),
    })


class MissSlot(wiring.Component):
    """Holds a request, the state of its walk and what the walk finds; a step a clock.

    A walk whose tables are changed under it is marked, and made again at its end.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    command, job, leader, start : ``In``
        What happens to the slot in this clock, and with what.
    issued : ``In(1)``
        The memory takes the request of this step.
    answered, walk_step : ``In(1)``, ``In(walk_step_layout(spec))``
        The memory has answered.
    probe, change : ``In(probe_layout())``, ``In(1)``
        Table words in the probe's scope have changed, or the residency of its block.
    state : ``Out(slot_layout(spec))``
    same : ``Out(1)``
        A walk for the probe's block and tier is under way.
    """

    command: Signal
    job: data.View
    leader: Signal
    start: data.View
    issued: Signal
    answered: Signal
    walk_step: data.View
    probe: data.View
    change: Signal
    state: data.View
    same: Signal

    def __init__(self, spec: TranslatorSpec) -> None:
        super().__init__({
            "command": In(Command), "job": In(job_layout()), "leader": In(range(spec.slots)),
            "start": In(walk_start_layout(spec)),
            "issued": In(1), "answered": In(1), "walk_step": In(walk_step_layout(spec)),
            "probe": In(probe_layout()), "change": In(1),
            "state": Out(slot_layout(spec)), "same": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state: Any = self.state
        walking = Signal()
        m.d.comb += [
            walking.eq((state.step != Step.IDLE) & (state.step != Step.ANSWERED)
                       & (state.step != Step.FOLLOWER) & ~state.job.commit),
            self.same.eq(walking & (state.job.id.as_value() == self.probe.id.as_value())
                         & (state.job.tier == self.probe.tier)),
        ]
        with m.If(self.issued):
            m.d.sync += state.asking.eq(0)
        with m.If(self.answered):
            self._advance(m)
        with m.If(walking & self.change & in_scope(self.probe, state.job.id)):
            m.d.sync += state.stale.eq(1)

        with m.Switch(self.command):
            with m.Case(Command.START, Command.RESTART):
                m.d.sync += [
                    state.step.eq(Step.SEQUENCE), state.asking.eq(1), state.stale.eq(0),
                    state.address.eq(self.start.address), state.finding.eq(self.start.finding)]
                with m.If(self.start.ended):
                    m.d.sync += [state.step.eq(Step.READY), state.asking.eq(0)]
            with m.Case(Command.FOLLOW):
                m.d.sync += [state.step.eq(Step.FOLLOWER), state.leader.eq(self.leader)]
            with m.Case(Command.HOLD):
                m.d.sync += state.step.eq(Step.ANSWERED)
            with m.Case(Command.RELEASE):
                m.d.sync += state.step.eq(Step.IDLE)
        with m.If((self.command == Command.START) | (self.command == Command.FOLLOW)):
            m.d.sync += state.job.eq(self.job)
        return m

    def _advance(self, m: Module) -> None:
        state, walk_step = self.state, self.walk_step
        m.d.sync += [
            state.step.eq(walk_step.step), state.asking.eq(walk_step.step != Step.READY),
            state.address.eq(walk_step.address), state.word.eq(walk_step.word),
            state.finding.eq(walk_step.finding),
        ]
