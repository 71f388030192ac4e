"""cocotb tests of hdl.slice: attention, block moves and host traffic together, bit for bit."""

from typing import Any

import cocotb
import numpy as np

from hdl.attention.wave_source import REQUESTS
from model.spec.attention import BLOCK_TOKENS, KvLayout
from model.spec.presets import slice_spec
from model.spec.timing import REGISTER_COMMANDS, Command
from tb.bench import parameters
from tb.slice_bench import Sequence, SliceBench

OPTIONS = parameters()
SPEC = slice_spec(**OPTIONS.get("spec", {}))
MUTANT = OPTIONS.get("mutant", 0)
"""Number of a planted fault; only :mod:`tests.rtl.test_slice_mutants` builds hardware with any."""

BANKS = SPEC.geometry.pim_banks
WAVE = BANKS * BLOCK_TOKENS
CAPACITY_BANK = SPEC.geometry.capacity_bank_numbers[0]
HELD_CLOCKS = 8000
"""Longer than ``REQUESTS`` attentions of a wave take."""

HEAD_SIZES = [n for n in (64, 80, 96, 128, 256) if n <= SPEC.pim.head_size_max]


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.3])
async def the_host_port_reads_back_what_it_wrote(dut: Any, stall: float) -> None:
    async with SliceBench(dut, SPEC, stall=stall) as tb:
        g = SPEC.geometry
        for bank in (*g.pim_bank_numbers, *g.capacity_bank_numbers):
            for row in (0, g.rows - 1):
                for column in (0, g.columns - 1):
                    await tb.store((bank, row, column), tb.rng.getrandbits(256))
        await tb.verify_all()
        tb.check(await tb.errors(), set(), "errors")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def attention_is_exact_at_every_context_of_two_waves(dut: Any) -> None:
    """Corners: one token, a block and its neighbours, a wave and its neighbours, two waves."""
    async with SliceBench(dut, SPEC) as tb:
        await tb.host.write("move_rows", MUTANT << 24)
        sequence = tb.random_sequence(heads=2, head_size=64, tokens=2 * WAVE)
        await tb.store_sequence(sequence)
        contexts = {1, 15, 16, 17, WAVE - 1, WAVE, WAVE + 1, 2 * WAVE - 15, 2 * WAVE}
        for context in OPTIONS.get("contexts", sorted(contexts)):
            await tb.attend(sequence, context)
        tb.check(await tb.errors(), set(), "errors")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def maxima_that_grow_in_a_partial_wave_reach_every_bank(dut: Any) -> None:
    """Banks without a block in the last wave must scale their outputs down nevertheless."""
    async with SliceBench(dut, SPEC) as tb:
        await tb.host.write("move_rows", MUTANT << 24)
        sequence = tb.random_sequence(heads=2, head_size=64, tokens=WAVE + 7)
        sequence.k[WAVE:] = sequence.q[0] * 3        # the last tokens attract most of the weight
        await tb.store_sequence(sequence)
        for context in (WAVE + 1, WAVE + 7):
            await tb.attend(sequence, context)
            await tb.attend(sequence, context, partial=True)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def queries_may_come_late(dut: Any) -> None:
    async with SliceBench(dut, SPEC) as tb:
        await tb.host.write("move_rows", MUTANT << 24)
        for idle in (0.95, 0.5):
            tb.query.idle = idle
            sequence = tb.random_sequence(heads=2, head_size=64, tokens=20)
            await tb.store_sequence(sequence)
            await tb.attend(sequence)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.3])
async def attentions_that_wait_follow_each_other(dut: Any, stall: float) -> None:
    """Several wait while the first is under way; the last has another shape than the others."""
    async with SliceBench(dut, SPEC, stall=stall) as tb:
        await tb.host.write("move_rows", MUTANT << 24)
        orders, row = [], 0
        for heads, size, waves in ((2, 64, 1), (2, 64, 2), (2, 64, 1), (1, HEAD_SIZES[-1], 1)):
            sequence = tb.random_sequence(heads=heads, head_size=size, tokens=waves * WAVE - 3,
                                          first_row=row)
            await tb.store_sequence(sequence)
            orders.append((sequence, row))
            row += waves * KvLayout(head_size=size, columns=SPEC.geometry.columns).rows
        for sequence, entry in orders:
            await tb.set_waves(sequence, entry)
        for sequence, entry in orders:
            await tb.start_attention(sequence, len(sequence.k), first_wave=entry)
        for sequence, _ in orders:
            await tb.collect(sequence, len(sequence.k))
        await tb.clocks(1)
        tb.check((await tb.host.read_fields("status"))["attend_busy"], 0, "busy")
        tb.check(await tb.errors(), set(), "errors")


