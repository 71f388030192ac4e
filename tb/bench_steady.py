"""cocotb test that attends without a pause and records what each attention then costs.

Parameters: ``spec``, ``group``, ``head_size``, ``context``, ``repeats``.
"""

import json
from pathlib import Path
from typing import Any

import cocotb

from model.spec.presets import slice_spec
from tb.bench import parameters
from tb.bench_cycles import RECORD
from tb.slice_bench import SliceBench


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def attend_without_a_pause(dut: Any) -> None:
    """Refreshes that attentions postpone must now be paid for by those that follow."""
    step = parameters()
    async with SliceBench(dut, slice_spec(**step["spec"])) as tb:
        sequence = tb.random_sequence(
            heads=step["group"], head_size=step["head_size"], tokens=step["context"])
        await tb.store_sequence(sequence)
        await tb.refreshed()
        clocks = [await tb.attend(sequence) for _ in range(step["repeats"])]
        Path(RECORD).write_text(json.dumps(clocks))
