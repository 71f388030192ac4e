"""cocotb tests of attention descriptors in hdl.base_die: rings, memory and results over its buses.

The golden model carries out each descriptor on an image of the memory; then everything that it has
changed is read through the memory port and compared: outputs, records, appended tokens. The timing
checker judges every DRAM command.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np

from hdl.attention.descriptor_layouts import ELSEWHERE
from model.golden.attention_descriptor import Golden, Outcome, completion
from model.golden.floats import DTYPES
from model.golden.translator import BlockId, Residency, Tables
from model.spec.attention import BLOCK_TOKENS, KvLayout, softmax_scale
from model.spec.attention_descriptor import (
    COMPLETION,
    LIST_ENTRY,
    Descriptor,
    Result,
    RingSettings,
)
from model.spec.dma import Place, pack
from model.spec.geometry import BEAT_BYTES
from model.spec.mx import MXFP8_E4M3
from model.spec.timing import Command
from model.spec.translation import Scope
from tb.base_die_bench import Attention, DieBench, together
from tb.bench import StreamMonitor, parameters
from tb.channel_monitor import ChannelMonitor
from tb.slice_bench import Place as Spot
from tb.slice_bench import Sequence as KvSequence
from tb.translator_memory import flat, unpacked, word_address, word_place

CHANNELS = int(parameters().get("channels", 1))
EVERY = range(CHANNELS)
HEAD_SIZE = 64
RESIDENT, AWAY = Residency(pim=True), Residency(capacity=True)
BLOCKS = ((1, 0), (0, 16), (1, 16))
"""Bank and first row of each block of the sequence; those at row 16 are a wave of the wave table
too."""

STORED_BLOCK, STORED_PLACE, STORED = len(BLOCKS), (0, 0), MXFP8_E4M3
"""A block that is quantised, where it lies, and how."""

ELSEWHERE_BLOCK, UNMAPPED_BLOCK = 5, 9


class Channel:
    """Memory, tables and rings of a channel, in hardware and golden model alike.

    Lists, queries, tokens and outputs lie in the first capacity bank, one row each; rings, records
    and tables in the last one.

    Parameters
    ----------
    tb : DieBench
    c : int
    tenants : tuple of int, optional
        Of the rings; each has the same blocks as a sequence of its own, numbered in this order.
    """

    def __init__(self, tb: DieBench, c: int, tenants: tuple[int, ...] = ()) -> None:
        self.tb, self.c, g = tb, c, tb.geometry
        self.layout = KvLayout(head_size=HEAD_SIZE, columns=g.columns)
        self.bank, self.home = g.capacity_bank_numbers[0], g.banks[-1]
        self.rings = [RingSettings(
            ring=Place(self.home, 16 + 2 * n), records=Place(self.home, 17 + 2 * n), ring_log2=2,
            tenant=tenants[n] if tenants else c + 1) for n in range(tb.spec.engine.rings)]
        self.sequences = list(dict.fromkeys(ring.tenant for ring in self.rings))
        self.at = tb.at["entries"], *(word_address(tb.spec.translator, (self.home, 22 + 2 * n, 0))
                                      for n in range(1, len(self.sequences)))
        self.tables = Tables(
            spec=tb.spec.translator, memory={}, directory_base=tb.at["directory"],
            sequences=len(self.sequences),
            chunk_base=word_address(tb.spec.translator, (self.home, 22, 0)),
            chunks=(len(BLOCKS) + 1) * len(self.sequences))
        self.golden = Golden(
            spec=tb.spec.channel, engine=tb.spec.engine, tables=self.tables, pseudo_channel=c,
            words={(bank, row, column): 0 for bank in g.banks for row in range(g.rows)
                   for column in range(g.columns)})
        self.posted: list[list[Descriptor]] = [[] for _ in self.rings]
        self.row = 0
        self.asks: list[dict[str, int]] = []
        names = flat(ELSEWHERE)
        StreamMonitor(tb, f"elsewhere__{c}", lambda p: self.asks.append(unpacked(names, p)))
        self.attention = Attention(tb, c)
        self.monitor, self.rung = ChannelMonitor(tb, tb.spec.channel, f"commands__{c}"), 0
        self.draw = np.random.default_rng(tb.rng.getrandbits(32))

    async def write(self, words: Mapping[Spot, int]) -> None:
        """To memory and its image."""
        self.golden.words.update(words)
        await self.tb.write(self.c, words)

    async def store(self, place: Place, content: bytes) -> None:
        """Consecutive beats of a row."""
        await self.write({
            (place.bank, place.row, place.column + n): int.from_bytes(
                content[BEAT_BYTES * n:BEAT_BYTES * (n + 1)].ljust(BEAT_BYTES, b"\0"), "little")
            for n in range(-(-len(content) // BEAT_BYTES))})

    def numbers(self, *shape: int) -> np.ndarray:
        """Normal random numbers in the KV format."""
        dtype = DTYPES[self.tb.spec.channel.pim.kv_format]
        return self.draw.standard_normal(shape).astype(dtype)

    async def furnish(self) -> None:
        """Three blocks of a sequence, one that is elsewhere; tables and rings."""
        tb, tables = self.tb, self.tables
        tables.memory |= {word: bytes(BEAT_BYTES) for base, count in (
            (tb.at["directory"], tables.sequences), (tables.chunk_base, tables.chunks),
            *((base, 16) for base in self.at)) for word in range(base, base + count)}
        for sequence in range(tables.sequences):
            self._enter(sequence)
        self.kv = []
        for n, (bank, row) in enumerate((*BLOCKS, STORED_PLACE)):
            stored = n == STORED_BLOCK
            k, v = self.numbers(BLOCK_TOKENS, HEAD_SIZE), self.numbers(BLOCK_TOKENS, HEAD_SIZE)
            if stored:
                await self.attention.store_quantised(bank, row, k, v, STORED)
            else:
                self.kv.append((k, v))
                await self.attention.store_block(bank, row, k, v)
        await self.write(self.attention.image)
        await self.write({word_place(tb.spec.translator, address): int.from_bytes(word, "little")
                          for address, word in tables.memory.items()})
        for name, value in (("directory_base", tables.directory_base),
                            ("sequences", tables.sequences),
                            ("chunk_base", tables.chunk_base), ("chunks", tables.chunks)):
            await tb.register(f"translator_{self.c}.{name}").write(value)
        await tb.register(f"translator_{self.c}.invalidate").set(scope=Scope.ALL)
        for n, ring in enumerate(self.rings):
            unit = f"descriptors_{self.c}"
            await tb.register(f"{unit}.ring_{n}").write(ring.ring.pack())
            await tb.register(f"{unit}.records_{n}").write(ring.records.pack())
            await tb.register(f"{unit}.setup_{n}").set(
                ring_log2=ring.ring_log2, enable=1, tenant=ring.tenant)

    def _enter(self, sequence: int) -> None:
        """A tenant's sequence in the tables."""
        tables, tenant = self.tables, self.sequences[sequence]
        first = sequence * (len(BLOCKS) + 1)
        tables.put_sequence(sequence, tenant=tenant, layers=1, head_groups=1,
                            segments=(self.at[sequence],))
        for n, (bank, row) in enumerate((*BLOCKS, STORED_PLACE)):
            tables.put_chunk(first + n, tenant=tenant, channel=self.c, bank=bank, row=row,
                             rows=self.layout.rows)
            tables.put_block(
                BlockId(tenant=tenant, sequence=sequence, block=n), pim=(first + n, 0),
                writable=True, residency=replace(RESIDENT, pim_format=STORED.code)
                if n == STORED_BLOCK else RESIDENT)
        tables.put_block(BlockId(tenant=tenant, sequence=sequence, block=ELSEWHERE_BLOCK), AWAY,
                         capacity=(first, 0))

    async def post(self, ring: int, blocks: Sequence[int], *, heads: int = 1, tokens: int = 16,
                   queries: np.ndarray | None = None, **options: Any) -> None:
        """Writes list, queries, token and descriptor."""
        places, tenant = {}, self.rings[ring].tenant
        sequence = self.sequences.index(tenant)
        if queries is None:
            queries = self.numbers(heads, HEAD_SIZE)
        for name, rows, content in (
                ("list", 1, b"".join(pack(LIST_ENTRY, {"block": block, "sequence": sequence}
                                          ).to_bytes(4, "little") for block in blocks)),
                ("query", 1, queries.tobytes()),
                ("token", int("append" in options), self.numbers(2, HEAD_SIZE).tobytes()),
                ("output", 0 if "joined" in options else 2 if "partial" in options else 1, b"")):
            places[name] = Place(self.bank, self.row)
            self.row += rows
            if rows:
                await self.store(places[name], content)
        index = len(self.posted[ring])
        descriptor = Descriptor(**{
            "tenant": tenant, "heads": heads, "head_size": HEAD_SIZE, "blocks": len(blocks),
            "context": (len(blocks) - 1) * BLOCK_TOKENS + tokens,
            "scale": int(np.float32(softmax_scale(HEAD_SIZE)).view(np.uint32)),
            "cookie": 256 * self.c + 16 * ring + index, **places, **options})
        await self.store(Place(self.home, self.rings[ring].ring.row, 2 * index),
                         descriptor.pack().to_bytes(2 * BEAT_BYTES, "little"))
        self.posted[ring].append(descriptor)

    async def doorbells(self, *, reverse: bool = False) -> None:
        """Lets the engine have what was posted."""
        self.rung = self.tb.cycle
        for n, posted in list(enumerate(self.posted))[::-1 if reverse else 1]:
            if posted:
                await self.tb.register(f"descriptors_{self.c}.doorbell_{n}").set(tail=len(posted))

    async def finish(self) -> list[Result]:
        """Waits for the records, and compares all that the descriptors have left in memory."""
        await self.settle()
        outcomes = await self.carry_out()
        await self.compare()
        return [outcome.result for outcome in outcomes.values()]

    async def settle(self) -> None:
        """Waits for the records."""
        tb = self.tb
        for n, posted in enumerate(self.posted):
            status = tb.register(f"descriptors_{self.c}.status_{n}")
            while (await status.fields())["busy"]:
                await tb.clocks(50)
            tb.check(await status.fields(), {"busy": 0, "bad_doorbell": 0, "head": len(posted)},
                     "status")
        self._check_commands()

    async def carry_out(self) -> dict[int, Outcome]:
        """Does to the image what the descriptors did, and compares the records; by cookie."""
        tb, outcomes, asked = self.tb, {}, []
        for n, posted in enumerate(self.posted):
            for index, d in enumerate(posted):
                outcome = self.golden.carry_out(d, self.rings[n].tenant)
                outcomes[d.cookie] = outcome
                asked += [(d.cookie, entry) for entry in outcome.elsewhere]
                record = pack(COMPLETION, completion(
                    vars(d), index, self.rings[n].ring_log2, outcome, self.golden.entries(d)))
                got, = await tb.read(self.c, (self.home, self.rings[n].records.row, index), 1)
                tb.check(got, record, f"record {index} of ring {n}")
        tb.check([(ask["cookie"], ask["entry"]) for ask in self.asks], asked, "asked of others")
        return outcomes

    async def compare(self) -> None:
        """Compares memory with its image."""
        tb = self.tb
        assert self.row <= tb.geometry.rows
        appended = any(d.append for posted in self.posted for d in posted)
        for bank, rows in ((self.bank, self.row), (1, 2 * self.layout.rows * appended)):
            for row in range(rows):
                words = await tb.read(self.c, (bank, row, 0), tb.geometry.columns)
                tb.check(words, [self.golden.words[bank, row, column]
                                 for column in range(tb.geometry.columns)], f"row {row}")

    def _check_commands(self) -> None:
        """The PIM banks are written nothing but new tokens, and opened by passes alone."""
        pim = self.tb.geometry.pim_bank_numbers
        seen = [i.command for i in self.monitor.of(Command.ACT, Command.WR)
                if i.cycle > self.rung and i.bank in pim]
        tokens = sum(d.append for posted in self.posted for d in posted)
        self.tb.check(seen, [Command.WR] * (2 * self.layout.chunks * tokens), "PIM banks")


