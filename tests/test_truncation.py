"""The lint of truncated widths: the hardware is clean, and the lint finds what it should."""

import pytest
from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tools.lint_truncation import Recorder, drops_bits, lint


def test_no_design_drops_bits_in_silence_and_none_is_forgotten() -> None:
    if complaints := lint():
        pytest.fail("\n".join(complaints), pytrace=False)


class Narrow(wiring.Component):
    """Drops the upper half of its input, and says so for one of its outputs only."""

    i: Signal
    said: Signal
    silent: Signal

    def __init__(self) -> None:
        super().__init__({"i": In(8), "said": Out(4), "silent": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.said.eq(self.i[:4])
        m.d.comb += self.silent.eq(self.i)
        return m


def test_only_the_silent_assignment_is_reported() -> None:
    recorder = Recorder()
    recorder.elaborate(Narrow)
    found, = recorder.truncations
    assert (found.from_width, found.to_width) == (8, 4)
    assert found.source == "m.d.comb += self.silent.eq(self.i)"
    assert found.file == __file__ and Narrow in recorder.components


a, b, taken = Signal(4, name="a"), Signal(4, name="b"), Signal(name="taken")


@pytest.mark.parametrize(("value", "width", "dropped"), [
    (a, 4, False), (a, 3, True), (a + 1, 4, False), (a - 1, 4, False), (a + taken, 4, False),
    (a + 1, 3, True), (a + b, 4, True), (a + b, 5, False), (a * b, 7, True), (Cat(a, b), 7, True),
    (Mux(taken, a + 1, 0), 4, False), (Mux(taken, a + b, 0), 4, True),
    (a >> 1, 3, False), (a >> 1, 2, True), ((a >> 2) + (b >> 2), 3, False),
    ((a >> 2) + (b >> 2), 2, True), (a << 3, 7, False), (a << 3, 6, True), (a << b, 8, True),
    (Value.cast(15), 4, False), (Value.cast(16), 4, True), (Value.cast(-8), 4, False),
    (Value.cast(-9), 4, True),
], ids=repr)
def test_a_step_of_a_counter_or_a_constant_that_fits_drops_nothing(value: Value, width: int,
                                                                   dropped: bool) -> None:
    assert drops_bits(value, width) is dropped
