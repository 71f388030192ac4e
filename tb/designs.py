"""The designs that the linters and the Verilog checks elaborate: small builds of every component.

A new component of ``hdl`` needs an entry only if no design here contains it already; ``make lint``
names those that are missing.
"""

from collections.abc import Callable, Mapping

from amaranth.lib import wiring

DESIGNS: Mapping[str, Callable[[], wiring.Component]] = {
}