@cocotb.test(timeout_time=400, timeout_unit="us")
async def descriptors_become_outputs_bit_for_bit(dut: Any) -> None:
    """An output, refusals, a part with an appended token, one with a block elsewhere, one of a
    quantised block; and in between an attention that registers start, whose queries and results
    have streams of their own.
    """
    async with DieBench(dut, CHANNELS) as tb:
        channels = [Channel(tb, c) for c in EVERY]
        await together(*(channel.furnish() for channel in channels))
        for channel in channels:
            await channel.post(0, [0, 1, 2], heads=2, tokens=5)
            await channel.post(0, [0, UNMAPPED_BLOCK], heads=2, tokens=1)
            await channel.post(0, [1, 2], tokens=10, partial=True, append=True)
            await channel.post(1, [0], head_size=48)
            await channel.post(1, [ELSEWHERE_BLOCK, 0], tokens=16, partial=True, resident=False)
            await channel.post(1, [STORED_BLOCK], heads=2, tokens=11, format=STORED.code)
            await channel.post(1, [0], format=STORED.code)
        await tb.register("die.interrupt_enable").set(descriptors=1)
        for channel in channels:
            await channel.doorbells()
        for channel in channels:
            unit, wave = channel.attention, channel.kv[1:]
            sequence = KvSequence(q=channel.numbers(2, HEAD_SIZE), head_size=HEAD_SIZE, rows=(16,),
                                  k=np.concatenate([k for k, _ in wave]),
                                  v=np.concatenate([v for _, v in wave]))
            await unit.set_waves(sequence)
            await unit.start_attention(sequence, 25)        # ends before the appended token
            await unit.collect(sequence, 25)
        tb.check((await tb.interrupted()).get("descriptors"), 1, "interrupt")
        finished = await together(*(channel.finish() for channel in channels))
        for channel, results in zip(channels, finished, strict=True):
            tb.check([r for r in results if r is not Result.DONE],
                     [Result.TRANSLATION_FAULT, Result.BAD_HEAD_SIZE, Result.MIXED_FORMAT],
                     "failures")
            events = tb.register(f"descriptors_{channel.c}.events")
            tb.check(await events.fields(), {"announced": 1, "failed": 1, "lost_record": 0},
                     "events")
            await events.set(announced=1, failed=1)
            tb.check(await events.read(), 0, "events that were cleared")
            error = await tb.register(f"attention_{channel.c}.error").fields()
            tb.check([name for name, bit in error.items() if bit], [], "errors")
        status = await tb.register("die.interrupt_status").fields()
        tb.check({name for name, bit in status.items() if bit},
                 {"attention", "descriptors", "translation"}, "what has happened")
        await tb.register("die.interrupt_status").set(attention=1, descriptors=1, translation=1)
        tb.check(int(dut.irq.value), 0, "interrupt after it was acknowledged")
