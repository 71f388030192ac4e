"""The designs that the linters and the Verilog checks elaborate: small builds of every component.

A new component of ``hdl`` needs an entry only if no design here contains it already; ``make lint``
names those that are missing.
"""

from collections.abc import Callable, Mapping

from amaranth.lib import wiring

from hdl.floating import Adder, KvRound, Product
from model.spec.formats import BF16, FP16

DESIGNS: Mapping[str, Callable[[], wiring.Component]] = {
    "product": lambda: Product(FP16),
    "adder": Adder,
    "kv_round": lambda: KvRound(BF16),
}
"""Name of the Verilog module -> what builds the component."""
