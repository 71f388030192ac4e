"""cocotb tests of hdl.dma.engine: rings, aborts, faults, interrupts and shares of channels."""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from model.golden.dma import carry_out
from model.spec.dma import INTERRUPT_SETTINGS as COALESCING
from model.spec.dma import ChannelSettings, Descriptor, Kind, Place, Result, Side, pack
from model.spec.port import Status
from tb.bench_dma import CAPACITY, COLUMNS, GEOMETRY, LIST, put_list, region
from tb.dma_software import DMA, EngineBench

RING = 1 << 2


def block(n: int, **options: Any) -> Descriptor:
    """A move of two rows from a capacity bank to a PIM bank."""
    return Descriptor(source=region(CAPACITY + n % 8, 0), destination=region(n % 16, 2),
                      **{"beats": 2 * COLUMNS, "cookie": n, **options})


@cocotb.test(timeout_time=2000, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.4])
async def a_ring_wraps_and_may_be_full(dut: Any, stall: float) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin(stall=stall)
        want, posted = dict(tb.memory), 0
        while posted < 6 * RING:
            head = int(software.status(0).head)
            room = RING - (posted - head)
            for _ in range(tb.rng.randint(0, room)):
                move = block(posted)
                carry_out(GEOMETRY, want, move)
                software.post(0, move)
                posted += 1
            await software.ring(0)
            await tb.clocks(tb.rng.randrange(80))
            for record in software.take_records(0):
                tb.check(record["result"], Result.DONE, "result")
        await software.idle()
        software.take_records(0)
        tb.check(software.rings[0].done, posted, "records")
        tb.compare(want, "laps of a ring")
        await software.ring(0, posted + RING + 1)                # more than the ring holds
        await software.idle()
        tb.check((int(software.status(0).bad_doorbell), int(software.status(0).head)),
                 (1, posted), "a doorbell beyond the ring")
        await software.pulse("resume", 0)
        await RisingEdge(dut.clk)
        tb.check(int(software.status(0).bad_doorbell), 0, "seen")


