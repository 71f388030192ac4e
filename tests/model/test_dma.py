"""Descriptors, regions, the golden moves and the bounds of the DMA, worked out by hand."""

import pytest

from model.dma_bounds import Spread, move_clocks, phase_clocks, turn_clocks
from model.golden.dma import Outcome, carry_out
from model.spec.dma import (
    COMPLETION,
    DESCRIPTOR,
    SETTINGS,
    ChannelSettings,
    Descriptor,
    DmaSpec,
    Kind,
    Place,
    Result,
    Side,
    bank_spread,
    pack,
    place_in_region,
    unpack,
)
from model.spec.errors import SpecError
from model.spec.geometry import ChannelGeometry
from model.spec.timing import HBM3_5200, HBM4_8000

HBM4 = ChannelGeometry(pim_banks=16, capacity_banks=16, rows=64)
SMALL = ChannelGeometry(pim_banks=2, capacity_banks=2, rows=4, row_bytes=64)


def image() -> dict[tuple[int, int, int], int]:
    """A word of its own in every column."""
    return {(b, r, c): 1000 * b + 10 * r + c
            for b in SMALL.banks for r in range(SMALL.rows) for c in range(SMALL.columns)}


def test_records_have_the_bits_that_they_say() -> None:
    word = Descriptor(source=Side(kind=Kind.LIST, place=Place(17, 5, 3)),
                      destination=Side(place=Place(2, 9)), elements=3, beats=32,
                      cookie=0xDEADBEEF).pack()
    assert word & 0xFFF == 0x201                       # opcode 1, source kind LIST
    assert word >> 40 & 0xFFFF == 3 and word >> 56 & 0xFFFF == 32
    assert word >> 88 & 0xFFFFFFFF == 0xDEADBEEF
    assert word >> 120 & 0xFFFFFFFF == 17 << 24 | 5 << 8 | 3
    assert unpack(DESCRIPTOR, word)["destination"] == 2 << 24 | 9 << 8
    assert Place.unpack(17 << 24 | 5 << 8 | 3) == Place(17, 5, 3)
    assert sum(DESCRIPTOR.values()) == 512 and sum(COMPLETION.values()) == 256
    assert unpack(SETTINGS, ChannelSettings(weight=3, rate=7).pack())["weight"] == 3


def test_what_does_not_fit_a_record_is_refused() -> None:
    with pytest.raises(SpecError, match="beats"):
        Descriptor(source=Side(), destination=Side(), beats=1 << 16).pack()
    with pytest.raises(SpecError, match="row"):
        pack({"row": 4}, {"row": 16})
    with pytest.raises(SpecError, match="jobs"):
        DmaSpec(jobs=3)
    with pytest.raises(SpecError, match="slots"):
        DmaSpec(slots=2)
    with pytest.raises(SpecError, match="read_lanes"):
        DmaSpec(slots=8)


def test_neighbouring_rows_of_a_region_lie_in_different_bank_groups() -> None:
    assert bank_spread(HBM4) == (8, 1, 2, 4)
    assert bank_spread(ChannelGeometry(bank_groups=4)) == (4, 8, 1, 2)
    rows = [place_in_region(HBM4, Place(16, 10, 0), 2, 32 * n) for n in range(6)]
    assert [(p.bank, p.row) for p in rows] == [
        (16, 10), (24, 10), (17, 10), (25, 10), (16, 11), (24, 11)]
    assert place_in_region(HBM4, Place(3, 7, 30), 0, 2) == Place(3, 8, 0)
    assert place_in_region(HBM4, Place(3, 7, 30), 1, 2) == Place(11, 7, 0)
    whole = {place_in_region(HBM4, Place(16, 0), 4, 32 * n).bank for n in range(16)}
    assert whole == set(range(16, 32))


def test_a_move_by_hand() -> None:
    words = image()
    listed = Side(kind=Kind.LIST, place=Place(17, 3))
    words[17, 3, 0] = Place(1, 0, 1).pack() | Place(0, 2, 0).pack() << 32
    move = Descriptor(source=listed, destination=Side(place=Place(16, 0, 1)), elements=2, beats=2)
    want = {**words, (16, 0, 1): 1001, (16, 1, 0): 1010, (16, 1, 1): 20, (16, 2, 0): 21}
    assert carry_out(SMALL, words, move) == Outcome() and words == want
    back = Descriptor(source=Side(kind=Kind.STRIDED, place=Place(16, 0, 1), stride=2),
                      destination=Side(kind=Kind.HOST), elements=2, beats=1)
    assert carry_out(SMALL, words, back).sent == [1001, 20]


@pytest.mark.parametrize(("options", "result"), [
    ({"destination": Side(kind=Kind.HOST), "source": Side(kind=Kind.HOST)}, Result.BAD_KIND),
    ({"beats": 0}, Result.BAD_LENGTH),
    ({"destination_beats": 2}, Result.BAD_LENGTH),
    ({"source": Side(place=Place(2, 0))}, Result.BAD_PLACE),
    ({"source": Side(place=Place(0, 0, 2))}, Result.BAD_PLACE),
    ({"destination": Side(place=Place(16, 3, 1)), "beats": 2}, Result.BAD_PLACE),
    ({"destination": Side(place=Place(0, 0, 1))}, Result.OVERLAP),
    ({"source": Side(place=Place(0, 0)), "elements": 4,
      "destination": Side(place=Place(0, 1))}, Result.OVERLAP),
])
def test_what_is_refused_touches_nothing(options: dict, result: Result) -> None:
    words = image()
    move = Descriptor(**{"source": Side(place=Place(0, 0)), "beats": 1,
                         "destination": Side(place=Place(16, 0)), **options})
    assert carry_out(SMALL, words, move).result is result
    assert words == image()


def test_the_bus_turns_twice_for_a_buffer_full() -> None:
    # HBM4: RD to WR 25 tCK = 13 clocks; WR to RD 10 + 2 + 9 = 21 tCK = 11; 12 and 10 are lost.
    assert turn_clocks(HBM4_8000) == 22
    # HBM3: the bus asks for 19 + 2 + 2 - 6 = 17 tCK = 9 clocks; 6 + 2 + 8 = 16 tCK = 8.
    assert turn_clocks(HBM3_5200) == 15
    wide = Spread(banks=16, groups=2)
    size = {"buffer_beats": 512, "columns": 32, "source": wide, "destination": wide}
    assert move_clocks(HBM4_8000, beats=2048, **size) == 4 * (2 * 512 + 22)
    assert move_clocks(HBM4_8000, beats=128, **size) == 2 * 128 + 22
    assert move_clocks(HBM4_8000, beats=0, **size) == 0


def test_a_single_bank_opens_its_rows_one_after_another() -> None:
    one = Spread(banks=1, groups=1)
    # 31 columns at tCCDL 2; ACT to the next: 20 + 62 + 6 + 17 reading, 10 + 62 + 27 + 17 writing.
    assert phase_clocks(HBM4_8000, 32, 32, one, write=False) == 63
    assert phase_clocks(HBM4_8000, 64, 32, one, write=False) == 105 + 63
    assert phase_clocks(HBM4_8000, 64, 32, one, write=True) == 116 + 63
    # Two banks of one group: the group's columns come every other clock.
    assert phase_clocks(HBM4_8000, 64, 32, Spread(banks=2, groups=1), write=False) == 127
    assert phase_clocks(HBM4_8000, 512, 32, Spread(banks=4, groups=2), write=True) == 512


def test_a_spread_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(SpecError, match="groups"):
        Spread(banks=1, groups=2)
