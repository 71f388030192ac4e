"""The designs that the linters and the Verilog checks elaborate: small builds of every component.

A new component of ``hdl`` needs an entry only if no design here contains it already; ``make lint``
names those that are missing.
"""

from collections.abc import Callable, Mapping

from amaranth.lib import wiring

from hdl.floating import Product
from hdl.slice import Slice
from model.spec.attention import PimSpec
from model.spec.formats import FP16
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec

SMALL = SliceSpec(
    geometry=ChannelGeometry(pim_banks=2, capacity_banks=1, rows=8),
    pim=PimSpec(head_size_max=64, group_max=2, exponent_fraction_bits=8))
"""Two PIM banks and one capacity bank: every component at least once, converted in seconds."""

DESIGNS: Mapping[str, Callable[[], wiring.Component]] = {
    "slice": lambda: Slice(SMALL),
    "product": lambda: Product(FP16),
}
"""Name of the Verilog module -> what builds the component."""
