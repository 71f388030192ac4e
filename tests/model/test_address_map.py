"""Addresses and places are each other's inverse, in the order that is stated."""

import pytest

from model.spec.address_map import INTERLEAVED, ROW_MAJOR, AddressMap, address_order
from model.spec.errors import UserError
from model.spec.geometry import ChannelGeometry

GEOMETRY = ChannelGeometry(pim_banks=16, capacity_banks=3, rows=5, row_bytes=128)


@pytest.mark.parametrize("order", [ROW_MAJOR, INTERLEAVED, ("column", "row", "sid", "bank",
                                                            "bank_group")])
def test_every_place_has_one_address(order: tuple[str, ...]) -> None:
    addresses = AddressMap(geometry=GEOMETRY, order=order)
    assert addresses.width == 5 + 5 + 3 + 2
    seen = {addresses.place(a << 5) for a in range(1 << addresses.width - 5)}
    assert len(seen) == 1 << addresses.width - 5
    for place in ((0, 0, 0), (18, 4, 3), (16, 2, 1), (15, 4, 0)):
        assert addresses.place(addresses.address(*place)) == place
        assert addresses.place(addresses.address(*place) + 31) == place


def test_addresses_worked_by_hand() -> None:
    rows = AddressMap(geometry=GEOMETRY)
    assert rows.address(0, 0, 1) == 32
    assert rows.address(0, 1, 0) == 128
    assert rows.address(1, 0, 0) == 8 * 128
    assert rows.address(16, 0, 0) == 16 * 8 * 128
    spread = AddressMap(geometry=GEOMETRY, order=INTERLEAVED)
    assert [spread.place(32 * n)[0] for n in range(4)] == [0, 8, 1, 9]
    assert spread.place(16 * 32) == (0, 0, 1)
    assert spread.place(16 * 32 * 4) == (0, 1, 0)


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="order: expected one of interleaved, row_major"):
        address_order("rows")
    with pytest.raises(UserError, match="in some order"):
        AddressMap(geometry=GEOMETRY, order=("row", "column"))
    assert address_order("interleaved") == INTERLEAVED
