"""A view as a command file of Surfer, with a mapping file for each set of names."""

from collections.abc import Iterable
from pathlib import Path

from matplotlib.colors import to_hex

from tb.wave_view import Group, Names

MAPPINGS = Path(".surfer/mappings")
"""Where Surfer looks for mapping files, from the folder that it is started in."""


def write(path: Path, groups: Iterable[Group]) -> list[Path]:
    """Writes a command file and the mapping files; returns all of them.

    A mapping appears among the formats of a signal; its key names it there.
    """
    lines, written = [], [path]
    for group in groups:
        lines.append(f"divider_add {group.title}")
        lines += [f"variable_add {trace.signal}" for trace in group.traces]
        for names in (trace.names for trace in group.traces):
            mapping = path.parent / MAPPINGS / f"{names.key}.txt" if names else path
            if names and mapping not in written:
                mapping.parent.mkdir(parents=True, exist_ok=True)
                mapping.write_text(mapped(names))
                written.append(mapping)
    path.write_text("\n".join([*lines, "zoom_fit"]) + "\n")
    return written


def mapped(names: Names) -> str:
    """Lines of value, colour and name, behind the mapping's own name and width."""
    colours = {value: f"[{to_hex(colour)}]" for value, colour in names.colours.items()}
    rows = (f"{value:d}{colours.get(value, '')} {label}" for value, label in names.labels.items())
    return "\n".join([f"Name = {names.key}", f"Bits = {names.width}", *rows]) + "\n"