async def _start(tb: SliceBench, sequences: list[Sequence]) -> None:
    for entry, sequence in enumerate(sequences):
        await tb.start_attention(sequence, WAVE, partial=True, first_wave=entry)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def results_may_be_taken_late(dut: Any) -> None:
    """Attentions that follow leave alone what has not been read of those before."""
    async with SliceBench(dut, SPEC) as tb:
        await tb.host.write("move_rows", MUTANT << 24)
        size, rows = max((size, rows) for size in HEAD_SIZES if REQUESTS * (rows := KvLayout(
            head_size=size, columns=SPEC.geometry.columns).rows) <= SPEC.geometry.rows)
        for heads in (1, SPEC.pim.group_max):
            several = [tb.random_sequence(heads=heads, head_size=size, tokens=WAVE,
                                          first_row=number * rows) for number in range(REQUESTS)]
            for sequence in several:
                await tb.store_sequence(sequence)
            for entry, sequence in enumerate(several):
                await tb.set_waves(sequence, entry)
            tb.results.hold(True)
            starter = cocotb.start_soon(_start(tb, several))
            await tb.clocks(HELD_CLOCKS)
            tb.results.hold(False)
            await starter
            for sequence in several:
                await tb.collect(sequence, WAVE, partial=True)
        tb.check(await tb.errors(), set(), "errors")


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def attention_is_exact_for_every_head_size_and_group(dut: Any) -> None:
    async with SliceBench(dut, SPEC) as tb:
        for head_size in HEAD_SIZES:
            layout = KvLayout(head_size=head_size, columns=SPEC.geometry.columns)
            waves = min(3, SPEC.geometry.rows // layout.rows)
            for heads in sorted({1, SPEC.pim.group_max}):
                tokens = waves * WAVE - tb.rng.randrange(WAVE)
                sequence = tb.random_sequence(heads=heads, head_size=head_size, tokens=tokens)
                await tb.store_sequence(sequence)
                await tb.attend(sequence)
                await tb.attend(sequence, tb.rng.randrange(1, tokens + 1), partial=True)
        tb.check(await tb.errors(), set(), "errors")


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def stalls_and_host_traffic_change_no_bit(dut: Any) -> None:
    async with SliceBench(dut, SPEC, stall=0.3) as tb:
        await tb.paint(CAPACITY_BANK, 0)
        sequence = tb.random_sequence(heads=2, head_size=64, tokens=2 * WAVE - 5)
        await tb.store_sequence(sequence)
        for _ in range(2):
            traffic = cocotb.start_soon(_traffic(tb))
            await tb.start_attention(sequence, len(sequence.k))
            await tb.finish_attention(sequence, len(sequence.k))
            await traffic
        await tb.settle_host()
        tb.check(await tb.errors(), set(), "errors")


async def _traffic(tb: SliceBench) -> None:
    for _ in range(40):
        place = (CAPACITY_BANK, tb.rng.randrange(4), tb.rng.randrange(SPEC.geometry.columns))
        if tb.rng.random() < 0.5:
            await tb.store(place, tb.rng.getrandbits(256))
        elif place in tb.image:
            await tb.verify(place)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def a_migrated_block_is_attended_to(dut: Any) -> None:
    """A block is written to a capacity bank, moved to its PIM bank, and used there."""
    async with SliceBench(dut, SPEC) as tb:
        layout = KvLayout(head_size=64, columns=SPEC.geometry.columns)
        sequence = tb.random_sequence(heads=2, head_size=64, tokens=3 * BLOCK_TOKENS, first_row=1)
        for guard in (0, 1 + layout.rows):           # rows on both sides must stay
            await tb.paint(1, guard)
        bank, row, tokens = tb.blocks(sequence)[1]
        await tb.store_sequence(sequence)
        for column in range(SPEC.geometry.columns):  # spoil it where it must end up
            for offset in range(layout.rows):
                await tb.store((bank, row + offset, column), tb.rng.getrandbits(256))
        await tb.store_block(CAPACITY_BANK, 5, sequence.k[tokens], sequence.v[tokens])
        await tb.settle_host()
        await tb.move((CAPACITY_BANK, 5), (bank, row), layout.rows)
        await tb.attend(sequence)
        await tb.verify_all()
        tb.check(await tb.errors(), set(), "errors")


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def a_move_and_an_attention_run_together(dut: Any) -> None:
    async with SliceBench(dut, SPEC) as tb:
        rows = 2
        for row in range(rows):
            await tb.paint(CAPACITY_BANK, row)
        free = SPEC.geometry.rows - rows
        sequence = tb.random_sequence(heads=1, head_size=64, tokens=WAVE)
        await tb.store_sequence(sequence)
        await tb.start_move((CAPACITY_BANK, 0), (0, free), rows)
        await tb.start_attention(sequence, WAVE)
        await tb.finish_attention(sequence, WAVE)
        await tb.finish_move((CAPACITY_BANK, 0), (0, free), rows)
        await tb.verify_all()
        tb.check(await tb.errors(), set(), "errors")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def impossible_orders_are_refused_by_name(dut: Any) -> None:
    async with SliceBench(dut, SPEC) as tb:
        sequence = tb.random_sequence(heads=1, head_size=64, tokens=BLOCK_TOKENS)
        await tb.store_sequence(sequence)
        host = tb.host
        good = {"last_chunk": 3, "last_head": 0}
        for context, shape, row in (
                (0, good, 0), (1 << 20, good, 0), ((1 << 32) - 1, good, 0),
                (16, {**good, "last_chunk": 2}, 0),
                (16, {**good, "last_chunk": SPEC.pim.chunks_max}, 0),
                (16, {**good, "last_head": SPEC.pim.group_max}, 0),
                (16, good, SPEC.geometry.rows - 1)):
            await host.write("wave_row", row)
            await host.write("context", context)
            await host.write_fields("shape", **shape)
            await host.write_fields("control", attend=1)
            await tb.clocks(8)
            tb.check(await tb.errors(), {"bad_attention"}, f"context {context}, {shape}, row {row}")
            tb.check((await host.read_fields("status"))["attend_busy"], 0, "busy")
        await host.write("move_rows", 0)
        await host.write_fields("control", move=1)
        tb.check(await tb.errors(), {"bad_move"}, "move of no rows")
        await tb.set_waves(sequence)
        await tb.attend(sequence)                     # and the unit goes on


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_nan_key_is_reported_and_weighs_nothing(dut: Any) -> None:
    async with SliceBench(dut, SPEC) as tb:
        sequence = tb.random_sequence(heads=1, head_size=64, tokens=20)
        sequence.k[7, 3] = np.nan
        await tb.store_sequence(sequence)
        await tb.attend(sequence)
        tb.check(await tb.errors(), {"nan_score"}, "errors")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def counters_count_what_the_command_bus_shows(dut: Any) -> None:
    async with SliceBench(dut, SPEC) as tb:
        await tb.paint(CAPACITY_BANK, 0)
        sequence = tb.random_sequence(heads=2, head_size=64, tokens=WAVE + 1)
        await tb.store_sequence(sequence)
        await tb.attend(sequence)
        await tb.move((CAPACITY_BANK, 0), (CAPACITY_BANK, 3), 1)
        counters = await tb.counters()
        for name, commands in {
                "activates": {Command.ACT}, "row_passes": {Command.ACT_ALL},
                "column_reads": {Command.RD}, "column_writes": {Command.WR},
                "macs": {Command.MAC_ALL}, "register_transfers": REGISTER_COMMANDS}.items():
            tb.check(counters[name], len(tb.monitor.of(*commands)), name)
        served = counters["row_hits"] + counters["row_misses"] + counters["row_conflicts"]
        tb.check(served, counters["column_reads"] + counters["column_writes"], "accesses")
