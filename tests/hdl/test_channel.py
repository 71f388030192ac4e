"""Parts of the memory channel: refused specifications, and the timing guard against the checker."""
# amaranth: UnusedElaboratable=no

import random
from dataclasses import replace
from typing import Any

import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from hdl.dram.bank_table import BankTable
from hdl.dram.channel import Channel
from hdl.dram.refresh import Refresh
from hdl.dram.timing_guard import ISSUED, ONE_BANK_COMMANDS, TimingGuard
from hdl.layouts import column_command_layout, row_command_layout
from model.golden.timing_checker import NEEDS_CLOSED, NEEDS_OPEN, TimingChecker
from model.spec.attention import Register
from model.spec.errors import SpecError
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.timing import (
    ALL_BANK_COMMANDS,
    COLUMN_COMMANDS,
    HBM3_5200,
    HBM4_8000,
    ROW_COMMANDS,
    Command,
    TimingTable,
)
from tb.build import to_verilog
from tb.column_recorder import ColumnRecorder

SMALL = ChannelGeometry(pim_banks=3, capacity_banks=2, rows=4, row_bytes=128)


@pytest.mark.parametrize(("changes", "message"), [
    ({"nCWL": 20}, "timing x.nCWL: expected less than nCL = 20, in clocks, not 20"),
    ({"nRTP": 1, "nRP": 8}, "timing x.nCL: expected at most nRTP + nRP, not 20"),
    ({"nREFI": 2},
     "timing x.nREFI: expected at least one clock for each of 3 refresh units, not 2"),
])
def test_a_timing_that_the_hardware_cannot_keep_is_refused(changes: dict[str, int],
                                                           message: str) -> None:
    # nRTP and nRP are too short for the softmax check of SliceSpec unless another is longer
    table = replace(HBM4_8000, name="x", nRCDRD=80, **changes)
    with pytest.raises(SpecError) as caught:
        Channel(SliceSpec(geometry=SMALL, timing=table))
    assert str(caught.value) == message


@pytest.mark.parametrize("requesters", [(), ("gpu", "gpu"), ("gpu", "pim")])
def test_ports_need_names_of_their_own(requesters: tuple[str, ...]) -> None:
    with pytest.raises(SpecError, match="requesters: expected different names, other than those"):
        Channel(SliceSpec(geometry=SMALL), requesters=requesters)


@pytest.mark.parametrize("geometry", [
    ChannelGeometry(pim_banks=1, capacity_banks=1, rows=2, row_bytes=64),
    ChannelGeometry(pim_banks=3, capacity_banks=2, rows=3, row_bytes=128, bank_groups=4),
], ids=["smallest", "odd"])
def test_any_geometry_can_be_built(geometry: ChannelGeometry) -> None:
    channel = Channel(SliceSpec(geometry=geometry), pim_unit=ColumnRecorder)
    assert "bank_0" in rtlil.convert(channel)      # finds combinational cycles, too


def test_the_verilog_is_the_same_twice() -> None:
    spec = SliceSpec(geometry=ChannelGeometry(pim_banks=1, capacity_banks=1, rows=2, row_bytes=64))
    texts = {to_verilog(Channel(spec, pim_unit=ColumnRecorder), "channel") for _ in range(2)}
    assert len(texts) == 1


