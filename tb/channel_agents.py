"""What drives and judges a memory channel in its bench: requesters, attention side, traffic."""

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
from model.golden.memory import Memory, column_address
from model.spec.attention import MacMode, Register
from model.spec.geometry import BEAT_BYTES, ChannelGeometry
from model.spec.port import Status
from model.spec.scheduling import SchedulerSpec
from model.spec.slice import SliceSpec
from model.spec.timing import Command, timing_preset
from tb.bench import Bench, StreamDriver, StreamMonitor, parameters
from tb.channel_monitor import ChannelMonitor, Fields, Issued
from tb.channel_tags import Answer, Outstanding
from tb.column_recorder import fold

PORTS = 2
REFRESHES = (Command.REF, Command.REF_ALL)

IMAGE = Memory()
"""What the arrays must hold when everything accepted so far has been served.

They keep it over a reset, hence from one test to the next.
"""

ARRAY = Memory()
"""What the arrays hold, as the commands on the buses say."""

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
                     timing=timing_preset(given["timing"]),
                     scheduler=SchedulerSpec(**given.get("scheduler", {})))


def share(full: int) -> int:
    """How much of a random test is run: all of it, or a part on a slow simulator."""
    return max(4, int(full * parameters().get("length", 1)))


class Port:
    """One requester: drives requests, and checks responses against the memory image.

    The image follows the requests in the order in which the port accepts them, which is the order
    in which those to the same word take effect. Between ports nothing is promised, so each has the
    columns for itself that :meth:`column` names.
    """

    def __init__(self, bench: "ChannelBench", name: str, index: int, *, idle: float = 0.0,
                 stall: float = 0.0) -> None:
        self.bench, self.name, self.index = bench, name, index
        tb = bench.tb
        self.layout = request_layout(bench.spec)
        self.driver = StreamDriver(tb, f"{name}__request", idle=idle)
        self.answers = Outstanding(tb, name)
        self.requested = 0
        self.offered: list[int] = []            # cycles
        self.accepted: list[int] = []
        self.answered: list[int] = []
        self._fields, self._answer = Fields(self.layout), Fields(response_layout())
        StreamMonitor(tb, f"{name}__response", self._receive, stall=stall)
        cocotb.start_soon(self._follow())

    def column(self) -> int:
        """A random column that no other port uses."""
        return self.bench.tb.rng.randrange(self.index, self.bench.geometry.columns, PORTS)

    async def access(self, bank: int, row: int, column: int, content: int | None = None) -> None:
        """Offers a read, or a write of ``content``, until it is accepted."""
        self.requested += 1
        tag = await self.answers.take()
        await self.driver.put(self.layout.const({
            "tag": tag, "write": content is not None, "bank": bank, "row": row,
            "column": column, "data": content or 0}).as_bits())

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
                self.answers.expect(request["tag"], *self._carry_out(request))

    def _carry_out(self, request: dict[str, int]) -> Answer:
        """(write, status, data) of the response."""
        geometry = self.bench.spec.geometry
        if request["bank"] not in geometry.banks:
            return bool(request["write"]), Status.NO_SUCH_BANK, 0
        address = column_address(geometry, request["bank"], request["row"], request["column"])
        if request["write"]:
            IMAGE.write(address, request["data"].to_bytes(BEAT_BYTES, "little"))
            return True, Status.OK, 0
        return False, Status.OK, int.from_bytes(IMAGE.read(address, BEAT_BYTES), "little")

    def _receive(self, payload: int) -> None:
        self.answers.answered(self._answer(payload))
        self.answered.append(self.bench.tb.cycle)


class ChannelBench:
    """The channel with both requesters, the attention side and the observer of the buses."""

    def __init__(self, tb: Bench, *, idle: float = 0.0, stall: float = 0.0) -> None:
        self.tb, self.spec = tb, spec()
        self.geometry, self.timing = self.spec.geometry, self.spec.timing
        self.monitor = ChannelMonitor(tb, self.spec)
        self.monitor.listeners.append(self._column)
        self.host = Port(self, "gpu", 0, idle=idle, stall=stall)
        self.dma = Port(self, "dma", 1, idle=idle, stall=stall)
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
        self.tb.check(IMAGE.differences(ARRAY), [], "addresses that were written otherwise")

    def cycles(self, *commands: Command) -> list[int]:
        """When these commands were issued."""
        return [seen.cycle for seen in self.monitor.of(*commands)]

    def _column(self, seen: Issued) -> None:
        f = seen.fields
        if seen.command is Command.WR:
            row = self.monitor.checker.open_rows[f["bank"]]
            word = int(self.tb.dut.commands__write_data.value)
            ARRAY.write(column_address(self.geometry, f["bank"], row, f["column"]),
                        word.to_bytes(BEAT_BYTES, "little"))
        if seen.command is not Command.MAC_ALL:
            return
        for bank in self.digests:
            if f["mask"] >> bank & 1:
                row = self.monitor.checker.open_rows[bank]
                address = column_address(self.geometry, bank, row, f["column"])
                column = int.from_bytes(ARRAY.read(address, BEAT_BYTES), "little")
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
        await port.access(bank, row, port.column(),
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
