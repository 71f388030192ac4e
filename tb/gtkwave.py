"""A view as a save file of GTKWave, with a translation file for each set of names."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from vcd.gtkw import GTKWColor, GTKWSave, make_translation_filter

from tb.wave_view import Group, Names
from tb.waveform import Waveform

FORMATS = {"bit": "bin", "decimal": "dec", "signed": "signed", "binary": "bin", "hex": "hex",
           "fp32": "real"}

COLOURS = (GTKWColor.green, GTKWColor.yellow, GTKWColor.orange, GTKWColor.blue)
"""Of the groups, by turns."""

MARKERS = "abcdefghijklmnopqrstuvwxyz"

WINDOW, SIGNALS_WIDTH = (1720, 1030), 330
"""Pixels of the window, and of the names at its left."""

PIXELS_PER_FRAME = 200
"""GTKWave's zoom is minus the logarithm to base 2 of the ticks in so many pixels."""


def write(path: Path, groups: Iterable[Group], waveform: Waveform, dump: str, *,
          markers: Mapping[str, int], shown: tuple[int, int]) -> list[Path]:
    """Writes a save file and its translation files beside it; returns all of them.

    Parameters
    ----------
    path : Path
        The save file.
    groups : iterable of Group
    waveform : Waveform
        Has the signals under the names by which GTKWave knows them.
    dump : str
        File name of the waveform, which lies in the same folder.
    markers : mapping
        Title -> clock.
    shown : (int, int)
        First and last clock that are on the screen at first.
    """
    written = [path]
    with path.open("w") as file:
        save = GTKWSave(file)
        save.dumpfile(dump, abspath=False)
        save.savefile(path.name, abspath=False)
        start, end = (waveform.ticks(clock) for clock in shown)
        save.timestart(start)
        save.size(*WINDOW)
        ticks = {letter: waveform.ticks(clock)
                 for letter, clock in zip(MARKERS, markers.values(), strict=False)}
        zoom = -math.log2((end - start) / (WINDOW[0] - SIGNALS_WIDTH) * PIXELS_PER_FRAME)
        save.zoom_markers(zoom, **ticks)              # pyright: ignore[reportArgumentType]
        for letter, title in zip(MARKERS.upper(), markers, strict=False):
            file.write(f"[markername] {letter}{title}\n")
        save.signals_width(SIGNALS_WIDTH)
        save.sst_expanded(False)
        for number, group in enumerate(groups):
            with save.group(group.title, closed=group.folded):
                for trace in group.traces:
                    names = None
                    if trace.names:
                        names = path.with_name(f"{path.stem}.{trace.names.key}.txt")
                        if names not in written:
                            names.write_text(translations(trace.names))
                            written.append(names)
                    save.trace(waveform.reference(trace.signal), alias=trace.title,
                               color=COLOURS[number % len(COLOURS)],
                               datafmt=FORMATS[trace.form],
                               translate_filter_file=names.name if names else None)
    return written


def translations(names: Names) -> str:
    """Lines of value, colour and name."""
    return make_translation_filter(
        [(value, label, names.colours[value]) if value in names.colours else (value, label)
         for value, label in names.labels.items()], "dec") + "\n"
