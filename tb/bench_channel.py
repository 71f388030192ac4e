"""cocotb tests of :class:`hdl.channel.Channel`: data, exact cycles, refresh, fairness, legality.

Every command of every test goes through the timing checker. The hardware is built with
:class:`tb.column_recorder.ColumnRecorder` in the place of the PIM units.
"""

import itertools
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hdl.layouts import (
    BEAT_WIDTH,
    register_request_layout,
    request_layout,
    response_layout,
    row_pass_layout,
)
from hdl.refresh import POSTPONED_MAX
from hdl.request_head import STARVATION_CLOCKS
from model.golden.memory import Memory, column_address
from model.spec.attention import MacMode, Register
from model.spec.geometry import BEAT_BYTES, ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.timing import Command, timing_preset
from tb.bench import Bench, StreamDriver, StreamMonitor, parameters
from tb.channel_monitor import ChannelMonitor, Fields, Issued
from tb.column_recorder import fold

LIMIT_NS = 400_000
REFRESHES = (Command.REF, Command.REF_ALL)

IMAGE = Memory()
"""What the arrays hold. They keep it over a reset, hence from one test to the next."""

COUNTERS = {
    "activates": (Command.ACT,), "refreshes": REFRESHES,
    "row_passes": (Command.ACT_ALL,), "column_reads": (Command.RD,),
    "column_writes": (Command.WR,), "macs": (Command.MAC_ALL,),
    "register_transfers": (Command.REG_RD, Command.REG_WR),
    "row_hits": (), "row_misses": (), "row_conflicts": (),
}
"""Counter -> the commands that it counts."""


def spec() -> SliceSpec:
    """What the hardware was built from, unless it is a mutant."""
    given = parameters()
    return SliceSpec(geometry=ChannelGeometry(**given["geometry"]),
                     timing=timing_preset(given["timing"]))


def length(full: int) -> int:
    """How much of a random test is run: all of it, or a part on a slow simulator."""
    return max(4, int(full * parameters().get("length", 1)))


class Port:
    """One requester: drives requests, and checks responses against a shared memory image.

    The image follows the requests in the order in which the hardware accepts them, which is the
    order in which they take effect.
    """

    def __init__(self, bench: "ChannelBench", name: str, *, idle: float = 0.0,
                 stall: float = 0.0) -> None:
        self.bench, self.name = bench, name
        tb = bench.tb
        self.layout = request_layout(bench.spec)
        self.driver = StreamDriver(tb, f"{name}__request", idle=idle)
        self.expected: deque[Any] = tb.scoreboard()
        self.requested = 0
        self.offered: list[int] = []            # cycles
        self.accepted: list[int] = []
        self.answered: list[int] = []
        self._fields, self._answer = Fields(self.layout), Fields(response_layout())
        StreamMonitor(tb, f"{name}__response", self._receive, stall=stall)
        cocotb.start_soon(self._follow())

    async def access(self, bank: int, row: int, column: int, content: int | None = None) -> None:
        """Offers a read, or a write of ``content``, until it is accepted."""
        self.requested += 1
        await self.driver.put(self.layout.const({
            "write": content is not None, "bank": bank, "row": row, "column": column,
            "data": content or 0}).as_bits())

    async def _follow(self) -> None:
        tb, valid, ready = self.bench.tb, self.driver.valid, self.driver.ready
        while True:
            await RisingEdge(tb.dut.clk)
            if not int(valid.value):
                continue
            if len(self.offered) == len(self.accepted):
                self.offered.append(tb.cycle)
            if int(ready.value):
                request = self._fields(int(self.driver.payload.value))
                self.accepted.append(tb.cycle)
                self.expected.append(self._carry_out(request))

    def _carry_out(self, request: dict[str, int]) -> tuple[int, int, int]:
        """(write, error, data) of the response."""
        geometry = self.bench.spec.geometry
        if request["bank"] not in geometry.banks:
            return request["write"], 1, 0
        address = column_address(geometry, request["bank"], request["row"], request["column"])
        if request["write"]:
            IMAGE.write(address, request["data"].to_bytes(BEAT_BYTES, "little"))
            return 1, 0, 0
        return 0, 0, int.from_bytes(IMAGE.read(address, BEAT_BYTES), "little")

    def _receive(self, payload: int) -> None:
        answer = self._answer(payload)
        assert self.expected, f"cycle {self.bench.tb.cycle}: {self.name} has an answer too many"
        got = answer["write"], answer["error"], answer["data"]
        self.bench.tb.check(got, self.expected.popleft(), f"{self.name} (write, error, data)")
        self.answered.append(self.bench.tb.cycle)