@cocotb.test(timeout_time=4000, timeout_unit="us")
@cocotb.parametrize(slow=[False, True])
async def an_abort_at_any_time_loses_nothing(dut: Any, slow: bool) -> None:
    """What is aborted has written parts of its own destination at most; the rest goes on."""
    async with EngineBench(dut) as tb:
        software = tb.begin(slow=slow)
        seen = set()
        for delay in range(1, 260, 3):
            before = dict(tb.memory)
            moves = [block(n, cookie=delay) for n in range(3)]
            software.post(0, *moves)
            await software.ring(0)
            await tb.clocks(delay)
            await software.pulse("cancel", 0)
            await RisingEdge(dut.clk)
            await software.until(lambda: not int(software.status(0).busy))
            records = software.take_records(0)
            tb.check(int(software.status(0).stopped), 1, "stopped")
            want, open_places = dict(before), set()
            for move, record in zip(moves, records, strict=False):
                seen.add(Result(record["result"]))
                assert record["result"] in (Result.DONE, Result.ABORTED)
                if record["result"] == Result.DONE:
                    carry_out(GEOMETRY, want, move)
                else:
                    open_places |= {(move.destination.place.bank, 2 + n // COLUMNS, n % COLUMNS)
                                    for n in range(move.beats)}
            tb.compare(want, f"abort after {delay} clocks", but=open_places)
            for place in open_places:                            # the old word, or the new one
                source = (CAPACITY + place[0] % 8, place[1] - 2, place[2])
                assert tb.memory[place] in (before[place], before[source]), place
            await software.pulse("resume", 0)
            await software.idle()
            rest = software.take_records(0)
            tb.check(len(records) + len(rest), len(moves), "descriptors that ended")
            tb.check({record["result"] for record in rest} <= {Result.DONE}, True, "the rest")
            for move in moves[len(records):]:
                carry_out(GEOMETRY, want, move)
            tb.compare(want, f"resumed after {delay} clocks", but=open_places)
            for place in before:
                tb.memory[place] = tb.memory[place] if place[1] > 12 else before[place]
            moved = dict(tb.memory)
            assert moved
        tb.check(seen, {Result.DONE, Result.ABORTED}, "results seen")


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def failures_stop_the_channel_or_are_skipped(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin()
        bad = block(0, beats=0)
        for stop in (False, True):
            settings = software.rings[0].settings
            software.configure(0, ChannelSettings(**{**vars(settings), "stop_on_error": stop}))
            software.post(0, block(1), bad, block(2))
            await software.ring(0)
            await software.idle()
            results = [record["result"] for record in software.take_records(0)]
            if not stop:
                tb.check(results, [Result.DONE, Result.BAD_LENGTH, Result.DONE], "skipped")
                continue
            tb.check(results, [Result.DONE, Result.BAD_LENGTH], "stopped")
            tb.check(int(software.status(0).stopped), 1, "stopped")
            await software.pulse("resume", 0)
            await software.idle()
            tb.check([record["result"] for record in software.take_records(0)], [Result.DONE],
                     "after resuming")


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def a_disabled_channel_drains(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin()
        want = dict(tb.memory)
        moves = [block(n) for n in range(RING)]
        software.post(0, *moves)
        await software.ring(0)
        await tb.clocks(90)
        settings = software.rings[0].settings
        software.configure(0, ChannelSettings(**{**vars(settings), "enable": False}))
        await software.idle()
        done = software.take_records(0)
        tb.check(0 < len(done) < RING, True, f"{len(done)} descriptors had begun")
        for move in moves[:len(done)]:
            carry_out(GEOMETRY, want, move)
        tb.compare(want, "drained")
        software.configure(0, settings)
        await software.idle()
        tb.check({r["result"] for r in done + software.take_records(0)}, {Result.DONE}, "all")
        tb.check(software.rings[0].done, RING, "records")


@cocotb.test(timeout_time=2000, timeout_unit="us")
@cocotb.parametrize(slow=[False, True])
async def faults_of_memory_are_told_precisely(dut: Any, slow: bool) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin(slow=slow)
        trouble, settings = tb.agent.trouble, software.rings[0].settings
        listed = Side(kind=Kind.LIST, place=LIST)
        put_list(tb, LIST, [Place(3, 1), Place(3, 2)])
        move = Descriptor(source=listed, destination=region(CAPACITY, 9), elements=2, beats=4)
        word = (CAPACITY + 1, 1, 3)
        ring = (settings.ring.bank, settings.ring.row)
        for at, result, detail, place in (
                ((False, word), Result.READ_FAULT, Status.UNCORRECTABLE, Place(*word)),
                ((True, (1, 2, 5)), Result.WRITE_FAULT, Status.NO_SUCH_BANK, None),
                ((False, (LIST.bank, LIST.row, 0)), Result.LIST_FAULT, 0, None),
                ("ring", Result.RING_FAULT, 0, None)):
            where: Any = at
            entry = 2 * (software.rings[0].tail % RING) + tb.rng.randrange(2)
            if at == "ring":
                where = False, (ring[0], ring[1] + entry // COLUMNS, entry % COLUMNS)
            trouble[where] = Status(detail or Status.UNCORRECTABLE)
            before = dict(tb.memory)
            software.post(0, move if result is Result.LIST_FAULT else block(1), block(2))
            await software.ring(0)
            await software.idle()
            bad, good = software.take_records(0)
            tb.check((bad["result"], bad["detail"], bad["place"], good["result"]),
                     (result, detail, place.pack() if place else 0, Result.DONE), f"{at}")
            want = dict(before)
            carry_out(GEOMETRY, want, block(2))
            tb.compare(want, f"{at}", but={(1, 2 + n // COLUMNS, n % COLUMNS)
                                           for n in range(2 * COLUMNS)})
            trouble.clear()
        record = software.rings[0].tail % RING
        trouble[True, (settings.records.bank, settings.records.row, record)] = Status.NO_SUCH_BANK
        software.post(0, block(4))
        await software.ring(0)
        await software.idle()
        tb.check((int(software.status(0).lost_record), int(software.status(0).stopped)), (1, 1),
                 "a record that could not be written")


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def flips_in_the_buffer_are_corrected_or_told(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin()
        for flips, result in ((1, Result.DONE), (1, Result.DONE), (2, Result.BUFFER_FAULT)):
            for bit in tb.rng.sample(range(64), 4):
                want = dict(tb.memory)
                mask = 1 << bit | (1 << (bit + 7) % 64 if flips == 2 else 0)
                dut.inject.value = mask << 64 * tb.rng.randrange(4)
                corrected = 0
                software.post(0, block(5, beats=COLUMNS))
                await software.ring(0)
                while int(software.status(0).busy) or (
                        int(software.status(0).head) != software.rings[0].tail):
                    await RisingEdge(dut.clk)
                    corrected += int(dut.corrected.value)
                dut.inject.value = 0
                if result is Result.DONE:
                    carry_out(GEOMETRY, want, block(5, beats=COLUMNS))
                record, = software.take_records(0)
                tb.check(record["result"], result, f"{flips} flips")
                tb.check(corrected, COLUMNS if flips == 1 else 0, "words corrected")
                tb.compare(want, f"{flips} flips")              # nothing spoiled was written


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def interrupts_wait_for_company_but_not_for_ever(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin()

        async def moved(count: int, **options: Any) -> int:
            """Whether the interrupt of channel 0 is pending when so many moves have ended."""
            software.post(0, *(block(n, **options) for n in range(count)))
            await software.ring(0)
            await software.idle()
            await tb.clocks(2)
            software.take_records(0)
            return int(dut.pending.value)

        async def cleared() -> int:
            await software.pulse("clear", 0)
            await RisingEdge(dut.clk)
            return int(dut.pending.value) | int(dut.irq.value)

        dut.coalescing.value = pack(COALESCING, {"count": 3, "timeout": 0})
        tb.check(await moved(2), 0, "two of three")
        tb.check(await moved(2, interrupt=False), 0, "two that do not count")
        tb.check(await moved(1), 1, "the third")
        tb.check(int(dut.irq.value), 1, "the line")
        tb.check(await cleared(), 0, "cleared")
        tb.check(await moved(1, beats=0, interrupt=False), 1, "a failure does not wait")
        tb.check(await cleared(), 0, "cleared")
        timeout = 300
        dut.coalescing.value = pack(COALESCING, {"count": 200, "timeout": timeout})
        tb.check(await moved(1), 0, "one of many")
        clocks = 0
        while not int(dut.pending.value):
            await RisingEdge(dut.clk)
            clocks += 1
        tb.check(timeout - 20 <= clocks <= timeout, True, f"{clocks} clocks of {timeout}")
        tb.check(await cleared(), 0, "cleared")
        await tb.clocks(2 * timeout)
        tb.check(int(dut.pending.value), 0, "nothing new")


async def shares(tb: EngineBench, clocks: int) -> list[int]:
    """Beats that each channel wrote while all had more to do than there was time."""
    software = tb.software
    for channel in range(DMA.channels):
        software.post(channel, *(Descriptor(
            source=region(CAPACITY + 4 * channel, 0, 0, 1),
            destination=region(4 * channel, 0, 0, 1), beats=20 * COLUMNS) for _ in range(RING)))
        await software.ring(channel)
    await tb.clocks(120)
    start = len(tb.agent.log)
    await tb.clocks(clocks)
    writes = [place for write, place in tb.agent.log[start:] if write and place[1] < 12]
    counts = [sum(bank % 8 // 4 == channel for bank, _, _ in writes)
              for channel in range(DMA.channels)]
    await software.idle()
    for channel in range(DMA.channels):
        software.take_records(channel)
    return counts


@cocotb.test(timeout_time=4000, timeout_unit="us")
async def channels_get_their_shares(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin()
        normal = [software.rings[channel].settings for channel in range(DMA.channels)]

        def settings(channel: int, **changes: int) -> None:
            software.configure(channel, ChannelSettings(**{**vars(normal[channel]), **changes}))

        first, second = await shares(tb, 900)
        tb.check(0.75 < first / second < 1.33, True, f"{first} and {second} of equal weight")
        settings(0, weight=3)
        first, second = await shares(tb, 700)
        tb.check(2.2 < first / second < 4, True, f"{first} and {second} at 3 to 1")
        settings(0, weight=1)
        settings(1, priority=2)
        first, second = await shares(tb, 900)
        # The other one goes only between two descriptors of this one.
        tb.check(6 * first < second, True, f"{first} and {second} by priority")
        settings(1, priority=0, rate=16, burst=32)               # a beat every 16 clocks
        first, second = await shares(tb, 800)
        tb.check(40 <= second <= 32 + 50 + 2 * COLUMNS, True, f"{second} beats, capped")
        # A beat takes two turns of the port; segments of the capped channel wait in the buffer.
        left = 800 / 2 - second
        tb.check(first > 0.7 * left, True, f"{first} beats beside it, of {left}")
