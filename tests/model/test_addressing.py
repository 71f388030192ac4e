"""Fields of a trace's addresses, by hand and for every width."""

import random
from dataclasses import replace

import pytest

from model.spec.addressing import PSEUDO_CHANNELS, AddressMap, Place, full_geometry
from model.spec.errors import SpecError, UserError


def address_map(preset: str) -> AddressMap:
    return AddressMap(pseudo_channels=PSEUDO_CHANNELS[preset], geometry=full_geometry(preset))


def test_fields_stand_from_pseudo_channel_down_to_column() -> None:
    hbm4, hbm3 = address_map("hbm4_8000"), address_map("hbm3_5200")
    assert hbm4.fields == [("pseudo_channel", 6), ("sid", 1), ("bank_group", 1), ("bank", 3),
                           ("row", 14), ("column", 5)]
    assert hbm3.fields == [("pseudo_channel", 5), ("sid", 1), ("bank_group", 2), ("bank", 2),
                           ("row", 14), ("column", 5)]
    assert (hbm4.width, hbm3.width) == (30, 29)


@pytest.mark.parametrize(("address", "place", "bank"), [
    (0x0, Place(0, 0, 0, 0, 0, 0), 0),
    (0x1F, Place(0, 0, 0, 0, 0, 31), 0),
    (0x20, Place(0, 0, 0, 0, 1, 0), 0),
    (0x80000, Place(0, 0, 0, 1, 0, 0), 1),
    (0x400000, Place(0, 0, 1, 0, 0, 0), 8),
    (0x800000, Place(0, 1, 0, 0, 0, 0), 16),
    (0x1000000, Place(1, 0, 0, 0, 0, 0), 0),
    (0x3FFFFFFF, Place(63, 1, 1, 7, 16383, 31), 31),
])
def test_an_address_of_hbm4_names_its_word(address: int, place: Place, bank: int) -> None:
    addresses = address_map("hbm4_8000")
    assert addresses.place(address) == place
    assert addresses.bank_number(place) == bank
    assert addresses.address(place) == address


@pytest.mark.parametrize("preset", PSEUDO_CHANNELS)
def test_addresses_and_places_are_two_names_of_the_same(preset: str) -> None:
    addresses, rng = address_map(preset), random.Random(1)
    for _ in range(1000):
        address = rng.randrange(1 << addresses.width)
        assert addresses.address(addresses.place(address)) == address


def test_what_does_not_fit_is_refused() -> None:
    addresses = address_map("hbm4_8000")
    with pytest.raises(UserError, match=r"^address 0x40000000: expected at most 0x3fffffff, "
                                        r"30 bits$"):
        addresses.place(1 << 30)
    with pytest.raises(SpecError, match=r"row: expected 0\.\.16383, not 16384"):
        addresses.address(Place(0, 0, 0, 0, 1 << 14, 0))
    with pytest.raises(SpecError, match="row: expected a power of two, not 100"):
        AddressMap(pseudo_channels=64, geometry=replace(full_geometry("hbm4_8000"), rows=100))
    with pytest.raises(UserError, match="hbm5"):
        full_geometry("hbm5")
