"""cocotb test of the scenario that `make waves` shows: one block move, then one attention."""

from typing import Any

import cocotb

from model.spec.attention import BLOCK_TOKENS, KvLayout
from model.spec.presets import slice_spec
from tb.bench import parameters
from tb.slice_bench import SliceBench

HEADS, BLOCKS, FIRST_ROW = 2, 3, 4
MIGRATED = 2
"""The block that begins in the capacity bank."""

CAPACITY_ROW = 8
"""Its first row there."""


@cocotb.test(timeout_time=20, timeout_unit="us")
async def a_block_migrates_and_is_attended_to(dut: Any) -> None:
    """Two query heads over three KV blocks, the last of which a block move brings in first."""
    spec = slice_spec(**parameters()["spec"])
    async with SliceBench(dut, spec) as tb:
        head_size = spec.pim.head_size_max
        layout = KvLayout(head_size=head_size, columns=spec.geometry.columns)
        source = spec.geometry.capacity_bank_numbers[0], CAPACITY_ROW
        sequence = tb.random_sequence(heads=HEADS, head_size=head_size,
                                      tokens=BLOCKS * BLOCK_TOKENS, first_row=FIRST_ROW)
        blocks = tb.blocks(sequence)
        for number, (bank, row, tokens) in enumerate(blocks):
            place = source if number == MIGRATED else (bank, row)
            await tb.store_block(*place, sequence.k[tokens], sequence.v[tokens])
        await tb.settle_host()
        destination = blocks[MIGRATED][:2]
        await tb.start_move(source, destination, layout.rows)
        await tb.set_waves(sequence)              # while the block moves
        await tb.finish_move(source, destination, layout.rows)
        await tb.attend(sequence)
        tb.check(await tb.errors(), set(), "errors")
