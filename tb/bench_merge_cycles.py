"""cocotb test that joins partial results in the merge unit and records what each join cost.

Parameters: ``plan`` (operations) and those of :mod:`tb.bench_merge`.
"""

import json
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from model.golden.merge import Part
from tb.bench import parameters
from tb.bench_cycles import RECORD
from tb.bench_merge import MergeBench


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def join_the_parts(dut: Any) -> None:
    """Parts come back to back; results are checked to the last bit."""
    async with MergeBench(dut) as tb:
        busy = 0

        async def count() -> None:
            nonlocal busy
            while True:
                await RisingEdge(dut.clk)
                busy += int(dut.busy.value)

        cocotb.start_soon(count())
        clocks = []
        for step in parameters()["plan"]:
            before = busy
            await tb.merge([Part(m=int(tb.np_rng.integers(-20, 20)),
                                 l=np.float32(1 + tb.np_rng.random()),
                                 o=tb.np_rng.standard_normal(step["head_size"], np.float32))
                            for _ in range(step["parts"])])
            await tb.clocks(2)
            clocks.append(busy - before)
        Path(RECORD).write_text(json.dumps(clocks))
