"""cocotb test of the scenario that `make waves SCENARIO=heads` shows: two heads that overlap."""

from typing import Any

import cocotb

from model.spec.attention import BLOCK_TOKENS, KvLayout
from model.spec.presets import slice_spec
from tb.bench import parameters
from tb.slice_bench import SliceBench

BLOCKS, HEADS = 3, 2


@cocotb.test(timeout_time=20, timeout_unit="us")
async def two_heads_are_attended_to_without_a_pause(dut: Any) -> None:
    """Two KV heads with one query head each; the second is asked for while the first begins."""
    spec = slice_spec(**parameters()["spec"])
    async with SliceBench(dut, spec) as tb:
        head_size, banks = spec.pim.head_size_max, spec.geometry.pim_banks
        rows = KvLayout(head_size=head_size, columns=spec.geometry.columns).rows
        waves = -(-BLOCKS // banks)
        heads = [tb.random_sequence(heads=1, head_size=head_size, tokens=BLOCKS * BLOCK_TOKENS,
                                    first_row=rows * waves * head) for head in range(HEADS)]
        for head, sequence in enumerate(heads):
            await tb.store_sequence(sequence)
            await tb.set_waves(sequence, first=waves * head)
        await tb.set_waves(heads[0])
        for head, sequence in enumerate(heads):
            await tb.start_attention(sequence, BLOCKS * BLOCK_TOKENS, first_wave=waves * head)
        for sequence in heads:
            await tb.collect(sequence, BLOCKS * BLOCK_TOKENS)
        tb.check(await tb.errors(), set(), "errors")