class ChannelBench:
    """The channel with both requesters, the attention side and the observer of the buses."""

    def __init__(self, tb: Bench, *, idle: float = 0.0, stall: float = 0.0) -> None:
        self.tb, self.spec = tb, spec()
        self.geometry, self.timing = self.spec.geometry, self.spec.timing
        self.monitor = ChannelMonitor(tb, self.spec)
        self.monitor.listeners.append(self._column)
        self.host = Port(self, "host", idle=idle, stall=stall)
        self.dma = Port(self, "dma", idle=idle, stall=stall)
        self.row_pass = StreamDriver(tb, "pim__row_pass")
        self.register = StreamDriver(tb, "pim__register")
        self.digests = dict.fromkeys(self.geometry.pim_bank_numbers, 0)
        self.passes: deque[int] = tb.scoreboard()       # cycles at which pass_done is due
        self.words: deque[Any] = tb.scoreboard()        # what register reads must return
        self.last_columns: deque[int] = tb.scoreboard()     # of passes accepted
        self.pulses = dict.fromkeys(COUNTERS, 0)
        cocotb.start_soon(self._watch())

    async def run_pass(self, *, row: int, last_column: int, spacing: int, mode: MacMode,
                       start: bool, mask: int) -> None:
        """Offers a row pass until it is accepted."""
        self.last_columns.append(last_column)
        await self.row_pass.put(row_pass_layout(self.spec).const({
            "row": row, "last_column": last_column, "mode": mode, "start": start,
            "spacing": spacing, "mask": mask}).as_bits())

    async def transfer(self, *, register: Register, mask: int, address: int = 0,
                       content: int | None = None, want: int | None = None) -> None:
        """Offers a register transfer; ``want`` is what a read must return."""
        if content is None:
            self.words.append(want)
        await self.register.put(register_request_layout(self.spec).const({
            "write": content is not None, "register": register, "mask": mask,
            "address": address, "data": content or 0}).as_bits())

    async def all_done(self) -> None:
        """Waits until nothing is expected any more."""
        while any(self.tb.queues) or any(port.requested > len(port.answered)
                                         for port in (self.host, self.dma)):
            await RisingEdge(self.tb.dut.clk)

    def cycles(self, *commands: Command) -> list[int]:
        """When these commands were issued."""
        return [seen.cycle for seen in self.monitor.of(*commands)]

    def _column(self, seen: Issued) -> None:
        if seen.command is not Command.MAC_ALL:
            return
        f = seen.fields
        for bank in self.digests:
            if f["mask"] >> bank & 1:
                row = self.monitor.checker.open_rows[bank]
                address = column_address(self.geometry, bank, row, f["column"])
                column = int.from_bytes(IMAGE.read(address, BEAT_BYTES), "little")
                self.digests[bank] = fold(self.digests[bank], column, f["mode"], bool(f["start"]))
        if f["column"] == self.last_columns[0]:
            self.last_columns.popleft()
            self.passes.append(seen.cycle + self.timing.read_latency + self.spec.pim.drain_clocks)

    async def _watch(self) -> None:
        dut, tb = self.tb.dut, self.tb
        counters = {name: getattr(dut, f"counters__{name}") for name in COUNTERS}
        reads: deque[int] = deque()             # cycles at which register words are due
        request = Fields(register_request_layout(self.spec))
        done, valid = dut.pim__pass_done, dut.pim__register_valid
        while True:
            await RisingEdge(dut.clk)
            assert int(dut.error.value) == 0, f"cycle {tb.cycle}: the device reports an error"
            for name, handle in counters.items():
                self.pulses[name] += int(handle.value)
            if int(done.value):
                assert self.passes, f"cycle {tb.cycle}: pass_done too often"
                tb.check(tb.cycle, self.passes.popleft(), "cycle of pass_done")
            if (int(self.register.valid.value) and int(self.register.ready.value)
                    and not request(int(self.register.payload.value))["write"]):
                reads.append(tb.cycle + self.timing.read_latency)
            if int(valid.value):
                assert reads, f"cycle {tb.cycle}: a register word too many"
                tb.check(tb.cycle, reads.popleft(), "cycle of a register word")
                tb.check(int(dut.pim__register_data.value), self.words.popleft(),
                         "register word")


