# amaranth: UnusedElaboratable=no
"""Broadcast and gather over pseudo-channels: any subset, any order, any pace, and bad input."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from hdl.attention.gather import Broadcast, Gather
from hdl.attention.merge import Merge
from hdl.layouts import PartHeader
from model.golden.merge import Part, finalize, merge
from model.spec.attention import PimSpec
from model.spec.errors import SpecError
from model.spec.gather import GatherSpec

PIM = PimSpec(head_size_max=64, group_max=1, exponent_fraction_bits=8)
BEATS = 8
"""Beats of a part behind its header."""


class Joined(wiring.Component):
    """A gatherer with its merge unit."""

    def __init__(self, spec: GatherSpec, gather: type[Gather] = Gather) -> None:
        self.gather, self.merge = gather(spec), Merge(spec.pim)
        super().__init__({})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.gather, m.submodules.merge = self.gather, self.merge
        connect(m, self.gather.part, self.merge.part)
        m.d.comb += [self.gather.shape.last_chunk.eq(3), self.merge.shape.last_chunk.eq(3)]
        return m


def simulate(dut: Any, *benches: Callable[[Any], Any]) -> None:
    """Runs the benches until all of them are over."""
    sim = Simulator(dut)
    sim.add_clock(1e-9)
    for bench in benches:
        sim.add_testbench(bench)
    sim.run_until(3e-6)


def random_part(draw: np.random.Generator) -> Part:
    return Part(int(draw.integers(-20, 20)), np.float32(draw.uniform(0.5, 4)),
                draw.standard_normal(64).astype(np.float32))


def beats_of(part: Part) -> list[int]:
    header = (part.m & 0xFFFF) | int(np.float32(part.l).view(np.uint32)) << 16
    raw = part.o.tobytes()
    return [header, *(int.from_bytes(raw[n:n + 32], "little") for n in range(0, 256, 32))]


def run_heads(channels: int, gather_type: type[Gather] = Gather, heads: int = 5) -> None:
    """Channels finish heads in orders of their own, with gaps; results come in any order."""
    spec = GatherSpec(channels=channels, slots=3, pim=PIM)
    rng, draw = random.Random(channels), np.random.default_rng(channels)
    dut = Joined(spec, gather_type)
    gather: Any = dut.gather
    groups = [(1 << channels) - 1] + [rng.randrange(1, 1 << channels) for _ in range(heads - 1)]
    parts = [{c: random_part(draw) for c in range(channels) if group >> c & 1}
             for group in groups]
    todo: list[list[tuple[int, int]]] = [[] for _ in range(channels)]
    merged: list[int] = []

    async def opener(ctx: Any) -> None:
        for head, group in enumerate(groups):
            ctx.set(gather.open.payload, {"members": group, "tag": head})
            ctx.set(gather.open.valid, 1)
            ready = slot = 0
            while not ready:
                _, _, ready, slot = await ctx.tick().sample(gather.open.ready, gather.slot)
            ctx.set(gather.open.valid, 0)
            for c in parts[head]:
                todo[c].insert(rng.randrange(len(todo[c]) + 1), (head, slot))

    def sender(channel: int) -> Callable[[Any], Any]:
        way = getattr(gather, f"i_{channel}")

        async def send(ctx: Any) -> None:
            for _ in range(sum(channel in p for p in parts)):
                while not todo[channel] or rng.random() < 0.3:
                    await ctx.tick()
                head, slot = todo[channel].pop(0)
                for n, beat in enumerate(beats_of(parts[head][channel])):
                    while rng.random() < 0.2:
                        await ctx.tick()
                    ctx.set(way.payload, {"slot": slot, "data": beat, "last": n == BEATS})
                    ctx.set(way.valid, 1)
                    await ctx.tick()
                    ctx.set(way.valid, 0)
        return send

    async def checker(ctx: Any) -> None:
        result = dut.merge.result
        for _ in range(heads):
            words = b""
            while len(words) < 128:
                ctx.set(result.ready, rng.random() < 0.7)
                _, _, ready, valid, word = await ctx.tick().sample(
                    result.ready, result.valid, result.p.data)
                if ready and valid:
                    words += word.to_bytes(32, "little")
            ctx.set(result.ready, 0)
            assert ctx.get(gather.tag.valid)
            head = ctx.get(gather.tag.payload)
            ctx.set(gather.tag.ready, 1)
            await ctx.tick()
            ctx.set(gather.tag.ready, 0)
            merged.append(head)
            want = finalize(merge(parts[head][c] for c in sorted(parts[head])), PIM.kv_format)
            assert words == want.tobytes(), f"head {head}"

    async def strays(ctx: Any) -> None:
        for _ in range(400):
            _, _, stray, refused = await ctx.tick().sample(gather.stray, gather.refused)
            assert not stray and not refused

    simulate(dut, opener, checker, strays, *(sender(c) for c in range(channels)))
    assert sorted(merged) == list(range(heads))


@pytest.mark.parametrize("channels", [1, 2, 4, 8])
def test_parts_of_any_group_are_merged_once_whatever_their_order(channels: int) -> None:
    run_heads(channels, heads=4 if channels == 8 else 6)


class FirstIsEvery(Gather):
    """Every part begins a merge."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.part.p.header):
            m.d.comb += self.part.p.data[48].eq(1)
        return m


