"""cocotb test of descriptors on real PIM banks: KV in, descriptor, doorbell, outputs out."""

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, with_timeout

from hdl.attention.descriptor_rings import RING_STATUS
from hdl.layouts import request_layout, response_layout
from hdl.translator.layouts import tables_layout
from model.golden.attention_descriptor import Golden, completion
from model.golden.floats import DTYPES
from model.golden.translator import BlockId, Residency, Tables
from model.spec.attention import BLOCK_TOKENS, KvLayout, softmax_scale
from model.spec.attention_descriptor import (
    COMPLETION,
    LIST_ENTRY,
    Descriptor,
    Result,
    RingSettings,
    blocks_of,
)
from model.spec.dma import Place, pack
from model.spec.geometry import BEAT_BYTES
from model.spec.port import Status
from tb.attention_system import ENGINE, SPEC, TRANSLATOR
from tb.bench import Bench, StreamDriver, StreamMonitor
from tb.channel_monitor import Fields
from tb.channel_tags import Outstanding
from tb.translator_memory import word_address, word_place

LAYOUT = KvLayout(head_size=64, columns=SPEC.geometry.columns)
BANK = SPEC.geometry.capacity_bank_numbers[0]
TENANT = 5
RING = RingSettings(ring=Place(BANK, 8), records=Place(BANK, 9), ring_log2=3, tenant=TENANT)
WORD = (1 << 8 * BEAT_BYTES) - 1


