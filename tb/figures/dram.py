"""The memory channel: streams, row conflicts and a mix, against the bounds of its timing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from model.spec import bounds
from model.spec.slice import SliceSpec
from tb import patterns
from tb.figures.figure import Figure, Progress
from tb.replay import Access, Observed, replay, replay_spec

PRESET = "hbm4_8000"

SETTLING = 9
"""Intervals of tREFI before a measurement where refreshes can only be postponed: from then on a
bank that is never idle is refreshed once in every interval."""

MEASURED = 3
"""Intervals of tREFI that are measured."""

FIRST_WRITES = 4
"""Writes that a batch may hold beyond ``write_burst``: until a read waits again, behind the write
that filled the window and the pair in front of it."""


@dataclass(frozen=True)
class Case:
    """A pattern, from when on it is measured, and what it is held against."""

    name: str
    accesses: list[Access]
    settling: int
    bound: float


def cases(spec: SliceSpec) -> Iterator[Case]:
    """The figures of the channel, in beats a clock."""
    geometry, timing = spec.geometry, spec.timing
    interval = timing.refresh_interval

    def length(settling: int, beats_per_clock: float) -> int:
        return int((settling + MEASURED) * interval * beats_per_clock) + 64

    full = bounds.streaming(timing, geometry)
    for name, write in (("stream_read", False), ("stream_write", True)):
        yield Case(name, patterns.stream(geometry, length(1, full), write=write), 1, full)
    for name, pattern, bound in (
            ("row_conflict_all", patterns.all_bank_conflicts,
             bounds.all_bank_conflicts(timing, geometry)),
            ("row_conflict_1bank", patterns.one_bank_conflicts,
             bounds.one_bank_conflicts(timing))):
        yield Case(name, pattern(geometry, length(SETTLING, bound)), SETTLING, bound)
    mixed = bounds.mixed(timing, reads_per_write=2,
                         write_batch=spec.scheduler.write_burst + FIRST_WRITES)
    yield Case("mix_2to1", patterns.mix(geometry, length(1, mixed)), 1, mixed)


def beats_per_clock(observed: Observed, begin: int, end: int) -> float:
    """Columns in these clocks, each a beat."""
    return sum(begin <= clock < end for clock, *_ in observed.columns) / (end - begin)


def measure(preset: str, progress: Progress) -> Iterator[Figure]:
    """The figures of a preset."""
    spec = replay_spec(preset)
    interval = spec.timing.refresh_interval
    for case in cases(spec):
        progress(f"{case.name}, {len(case.accesses)} accesses")
        observed = replay(preset, case.accesses)
        begin = observed.start + case.settling * interval
        last = observed.columns[-1][0]
        end = begin + (last - begin) // interval * interval
        yield Figure(f"dram.{case.name}", beats_per_clock(observed, begin, end), "beats/clock",
                     case.bound)


def figures(progress: Progress) -> Iterable[Figure]:
    """All figures of the channel."""
    return measure(PRESET, progress)
