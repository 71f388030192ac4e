"""cocotb tests of hdl.dma.engine: what moves do to memory, kind by kind."""

from itertools import product
from typing import Any

import cocotb

from model.golden.dma import carry_out
from model.spec.dma import LIST_ENTRIES, Descriptor, Kind, Opcode, Place, Result, Side
from tb.dma_software import SPEC, EngineBench

GEOMETRY = SPEC.geometry
COLUMNS = GEOMETRY.columns
CAPACITY = GEOMETRY.capacity_bank_numbers[0]
LIST = Place(CAPACITY + 9, 8)
"""Where tests put their lists."""


def put_list(tb: EngineBench, start: Place, entries: list[Place]) -> None:
    """Writes a list into memory."""
    for n in range(0, len(entries), LIST_ENTRIES):
        word = sum(entry.pack() << 32 * i for i, entry in enumerate(entries[n:n + LIST_ENTRIES]))
        at = start.column + n // LIST_ENTRIES
        tb.memory[start.bank, start.row + at // COLUMNS, at % COLUMNS] = word


def region(bank: int, row: int, column: int = 0, spread: int = 0) -> Side:
    """A contiguous side."""
    return Side(place=Place(bank, row, column), interleave=spread)


@cocotb.test(timeout_time=2000, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.4])
async def regions_of_every_shape_arrive_whole(dut: Any, stall: float) -> None:
    async with EngineBench(dut) as tb:
        tb.begin(stall=stall, slow=bool(stall))
        for n, (beats, spread, column) in enumerate(product(
                (1, COLUMNS - 1, COLUMNS, COLUMNS + 1, 5 * COLUMNS + 3), (0, 1, 4),
                (0, COLUMNS - 1))):
            await tb.carry_out(n % 2, Descriptor(
                source=region(CAPACITY, 1, column, spread),
                destination=region(0, 2, n % COLUMNS, (n * 3) % 5), beats=beats, cookie=n))


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def all_directions_within_and_between_tiers(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        tb.begin()
        for source, destination in product((0, 5, CAPACITY, CAPACITY + 3), repeat=2):
            low, high = region(source, 1), region(destination, 9)
            await tb.carry_out(0, Descriptor(source=low, destination=high, beats=2 * COLUMNS),
                               Descriptor(source=high, destination=low, beats=COLUMNS))
        await tb.carry_out(1, Descriptor(source=region(0, 0), destination=region(
            CAPACITY, 0), beats=GEOMETRY.rows * COLUMNS))            # a whole bank


@cocotb.test(timeout_time=2000, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.4])
async def strides_and_lists_on_either_side(dut: Any, stall: float) -> None:
    async with EngineBench(dut) as tb:
        tb.begin(stall=stall, slow=bool(stall))
        scattered = [Place(bank, row, column) for bank, row, column in product(
            (1, 3, 9), (0, 5), (0, 2, 4))]
        for elements, beats in ((1, 1), (1, COLUMNS + 2), (LIST_ENTRIES, 2),
                                (LIST_ENTRIES + 1, 2), (2 * LIST_ENTRIES + 2, 1)):
            put_list(tb, LIST, scattered[:elements])
            packed = region(CAPACITY, 3, 1)
            strided = Side(kind=Kind.STRIDED, place=Place(CAPACITY + 1, 2, 3), interleave=2,
                           stride=beats + 3)
            listed = Side(kind=Kind.LIST, place=LIST)
            sizes: dict[str, Any] = {"elements": elements, "beats": beats}
            for source, destination in ((packed, strided), (strided, packed), (listed, packed),
                                        (packed, listed), (listed, strided), (strided, listed)):
                await tb.carry_out(0, Descriptor(source=source, destination=destination, **sizes))


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def lists_may_end_a_row_and_begin_anywhere(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        tb.begin()
        start = Place(CAPACITY + 9, 8, COLUMNS - 1)
        entries = [Place(2, n % 12, n // 12) for n in range(3 * LIST_ENTRIES)]
        put_list(tb, start, entries)
        await tb.carry_out(1, Descriptor(
            source=Side(kind=Kind.LIST, place=start), destination=region(7, 0),
            elements=len(entries), beats=1))


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def later_elements_see_what_earlier_ones_wrote(dut: Any) -> None:
    """Elements, and descriptors of a channel, are moved as if one after another."""
    async with EngineBench(dut) as tb:
        tb.begin(slow=True)
        chain = [Place(4, 0), Place(5, 1), Place(6, 2), Place(5, 1), Place(4, 3)]
        put_list(tb, LIST, chain[:-1])
        put_list(tb, Place(LIST.bank, LIST.row + 1), chain[1:])
        await tb.carry_out(0, Descriptor(
            source=Side(kind=Kind.LIST, place=LIST),
            destination=Side(kind=Kind.LIST, place=Place(LIST.bank, LIST.row + 1)),
            elements=len(chain) - 1, beats=3))
        await tb.carry_out(0, *(Descriptor(
            source=region(a, 6), destination=region(b, 6), beats=2 * COLUMNS)
            for a, b in ((0, 1), (1, 2), (2, 1))))


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def what_makes_no_sense_is_refused_and_touches_nothing(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        tb.begin()
        good = Descriptor(source=region(CAPACITY, 0), destination=region(0, 0), beats=4)
        rows, word = GEOMETRY.rows, good.pack()
        listed = Side(kind=Kind.LIST, place=LIST)
        host = Side(kind=Kind.HOST)
        for source, destination, sizes in (
                (host, host, {}), (region(CAPACITY, 0, 0, 5), region(0, 0), {}),
                (region(CAPACITY, 0), region(0, 0, 0, 6), {}),
                (region(CAPACITY, 0), region(0, 0), {"beats": 0}),
                (region(CAPACITY, 0), region(0, 0), {"elements": 0}),
                (region(CAPACITY, 0), region(0, 0), {"destination_beats": 5}),
                (region(32, 0), region(0, 0), {}), (region(CAPACITY, rows), region(0, 0), {}),
                (region(CAPACITY, 0), region(255, 0), {}),
                (region(CAPACITY, 0), region(0, 0xFFFF), {}),
                (region(CAPACITY, 0, COLUMNS), region(0, 0), {}),
                (region(CAPACITY, rows - 1, COLUMNS - 3), region(0, 0), {}),
                (region(CAPACITY, 0), region(0, rows - 1), {"beats": COLUMNS + 1}),
                (Side(kind=Kind.STRIDED, place=Place(1, 0), stride=0xFFFFFF), region(0, 0),
                 {"elements": 2}),
                (region(0, 0), region(0, 0), {}), (region(0, 0), region(0, 1), {"elements": 4}),
                (region(0, 2), region(0, 0), {"beats": 2 * COLUMNS + 1}),
                (region(0, 0, 0, 4), region(9, 0), {}),
                (region(0, 0, 0, 1), region(8, 0, 4), {})):
            options: dict[str, Any] = {"beats": 4, **sizes}
            await tb.carry_out(0, Descriptor(source=source, destination=destination, **options))
        put_list(tb, LIST, [Place(0, 0), Place(1, 1), Place(40, 0), Place(2, 0)])
        await tb.carry_out(0, Descriptor(source=listed, destination=region(CAPACITY, 4),
                                         elements=4, beats=2))
        put_list(tb, LIST, [Place(0, 0), Place(1, rows - 1, COLUMNS - 1)])
        await tb.carry_out(0, Descriptor(source=region(CAPACITY, 4), destination=listed,
                                         elements=2, beats=2))
        want = dict(tb.memory)
        huge = [Descriptor(source=region(CAPACITY, 0), destination=region(1, 0),
                           elements=elements, beats=0xFFFF).pack()
                for elements in (0xFFFF, 0x8000, 0x101, 0x11)]
        for bad in (0, word & ~0xFF, word & ~0xFF | 2, word | 0xFF, word | 1 << 39,
                    word | 1 << 255, word | 1 << 511, word | 7 << 8, word | 15 << 12, *huge):
            tb.software.post(0, bad)
            await tb.software.ring(0)
            await tb.software.idle()
            record, = tb.software.take_records(0)
            want_result = (Result.BAD_PLACE,) if bad in huge else (Result.BAD_OPCODE,
                                                                  Result.BAD_KIND)
            tb.check(record["result"] in want_result, True, f"{bad:#x}: refused")
        tb.compare(want, "after descriptors that make no sense")
        tb.check(word & 0xFF, Opcode.MOVE, "opcode of a good one")
        await tb.carry_out(0, good)                          # and the engine goes on


@cocotb.test(timeout_time=4000, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.3])
async def random_moves_of_all_channels_at_once(dut: Any, stall: float) -> None:
    """Each channel has rows of its own, so that nobody has to know who was first."""
    async with EngineBench(dut) as tb:
        software = tb.begin(stall=stall, slow=bool(stall), log2=3)
        want, expected = dict(tb.memory), {}
        rng = tb.rng
        for channel in range(tb.dma.channels):
            own = range(6 * channel, 6 * channel + 6)
            moves = []

            def side(elements: int, beats: int, own: range = own) -> Side:
                bank, spread = rng.choice(GEOMETRY.banks), rng.randrange(5)
                span = -(-(elements * beats + COLUMNS) // COLUMNS)
                row = rng.choice(own[:max(1, len(own) - span)])
                return Side(kind=rng.choice((Kind.REGION, Kind.STRIDED)), stride=beats,
                            place=Place(bank, row, rng.randrange(COLUMNS)), interleave=spread)

            for _ in range(8):
                elements, beats = rng.randint(1, 3), rng.randint(1, 10)
                moves.append(Descriptor(
                    source=side(elements, beats), destination=side(elements, beats),
                    elements=elements, beats=beats, cookie=rng.getrandbits(32)))
            expected[channel] = [
                (carry_out(GEOMETRY, want, move).result, move.cookie) for move in moves]
            software.post(channel, *moves)
        for channel in expected:
            await software.ring(channel)
        await software.idle()
        for channel, results in expected.items():
            tb.check([(Result(r["result"]), r["cookie"]) for r in software.take_records(channel)],
                     results, f"records of channel {channel}")
        tb.compare(want, "all channels")
