"""The golden translator against tables that were worked out by hand, byte by byte."""

from itertools import product

import pytest

from model.golden.translator import BlockId, Place, Residency, Tables, Translation, parity_holds
from model.spec.errors import SpecError
from model.spec.geometry import ChannelGeometry
from model.spec.mx import StoredFormat
from model.spec.slice import SliceSpec
from model.spec.translation import (
    BLOCK_WORD,
    CHUNK_WORD,
    SEQUENCE_WORD,
    Access,
    Fault,
    TableWord,
    Tier,
    TranslatorSpec,
)

SPEC = TranslatorSpec(
    channel=SliceSpec(geometry=ChannelGeometry(pim_banks=4, capacity_banks=4, rows=1024)),
    first_segment_blocks=4)

DIRECTORY, SEGMENT_0, SEGMENT_1, CHUNKS = 0x1000, 0x2000, 0x3000, 0x4000

# Tenant 5, layers 0..2, head groups 0..1, stride 6, two segments:
# 1 | 5 << 1 | 2 << 9 | 1 << 17 | 6 << 25 | 2 << 42 = 0x0800_0C02_040B, eight ones.
SEQUENCE_LANE = 0x0000_0800_0C02_040B
# 0x2000 | 0x3000 << 28 = 0x300_0000_2000, three ones: parity bit 63.
SEGMENT_LANE = 0x8000_0300_0000_2000
# valid, readable, residency: capacity copy (bit 1) in MXFP4 (6 << 8) = 0x602, from bit 3 on:
# 0x3010 | 3 = 0x3013, five ones: parity.
BLOCK_LANE = 0x8000_0000_0000_3013
# Capacity copy: 1 | chunk 7 << 1 | offset 37 << 21 = 0x4A0_000F, seven ones: parity.
CAPACITY_LANE = 0x8000_0000_04A0_000F
# 1 | tenant 5 << 1 | channel 63 << 9 | SID 1 << 17 | bank 3 << 21 | row 1000 << 25 | rows 2 << 41:
# ones: 1 + 2 + 6 + 1 + 2 + 6 + 1 = 19: parity.
CHUNK_LANE = (1 << 63 | 2 << 41 | 1000 << 25 | 3 << 21 | 1 << 17 | 63 << 9 | 5 << 1 | 1)

BLOCK = BlockId(tenant=5, sequence=9, layer=2, head_group=1, block=5)
# Block 5 is the second of segment 1 (blocks 4 to 7): 0x3000 + 1 * 6 + 2 * 2 + 1 = 0x300B.
ENTRY = 0x300B


def word(*lanes: int) -> bytes:
    return b"".join(lane.to_bytes(8, "little") for lane in (*lanes, 0, 0, 0)[:4])


def by_hand() -> Tables:
    return Tables(
        spec=SPEC, directory_base=DIRECTORY, sequences=16, chunk_base=CHUNKS, chunks=8,
        memory={DIRECTORY + 9: word(SEQUENCE_LANE, SEGMENT_LANE),
                ENTRY: word(BLOCK_LANE, 0, CAPACITY_LANE),
                CHUNKS + 7: word(CHUNK_LANE)})


def read(block: BlockId = BLOCK, tier: Tier = Tier.CAPACITY, access: Access = Access.READ,
         tables: Tables | None = None) -> Translation:
    return (tables or by_hand()).translate(block, tier, access)


def test_a_block_is_found_where_the_bytes_say() -> None:
    answer = read()
    # 37 words are a row of 32 and 5 more; bank 3 of SID 1 is bank 19.
    assert answer.place == Place(channel=63, bank=19, row=1001, column=5)
    assert answer.residency == Residency(capacity=True, capacity_format=StoredFormat.MXFP4)
    assert read(tier=Tier.ANY) == answer and answer.tier is Tier.CAPACITY


def test_the_writer_makes_the_bytes_worked_out_by_hand() -> None:
    tables = Tables(spec=SPEC, memory={}, directory_base=DIRECTORY, sequences=16,
                    chunk_base=CHUNKS, chunks=8)
    tables.put_sequence(9, tenant=5, layers=3, head_groups=2, segments=(SEGMENT_0, SEGMENT_1))
    tables.put_chunk(7, tenant=5, channel=63, bank=19, row=1000, rows=2)
    tables.put_block(BLOCK, Residency(capacity=True, capacity_format=StoredFormat.MXFP4),
                     capacity=(7, 37))
    assert tables.memory == by_hand().memory


@pytest.mark.parametrize(("changes", "fault"), [
    ({"sequence": 8}, Fault.TABLE_MEMORY), ({"sequence": 16}, Fault.UNMAPPED),
    ({"tenant": 4}, Fault.WRONG_TENANT), ({"layer": 3}, Fault.UNMAPPED),
    ({"head_group": 2}, Fault.UNMAPPED), ({"block": 8}, Fault.UNMAPPED),
    ({"block": 4}, Fault.TABLE_MEMORY),
])
def test_another_id_is_refused(changes: dict[str, int], fault: Fault) -> None:
    assert read(BlockId(**{**vars(BLOCK), **changes})) == Translation(fault=fault)


def test_segments_double_after_the_second() -> None:
    assert [SPEC.segment_start(n) for n in range(7)] == [0, 4, 8, 16, 32, 64, 128]


