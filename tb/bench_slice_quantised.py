"""cocotb tests of hdl.slice with KV that stays quantised in the PIM banks, bit for bit.

Parameters: ``spec`` and ``mutant``, as of :mod:`tb.bench_slice`.
"""

from typing import Any

import cocotb
import numpy as np

from model.spec.attention import BLOCK_TOKENS, QUANTISED_HEADS
from model.spec.mx import StoredFormat
from model.spec.presets import slice_spec
from tb.bench import parameters
from tb.slice_bench import SliceBench

SPEC = slice_spec(**parameters()["spec"])
MUTANT = parameters().get("mutant", 0)
WAVE = SPEC.geometry.pim_banks * BLOCK_TOKENS
HEAD_SIZE = QUANTISED_HEADS
PADDED = (80, 96)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def quantised_attention_is_exact(dut: Any) -> None:
    """Every format and group, within a wave and over several, and one in part."""
    async with SliceBench(dut, SPEC) as tb:
        await tb.host.write("move_rows", MUTANT << 24)
        for turn, fmt in enumerate(SPEC.pim.quantised):
            group = (SPEC.pim.group_max, 1)[turn % 2]
            sequence = tb.random_sequence(heads=group, head_size=HEAD_SIZE,
                                          tokens=3 * WAVE, stored=fmt)
            await tb.store_sequence(sequence)
            for context in (1, WAVE + 5, 3 * WAVE):
                await tb.attend(sequence, context)
            await tb.attend(sequence, 2 * WAVE, partial=True)
        tb.check(await tb.errors(), set(), "errors")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def padded_heads_are_exact(dut: Any) -> None:
    """Heads that do not fill rows, as heads of the next size that does, with their own scale."""
    async with SliceBench(dut, SPEC) as tb:
        await tb.host.write("move_rows", MUTANT << 24)
        for fmt, head_size in zip(SPEC.pim.quantised, PADDED, strict=True):
            sequence = tb.random_sequence(heads=SPEC.pim.group_max, head_size=head_size,
                                          tokens=WAVE + 5, stored=fmt)
            tb.check(sequence.q.shape[1], 128, "elements")
            await tb.store_sequence(sequence)
            await tb.attend(sequence)
        tb.check(await tb.errors(), set(), "errors")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def formats_follow_each_other(dut: Any) -> None:
    """Attentions that wait have other formats than the one before, so other rows and clocks."""
    async with SliceBench(dut, SPEC) as tb:
        await tb.host.write("move_rows", MUTANT << 24)
        formats = (None, *SPEC.pim.quantised, None)
        sequences, row = [], 0
        for fmt in formats:
            sequence = tb.random_sequence(heads=2, head_size=64, tokens=WAVE, stored=fmt,
                                          first_row=row)
            await tb.store_sequence(sequence)
            sequences.append(sequence)
            row = sequence.rows[-1] + 4
        for wave, sequence in enumerate(sequences):
            await tb.set_waves(sequence, wave)
        starts = [cocotb.start_soon(_start_all(tb, sequences))]
        for sequence in sequences:
            await tb.collect(sequence, WAVE)
        for start in starts:
            await start
        tb.check(await tb.errors(), set(), "errors")


async def _start_all(tb: SliceBench, sequences: list[Any]) -> None:
    for wave, sequence in enumerate(sequences):
        await tb.start_attention(sequence, WAVE, first_wave=wave)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def formats_that_were_not_built_are_refused(dut: Any) -> None:
    async with SliceBench(dut, SPEC) as tb:
        host = tb.host
        await host.write("wave_row", 0)
        await host.write("context", 16)
        built = {fmt.code for fmt in SPEC.pim.quantised}
        good = SPEC.pim.quantised[0]
        for shape in (*({"last_chunk": 3, "format": code} for code in StoredFormat
                        if code not in built | {StoredFormat.WIDE}),
                      {"last_chunk": 4, "format": good.code}):       # 80 does not fill rows
            await host.write_fields("shape", **{"last_head": 0, **shape})
            await host.write_fields("control", attend=1)
            await tb.clocks(8)
            tb.check(await tb.errors(), {"bad_attention"}, f"{shape}")
        await host.write("wave_row", SPEC.geometry.rows - 2)         # elements fit, scales do not
        await host.write_fields("shape", last_chunk=3, format=good.code)
        await host.write_fields("control", attend=1)
        await tb.clocks(8)
        tb.check(await tb.errors(), {"bad_attention"}, "the last row")
        sequence = tb.random_sequence(heads=1, head_size=64, tokens=WAVE, stored=good,
                                      first_row=SPEC.geometry.rows - 3)
        await tb.store_sequence(sequence)
        await tb.attend(sequence)                     # and the unit goes on


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_scale_of_nan_is_reported(dut: Any) -> None:
    async with SliceBench(dut, SPEC) as tb:
        sequence = tb.random_sequence(heads=1, head_size=64, tokens=20,
                                      stored=SPEC.pim.quantised[0])
        sequence.k[7, 3] = np.nan                     # its block has the scale NaN then
        await tb.store_sequence(sequence)
        await tb.attend(sequence)
        tb.check(await tb.errors(), {"nan_score"}, "errors")
