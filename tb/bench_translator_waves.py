"""cocotb test of the scenario that `make waves SCENARIO=translator` shows."""

from typing import Any

import cocotb

from model.golden.translator import BlockId, Residency
from model.spec.translation import Access, Fault, Scope, Tier
from tb.translator_scene import Scene

LATENCY = 12
"""Clocks of the memory: short, so that a walk fits on the screen."""


@cocotb.test(timeout_time=5, timeout_unit="us")
async def a_block_is_found_moved_and_refused(dut: Any) -> None:
    """A miss; hits under a miss; a migration by two commits; an invalidated walk; a fault."""
    async with Scene(dut, latency=range(LATENCY, LATENCY + 1)) as tb:
        hot, cold = tb.block(0), tb.block(1, Residency(capacity=True))
        await tb.expect(Fault.NONE, hot)

        miss = await tb.lookup(cold, Tier.CAPACITY)
        hits = [await tb.lookup(hot, Tier.PIM) for _ in range(8)]
        await miss.event.wait()
        tb.check(all(hit.answered < miss.answered for hit in hits), True, "hits overtake the miss")

        moving = Residency(capacity=True, in_flight=True, to=Tier.PIM)
        await (await tb.commit(cold, Residency(capacity=True), moving)).event.wait()
        await tb.lookup(cold, Tier.CAPACITY)
        await tb.lookup(cold, Tier.PIM, Access.FILL)
        await tb.quiet()
        await (await tb.commit(cold, moving, Residency(pim=True))).event.wait()
        await tb.expect(Fault.NONE, cold)

        walk = await tb.lookup(tb.block(2), Tier.PIM)
        await tb.clocks(LATENCY)
        await tb.invalidate(Scope.SEQUENCE, hot)
        await walk.event.wait()
        await tb.expect(Fault.WRONG_TENANT, BlockId(tenant=2, sequence=1))
