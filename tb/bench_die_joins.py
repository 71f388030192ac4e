"""cocotb tests of joins in hdl.base_die: a sequence in several pseudo-channels and outside, whose
output is that of the golden model bit for bit, through the buses of the die alone."""

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, with_timeout

from hdl.attention.descriptor_layouts import FOREIGN_PART, PartKind
from model.golden.attention import wave_parts
from model.golden.attention_descriptor import Outcome, completion, part_header
from model.golden.attention_join import Answer, carry_out, copy_queries
from model.golden.float64_attention import exact_attention, relative_error
from model.golden.floats import DTYPES
from model.golden.merge import merge
from model.spec.attention import softmax_scale
from model.spec.attention_descriptor import COMPLETION, Result
from model.spec.attention_join import FOREIGN, Join
from model.spec.dma import Place, pack
from model.spec.geometry import BEAT_BYTES
from tb.base_die_bench import TIME_OUT_CLOCKS, DieBench, together
from tb.bench import PERIOD_NS, StreamDriver
from tb.bench_die_descriptors import (
    CHANNELS,
    ELSEWHERE_BLOCK,
    EVERY,
    HEAD_SIZE,
    UNMAPPED_BLOCK,
    Channel,
)

TENANTS = (5, 6)
LOG2 = 2
PART: dict[str, Any] = {"partial": True, "resident": False, "joined": True}
TOLERANCE = 2.0 ** -8


class Joins:
    """The rings of joins, in pseudo-channel 0, and the source of foreign parts."""

    def __init__(self, tb: DieBench, channels: list[Channel]) -> None:
        self.tb, self.channels, self.home = tb, channels, channels[0]
        bank = tb.geometry.banks[-1]
        self.rings = [(Place(bank, 20 + 2 * n), Place(bank, 21 + 2 * n)) for n in (0, 3)]
        self.posted: list[list[Join]] = [[], []]
        self.outside: dict[tuple[int, int], Answer] = {}
        self.way = StreamDriver(tb, "foreign")

    async def set_up(self) -> None:
        """The registers."""
        for n, (ring, records) in enumerate(self.rings):
            await self.tb.register(f"joins.ring_{n}").write(ring.pack())
            await self.tb.register(f"joins.records_{n}").write(records.pack())
            await self.tb.register(f"joins.setup_{n}").set(
                ring_log2=LOG2, enable=1, tenant=TENANTS[n])

    async def post(self, ring: int, name: int, *, heads: int, **options: Any) -> None:
        """A join of all channels."""
        index, home = len(self.posted[ring]), self.home
        join = Join(**{
            "tenant": TENANTS[ring], "join": name, "members": (1 << CHANNELS) - 1, "heads": heads,
            "head_size": HEAD_SIZE, "cookie": 100 + 10 * ring + index,
            "output": Place(home.bank, home.row), **options})
        home.row += 2 * heads if join.partial else 1
        await home.store(Place(self.rings[ring][0].bank, self.rings[ring][0].row, 2 * index),
                         join.pack().to_bytes(2 * BEAT_BYTES, "little"))
        self.posted[ring].append(join)

    async def doorbells(self) -> None:
        """Of both rings."""
        for n, posted in enumerate(self.posted):
            await self.tb.register(f"joins.doorbell_{n}").set(tail=len(posted))

    async def answer(self, join: Join, answer: Answer) -> None:
        """A foreign part."""
        raw = b"".join(part_header(part) + part.o.astype(np.float32).tobytes()
                       for part in answer.parts)
        for n in range(0, len(raw), BEAT_BYTES):
            await self.way.put(FOREIGN_PART.const({
                "tenant": join.tenant, "join": join.join, "kind": PartKind.DATA,
                "data": int.from_bytes(raw[n:n + BEAT_BYTES], "little")}).as_bits())

    async def asked(self, channel: Channel, join: Join) -> None:
        """Waits until a channel asks for a block of a join."""
        async def wait() -> None:
            while not any(ask["joined"] and ask["join"] == join.join
                          and ask["id.tenant"] == join.tenant for ask in channel.asks):
                await RisingEdge(self.tb.dut.clk)
        await with_timeout(wait(), TIME_OUT_CLOCKS * PERIOD_NS, "ns")

    async def settle(self) -> None:
        """Waits for the records."""
        for n, posted in enumerate(self.posted):
            status = self.tb.register(f"joins.status_{n}")
            while (await status.fields())["busy"]:
                await self.tb.clocks(50)
            self.tb.check(await status.fields(),
                          {"busy": 0, "bad_doorbell": 0, "head": len(posted)}, "status")

    async def carry_out(self, parts: list[dict[str, Outcome]],
                        instead: dict[int, Outcome]) -> list[Result]:
        """Merges what the channels' models have left; ``instead``, by cookie, what is forced."""
        results = []
        for n, posted in enumerate(self.posted):
            for index, join in enumerate(posted):
                answers = {c: Answer(part.parts, part.result) for c in EVERY if (
                    part := parts[c].get(f"{join.tenant}.{join.join}"))}
                if join.foreign:
                    answers[FOREIGN] = self.outside[join.tenant, join.join]
                outcome = instead.get(join.cookie) or carry_out(
                    self.home.golden, join, join.tenant, CHANNELS, answers)
                place = self.rings[n][1]
                got, = await self.tb.read(0, (place.bank, place.row, index), 1)
                self.tb.check(got, pack(COMPLETION, completion(
                    vars(join), index, LOG2, outcome, [])), f"record of {join}")
                results.append(outcome.result)
        return results


