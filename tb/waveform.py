"""Waveforms by the names of the hardware, whichever simulator wrote them."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vcdvcd import VCDVCD

Clocks = NDArray[np.int64]
"""One value a clock."""


class Waveform:
    """A VCD file of a design with one clock, from :func:`copy_readable`.

    Parameters
    ----------
    path : Path
    signals : iterable of str
        Names whose values will be asked for, such as ``"slice.dma.busy"``.
    clock : str
        Name of the clock.

    Raises
    ------
    KeyError
        One of them is not in the file, or several signals have that name.
    """

    def __init__(self, path: Path, signals: Iterable[str] = (), clock: str = "slice.clk") -> None:
        found = [(re.sub(r"\[\d+:\d+\]$", "", name), name)
                 for name in VCDVCD(str(path), only_sigs=True).signals]
        times = Counter(name for name, _ in found)
        self._references = {name: full for name, full in found if times[name] == 1}
        wanted = [self.reference(name) for name in (clock, *signals)]
        self._vcd = VCDVCD(str(path), signals=wanted)
        self._clock = clock
        self._ps_per_tick = round(float(self._vcd.timescale["timescale"]) * 1e12)

    def __contains__(self, name: str) -> bool:
        return name in self._references

    def reference(self, name: str) -> str:
        """The signal as the file has it, with its bit range."""
        return self._references[name]

    def _changes(self, name: str) -> tuple[Clocks, Clocks]:
        vcd = self._vcd
        signal = vcd.data[vcd.references_to_ids[self.reference(name)]]
        times, values = zip(*signal.tv, strict=True)
        return (np.array(times, np.int64),
                np.array([int(re.sub("[^01]", "0", value), 2) for value in values], np.int64))

    @cached_property
    def _edges(self) -> Clocks:
        times, values = self._changes(self._clock)
        return times[values == 1]

    @property
    def clocks(self) -> int:
        """Number of clocks."""
        return len(self._edges) - 1

    def values(self, name: str) -> Clocks:
        """Value of a signal in each clock: as the edge at its end finds it."""
        times, values = self._changes(name)
        return values[np.searchsorted(times, self._edges[1:], side="left") - 1]

    def ticks(self, clock: int) -> int:
        """Time at which a clock begins, in the unit of the file."""
        return int(self._edges[clock])

    def nanoseconds(self, clock: int) -> float:
        """Time at which a clock begins."""
        return self.ticks(clock) * self._ps_per_tick / 1000


def intervals(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first clock, clock after the last one) of each run of clocks in which something is so."""
    steps = np.flatnonzero(np.diff(np.concatenate(([0], active.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in steps.reshape(-1, 2)]


def copy_readable(source: Path, target: Path) -> None:
    """Copies a VCD for people: only signals of the hardware, fields of structures as a scope.

    Names that Yosys made up go; they are half of the file, and GTKWave stops at them. A field
    ``payload.row`` becomes ``row`` in a scope ``payload``, since viewers take the point for one.
    """
    kept: set[str] = set()
    with source.open() as lines, target.open("w") as out:
        for line in lines:
            words = line.split()
            if words[:1] == ["$var"]:
                if "$" in words[4]:
                    continue
                kept.add(words[3])
                *scopes, words[4] = words[4].removeprefix("\\").split(".")
                line = "".join((*(f"$scope module {scope} $end\n" for scope in scopes),
                                " ".join(words) + "\n", "$upscope $end\n" * len(scopes)))
            out.write(line)
            if words[:1] == ["$enddefinitions"]:
                break
        for line in lines:
            if line[0] == "b":
                if line.split()[1] in kept:
                    out.write(line)
            elif line[0] in "#$" or line[1:].rstrip() in kept:
                out.write(line)
