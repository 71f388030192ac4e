"""The byte memory that is the golden image of the DRAM arrays."""

import pytest

from model.golden.memory import PAGE, Memory, column_address
from model.spec.geometry import ChannelGeometry


def test_untouched_bytes_read_as_the_fill() -> None:
    assert Memory().read(5, 3) == b"\0\0\0"
    assert Memory(0xEE).read(PAGE - 1, 2) == b"\xee\xee"


@pytest.mark.parametrize("address", [0, 1, PAGE - 2, PAGE - 1, PAGE, 3 * PAGE - 1])
def test_a_write_touches_its_bytes_and_no_other(address: int) -> None:
    memory = Memory(0xEE)
    memory.write(address, b"\x01\x02\x03")
    assert memory.read(address, 3) == b"\x01\x02\x03"
    assert memory.read(address + 3, 4) == b"\xee" * 4
    if address:
        assert memory.read(address - 1, 1) == b"\xee"


def test_a_write_over_several_pages_is_whole() -> None:
    memory, content = Memory(), bytes(i * 7 & 0xFF for i in range(3 * PAGE))
    memory.write(PAGE // 2, content)
    assert memory.read(PAGE // 2, 3 * PAGE) == content


def test_paint_differs_between_neighbours_and_between_pages() -> None:
    memory = Memory()
    memory.paint(0, 4 * PAGE)
    painted = memory.read(0, 4 * PAGE)
    for shift in (1, 2, 16, 32, 256, PAGE, 2 * PAGE):
        same = sum(a == b for a, b in zip(painted, painted[shift:], strict=False))
        assert same < 0.01 * len(painted), f"a shift by {shift} would go unseen"
    other = Memory()
    other.paint(PAGE, PAGE)
    assert other.read(PAGE, PAGE) == painted[PAGE:2 * PAGE]      # a function of the address alone


def test_a_copy_is_independent_and_differences_are_found() -> None:
    memory = Memory()
    memory.paint(100, 64)
    image = memory.copy()
    memory.assert_equals(image)
    image.write(110, bytes([memory.read(110, 1)[0] ^ 1]))
    image.write(5 * PAGE, b"\x01")
    assert memory.differences(image) == [110, 5 * PAGE]


def test_untouched_and_written_fill_are_equal() -> None:
    memory = Memory()
    memory.write(0, b"\0")
    memory.assert_equals(Memory())


def test_a_difference_is_shown_as_a_hexdump_of_both_sides() -> None:
    memory, image = Memory(), Memory()
    image.write(0x123, b"\x42")
    with pytest.raises(AssertionError, match=r"1 bytes differ, the first at 0x123") as caught:
        memory.assert_equals(image)
    assert "00000120  00 00 00 42 00" in str(caught.value)


def test_a_hexdump_ends_where_it_is_told() -> None:
    assert Memory().hexdump(0, 18).splitlines()[1] == "00000010  00 00"


def test_columns_of_a_channel_do_not_overlap() -> None:
    geometry = ChannelGeometry(pim_banks=2, capacity_banks=1, rows=4, row_bytes=128)
    places = [column_address(geometry, bank, row, column) for bank in geometry.banks
              for row in range(4) for column in range(4)]
    assert len(set(places)) == len(places) and all(place % 32 == 0 for place in places)
    assert column_address(geometry, 0, 1, 0) - column_address(geometry, 0, 0, 0) == 128


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="fill: expected a byte, not 256"):
        Memory(256)
    with pytest.raises(ValueError, match="address and a size of at least 0, not -1, 2"):
        Memory().read(-1, 2)