class SystemBench(Bench):
    """Writes memory through the host's port, in hardware and golden model alike."""

    async def __aenter__(self) -> "SystemBench":
        await super().__aenter__()
        g = SPEC.geometry
        base = word_address(TRANSLATOR, (BANK, 0, 0))
        tables = Tables(spec=TRANSLATOR, memory={}, directory_base=base, sequences=8,
                        chunk_base=base + 16, chunks=24)
        self.golden = Golden(
            spec=SPEC, engine=ENGINE, tables=tables,
            words={(bank, row, column): 0 for bank in g.banks for row in range(g.rows)
                   for column in range(g.columns)})
        self.request = request_layout(SPEC)
        self.driver, self.answers = StreamDriver(self, "host__request"), Outstanding(self, "host")
        response = Fields(response_layout())
        StreamMonitor(self, "host__response", lambda p: self.answers.answered(response(p)))
        self.dut.elsewhere__ready.value = 1
        self.dut.settings_0.value = RING.pack()
        self.dut.tables.value = tables_layout().const({
            "directory_base": base, "sequences": 8, "chunk_base": base + 16,
            "chunks": 24}).as_bits()
        self.posted = 0
        self.draw = np.random.default_rng(self.rng.getrandbits(32))
        return self

    async def access(self, place: tuple[int, int, int], word: int | None = None) -> None:
        """Writes a word, or reads it and compares it with the model's."""
        bank, row, column = place
        tag = await self.answers.take()
        if word is not None:
            self.golden.words[place] = word
        self.answers.expect(tag, word is not None, Status.OK,
                            0 if word is not None else self.golden.words[place])
        await self.driver.put(self.request.const({
            "tag": tag, "write": word is not None, "bank": bank, "row": row, "column": column,
            "data": word or 0}).as_bits())

    async def store(self, place: Place, content: bytes) -> None:
        """Consecutive beats of a row."""
        for n in range(0, len(content), BEAT_BYTES):
            await self.access((place.bank, place.row, place.column + n // BEAT_BYTES),
                              int.from_bytes(content[n:n + BEAT_BYTES], "little"))

    def numbers(self, *shape: int) -> bytes:
        """Normal random numbers in the KV format."""
        return self.draw.standard_normal(shape).astype(DTYPES[SPEC.pim.kv_format]).tobytes()

    async def fill(self, bank: int, row: int) -> None:
        """A block of random K and V."""
        for offset in range(LAYOUT.rows):
            await self.store(Place(bank, row + offset),
                             self.numbers(SPEC.geometry.columns * BEAT_BYTES // 2))

    async def quiet(self) -> None:
        """Waits until all accesses are answered."""
        while self.answers:
            await RisingEdge(self.dut.clk)

    async def post(self, d: Descriptor) -> None:
        """Writes a descriptor into the ring."""
        for half in range(2):
            await self.access((BANK, RING.ring.row, 2 * self.posted + half),
                              d.pack() >> 8 * BEAT_BYTES * half & WORD)
        self.posted += 1

    async def go(self) -> int:
        """The doorbell; returns the clocks until the last record is there."""
        await self.quiet()
        start = self.cycle
        self.dut.tail.value = self.posted
        self.dut.doorbell.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.doorbell.value = 0

        async def done() -> None:
            while RING_STATUS.from_bits(int(self.dut.status_0.value)).head != self.posted:
                await RisingEdge(self.dut.clk)
        await with_timeout(done(), 20_000, "ns")
        return self.cycle - start


async def _furnish(tb: SystemBench) -> None:
    """Three blocks of a sequence in banks 1 0 1; block 9 is not mapped."""
    tables = tb.golden.tables
    segment = tables.chunk_base + 24
    tables.memory |= {word: bytes(BEAT_BYTES)
                      for word in range(tables.directory_base, segment + 16)}
    tables.put_sequence(3, tenant=TENANT, layers=1, head_groups=1, segments=(segment,))
    used = dict.fromkeys(range(2), 0)
    for block, bank in enumerate((1, 0, 1)):
        row = LAYOUT.rows * used[bank] + bank          # rows of a wave differ
        used[bank] += 1
        tables.put_chunk(block, tenant=TENANT, channel=0, bank=bank, row=row, rows=LAYOUT.rows)
        tables.put_block(BlockId(tenant=TENANT, sequence=3, block=block), Residency(pim=True),
                         pim=(block, 0), writable=True)
        await tb.fill(bank, row)
    for address, word in ((a, w) for a, w in tables.memory.items() if any(w)):
        await tb.access(word_place(TRANSLATOR, address), int.from_bytes(word, "little"))


@cocotb.test(timeout_time=100, timeout_unit="us")
async def descriptors_become_outputs_bit_for_bit(dut: Any) -> None:
    """Blocks of any bank in any order, a part, an error in between, an appended token."""
    async with SystemBench(dut) as tb:
        await _furnish(tb)
        orders: list[tuple[list[int], int, dict[str, Any]]] = [
            ([0, 1, 2], 5, {"heads": 2}),
            ([0, 9], 1, {"heads": 2}),
            ([1, 2], 10, {"heads": 1, "partial": True, "append": True})]
        scale = int(np.float32(softmax_scale(64)).view(np.uint32))
        made = []
        for n, (blocks, tokens, options) in enumerate(orders):
            entries = b"".join(pack(LIST_ENTRY, {"sequence": 3, "block": block}).to_bytes(
                4, "little") for block in blocks)
            places = {name: Place(BANK, 10 + 4 * n + k)
                      for k, name in enumerate(("list", "query", "token", "output"))}
            await tb.store(places["list"], entries.ljust(BEAT_BYTES, b"\0"))
            await tb.store(places["query"], tb.numbers(options["heads"], 64))
            await tb.store(places["token"], tb.numbers(2, 64))
            context = (len(blocks) - 1) * BLOCK_TOKENS + tokens
            assert blocks_of(context) == len(blocks)
            made.append(Descriptor(tenant=TENANT, head_size=64, context=context, scale=scale,
                                   blocks=len(blocks), cookie=n + 77, **places, **options))
            await tb.post(made[-1])
        await tb.go()
        results = []
        for n, d in enumerate(made):
            outcome = tb.golden.carry_out(d, TENANT)
            results.append(outcome.result)
            entries = tb.golden.entries(d)
            place = (BANK, RING.records.row, n)
            tb.golden.words[place] = pack(COMPLETION, completion(
                vars(d), n, RING.ring_log2, outcome, entries))
            await tb.access(place)
            for beat in range(d.heads * 4 + 6):
                await tb.access((BANK, d.output.row, beat))
            if d.append:
                bank, row = outcome.blocks[-1]
                for index in range((outcome.tokens[-1] - 2) * LAYOUT.chunks,
                                   (outcome.tokens[-1] + 1) * LAYOUT.chunks):
                    offset, column = divmod(index, SPEC.geometry.columns)
                    for half in range(2):
                        await tb.access((bank, row + offset + half * LAYOUT.half_rows, column))
        await tb.quiet()
        tb.check([r for r in results if r is not Result.DONE],
                 [Result.TRANSLATION_FAULT], "failures")
        tb.check(int(dut.error.value), 0, "protocol errors")
