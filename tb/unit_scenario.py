"""A scenario of ``make waves`` that shows one unit: recorded, with views, in the same way."""

import enum
import os
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib import wiring
from rich.console import Console

from tb import gtkwave, surfer
from tb.build import ROOT, WAVEFORM, build, run, selected_simulator
from tb.wave_view import Group, Names
from tb.waveform import Waveform, copy_readable

console = Console(stderr=True, soft_wrap=True, highlight=False)


def enum_names(key: str, values: type[enum.Enum], *, blank: Collection[str] = ()) -> Names:
    """Names of an enumeration, unsigned, for a viewer.

    Parameters
    ----------
    key : str
        As in :class:`~tb.wave_view.Names`.
    values : type
        The enumeration.
    blank : collection of str
        Members that say that nothing goes on, shown as ``-``.
    """
    return Names(key=key, width=max(v.value for v in values).bit_length(), colours={},
                 labels={v.value: "-" if v.name in blank else v.name for v in values})


@dataclass(frozen=True, kw_only=True)
class UnitScenario:
    """What is recorded of a unit, and how it is shown.

    Attributes
    ----------
    top : str
        Name of the Verilog module.
    name : str
        What waveform and views are called; by default as the module.
    what : str
        What is built, for the progress line.
    unit : callable
        Makes it.
    bench, parameters : str, mapping
        The cocotb module, and its parameters.
    view : callable
        Makes the groups of signals.
    watched : tuple of str
        Signals that ``markers`` looks at.
    markers : callable
        From the waveform of ``watched``, moments to be marked, in clocks, by name.
    screen_clocks : int
        Clocks that are on GTKWave's screen at first.
    picture : callable, optional
        From waveform file and picture file: draws the run at a glance.
    """

    top: str
    name: str = ""
    what: str
    unit: Callable[[], wiring.Component]
    bench: str
    parameters: Mapping[str, object]
    view: Callable[[], tuple[Group, ...]]
    watched: tuple[str, ...]
    markers: Callable[[Waveform], dict[str, int]]
    screen_clocks: int
    picture: Callable[[Path, Path], None] | None = None

    @property
    def stem(self) -> str:
        """Name of the files, without what comes after the dot."""
        return self.name or self.top

    def record(self, output: Path, simulator: str) -> Path:
        """Builds the unit, runs the scenario and leaves its waveform in ``output``."""
        console.print(f"[waves] building {self.what} for {simulator}, unless that was done before",
                      markup=False)
        built = build(self.unit(), self.top, simulator=simulator, waves="all")
        with tempfile.TemporaryDirectory(prefix="waves-", dir=ROOT / "build") as work:
            run(built, self.bench, Path(work), parameters=self.parameters)
            output.mkdir(parents=True, exist_ok=True)
            copy_readable(Path(work) / WAVEFORM, output / f"{self.stem}.vcd")
        return output / f"{self.stem}.vcd"

    def write_views(self, dump: Path) -> list[Path]:
        """Writes the views beside a waveform; returns the files."""
        waveform = Waveform(dump, list(self.watched), clock=f"{self.top}.clk")
        files = gtkwave.write(dump.with_suffix(".gtkw"), self.view(), waveform, dump.name,
                              markers=self.markers(waveform),
                              shown=(0, min(self.screen_clocks, waveform.clocks)))
        if self.picture is not None:
            self.picture(dump, dump.with_suffix(".png"))
            files.append(dump.with_suffix(".png"))
        return files + surfer.write(dump.with_suffix(".sucl"), self.view())

    def show(self, output: Path, simulator: str) -> None:
        """Records, writes the views, and says how to open them; ``simulator`` may be empty."""
        if simulator:
            os.environ["SIM"] = simulator
        dump = self.record(output, selected_simulator())
        self.write_views(dump)
        glance = [] if self.picture is None else [
            f"{dump.with_suffix('.png')}, the run at a glance"]
        for line in (f"{dump}", *glance, f"gtkwave {dump.with_suffix('.gtkw')}",
                     f"cd {output} && surfer --command-file {self.stem}.sucl {dump.name}"):
            console.print(f"[waves] {line}", markup=False)
