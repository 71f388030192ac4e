"""How tests of single components run them in Amaranth's own simulator."""

from typing import Any

from amaranth.sim import Simulator


def simulate(unit: Any, bench: Any) -> None:
    """Runs a test bench of a clocked component to its end."""
    simulator = Simulator(unit)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
