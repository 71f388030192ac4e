"""cocotb test of the scenario that `make waves SCENARIO=dma` shows."""

from typing import Any

import cocotb

from model.spec.dma import Descriptor, Result
from tb.bench_dma import CAPACITY, region
from tb.bench_dma_blocks import BEATS, IN_CAPACITY, NAMED, BlockBench


@cocotb.test(timeout_time=20, timeout_unit="us")
async def a_block_is_promoted_beside_a_plain_move(dut: Any) -> None:
    """Channel 0 moves a block by its id, residency flipping last; channel 1 copies a region."""
    async with BlockBench(dut) as tb:
        software = tb.begin()
        tb.tell()
        block = await tb.block(1, IN_CAPACITY)
        software.post(1, Descriptor(source=region(CAPACITY + 5, 0, spread=1),
                                    destination=region(9, 0, spread=1), beats=2 * BEATS))
        await software.ring(1)
        await tb.ends(Descriptor(source=NAMED, destination=NAMED, beats=BEATS,
                                 block=tb.question(block)), Result.DONE)
        tb.check([record["result"] for record in software.take_records(1)], [Result.DONE], "copy")
