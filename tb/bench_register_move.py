"""cocotb tests of hdl.dma.register_move: block moves between any two banks, and every refusal."""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hdl.dma.register_move import REGISTER_DMA, MoveRequest
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from tb.bench import Bench
from tb.port_agent import Place, PortAgent, painted

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=3, capacity_banks=2, rows=12, row_bytes=256))
GEOMETRY = SPEC.geometry
REQUEST = MoveRequest()


class DmaBench(Bench):
    """A bench with a painted memory behind the port."""

    def agent(self, **options: Any) -> PortAgent:
        """Connects the memory; options as for :class:`PortAgent`."""
        self.memory = painted(SPEC)
        return PortAgent(self, "port", SPEC, self.memory, **options)

    async def start(self, source: tuple[int, int], destination: tuple[int, int],
                    rows: int) -> bool:
        """Asks for a move; returns whether it was refused."""
        dut = self.dut
        dut.request.value = REQUEST.const({
            "source": {"bank": source[0], "row": source[1]},
            "destination": {"bank": destination[0], "row": destination[1]},
            "rows": rows}).as_bits()
        dut.start.value = 1
        await RisingEdge(dut.clk)
        refused = bool(int(dut.bad.value))
        dut.start.value, dut.request.value = 0, 0       # the engine must keep its own copy
        return refused

    async def finished(self) -> int:
        """Waits for the end of a move; returns its clocks."""
        clocks = 0
        await RisingEdge(self.dut.clk)
        while int(self.dut.busy.value):
            clocks += 1
            assert not int(self.dut.bad.value), "an access was refused"
            await RisingEdge(self.dut.clk)
        return clocks

    async def move(self, source: tuple[int, int], destination: tuple[int, int],
                   rows: int) -> int:
        """A move that must succeed and change nothing but its destination."""
        want = dict(self.memory)
        for row in range(rows):
            for column in range(GEOMETRY.columns):
                want[destination[0], destination[1] + row, column] = (
                    self.memory[source[0], source[1] + row, column])
        refused = await self.start(source, destination, rows)
        assert not refused, f"{source} to {destination}, {rows} rows: refused"
        clocks = await self.finished()
        wrong = [place for place in want if self.memory[place] != want[place]]
        self.check(wrong, [], f"places that differ after {source} to {destination}, {rows} rows")
        return clocks


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.4], slow=[False, True])
async def blocks_arrive_whole_and_nothing_else_changes(dut: Any, stall: float, slow: bool) -> None:
    async with DmaBench(dut) as tb:
        tb.agent(stall=stall, latency=range(1, 40) if slow else range(11, 12))
        last = GEOMETRY.rows - 1
        for rows in (1, 2, 3, GEOMETRY.rows):                     # corners
            top = GEOMETRY.rows - rows
            await tb.move((GEOMETRY.banks[-1], top), (GEOMETRY.banks[0], top), rows)
        await tb.move((0, 0), (0, last), 1)                       # within a bank
        await tb.move((2, 4), (2, 2), 2)
        for _ in range(12):
            rows = tb.rng.randrange(1, GEOMETRY.rows // 2)
            source, destination = tb.rng.sample(GEOMETRY.banks, 2)
            top = GEOMETRY.rows - rows + 1
            await tb.move((source, tb.rng.randrange(top)), (destination, tb.rng.randrange(top)),
                          rows)


@cocotb.test(timeout_time=500, timeout_unit="us")
async def a_prompt_memory_is_kept_busy(dut: Any) -> None:
    async with DmaBench(dut) as tb:
        tb.agent(latency=range(11, 12))
        rows = REGISTER_DMA.slots
        clocks = await tb.move((16, 0), (0, 0), rows)
        beats = 2 * rows * GEOMETRY.columns
        # Six clocks to the first request, two for each to come out, twice the memory's latency,
        # and five from the last answer to the first write.
        tb.check(clocks <= beats + 6 + 2 * (2 + 11) + 5, True, f"{clocks} clocks for {beats} beats")


@cocotb.test(timeout_time=500, timeout_unit="us")
async def rows_are_read_ahead_as_far_as_the_buffer_goes(dut: Any) -> None:
    async with DmaBench(dut) as tb:
        agent = tb.agent()
        await tb.move((16, 0), (0, 0), GEOMETRY.rows)
        ahead = furthest = 0
        for write, _ in agent.log:
            ahead += -1 if write else 1
            furthest = max(furthest, ahead)
        tb.check(furthest <= REGISTER_DMA.slots * GEOMETRY.columns, True, f"{furthest} ahead")


@cocotb.test(timeout_time=500, timeout_unit="us")
async def an_access_that_fails_ends_the_move(dut: Any) -> None:
    async with DmaBench(dut) as tb:
        tb.agent(latency=range(11, 12))
        lost = (16, 1, 3)
        before = tb.memory.pop(lost)
        want = dict(tb.memory)
        tb.check(await tb.start((16, 0), (0, 0), 3), False, "refused")
        bad = 0
        await RisingEdge(dut.clk)
        while int(dut.busy.value):
            bad += int(dut.bad.value)
            await RisingEdge(dut.clk)
        tb.check(bad, 1, "told once")
        wrong = [p for p in want if tb.memory[p] != want[p] and not (p[0] == 0 and p[1] < 3)]
        tb.check(wrong, [], "places that differ elsewhere")
        tb.check([tb.memory[0, 1, c] for c in range(GEOMETRY.columns)],
                 [want[0, 1, c] for c in range(GEOMETRY.columns)], "the row that was not whole")
        tb.memory[lost] = before
        await tb.move((16, 0), (0, 0), 3)


@cocotb.test(timeout_time=500, timeout_unit="us")
async def impossible_moves_are_refused_and_touch_nothing(dut: Any) -> None:
    async with DmaBench(dut) as tb:
        agent = tb.agent()
        before: dict[Place, int] = dict(tb.memory)
        rows = GEOMETRY.rows
        for source, destination, count in (
                ((16, 0), (0, 0), 0),                      # nothing to move
                ((3, 0), (0, 0), 1),                       # no such bank
                ((16, 0), (18, 0), 1),
                ((16, 0), (255, 0), 1),
                ((16, rows), (0, 0), 1),                   # no such row
                ((16, 0), (0, rows - 1), 2),
                ((16, 0), (0, 0), rows + 1),
                ((16, 0), (0, 0), (1 << 32) - 1),
                ((16, 0xFFFF), (0, 0), 1),
                ((16, 0), (16, 0), 1),                     # overlap
                ((16, 0), (16, 1), 2),
                ((16, 2), (16, 1), 2)):
            tb.check(await tb.start(source, destination, count), True,
                     f"{source} to {destination}, {count} rows: refused")
            tb.check(await tb.finished(), 0, "clocks busy")
        tb.check(agent.log, [], "requests")
        tb.check(tb.memory == before, True, "memory unchanged")
        await tb.move((16, 0), (0, 0), 1)                  # and the engine goes on


@cocotb.test(timeout_time=500, timeout_unit="us")
async def a_start_while_busy_is_ignored(dut: Any) -> None:
    async with DmaBench(dut) as tb:
        agent = tb.agent(latency=range(5, 6))
        tb.check(await tb.start((16, 0), (0, 0), 2), False, "refused")
        await tb.clocks(5)
        tb.check(await tb.start((17, 0), (1, 0), 2), False, "refused")
        await tb.finished()
        tb.check({place[0] for _, place in agent.log}, {16, 0}, "banks touched")