def random_word(tb: Bench) -> int:
    return tb.rng.getrandbits(BEAT_WIDTH)


async def random_traffic(bench: ChannelBench, port: Port, count: int, banks: list[int]) -> None:
    """Reads and writes; now one bank and row for a while, now anything."""
    rng, geometry = bench.tb.rng, bench.geometry
    bank, row, writes = banks[0], 0, 0.5
    for _ in range(count):
        if rng.random() < 0.4:
            bank, row = rng.choice(banks), rng.randrange(geometry.rows)
            writes = rng.choice((0.1, 0.5, 0.9))
        await port.access(bank, row, rng.randrange(geometry.columns),
                          random_word(bench.tb) if rng.random() < writes else None)


async def paint(bench: ChannelBench) -> None:
    """Writes every column of every bank, so that data of a wrong place are seen."""
    geometry = bench.geometry

    async def fill(port: Port, banks: list[int]) -> None:
        for bank in banks:
            for row in range(geometry.rows):
                for column in range(geometry.columns):
                    await port.access(bank, row, column, random_word(bench.tb))

    half = len(geometry.banks) // 2
    other = cocotb.start_soon(fill(bench.dma, list(geometry.banks[:half])))
    await fill(bench.host, list(geometry.banks[half:]))
    await other


async def read_everything(bench: ChannelBench) -> None:
    """Reads every column of every bank back: writes that went astray cannot hide."""
    geometry = bench.geometry
    for bank in geometry.banks:
        for row in range(geometry.rows):
            for column in range(geometry.columns):
                await bench.host.access(bank, row, column)


async def random_passes(bench: ChannelBench, count: int) -> None:
    """Row passes of all shapes; reads the digests when the results must be readable."""
    rng, geometry = bench.tb.rng, bench.geometry
    for index in range(count):
        mask = rng.getrandbits(geometry.pim_banks) or 1
        await bench.run_pass(
            row=rng.randrange(geometry.rows),
            last_column=rng.choice((0, geometry.columns - 1, rng.randrange(geometry.columns))),
            spacing=rng.randrange(2, 9), mode=rng.choice(list(MacMode)),
            start=rng.random() < 0.5, mask=mask)
        if rng.random() < 0.3 or index == count - 1:
            while bench.last_columns or bench.passes:
                await RisingEdge(bench.tb.dut.clk)
            for bank, digest in bench.digests.items():
                await bench.transfer(register=Register.SCORE, mask=1 << bank, want=digest)


def check_counters(bench: ChannelBench) -> None:
    """Every counter has as many pulses as commands were seen."""
    for name, commands in COUNTERS.items():
        if commands:
            bench.tb.check(bench.pulses[name], len(bench.cycles(*commands)), f"pulses of {name}")
    served = sum(bench.pulses[n] for n in ("row_hits", "row_misses", "row_conflicts"))
    bench.tb.check(served, len(bench.cycles(Command.RD, Command.WR)), "hits, misses, conflicts")


