"""cocotb tests of the memory channel: data, exact cycles, refresh, fairness, legality.

Every command of every test goes through the timing checker. The hardware is built with
:class:`tb.column_recorder.ColumnRecorder` in the place of the PIM units.
"""

import itertools
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hdl.dram.refresh import POSTPONED_MAX
from model.spec.attention import MacMode, Register
from model.spec.geometry import BEAT_BYTES
from model.spec.timing import Command
from tb.bench import Bench, parameters
from tb.channel_agents import (
    IMAGE,
    REFRESHES,
    ChannelBench,
    Port,
    check_counters,
    paint,
    random_passes,
    random_traffic,
    random_word,
    read_everything,
    share,
    spec,
)

LIMIT_NS = 400_000


async def _random(dut: Any, *, idle: float, stall: float) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb, idle=idle, stall=stall)
        banks = list(bench.geometry.banks)
        both = cocotb.start_soon(random_traffic(bench, bench.dma, share(600), banks))
        await random_traffic(bench, bench.host, share(600), banks)
        await both
        await bench.all_done()
        check_counters(bench)


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def random_traffic_of_both_ports(dut: Any) -> None:
    await _random(dut, idle=0.0, stall=0.0)


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def random_traffic_with_gaps_and_stalled_responses(dut: Any) -> None:
    await _random(dut, idle=0.3, stall=0.6)