class OneSlot(Gather):
    """All heads are told the same slot."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.slot.eq(0)
        return m


class TagsAreLost(Gather):
    """Heads have one name."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.tag.payload.eq(0)
        return m


@pytest.mark.parametrize("fault", [FirstIsEvery, OneSlot, TagsAreLost])
def test_faults_of_the_gatherer_are_noticed(fault: type[Gather]) -> None:
    with pytest.raises(AssertionError):
        run_heads(2, fault)


def test_a_slow_head_holds_up_no_other_and_the_limit_holds() -> None:
    """Head 0 waits for channel 1; head 1 is complete and leaves; no third one is taken."""
    gather: Any = Gather(GatherSpec(channels=2, slots=2, pim=PIM))
    seen: list[tuple[int, int]] = []
    parts = [random_part(np.random.default_rng(n)) for n in range(3)]

    async def bench(ctx: Any) -> None:
        ctx.set(gather.shape.last_chunk, 3)
        ctx.set(gather.part.ready, 1)

        async def send(channel: int, slot: int, part: Part) -> None:
            way = getattr(gather, f"i_{channel}")
            for n, beat in enumerate(beats_of(part)):
                ctx.set(way.payload, {"slot": slot, "data": beat, "last": n == BEATS})
                ctx.set(way.valid, 1)
                await ctx.tick()
            ctx.set(way.valid, 0)

        async def offer(members: int, tag: int) -> int:
            ctx.set(gather.open.payload, {"members": members, "tag": tag})
            ctx.set(gather.open.valid, 1)
            _, _, slot, ready, refused = await ctx.tick().sample(
                gather.slot, gather.open.ready, gather.refused)
            ctx.set(gather.open.valid, 0)
            assert bool(refused) == (not members)
            return slot if ready else -1

        assert await offer(0, 9) >= 0                   # a group with no member
        first, second = await offer(3, 7), await offer(2, 8)
        assert {first, second} == {0, 1}
        assert await offer(1, 5) == -1
        await send(0, first, parts[0])
        await send(1, second, parts[1])
        await ctx.tick().repeat(12)
        assert seen == [(8, n) for n in range(BEATS + 1)]
        way = gather.i_0                                # the part of channel 0 once more
        ctx.set(way.payload, {"slot": first, "data": 1, "last": 0})
        ctx.set(way.valid, 1)
        assert ctx.get(gather.stray)
        await ctx.tick()
        ctx.set(way.valid, 0)
        await send(1, first, parts[2])
        await ctx.tick().repeat(24)
        assert [tag for tag, _ in seen[BEATS + 1:]] == [7] * (2 * BEATS + 2)
        assert not ctx.get(gather.busy)

    async def watch(ctx: Any) -> None:
        beat, tag = 0, 0
        async for _, _, valid, header, data in ctx.tick().sample(
                gather.part.valid, gather.part.p.header, gather.part.p.data):
            if valid:
                beat = 0 if header else beat + 1
                if header and PartHeader().from_bits(data & (1 << 50) - 1).first:
                    tag = ctx.get(gather.tag.payload)
                    ctx.set(gather.tag.ready, 1)
                seen.append((tag, beat))
            else:
                ctx.set(gather.tag.ready, 0)

    sim = Simulator(gather)
    sim.add_clock(1e-9)
    sim.add_testbench(bench)
    sim.add_testbench(watch, background=True)
    sim.run()
    assert len(seen) == 3 * (BEATS + 1)


@pytest.mark.parametrize("outputs", [1, 2, 4, 8])
def test_a_payload_reaches_each_member_once(outputs: int) -> None:
    dut: Any = Broadcast(16, outputs)
    rng = random.Random(outputs)
    sent = [(rng.getrandbits(16), rng.randrange(1 << outputs)) for _ in range(30)]
    got: list[list[int]] = [[] for _ in range(outputs)]

    async def send(ctx: Any) -> None:
        for payload, members in sent:
            ctx.set(dut.i.payload, payload)
            ctx.set(dut.members, members)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    def take(n: int) -> Callable[[Any], Any]:
        port = getattr(dut, f"o_{n}")

        async def taker(ctx: Any) -> None:
            while True:
                ctx.set(port.ready, rng.random() < 0.5)
                _, _, ready, valid, payload = await ctx.tick().sample(
                    port.ready, port.valid, port.payload)
                if ready and valid:
                    got[n].append(payload)
        return taker

    sim = Simulator(dut)
    sim.add_clock(1e-9)
    sim.add_testbench(send)
    for n in range(outputs):
        sim.add_testbench(take(n), background=True)
    sim.run()
    for n in range(outputs):
        assert got[n] == [payload for payload, members in sent if members >> n & 1]


@pytest.mark.parametrize(("name", "value"), [("channels", 0), ("channels", 66), ("slots", 0)])
def test_networks_that_cannot_be_built_are_refused(name: str, value: int) -> None:
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(SpecError, match=name):
        GatherSpec(**wrong)