@pytest.mark.parametrize(("address", "lanes", "fault"), [
    (DIRECTORY + 9, (0,), Fault.UNMAPPED),
    (ENTRY, (0,), Fault.UNMAPPED),
    (ENTRY, (BLOCK_LANE ^ 6, 0, CAPACITY_LANE), Fault.NO_PERMISSION),   # writable, not readable
    (ENTRY, (BLOCK_LANE ^ 1 << 63 ^ 1 << 7, 0, CAPACITY_LANE), Fault.POISONED),
    (ENTRY, (BLOCK_LANE ^ 0b11 << 3, CAPACITY_LANE, 0), Fault.NOT_RESIDENT),
    (ENTRY, (BLOCK_LANE, 0, 0), Fault.UNMAPPED),
    (CHUNKS + 7, (0,), Fault.UNMAPPED),
    (CHUNKS + 7, (CHUNK_LANE ^ 0b11 << 1,), Fault.WRONG_TENANT),        # tenant 6
    (CHUNKS + 7, (CHUNK_LANE ^ 0b11 << 41,), Fault.UNMAPPED),           # one row
    (CHUNKS + 7, (CHUNK_LANE ^ 0b11 << 17,), Fault.BAD_PLACE),          # SID 2
    (CHUNKS + 7, (CHUNK_LANE ^ 1 << 23 ^ 1 << 63,), Fault.BAD_PLACE),   # bank 7
    (CHUNKS + 7, (CHUNK_LANE ^ (1000 ^ 1023) << 25,), Fault.BAD_PLACE),
])
def test_another_word_is_refused(address: int, lanes: tuple[int, ...], fault: Fault) -> None:
    tables = by_hand()
    tables.memory[address] = word(*lanes)
    assert parity_holds(tables.memory[address])
    assert read(tables=tables).fault is fault


@pytest.mark.parametrize("address", [DIRECTORY + 9, ENTRY, CHUNKS + 7])
def test_any_flipped_bit_is_a_parity_error(address: int) -> None:
    for bit in range(256):
        tables = by_hand()
        flipped = int.from_bytes(tables.memory[address], "little") ^ 1 << bit
        tables.memory[address] = flipped.to_bytes(32, "little")
        assert read(tables=tables) == Translation(fault=Fault.TABLE_PARITY)


def test_residency_decides_over_every_access() -> None:
    for pim, capacity, moving, to in product((False, True), (False, True), (False, True),
                                             (Tier.PIM, Tier.CAPACITY)):
        word = Residency(pim=pim, capacity=capacity, in_flight=moving, to=to)
        assert Residency.from_int(word.as_int()) == word
        tables = by_hand()
        tables.put_chunk(3, tenant=5, channel=0, bank=0, row=0, rows=1)
        tables.put_block(BLOCK, word, writable=True, pim=(3, 0), capacity=(7, 0))
        for tier, here, there in ((Tier.PIM, pim, capacity), (Tier.CAPACITY, capacity, pim)):
            want = {
                Access.READ: Fault.NONE if here else Fault.NOT_RESIDENT,
                Access.FILL: Fault.NONE if moving and to is tier else Fault.NOT_RESIDENT,
                Access.WRITE: (Fault.NOT_RESIDENT if not here else
                               Fault.NOT_WRITABLE if moving or there else Fault.NONE)}
            for access, fault in want.items():
                assert read(tier=tier, access=access, tables=tables).fault is fault
        preferred = Tier.PIM if pim else Tier.CAPACITY
        assert read(tier=Tier.ANY, tables=tables) == read(tier=preferred, tables=tables)


def test_a_commit_changes_the_expected_word_and_nothing_else() -> None:
    tables, new = by_hand(), Residency(pim=True)
    old = Residency(capacity=True, capacity_format=StoredFormat.MXFP4)
    assert tables.commit(BLOCK, new, old) == (Fault.NONE, False, old)
    assert tables.memory == by_hand().memory
    assert tables.commit(BLOCK, old, new) == (Fault.NONE, True, old)
    # valid, readable, residency 1 from bit 3 on: 0xB, three ones: parity.
    changed = {ENTRY: word(0x8000_0000_0000_000B, 0, CAPACITY_LANE)}
    assert tables.memory == by_hand().memory | changed
    stranger = BlockId(tenant=4, sequence=9)
    assert tables.commit(stranger, old, new) == (Fault.WRONG_TENANT, False, Residency())


@pytest.mark.parametrize("entry", [SEQUENCE_WORD, BLOCK_WORD, CHUNK_WORD])
def test_fields_of_a_word_do_not_meet_nor_touch_parity(entry: TableWord) -> None:
    taken = [bit for low, width in entry.fields.values() for bit in range(low, low + width)]
    assert len(taken) == len(set(taken)) and entry.fields["valid"] == (0, 1)
    assert not {63, 127, 191, 255} & set(taken) and max(taken) < 256


@pytest.mark.parametrize(("options", "message"), [
    ({"tlb_entries": 12, "tlb_ways": 2}, r"tlb_entries: expected a power of two times tlb_ways"),
    ({"tlb_entries": 2, "tlb_ways": 4}, r"tlb_entries: expected a power of two times tlb_ways"),
    ({"slots": 1}, r"slots: expected an integer in 2\.\.64, not 1"),
    ({"first_segment_blocks": 3}, r"first_segment_blocks: expected a power of two, not 3"),
    ({"pseudo_channels": 257}, r"pseudo_channels: expected an integer in 1\.\.256"),
])
def test_a_translator_that_cannot_be_built_is_refused(options: dict[str, int],
                                                      message: str) -> None:
    with pytest.raises(SpecError, match=message):
        TranslatorSpec(**options)


def test_a_block_without_a_sequence_cannot_be_entered() -> None:
    with pytest.raises(SpecError, match=r"block: expected an id with a table entry"):
        by_hand().put_block(BlockId(tenant=5, sequence=3), Residency())