@cocotb.test(timeout_time=LIMIT_NS // 8, timeout_unit="ns")
async def both_ports_fight_for_two_rows_of_one_bank(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)

        async def hammer(port: Port, row: int) -> None:
            for _ in range(share(48)):
                await port.access(0, row, port.column(),
                                  random_word(tb) if tb.rng.random() < 0.5 else None)

        other = cocotb.start_soon(hammer(bench.dma, 1))
        await hammer(bench.host, 0)
        await other


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def every_column_is_where_it_was_written(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        await paint(bench)
        await bench.all_done()
        before = IMAGE.copy()
        await random_traffic(bench, bench.host, share(200), list(bench.geometry.banks)[::2])
        await read_everything(bench)
        touched = {a // BEAT_BYTES for a in before.differences(IMAGE)}
        tb.check(len(touched) > 0, True, "something was overwritten")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def requests_to_banks_that_do_not_exist_touch_nothing(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb, stall=0.3)
        missing = [b for b in range(1 << bench.geometry.bank_width)
                   if b not in bench.geometry.banks]
        if not missing:
            tb.checked += 1
            return
        for bank in missing:
            await bench.host.access(bank, 0, 0, random_word(tb))
            await bench.host.access(bench.geometry.banks[-1], 0, 0, random_word(tb))
            await bench.dma.access(bank, 1, 1)
        await bench.all_done()
        tb.check(len(bench.cycles(Command.RD)), 0, "reads")
        tb.check(len(bench.cycles(Command.WR)), len(missing), "writes")
        for bank in bench.geometry.banks:
            await bench.host.access(bank, 0, 0)


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def passes_with_traffic_on_all_banks(dut: Any) -> None:
    async with Bench(dut, drain_clocks=20_000) as tb:
        bench = ChannelBench(tb)
        await paint(bench)
        await bench.all_done()
        traffic = [cocotb.start_soon(random_traffic(bench, port, share(400),
                                                    list(bench.geometry.banks)))
                   for port in (bench.host, bench.dma)]
        await random_passes(bench, share(40))
        for task in traffic:
            await task
        await bench.all_done()
        check_counters(bench)


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def registers_reach_the_units_in_the_mask(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        held: dict[int, dict[int, int]] = {b: {} for b in bench.geometry.pim_bank_numbers}
        for mask in (1, (1 << len(held)) - 1, *(tb.rng.randrange(1, 1 << len(held))
                                                for _ in range(share(40)))):
            address, register = tb.rng.randrange(8), tb.rng.choice(list(Register))
            content = random_word(tb)
            await bench.transfer(register=register, mask=mask, address=address, content=content)
            for bank, words in held.items():
                if mask >> bank & 1:
                    words[address] = content ^ register
            bank = tb.rng.choice([b for b in held if address in held[b]])
            await bench.transfer(register=Register.OUTPUT, mask=1 << bank, address=address,
                                 want=held[bank][address])
        for bank, words in held.items():
            for address, word in words.items():
                await bench.transfer(register=Register.OUTPUT, mask=1 << bank, address=address,
                                     want=word)


def away_from_refresh(bench: ChannelBench) -> bool:
    """Nothing but requested commands so far: no refresh has disturbed the cycles."""
    return not bench.cycles(*REFRESHES)


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def an_unloaded_read_takes_trcdrd_cl_and_two_clocks(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench, t = ChannelBench(tb), spec().timing
        for bank in bench.geometry.banks:
            await bench.host.access(bank, 1, 2)
            await bench.all_done()
            assert away_from_refresh(bench)
            start = bench.host.offered[-1]
            tb.check(bench.cycles(Command.ACT)[-1], start + 1, "cycle of ACT")
            tb.check(bench.cycles(Command.RD)[-1], start + 1 + t.clocks(t.nRCDRD), "cycle of RD")
            tb.check(bench.host.answered[-1],
                     start + t.clocks(t.nRCDRD) + t.read_latency + 2, "cycle of the response")
            if t.name == "hbm4_8000":       # facts.md 6.1: RCDRD 39, CL 20 tCK
                tb.check(bench.host.answered[-1] - start, 20 + 10 + 2, "clocks, by hand")
            await tb.clocks(20)
            await bench.host.access(bank, 1, 3)
            await bench.all_done()
            start = bench.host.offered[-1]
            tb.check(bench.host.answered[-1], start + t.read_latency + 2, "response to a hit")
            tb.check(bench.host.accepted[-1], start, "acceptance of a hit")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def a_write_is_answered_when_its_data_are_in_the_array(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench, t = ChannelBench(tb), spec().timing
        for column in range(4):
            await bench.host.access(0, 1, column, random_word(tb))
            await bench.all_done()
            delay = bench.host.answered[-1] - bench.cycles(Command.WR)[-1]
            tb.check(delay > t.write_latency, True, f"acknowledged after {delay} clocks")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def an_open_row_streams_at_tccdl(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench, t = ChannelBench(tb), spec().timing
        for write, command in ((True, Command.WR), (False, Command.RD)):
            for column in range(bench.geometry.columns):
                await bench.host.access(bench.geometry.banks[-1], 1, column,
                                        random_word(tb) if write else None)
            await bench.all_done()
            at = bench.cycles(command)
            for first, second in itertools.pairwise(at):
                tb.check(second - first, t.clocks(t.nCCDL), f"spacing of {command.name}")
        assert away_from_refresh(bench)


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def back_to_back_passes_cost_exactly_the_bound(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench, t = ChannelBench(tb), spec().timing
        last = bench.geometry.columns - 1
        mask = (1 << bench.geometry.pim_banks) - 1
        for spacing, last_column in [(s, last) for s in (1, 2, 3, 5, 8)] + [(2, 0), (4, 3)]:
            while True:         # a refresh in between spoils a measurement: again
                await bench.all_done()
                before = len(bench.cycles(Command.ACT_ALL))
                for row in (0, 1, 0):
                    await bench.run_pass(row=row, last_column=last_column, spacing=spacing,
                                         mode=MacMode.DOT, start=row == 0, mask=mask)
                await bench.all_done()
                at = bench.cycles(Command.ACT_ALL)[before:]
                if not any(at[0] < c < at[-1] for c in bench.cycles(*REFRESHES)):
                    break
            step = max(spacing, t.clocks(t.nCCDAB))
            cost = max(t.clocks(t.nRCDRD) + last_column * step + t.clocks(t.nRTP)
                       + t.clocks(t.nRP), t.clocks(t.nRC),
                       t.clocks(t.nRAS) + t.clocks(t.nRP))
            tb.check([b - a for a, b in itertools.pairwise(at)], [cost, cost],
                     f"clocks of a pass at spacing {spacing}, {last_column + 1} columns")
            if (t.name, spacing, last_column) == ("hbm4_8000", 2, 31):
                # By hand from facts.md 6.1: tRCDRD 20, 31 columns of 2, tRTP 6, tRP 17 clocks
                tb.check(at[1] - at[0], 105, "clocks of a row of 32 columns, by hand")
            macs = bench.cycles(Command.MAC_ALL)[-last_column - 1:]
            tb.check(macs, list(range(macs[0], macs[0] + last_column * step + 1, step)),
                     "cycles of MAC_ALL")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def columns_of_a_pass_have_no_bubble_under_traffic(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        last = bench.geometry.columns - 1
        traffic = [cocotb.start_soon(random_traffic(
            bench, port, share(300), list(bench.geometry.capacity_bank_numbers)))
            for port in (bench.host, bench.dma)]
        macs = []
        for spacing in range(2, 9):
            step = max(spacing, bench.spec.mac_spacing)
            await bench.run_pass(row=1, last_column=last, spacing=spacing, mode=MacMode.AXPY,
                                 start=True, mask=1)
            while bench.last_columns:
                await RisingEdge(dut.clk)
            macs = bench.cycles(Command.MAC_ALL)[-last - 1:]
            tb.check(macs, list(range(macs[0], macs[0] + last * step + 1, step)), "MAC_ALL")
        others = [c for c in bench.cycles(Command.RD, Command.WR) if c < macs[-1]]
        tb.check(len(others) > 0, True, "traffic went on")
        for task in traffic:
            await task


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def idle_banks_are_refreshed_once_every_trefi(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        interval, rounds = bench.timing.refresh_interval, 5
        await tb.clocks(rounds * interval + interval // 2)
        units = 1 + bench.geometry.capacity_banks
        per_unit = {None: 0, **dict.fromkeys(bench.geometry.capacity_bank_numbers, 0)}
        for seen in bench.monitor.of(*REFRESHES):
            per_unit[seen.bank] += 1
        tb.check(len(per_unit), units, "units that were refreshed")
        for unit, count in per_unit.items():
            tb.check(rounds <= count <= rounds + 1, True, f"{count} refreshes of {unit}")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def refresh_holds_under_passes_without_end(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        interval = bench.timing.refresh_interval
        rounds = 12 if parameters().get("length", 1) == 1 else 10
        bank = bench.geometry.banks[-1]
        over = False

        async def stream() -> None:
            column = 0
            while not over:
                await bench.host.access(bank, 0, column % bench.geometry.columns)
                column += 1

        host = cocotb.start_soon(stream())
        while tb.cycle < rounds * interval:
            await bench.run_pass(row=tb.cycle % bench.geometry.rows,
                                 last_column=bench.geometry.columns - 1, spacing=2,
                                 mode=MacMode.DOT, start=True, mask=1)
        over = True
        await host
        bench.monitor.checker.check_refresh(tb.cycle)
        at_least = rounds - POSTPONED_MAX
        for unit in (None, *bench.geometry.capacity_bank_numbers):
            count = sum(seen.bank == unit for seen in
                        bench.monitor.of(*REFRESHES))
            tb.check(at_least - 1 <= count <= rounds + 1, True, f"{count} refreshes of {unit}")
        tb.check(len(bench.cycles(Command.RD)) > interval, True, "reads of the host went on")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def nobody_starves(dut: Any) -> None:
    """A DMA request waits at most the bound, whatever the host and the register port do."""
    await _wait_at_most_the_bound(dut, reading=False, rounds=share(3))


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def nobody_starves_beside_registers_that_are_read(dut: Any) -> None:
    """Those of the direction of an urgent request may pass until its row is open."""
    await _wait_at_most_the_bound(dut, reading=True, rounds=1)


async def _wait_at_most_the_bound(dut: Any, *, reading: bool, rounds: int) -> None:
    async with Bench(dut) as tb:
        bench, t = ChannelBench(tb), spec().timing
        capacity, over = bench.geometry.capacity_bank_numbers[0], False

        async def stream() -> None:
            while not over:
                await bench.host.access(capacity, 0, bench.host.column(), random_word(tb))

        async def registers() -> None:
            word = random_word(tb)
            await bench.transfer(register=Register.QUERY, mask=1, content=word)
            while not over:
                if reading:
                    await bench.transfer(register=Register.OUTPUT, mask=1,
                                         want=word ^ Register.QUERY)
                else:
                    await bench.transfer(register=Register.QUERY, mask=1, content=random_word(tb))

        async def passes() -> None:
            while not over:
                await bench.run_pass(row=0, last_column=bench.geometry.columns - 1, spacing=2,
                                     mode=MacMode.DOT, start=True, mask=1)

        tasks = [cocotb.start_soon(work) for work in (stream(), registers(), passes())]
        # One refresh of each kind, one row pass, one row cycle a port and an urgent burst of the
        # host's writes may come in between.
        limits = bench.spec.scheduler
        bound = limits.starvation + sum(t.clocks(n) for n in (
            t.nRFCab, t.nRFCpb, t.nRC, t.nRC, t.nFAW, *limits.urgent_burst * (t.nCCDL,))
            ) + 20 + 2 * bench.geometry.columns + 40
        for target, row in ((capacity, 1), (0, 1), (capacity, 0), (0, 0)) * rounds:
            start, served = tb.cycle, len(bench.dma.answered)
            cocotb.start_soon(bench.dma.access(target, row, 1))
            while len(bench.dma.answered) == served and tb.cycle - start <= bound:
                await RisingEdge(dut.clk)
            waited = tb.cycle - start
            tb.check(waited <= bound, True, f"DMA waited {waited} of {bound} clocks")
        over = True
        for task in tasks:
            await task


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
@cocotb.parametrize(stalled=["dma", "gpu"])
async def a_stalled_port_does_not_stop_the_other(dut: Any, stalled: str) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        port, other = ((bench.dma, bench.host) if stalled == "dma" else (bench.host, bench.dma))
        ready = getattr(dut, f"{stalled}__response__ready")
        ready.value = 0
        limits, depth = bench.spec.scheduler, bench.timing.read_latency + 2
        most = depth + limits.read_entries + limits.write_entries
        blocked = cocotb.start_soon(random_traffic(bench, port, most + 8,
                                                   list(bench.geometry.banks)))
        await tb.clocks(200)
        begin = tb.cycle
        await random_traffic(bench, other, 60, list(bench.geometry.banks))
        while len(other.answered) < 60:
            await RisingEdge(dut.clk)
        # one after the other in one bank at worst, each a new row
        worst = 60 * bench.timing.clocks(bench.timing.nRC) + bench.timing.clocks(
            bench.timing.nRFCab)
        tb.check(tb.cycle - begin <= worst, True, "clocks beside a port that takes no answers")
        await tb.clocks(200)
        served = len(bench.cycles(Command.RD, Command.WR)) - 60
        tb.check(served, depth, "requests served without room for more answers")
        tb.check(len(port.accepted) <= most, True, "requests taken")
        ready.value = 1
        await blocked
