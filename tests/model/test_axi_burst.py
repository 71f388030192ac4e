"""The equations of AXI4 bursts on bursts worked by hand."""

import pytest

from model.golden.axi_burst import FIXED, INCR, WRAP, AxiBurst


def test_an_unaligned_incrementing_burst_is_aligned_from_its_second_beat_on() -> None:
    assert AxiBurst(0x1003, 3, 2, INCR).lanes() == [
        range(0x1003, 0x1004), range(0x1004, 0x1008), range(0x1008, 0x100C)]


def test_a_wrapping_burst_returns_to_its_boundary() -> None:
    assert [s.start for s in AxiBurst(0x38, 4, 3, WRAP).lanes()] == [0x38, 0x20, 0x28, 0x30]


def test_a_fixed_burst_stays() -> None:
    assert AxiBurst(0x05, 2, 2, FIXED).lanes() == [range(5, 8), range(5, 8)]


@pytest.mark.parametrize(("burst", "allowed"), [
    (AxiBurst(0x0FE0, 1, 5, INCR), True), (AxiBurst(0x0FE0, 2, 5, INCR), False),
    (AxiBurst(0x0FFF, 1, 5, INCR), True), (AxiBurst(0x0FFF, 2, 0, INCR), False),
    (AxiBurst(0x0000, 128, 5, INCR), True), (AxiBurst(0x0001, 129, 5, INCR), False),
    (AxiBurst(0x0FC0, 256, 0, INCR), False), (AxiBurst(0x0F00, 256, 0, INCR), True),
    (AxiBurst(0x0FE0, 16, 5, WRAP), True), (AxiBurst(0x0FE1, 16, 5, WRAP), False),
    (AxiBurst(0x0000, 3, 5, WRAP), False), (AxiBurst(0x0000, 1, 5, WRAP), False),
    (AxiBurst(0x0FFF, 16, 5, FIXED), True), (AxiBurst(0x0000, 17, 0, FIXED), False),
    (AxiBurst(0x0000, 1, 6, INCR), False), (AxiBurst(0x0000, 1, 0, 3), False),
])
def test_what_the_standard_allows(burst: AxiBurst, allowed: bool) -> None:
    assert burst.allowed == allowed
