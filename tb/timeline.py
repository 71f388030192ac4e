"""What each part of a slice, or of a unit, does when: a waveform's picture, in lanes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from model.spec.attention import MacMode
from model.spec.slice import SliceSpec
from model.spec.timing import COLUMN_COMMANDS, REGISTER_COMMANDS, ROW_COMMANDS, Command
from tb.wave_view import COMMAND_COLOURS, MODE_COLOURS, bank_names
from tb.waveform import Waveform, intervals

Active = NDArray[np.bool_]

BUSY, OPEN, REFRESHED = "#d9d9d9", "#c6dbef", "#fcbba1"
"""Colours of a unit that is busy, an open row, and a bank that is refreshed."""

IN, OUT = COMMAND_COLOURS[Command.RD], COMMAND_COLOURS[Command.WR]
"""Colours of what goes into a unit and out of it."""

MOVE, ATTEND, HOST = "#fdd0a2", "#dadaeb", "#e5e5e5"
LETTER = 1 / 160
"""Width of a letter as a part of the picture: labels that do not fit are left out."""


@dataclass
class Lane:
    """One line of the picture; later bars lie on earlier ones.

    Attributes
    ----------
    title : str
    bars : list of (colour, first clock, clock after the last one, label)
    """

    title: str
    bars: list[tuple[str, int, int, str]] = field(default_factory=list)

    def add(self, active: Active, colour: str, label: str = "") -> "Lane":
        """Bars where something is so."""
        self.bars += [(colour, start, end, label) for start, end in intervals(active)]
        return self


def signals(spec: SliceSpec) -> list[str]:
    """What :func:`draw` reads."""
    streams = ("slice.host__request", "slice.pim__row_pass", "slice.softmax.score",
               "slice.softmax.weight", "slice.merge.part", "slice.result",
               "slice.dma.port__request")
    units = [f"slice.channel.device.pim_{bank}.sequencer" for bank in
             range(spec.geometry.pim_banks)]
    return [
        "slice.move_busy", "slice.attend_busy", "slice.dma.busy", "slice.softmax.busy",
        "slice.merge.busy", "slice.dma.port__request__payload.write",
        *channel_signals(spec, "slice", "slice.channel"),
        *(f"slice.pim__row_pass__payload.{name}" for name in ("mode", "start", "row")),
        *(f"{stream}__{wire}" for stream in streams for wire in ("valid", "ready")),
        *(f"{unit}.{name}" for unit in units for name in ("valid", "o.mode")),
    ]


def lanes(waveform: Waveform, spec: SliceSpec) -> Iterator[Lane]:
    """The lanes, from orders down to units."""
    def wire(name: str) -> Active:
        return waveform.values(name) != 0

    def moved(stream: str) -> Active:
        return wire(f"{stream}__valid") & wire(f"{stream}__ready")

    yield (Lane("operation").add(wire("slice.host__request__valid"), HOST)
           .add(wire("slice.move_busy"), MOVE, "block move")
           .add(wire("slice.attend_busy"), ATTEND, "attention"))
    yield from channel_lanes(waveform, spec, "slice", "slice.channel")
    yield _row_passes(waveform, waveform.values("slice.commands__row.command"),
                      moved("slice.pim__row_pass"))
    for bank in range(spec.geometry.pim_banks):
        unit, lane = f"slice.channel.device.pim_{bank}.sequencer", Lane(f"PIM unit {bank}")
        for mode in MacMode:
            lane.add(wire(f"{unit}.valid") & (waveform.values(f"{unit}.o.mode") == mode),
                     MODE_COLOURS[mode])
        yield lane
    yield (Lane("softmax").add(wire("slice.softmax.busy"), BUSY)
           .add(moved("slice.softmax.score"), IN).add(moved("slice.softmax.weight"), OUT))
    yield (Lane("merge, result").add(wire("slice.merge.busy"), BUSY)
           .add(moved("slice.merge.part"), IN).add(moved("slice.result"), OUT))
    request, write = moved("slice.dma.port__request"), "slice.dma.port__request__payload.write"
    yield (Lane("DMA").add(wire("slice.dma.busy"), BUSY)
           .add(request & ~wire(write), IN).add(request & wire(write), OUT))


def channel_signals(spec: SliceSpec, top: str, channel: str) -> list[str]:
    """What :func:`channel_lanes` reads; ``top`` has the command buses among its ports."""
    return [*(f"{top}.commands__{name}" for name in ("row.command", "column.command", "row.bank")),
            f"{channel}.open",
            *(f"{channel}.device.bank_{bank}.open_row" for bank in spec.geometry.banks)]


def channel_lanes(waveform: Waveform, spec: SliceSpec, top: str, channel: str) -> Iterator[Lane]:
    """Buses and banks of a memory channel."""
    row, column = (waveform.values(f"{top}.commands__{bus}.command") for bus in ("row", "column"))
    timing = spec.timing
    yield _commands("row commands", row, ROW_COMMANDS)
    yield _commands("column commands", column, COLUMN_COMMANDS)
    yield (Lane("data bus")
           .add(_later(column, {Command.RD, Command.REG_RD}, timing.read_latency), IN)
           .add(_later(column, {Command.WR, Command.REG_WR}, timing.write_latency), OUT))
    addressed = waveform.values(f"{top}.commands__row.bank")
    yield from _banks(waveform, spec, channel, row, addressed)


def _commands(title: str, bus: NDArray[np.int64], commands: Iterable[Command]) -> Lane:
    lane = Lane(title)
    for command in sorted(commands):
        lane.add(bus == command, COMMAND_COLOURS[command])
    return lane


def _later(bus: NDArray[np.int64], commands: set[Command], clocks: int) -> Active:
    """Where the data of commands are on the data bus."""
    issued = np.isin(bus, sorted(commands))
    return np.concatenate((np.zeros(clocks, bool), issued[:-clocks]))


def _banks(waveform: Waveform, spec: SliceSpec, channel: str, row_bus: NDArray[np.int64],
           addressed: NDArray[np.int64]) -> Iterator[Lane]:
    """Open rows and refreshes of each bank."""
    opened = waveform.values(f"{channel}.open")
    for slot, bank in enumerate(spec.geometry.banks):
        rows = waveform.values(f"{channel}.device.bank_{bank}.open_row")
        lane = Lane(f"{bank_names(spec).labels[bank]}: row")
        for start, end in intervals((opened >> slot & 1).astype(bool)):
            lane.bars.append((OPEN, start, end, str(rows[min(start + 1, end - 1)])))
        refreshes = [((row_bus == Command.REF) & (addressed == bank), spec.timing.nRFCpb)]
        if bank in spec.geometry.pim_bank_numbers:
            refreshes.append((row_bus == Command.REF_ALL, spec.timing.nRFCab))
        for issued, tck in refreshes:
            lane.bars += [(REFRESHED, int(start), int(start) + spec.timing.clocks(tck), "refresh")
                          for start in np.flatnonzero(issued)]
        yield lane


def _row_passes(waveform: Waveform, row_bus: NDArray[np.int64], accepted: Active) -> Lane:
    """From ACT_ALL to PRE_ALL; K0 is the pass over the keys of wave 0, S0 over their scales."""
    mode, start, row = (waveform.values(f"slice.pim__row_pass__payload.{name}")[accepted]
                        for name in ("mode", "start", "row"))
    lane = Lane("row passes")
    waves = dict.fromkeys(MacMode, -1)
    begins, ends = (np.flatnonzero(row_bus == c) for c in (Command.ACT_ALL, Command.PRE_ALL))
    for number, begin in enumerate(begins):
        what = MacMode(mode[number])
        waves[what] += int(start[number])
        letter = {MacMode.DOT: "K", MacMode.AXPY: "V", MacMode.SCALE: "S"}[what]
        lane.bars.append((MODE_COLOURS[what], int(begin), int(ends[ends > begin][0]),
                          f"{letter}{waves[what]} row {row[number]}"))
    return lane


def draw(path: Path, waveform: Waveform, spec: SliceSpec, title: str) -> None:
    """Draws the whole run, and below it the attention alone."""
    drawn = list(lanes(waveform, spec))
    attend, = intervals(waveform.values("slice.attend_busy") != 0)
    figure = Figure(figsize=(20, 13), dpi=110, layout="constrained")
    whole, attention = figure.subplots(2, 1, height_ratios=(1, 1.25))
    _panel(whole, waveform, drawn, (0, waveform.clocks), "the whole run")
    margin = (attend[1] - attend[0]) // 50
    _panel(attention, waveform, drawn,
           (attend[0] - margin, min(attend[1] + margin, waveform.clocks)), "the attention")
    figure.suptitle(title, fontsize=15, fontweight="bold")
    figure.legend(handles=_legend(drawn, (0, waveform.clocks)), loc="outside lower center",
                  ncols=10, frameon=False, fontsize=10)
    figure.savefig(path)


def draw_unit(path: Path, waveform: Waveform, drawn: list[Lane], title: str,
              clocks: tuple[int, int]) -> None:
    """Draws the run of a unit from one clock to another."""
    figure = Figure(figsize=(20, 1.5 + 0.45 * len(drawn)), dpi=110, layout="constrained")
    _panel(figure.subplots(), waveform, drawn, clocks, title)
    figure.legend(handles=_legend(drawn, clocks), loc="outside lower center", ncols=10,
                  frameon=False, fontsize=10)
    figure.savefig(path)


def _panel(axes: Axes, waveform: Waveform, drawn: list[Lane], clocks: tuple[int, int],
           title: str) -> None:
    first, last = clocks
    for y, lane in enumerate(drawn):
        for colour, start, end, label in lane.bars:
            start, end = max(start, first), min(end, last)
            if start >= end:
                continue
            begin, length = waveform.nanoseconds(start), end - start
            axes.broken_barh([(begin, length)], (y - 0.38, 0.76), facecolor=colour,
                             edgecolor=colour, linewidth=0.3)
            if label and length > len(label) * LETTER * (last - first):
                axes.text(begin + length / 2, y, label, ha="center", va="center", fontsize=8,
                          color="white" if colour in MODE_COLOURS.values() else "black")
    axes.set_yticks(range(len(drawn)), [lane.title for lane in drawn])
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.set_xlim(waveform.nanoseconds(first), waveform.nanoseconds(last))
    axes.set_xlabel("time in ns; one clock is 1 ns")
    axes.set_title(title, loc="left", fontsize=12)
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)


def _legend(drawn: list[Lane], clocks: tuple[int, int]) -> list[Patch]:
    """What colours mean that are in the picture."""
    first, last = clocks
    used = {colour for lane in drawn for colour, start, end, _ in lane.bars
            if start < last and end > first}
    named = [(command.name, COMMAND_COLOURS[command]) for command in Command
             if command in ROW_COMMANDS | COLUMN_COMMANDS | REGISTER_COMMANDS]
    named += [(f"{mode.name} ({what})", MODE_COLOURS[mode]) for mode, what in
              ((MacMode.DOT, "scores"), (MacMode.AXPY, "outputs"))]
    named += [("row open", OPEN), ("refresh", REFRESHED), ("host request", HOST),
              ("busy", BUSY), ("read, or into the unit", IN), ("write, or out of it", OUT)]
    return [Patch(color=colour, label=name) for name, colour in named if colour in used]