def outsider(channel: Channel, queries: np.ndarray) -> tuple[Answer, np.ndarray, np.ndarray]:
    """A part of 16 tokens that somebody else has, and their K and V."""
    k, v = channel.numbers(16, HEAD_SIZE), channel.numbers(16, HEAD_SIZE)
    scale = float(np.float32(softmax_scale(HEAD_SIZE)))
    heads = wave_parts(queries, k, v, waves=[{0: 0}], scale=scale,
                       spec=channel.tb.spec.channel.pim)
    return Answer([merge(head) for head in heads]), k, v


@cocotb.test(timeout_time=400, timeout_unit="us")
async def a_sequence_in_both_channels_and_outside_becomes_one_output(dut: Any) -> None:
    """Two tenants, begun in opposite orders in the two channels, use the same names; queries are
    copied by one join; one part is empty, one member fails; one join is given up."""
    async with DieBench(dut, CHANNELS) as tb:
        channels = [Channel(tb, c, TENANTS) for c in EVERY]
        joins = Joins(tb, channels)
        await together(*(channel.furnish() for channel in channels))
        await joins.set_up()
        await tb.register("die.interrupt_enable").set(joins=1)

        queries = channels[0].numbers(2, HEAD_SIZE)
        source, copy = (Place(channels[0].bank, tb.geometry.rows - n) for n in (1, 2))
        await channels[0].store(source, queries.tobytes())
        await joins.post(0, 11, heads=2, foreign=True, broadcast=True, query=source, copy=copy)
        await joins.post(0, 12, heads=1, partial=True)
        await joins.post(0, 13, heads=1)
        await joins.post(1, 11, heads=1)
        for channel in channels:
            first, last = not channel.c, channel.c == CHANNELS - 1
            await channel.post(0, [0, ELSEWHERE_BLOCK, 1] if first else [2, 0], heads=2,
                               query=copy, join=11, **PART)
            await channel.post(0, [ELSEWHERE_BLOCK] if last else [2], join=12, **PART)
            await channel.post(0, [0, UNMAPPED_BLOCK] if last else [0], join=13, **PART)
            await channel.post(1, [1], tokens=7, join=11, **PART)
        for channel in channels:
            await channel.doorbells(reverse=bool(channel.c % 2))
        await joins.doorbells()
        answer, k, v = outsider(channels[0], queries)
        joins.outside[TENANTS[0], 11] = answer
        await joins.asked(channels[0], joins.posted[0][0])
        await joins.answer(joins.posted[0][0], answer)

        tb.check((await tb.interrupted()).get("joins"), 1, "interrupt")
        await together(*(channel.settle() for channel in channels), joins.settle())

        kv = [(channels[c].kv[n] if c < CHANNELS else (k, v)) for c, n in (
            (0, 0), (0, 1), *((c, n) for c in range(1, CHANNELS) for n in (2, 0)), (CHANNELS, 0))]
        want = exact_attention(queries, *(np.concatenate(half) for half in zip(*kv, strict=True)))
        copied = copy_queries([channel.golden for channel in channels], joins.posted[0][0],
                              TENANTS[0])
        tb.check(copied.result, Result.DONE, "copies of queries")
        parts = [_by_name(channel, await channel.carry_out()) for channel in channels]
        results = await joins.carry_out(parts, {})
        tb.check(results, [Result.DONE, Result.DONE, Result.MEMBER_FAILED, Result.DONE],
                 "results")
        await together(*(channel.compare() for channel in channels))
        raw = channels[0].golden.read(joins.posted[0][0].output, 2 * HEAD_SIZE // 16)
        got = np.frombuffer(raw, DTYPES[tb.spec.channel.pim.kv_format]).reshape(2, -1)
        assert relative_error(got, want) < TOLERANCE
        events = tb.register("joins.events")
        tb.check(await events.fields(), {"announced": 1, "failed": 1, "lost_record": 0,
                                         "stray": 0}, "events")
        await joins.answer(joins.posted[0][0], answer)
        tb.check((await events.fields())["stray"], 1, "a part that nobody awaits")

        await joins.post(0, 14, heads=1)
        await joins.doorbells()
        await tb.clocks(200)
        tb.check((await tb.register("joins.status_0").fields())["busy"], 1, "busy")
        await tb.register("joins.cancel").set(unbegun=1)
        await joins.settle()
        got, = await tb.read(0, (joins.rings[0][1].bank, joins.rings[0][1].row, 3), 1)
        tb.check(got, pack(COMPLETION, completion(
            vars(joins.posted[0][3]), 3, LOG2,
            Outcome(Result.MEMBER_FAILED, detail=Result.CANCELLED, entry=0), [])), "record")


def _by_name(channel: Channel, outcomes: dict[int, Outcome]) -> dict[str, Outcome]:
    """Outcomes of joined descriptors, by tenant and name of the join."""
    return {f"{d.tenant}.{d.join}": outcomes[d.cookie]
            for posted in channel.posted for d in posted if d.joined}
