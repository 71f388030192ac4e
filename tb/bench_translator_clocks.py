"""cocotb test that measures the translator; leaves its clocks in a file of the run's directory."""

import json
from pathlib import Path
from typing import Any

import cocotb

from model.golden.translator import BlockId, Residency
from model.spec.translation import WALK_READS, Tier
from tb.translator_bench import TranslatorBench

RESULT = "translator_clocks.json"
HITS = 1000
LATENCIES = range(1, 121, 7)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def clocks_of_hits_and_misses(dut: Any) -> None:
    """A stream of hits; then misses, one at a time, each with another latency of the memory."""
    async with TranslatorBench(dut) as tb:
        count = len(LATENCIES) + 1
        tb.sequence(1, tenant=1, layers=count)
        tb.put("chunk", 0, tenant=1, channel=0, bank=0, row=0, rows=count)
        blocks = [BlockId(tenant=1, sequence=1, layer=n) for n in range(count)]
        for number, block in enumerate(blocks):
            tb.put("block", block, Residency(pim=True), pim=(0, number))
        await tb.answer(blocks[0], Tier.PIM)
        hits = [await tb.lookup(blocks[0], Tier.PIM) for _ in range(HITS)]
        await tb.quiet()
        overheads = []
        for latency, block in zip(LATENCIES, blocks[1:], strict=True):
            tb.agent.latency = range(latency, latency + 1)
            before = len(tb.memory_clocks)
            pending = await tb.lookup(block, Tier.PIM)
            await pending.event.wait()
            memory = tb.memory_clocks[before:]
            tb.check(len(memory), WALK_READS, "dependent reads")
            overheads.append(pending.answered - pending.accepted - sum(memory))
        Path(RESULT).write_text(json.dumps({
            "hits": HITS, "hit_clocks": hits[-1].answered - hits[0].answered + 1,
            "miss_overhead": max(overheads)}))
