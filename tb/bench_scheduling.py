"""cocotb tests of the memory channel's order of requests: windows, batches, priorities, refresh.

Runs on the same hardware as :mod:`tb.bench_channel`; every command goes through the timing checker.
"""

import itertools
from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hdl.dram.refresh import PERIOD, RECENT
from model.spec import bounds
from model.spec.timing import Command
from tb.bench import Bench
from tb.channel_agents import REFRESHES, ChannelBench, Port, random_word, share, spec

LIMIT_NS = 400_000


def neighbours(bench: ChannelBench) -> tuple[int, int]:
    """Two capacity banks; of different bank groups if there are any."""
    first = bench.geometry.capacity_bank_numbers[0]
    others = [b for b in bench.geometry.banks
              if bench.geometry.bank_group(b) != bench.geometry.bank_group(first)]
    return first, others[0]


def spacing(bench: ChannelBench, *banks: int) -> float:
    """Clocks that a column takes at best when these rows stream."""
    return bounds.column_spacing(bench.timing, bench.geometry, banks)


async def whole_rows(bench: ChannelBench, port: Port, banks: tuple[int, ...], row: int,
                     write: Callable[[int], bool]) -> int:
    """Accesses every column of a row in each bank, banks in turn; returns how many."""
    count = 0
    for column in range(bench.geometry.columns):
        for bank in banks:
            await port.access(bank, row, column,
                              random_word(bench.tb) if write(count) else None)
            count += 1
    return count


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def accesses_to_the_same_word_keep_their_order(dut: Any) -> None:
    """Read after write, write after read, write after write; few words, both ports, all rows."""
    async with Bench(dut) as tb:
        bench = ChannelBench(tb, stall=0.2)

        async def hammer(port: Port) -> None:
            for _ in range(share(500)):
                bank = tb.rng.choice(bench.geometry.banks[-2:])
                await port.access(bank, tb.rng.randrange(2), port.index,
                                  random_word(tb) if tb.rng.random() < 0.5 else None)

        other = cocotb.start_soon(hammer(bench.dma))
        await hammer(bench.host)
        await other
        await bench.all_done()


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def late_requests_of_one_bank_share_its_rows(dut: Any) -> None:
    """Reads of both ports and writes, each of a row of its own, until all have waited too long.

    Each would have the row cycle for a column, and stay late, if turns were of one request.
    """
    async with Bench(dut) as tb:
        bench, t, count = ChannelBench(tb), spec().timing, 300
        bank, columns = bench.geometry.banks[-1], bench.geometry.columns

        async def second() -> None:
            for n in range(count):
                await bench.dma.access(bank, 1, n % columns)
                await bench.dma.access(bank, 2, n % columns, random_word(tb))

        other, begin = cocotb.start_soon(second()), tb.cycle
        for n in range(count):
            await bench.host.access(bank, 0, n % columns)
        await other
        await bench.all_done()
        # Turns of a whole burst, one after the other, each from its ACT until its row is closed
        burst = bench.spec.scheduler.urgent_burst
        reads, writes = (max(t.clocks(t.nRC), t.clocks(opening) + (burst - 1) * t.clocks(t.nCCDL)
                             + t.clocks(closing) + t.clocks(t.nRP))
                         for opening, closing in ((t.nRCDRD, t.nRTP),
                                                  (t.nRCDWR, t.nCWL + t.nBL + t.nWR)))
        most = count / burst * (2 * reads + writes)
        tb.check(tb.cycle - begin <= most, True, f"{tb.cycle - begin} of {most:.0f} clocks")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def row_hits_overtake_older_requests(dut: Any) -> None:
    """A row stays open as long as there are hits, well after tRAS would let it be closed."""
    async with Bench(dut) as tb:
        bench, t = ChannelBench(tb), spec().timing
        bank = bench.geometry.banks[-1]
        hits = 1 + t.clocks(t.nRAS) // t.clocks(t.nCCDL)
        first = [n % bench.geometry.columns for n in range(1 + hits)]
        asked = [(0, first[0]), (1, 0), *((0, column) for column in first[1:]), (1, 1)]
        for row, column in asked:
            await bench.host.access(bank, row, column)
        await bench.all_done()
        served = [seen.fields["column"] for seen in bench.monitor.of(Command.RD)]
        tb.check(served, [*first, 0, 1], "columns in the order in which they were served")
        tb.check(len(bench.cycles(Command.ACT)), 2, "activates")
        counted = [bench.pulses[n] for n in ("row_hits", "row_misses", "row_conflicts")]
        tb.check(counted, [hits + 1, 1, 1], "hits, misses, conflicts")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def a_row_with_hits_stays_open_while_the_bus_writes(dut: Any) -> None:
    """Reads wait for a drain: one of another row may not close the row of the others."""
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        bank, other = neighbours(bench)
        await bench.dma.access(other, 0, 0)
        await bench.host.access(bank, 0, 0)
        await bench.all_done()
        for column in range(4):
            await bench.dma.access(other, 0, column, random_word(tb))
        while not bench.cycles(Command.WR):
            await RisingEdge(dut.clk)
        for row, column in ((0, 1), (1, 0), (0, 2)):
            await bench.host.access(bank, row, column)
        await bench.all_done()
        opened = [seen.fields["row"] for seen in bench.monitor.of(Command.ACT) if seen.bank == bank]
        tb.check(opened, [0, 1], "rows in the order in which they were opened")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def rows_are_opened_while_others_stream(dut: Any) -> None:
    """Two banks side by side, row after row: the change of rows costs no column."""
    async with Bench(dut) as tb:
        bench, measured = ChannelBench(tb), 0
        for write, command in ((False, Command.RD), (True, Command.WR)):
            await bench.all_done()
            await tb.clocks(4 * bench.spec.scheduler.idle_close)
            before = len(bench.cycles(command))
            pairs = list(itertools.pairwise(bench.geometry.banks))
            pairs = [p for p in pairs if spacing(bench, *p) == 1][:2] or pairs[::2][:2]
            total = 0
            for banks in pairs:
                total += await whole_rows(bench, bench.host, banks, 1, lambda _, w=write: w)
            await bench.all_done()
            at = bench.cycles(command)[before:]
            best = sum(spacing(bench, *banks) * 2 * bench.geometry.columns for banks in pairs)
            tb.check(len(at), total, "columns")
            if not any(at[0] < c < at[-1] for c in bench.cycles(*REFRESHES)):
                tb.check(at[-1] - at[0] <= best + 12, True,
                         f"{at[-1] - at[0]} clocks of {best} for {total} of {command.name}")
                measured += 1
        tb.check(measured > 0, True, "a stream that no refresh disturbed")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def writes_go_in_batches(dut: Any) -> None:
    """Reads and writes in turn; the bus turns round as seldom as the limits say."""
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        limits, banks = bench.spec.scheduler, bench.geometry.banks
        count = share(900)
        for n in range(count):
            await bench.host.access(banks[n % len(banks)], 0, n // len(banks) % 8 * 2,
                                    random_word(tb) if n % 3 == 2 else None)
        await bench.all_done()
        kinds = [seen.command for seen in bench.monitor.of(Command.RD, Command.WR)]
        batches = [len(list(group)) for kind, group in itertools.groupby(kinds)
                   if kind is Command.WR]
        tb.check(sum(batches), count // 3, "writes")
        tb.check(max(batches) <= limits.write_burst + limits.write_high, True,
                 f"batches of {batches}")
        enough = min(limits.write_high, limits.write_burst) // 2
        tb.check(sum(n < enough for n in batches) <= len(batches) // 3 + 2, True,
                 f"most of {batches} are at least {enough}")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def a_read_of_the_first_port_waits_for_few_writes_of_the_second(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench, t = ChannelBench(tb), spec().timing
        limits = bench.spec.scheduler
        first, second = neighbours(bench)
        await bench.host.access(first, 0, 0)
        over, measured = False, 0

        async def stream() -> None:
            column = 0
            while not over:
                await bench.dma.access(second, 0, 1 + 2 * (column % 4), random_word(tb))
                column += 1

        writes = cocotb.start_soon(stream())
        for _ in range(share(20)):
            await tb.clocks(tb.rng.randrange(60, 90))
            before = len(bench.cycles(Command.RD))
            await bench.host.access(first, 0, 0)
            asked = tb.cycle
            while len(bench.cycles(Command.RD)) == before:
                await RisingEdge(dut.clk)
            at = bench.cycles(Command.RD)[-1]
            if any(asked - 400 < c < at for c in bench.cycles(*REFRESHES)):
                continue
            measured += 1
            between = [c for c in bench.cycles(Command.WR) if asked + 1 <= c < at]
            tb.check(len(between) <= limits.preempt_burst + 1, True,
                     f"{len(between)} writes before a read of the first port")
            most = ((limits.preempt_burst + 1) * t.clocks(t.nCCDL) + t.clocks(t.nRCDRD)
                    + bounds.turn_around(t) + t.clocks(t.nWTRL) + 8)
            tb.check(at - asked <= most, True, f"{at - asked} of {most} clocks")
        over = True
        await writes
        tb.check(2 * measured >= share(20), True, f"{measured} reads away from a refresh")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def the_first_port_goes_first_and_the_second_gets_the_rest(dut: Any) -> None:
    """Both read open rows; the first offers half of what the bus takes."""
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        first, second = neighbours(bench)
        pace = max(2, round(2 * spacing(bench, first, second)))
        over = False

        async def rest() -> None:
            column = 0
            while not over:
                await bench.dma.access((first, second)[column % 2], 0, 1 + column // 2 % 2 * 2)
                column += 1

        task = cocotb.start_soon(rest())
        await tb.clocks(100)
        begin, begun = tb.cycle, len(bench.dma.answered)
        asked = share(150)
        for n in range(asked):
            cocotb.start_soon(bench.host.access((first, second)[n % 2], 0, n // 2 % 2 * 2))
            await tb.clocks(pace)
        clocks, served = tb.cycle - begin, len(bench.dma.answered) - begun
        while len(bench.host.answered) < asked:
            await RisingEdge(dut.clk)
        over = True
        await task
        await bench.all_done()
        disturbed = [c for c in bench.cycles(*REFRESHES) if begin < c < begin + clocks]
        tb.check(disturbed, [], "refreshes in what is measured")
        waits = [b - a for a, b in zip(bench.host.accepted, bench.host.answered, strict=True)]
        left = clocks / spacing(bench, first, second) - asked
        tb.check(served >= 0.8 * left, True, f"{served} of {left} columns that were left")
        tb.check(sorted(waits)[len(waits) // 2] <= bench.timing.read_latency + 8, True,
                 f"half of the reads of the first port within {sorted(waits)[len(waits) // 2]}")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def idle_rows_are_closed(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        period = bench.spec.scheduler.idle_close
        for bank in bench.geometry.banks:
            await bench.host.access(bank, 0, 0)
        await bench.all_done()
        await tb.clocks(2 * period + bench.timing.clocks(bench.timing.nRTP)
                        + len(bench.geometry.banks) * 2)
        tb.check(sorted(bench.monitor.checker.open_rows), [], "open banks")
        closed = bench.monitor.of(Command.PRE, Command.PRE_ALL)
        tb.check(bench.cycles(*REFRESHES), [], "refreshes, which close rows too")
        soonest = min(seen.cycle for seen in closed)
        reads = [c for c in bench.cycles(Command.RD) if c < soonest]
        tb.check(soonest - reads[0] >= period, True, f"closed after {soonest - reads[0]}")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def a_stream_that_moves_on_hides_the_refreshes(dut: Any) -> None:
    """A bank is refreshed when the stream has left it, and the stream does not wait."""
    async with Bench(dut) as tb:
        bench, t = ChannelBench(tb), spec().timing
        banks = bench.geometry.capacity_bank_numbers
        away = (t.clocks(t.nRFCpb) + t.clocks(t.nRTP) + t.clocks(t.nRP)
                + 2 * t.clocks(t.nRCDRD) + 64)
        rounds = max(1, -(-away // (bench.geometry.columns * t.clocks(t.nCCDL))))
        row = 0
        while tb.cycle < 2.5 * t.refresh_interval:
            for bank in banks:
                for _ in range(rounds):
                    await whole_rows(bench, bench.host, (bank,), row % bench.geometry.rows,
                                     lambda _: False)
                    row += 1
        await bench.all_done()
        reads, refreshes = bench.monitor.of(Command.RD), bench.monitor.of(Command.REF)
        tb.check(len(refreshes) >= 2 * len(banks), True, "refreshes")
        for refresh in refreshes:
            before = [r.cycle for r in reads
                      if r.bank == refresh.bank and r.cycle < refresh.cycle]
            since = refresh.cycle - max(before, default=refresh.cycle)
            tb.check(since <= (RECENT + 1) * PERIOD + t.clocks(t.nRTP) + t.clocks(t.nRP) + 8, True,
                     f"clocks from the last read of the bank to its refresh: {since}")
        change = t.clocks(t.nRTP) + t.clocks(t.nRP) + t.clocks(t.nRCDRD)
        for first, second in itertools.pairwise(r.cycle for r in reads):
            assert second - first <= change + t.clocks(t.nRREFD) + 4, (
                f"the stream stood still from cycle {first} to {second}")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def everything_is_drained_whatever_stands_still(dut: Any) -> None:
    """A port whose responses are stalled keeps neither reads nor writes of the other waiting."""
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        banks = list(bench.geometry.banks)
        for blocked, free in ((bench.dma, bench.host), (bench.host, bench.dma)):
            ready = getattr(dut, f"{blocked.name}__response__ready")
            ready.value = 0

            async def fill(port: Port = blocked) -> None:
                for n in range(100):
                    await port.access(banks[n % len(banks)], n % 2, port.column(),
                                      random_word(tb) if n % 2 else None)

            task = cocotb.start_soon(fill())
            await tb.clocks(300)
            for write in (False, True):
                served = len(free.answered)
                for n in range(40):
                    await free.access(banks[n % len(banks)], 0, free.column(),
                                      random_word(tb) if write else None)
                start = tb.cycle
                while len(free.answered) < served + 40:
                    assert tb.cycle < start + 3000, f"{free.name} stands still"
                    await RisingEdge(dut.clk)
            ready.value = 1
            await task
            await bench.all_done()