async def _random(dut: Any, *, idle: float, stall: float) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb, idle=idle, stall=stall)
        banks = list(bench.geometry.banks)
        both = cocotb.start_soon(random_traffic(bench, bench.dma, length(600), banks))
        await random_traffic(bench, bench.host, length(600), banks)
        await both
        await bench.all_done()
        check_counters(bench)


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def random_traffic_of_both_ports(dut: Any) -> None:
    await _random(dut, idle=0.0, stall=0.0)


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def random_traffic_with_gaps_and_stalled_responses(dut: Any) -> None:
    await _random(dut, idle=0.3, stall=0.6)


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def both_ports_fight_for_two_rows_of_one_bank(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)

        async def hammer(port: Port, row: int) -> None:
            for column in range(length(48)):
                await port.access(0, row, column % bench.geometry.columns,
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
        await random_traffic(bench, bench.host, length(200), list(bench.geometry.banks)[::2])
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
        traffic = [cocotb.start_soon(random_traffic(bench, port, length(400),
                                                    list(bench.geometry.banks)))
                   for port in (bench.host, bench.dma)]
        await random_passes(bench, length(40))
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
                                                for _ in range(length(40)))):
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
async def an_unloaded_read_takes_activate_cl_and_two_clocks(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench, t = ChannelBench(tb), spec().timing
        for bank in bench.geometry.banks:
            await bench.host.access(bank, 1, 2)
            await bench.all_done()
            assert away_from_refresh(bench)
            start = bench.host.offered[-1]
            tb.check(bench.cycles(Command.ACT)[-1], start, "cycle of ACT")
            tb.check(bench.cycles(Command.RD)[-1], start + t.clocks(t.nRCDRD), "cycle of RD")
            tb.check(bench.host.answered[-1],
                     start + t.clocks(t.nRCDRD) + t.read_latency + 1, "cycle of the response")
            await tb.clocks(20)
            await bench.host.access(bank, 1, 3)
            await bench.all_done()
            start = bench.host.offered[-1]
            tb.check(bench.host.answered[-1], start + t.read_latency + 1, "response to a hit")
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
            macs = bench.cycles(Command.MAC_ALL)[-last_column - 1:]
            tb.check(macs, list(range(macs[0], macs[0] + last_column * step + 1, step)),
                     "cycles of MAC_ALL")
        if t.name == "hbm4_8000" and last == 31:     # facts.md 6.1: 20 + 31 x 2 + 6 + 17
            tb.check(20 + 31 * 2 + 6 + 17, 105, "the figure in the design brief")


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def columns_of_a_pass_have_no_bubble_under_traffic(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        last = bench.geometry.columns - 1
        traffic = [cocotb.start_soon(random_traffic(
            bench, port, length(300), list(bench.geometry.capacity_bank_numbers)))
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
    async with Bench(dut) as tb:
        bench, t = ChannelBench(tb), spec().timing
        capacity, over = bench.geometry.capacity_bank_numbers[0], False

        async def stream() -> None:
            while not over:
                await bench.host.access(capacity, 0, tb.rng.randrange(bench.geometry.columns),
                                        random_word(tb))

        async def registers() -> None:
            while not over:
                await bench.transfer(register=Register.QUERY, mask=1, content=random_word(tb))

        async def passes() -> None:
            while not over:
                await bench.run_pass(row=0, last_column=bench.geometry.columns - 1, spacing=2,
                                     mode=MacMode.DOT, start=True, mask=1)

        tasks = [cocotb.start_soon(work) for work in (stream(), registers(), passes())]
        # One refresh of each kind, one row pass and one row cycle a port may come in between.
        bound = STARVATION_CLOCKS + sum(t.clocks(n) for n in (
            t.nRFCab, t.nRFCpb, t.nRC, t.nRC, t.nFAW)) + 20 + 2 * bench.geometry.columns + 40
        for target, row in ((capacity, 1), (0, 1), (capacity, 0), (0, 0)) * length(3):
            start, served = tb.cycle, len(bench.dma.answered)
            await bench.dma.access(target, row, 0)
            while len(bench.dma.answered) == served:
                await RisingEdge(dut.clk)
            waited = tb.cycle - start
            tb.check(waited <= bound, True, f"DMA waited {waited} of {bound} clocks")
        over = True
        for task in tasks:
            await task


@cocotb.test(timeout_time=LIMIT_NS, timeout_unit="ns")
async def a_stalled_port_does_not_stop_the_other(dut: Any) -> None:
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        ready = dut.dma__response__ready
        ready.value = 0
        depth = bench.timing.read_latency + 2
        blocked = cocotb.start_soon(random_traffic(bench, bench.dma, depth + 8,
                                                   list(bench.geometry.banks)))
        await random_traffic(bench, bench.host, 60, list(bench.geometry.banks))
        while len(bench.host.answered) < 60:
            await RisingEdge(dut.clk)
        tb.check(len(bench.dma.accepted), depth, "requests taken without room for more")
        ready.value = 1
        await blocked
