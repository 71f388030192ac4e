"""Figures of the design, each held against its bound: ``make bench``.

A module of this package offers ``figures(progress) -> Iterable[Figure]``: it simulates or times
what it names and yields one figure after another; ``progress(text)`` says what is being done.
Modules are found by themselves, and run in the order of their names. Clocks are deterministic;
wall-clock speeds are measured on the machine at hand and say so in their unit (``/s``, ``s``).

A bound comes from a formula in :mod:`model`, made from the timing table, never from the hardware.
"""

from tb.figures.figure import Figure, Progress

__all__ = ["Figure", "Progress"]