def choose(rng: random.Random, judge: TimingChecker, ready: dict[Any, bool],
           cycle: int) -> tuple[Command, int | None] | None:
    """A command that suits the rows and, as the guard says, the timing; or none."""
    geometry, options = judge.geometry, []
    refreshes, passes = divmod(cycle // 200 % 4, 2)         # what the next 200 clocks are about
    for (command, bank), allowed in ready.items():
        affected = (geometry.pim_bank_numbers if command in ALL_BANK_COMMANDS
                    else () if bank is None else (bank,))
        is_open = [b in judge.open_rows for b in affected]
        suits = (not any(is_open) if command in NEEDS_CLOSED else
                 all(is_open) if command in NEEDS_OPEN else any(is_open) or not affected)
        is_refresh = command in (Command.REF, Command.REF_ALL)
        turned = command in ((Command.WR, Command.REG_WR) if cycle % 64 < 32    # or one of them
                             else (Command.RD, Command.REG_RD))     # would never get the bus
        of_the_day = bank in geometry.capacity_bank_numbers or not affected or (
            (command in ALL_BANK_COMMANDS) == passes)
        if allowed and suits and of_the_day and not turned and (
                not is_refresh or (refreshes and (rng.random() < 0.2 or passes))):
            options.append((command, bank))
    if (Command.REF_ALL, None) in options:
        return Command.REF_ALL, None
    return rng.choice(options) if options and rng.random() < 0.7 else None


@pytest.mark.parametrize(("timing", "groups"), [(HBM4_8000, 2), (HBM3_5200, 4)],
                         ids=["hbm4_8000", "hbm3_5200"])
def test_the_guard_allows_exactly_what_the_checker_allows(timing: TimingTable,
                                                          groups: int) -> None:
    """In every clock, for every command and bank; on random command streams at full speed."""
    spec = SliceSpec(geometry=replace(SMALL, bank_groups=groups), timing=timing)
    guard, judge, rng = TimingGuard(spec), TimingChecker(spec), random.Random(1)
    compared = {False: 0, True: 0}
    issued = dict.fromkeys(ISSUED, 0)

    def look(ctx: Any, bus: frozenset[Command], cycle: int) -> dict[Any, bool]:
        ready = {}
        for command in sorted(bus):
            bits = ctx.get(getattr(guard.ready, command.name.lower()))
            for slot, bank in enumerate(spec.geometry.banks):
                target = bank if command in ONE_BANK_COMMANDS else None
                ready[command, target] = bool(bits >> (slot if target is not None else 0) & 1)
        for (command, bank), allowed in ready.items():
            earliest = judge.probe(command, bank, cycle)
            assert allowed == (earliest.cycle == cycle), (cycle, command.name, bank, earliest)
            compared[allowed] += 1
        return ready

    async def bench(ctx: Any) -> None:
        for cycle in range(1000):
            # Columns are chosen first; rows may depend on the column of the same clock
            ctx.set(guard.row, row_command_layout(spec).const({}))
            ctx.set(guard.column, column_command_layout(spec).const({}))
            for bus, port, layout in (
                    (COLUMN_COMMANDS, guard.column, column_command_layout(spec)),
                    (ROW_COMMANDS, guard.row, row_command_layout(spec))):
                chosen = choose(rng, judge, look(ctx, bus, cycle), cycle)
                if chosen:
                    command, bank = chosen
                    fields: dict[str, Any] = {"command": command, "bank": bank or 0}
                    if bus is COLUMN_COMMANDS:
                        fields["register"] = Register.QUERY
                    ctx.set(port, layout.const(fields))
                    judge.issue(command, bank, cycle, row=0)
                    issued[command] += 1
            await ctx.tick()

    simulator = Simulator(guard)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    assert all(issued.values()), {c.name: n for c, n in issued.items()}
    assert min(compared.values()) > 1000


def test_the_bank_table_follows_the_row_bus() -> None:
    spec = SliceSpec(geometry=SMALL)
    table = BankTable(spec)
    seen: list[tuple[int, list[int]]] = []

    async def bench(ctx: Any) -> None:
        ctx.set(table.column, column_command_layout(spec).const({
            "command": Command.REG_WR, "register": Register.ROW, "mask": 4, "address": 1}))
        ctx.set(table.write_data, 2)
        await ctx.tick()
        ctx.set(table.column, column_command_layout(spec).const({}))
        for command, bank, row in (
                (Command.ACT, 1, 2), (Command.ACT, 16, 3), (Command.PRE, 1, 0),
                (Command.ACT_ALL, 0, 1), (Command.NOP, 0, 0), (Command.ACT, 31, 0),
                (Command.PRE_ALL, 0, 0), (Command.PRE, 16, 0)):
            ctx.set(table.row, row_command_layout(spec).const(
                {"command": command, "bank": bank, "row": row, "latch": 1}))
            await ctx.tick()
            seen.append((ctx.get(table.open), [ctx.get(table.rows[i]) for i in range(5)]))

    simulator = Simulator(table)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    assert [bits for bits, _ in seen] == [
        0b00010, 0b01010, 0b01000, 0b01111, 0b01111, 0b01111, 0b01000, 0]
    assert seen[1][1] == [0, 2, 0, 3, 0]
    assert seen[3][1][:4] == [1, 1, 3, 3]           # bank 2 has 2 in its latch


def test_a_refresh_that_nobody_lets_through_is_forced_after_eight() -> None:
    spec = SliceSpec(geometry=SMALL, timing=replace(HBM4_8000, nREFI=60))     # units every 10
    refresh = Refresh(spec)
    asked: list[int] = []

    async def bench(ctx: Any) -> None:
        ctx.set(refresh.wanted, (1 << len(SMALL.banks)) - 1)
        for cycle in range(400):
            await ctx.tick()
            if ctx.get(refresh.valid):
                asked.append(cycle)
                assert ctx.get(refresh.slots) == 0b00111 and ctx.get(refresh.all)
                break

    simulator = Simulator(refresh)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    # The PIM unit's turn comes at clocks 10, 40, ...; the eighth is at 220
    assert asked and 220 <= asked[0] <= 222
