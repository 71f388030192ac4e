"""cocotb test that carries out a plan of operations on a slice and records what each one cost."""

import json
from pathlib import Path
from typing import Any

import cocotb

from model.spec.attention import BLOCK_TOKENS, KvLayout
from model.spec.presets import slice_spec
from tb.bench import parameters
from tb.slice_bench import SliceBench

RECORD = "operations.json"
"""File with the clocks of each operation of the plan, in order, as its counter showed them."""


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def carry_out_the_plan(dut: Any) -> None:
    """Every result is checked to the last bit: a cycle count of a wrong answer is worth nothing.

    Each operation starts with no refresh outstanding. An attention postpones the refreshes of the
    PIM banks, so up to eight intervals of tREFI its clocks hold none; the runtime adds their share
    (``runtime/pim.py``).
    """
    spec, plan = slice_spec(**parameters()["spec"]), parameters()["plan"]
    async with SliceBench(dut, spec) as tb:
        clocks = []
        if plan[0]["operation"] == "attend":
            size = {"heads": plan[0]["group"], "head_size": plan[0]["head_size"],
                    "tokens": max(step["context"] for step in plan)}
            if parameters()["sparse"]:
                sequence = tb.sparse_sequence(**size)
                await tb.store_sparse_sequence(sequence)
            else:
                sequence = tb.random_sequence(**size)
                await tb.store_sequence(sequence)
            for step in plan:
                await tb.refreshed()
                clocks.append(await tb.attend(sequence, step["context"]))
        else:
            for step in plan:
                clocks.append(await _move(tb, step))
        tb.check(await tb.errors(), set(), "errors")
        Path(RECORD).write_text(json.dumps(clocks))


async def _move(tb: SliceBench, step: dict[str, Any]) -> int:
    geometry = tb.spec.geometry
    layout = KvLayout(head_size=step["head_size"], columns=geometry.columns)
    pim, capacity = (0, 0), (geometry.capacity_bank_numbers[0], 0)
    source, destination = {"capacity_to_pim": (capacity, pim),
                           "pim_to_capacity": (pim, capacity)}[step["direction"]]
    block = tb.random_sequence(heads=1, head_size=step["head_size"], tokens=BLOCK_TOKENS)
    await tb.store_block(*source, block.k, block.v)
    await tb.settle_host()
    await tb.refreshed()
    clocks = await tb.move(source, destination, layout.rows)
    await tb.verify_all()
    return clocks
