"""Plays a trace into a :class:`~tb.traced_channel.TracedChannel` and notes what comes of it.

Parameters: ``trace``, a file with one access a line (the payload as a number); ``result``, the file
for :class:`tb.replay.Observed` as JSON; ``clocks``, the most that it may take.
"""

import json
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from model.golden.timing_checker import TimingChecker
from model.spec.port import TAG_WIDTH
from model.spec.timing import Command
from tb.bench import Bench, parameters
from tb.channel_monitor import Fields
from tb.replay import replay_spec
from tb.traced_channel import sight_layout

PROGRESS_CLOCKS = 20_000


@cocotb.test()
async def replay(dut: Any) -> None:
    given = parameters()
    spec = replay_spec(given["preset"], refresh=given["refresh"])
    fields, checker = Fields(sight_layout(spec)), TimingChecker(spec)
    accesses = [int(line) for line in Path(given["trace"]).read_text().split()]
    columns, rows, latencies, kinds = [], [], [], {"hit": 0, "miss": 0, "conflict": 0}
    under_way: dict[int, tuple[int, int]] = {}
    taken = answered = 0
    async with Bench(dut) as tb:
        dut.i__payload.value, dut.i__valid.value = accesses[0], 1
        start = tb.cycle + 1            # the first clock in which the first request is offered
        while answered < len(accesses):
            await RisingEdge(dut.clk)
            seen, now = fields(int(dut.sight.value)), tb.cycle
            assert not seen["error"], f"cycle {now}: the device reports an error"
            assert now < given["clocks"], f"{answered} of {len(accesses)} after {now} clocks"
            if command := seen["column_command"]:
                checker.issue(Command(command), seen["column_bank"], now)
                columns.append((now, command, seen["column_bank"], seen["column"]))
                for kind in kinds:
                    kinds[kind] += seen[kind]
            if command := seen["row_command"]:
                every = Command(command).name.endswith("_ALL")
                bank = None if every else seen["row_bank"]
                checker.issue(Command(command), bank, now, seen["row"])
                rows.append((now, command, bank, seen["row"]))
            if seen["answered"]:
                write, since = under_way.pop(seen["tag"])
                answered += 1
                if not write:
                    latencies.append(now - since)
            if seen["accepted"]:
                under_way[taken % (1 << TAG_WIDTH)] = accesses[taken] & 1, now
                taken += 1
                if taken < len(accesses):
                    dut.i__payload.value = accesses[taken]
                else:
                    dut.i__valid.value = 0
            if now % PROGRESS_CLOCKS == 0:
                Path(given["progress"]).write_text(f"{answered} {now}")
        tb.check(answered, len(accesses), "answers")
        tb.check(len(columns), len(accesses), "columns")
    Path(given["result"]).write_text(json.dumps({
        "start": start, "columns": columns, "rows": rows, "latencies": latencies, **kinds}))
