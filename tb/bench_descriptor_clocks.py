"""cocotb test that measures attentions by descriptors while others wait in the ring.

Parameters: ``options`` of :func:`model.spec.presets.slice_spec`, and ``cases``: each a dictionary
of ``group``, ``context``, ``append``, and how many attentions are ``settling`` and ``measured``.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, ValueChange

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
    EngineSpec,
    RingSettings,
)
from model.spec.dma import LIST_ENTRIES, Place, pack
from model.spec.geometry import BEAT_BYTES
from model.spec.port import Status
from model.spec.presets import slice_spec
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec
from tb.bench import Bench, parameters
from tb.channel_monitor import Fields
from tb.channel_tags import Outstanding
from tb.lean_streams import LeanStreamDriver, LeanStreamMonitor
from tb.translator_memory import word_address, word_place

RECORD = "descriptors.json"
"""File with the clocks at which the attentions of each case ended."""

HEAD_SIZE = 128
HEAD_GROUPS = 4
"""KV heads that are attended to in turn; each has a last block of its own, to which it appends."""

TAIL = 2
"""Attentions behind the last that is measured."""

ENGINE = EngineSpec()
LAST_BLOCK = 255
SHARED_ROWS = 3
"""In how many different rows the blocks lie that all head groups have in common."""

RING_LOG2 = 7
RING_ROW, RECORDS_ROW, LIST_ROW, QUERY_ROW, TOKEN_ROW, OUTPUT_ROW = 48, 56, 60, 62, 64, 66
"""Of the capacity bank; in front of them lie the tables."""


def translator_spec(spec: SliceSpec) -> TranslatorSpec:
    """The translator that the engine asks."""
    return TranslatorSpec(channel=spec, pseudo_channels=1)


class ClockBench(Bench):
    """Nothing of it runs in every clock; what is in memory in the end is compared."""

    def __init__(self, dut: Any, spec: SliceSpec) -> None:
        super().__init__(dut)
        g = spec.geometry
        self.spec, self.g = spec, g
        self.bank = g.capacity_bank_numbers[0]
        self.layout = KvLayout(head_size=HEAD_SIZE, columns=g.columns)
        translator = translator_spec(spec)
        base = word_address(translator, (self.bank, 0, 0))
        self.tables = Tables(spec=translator, memory={}, directory_base=base, sequences=1,
                             chunk_base=base + 1, chunks=g.pim_banks + HEAD_GROUPS)
        self.golden = Golden(
            spec=spec, engine=ENGINE, tables=self.tables,
            words={(bank, row, column): 0 for bank in g.banks for row in range(g.rows)
                   for column in range(g.columns)})
        self.request = request_layout(spec)
        self.draw = np.random.default_rng(self.rng.getrandbits(32))

    async def __aenter__(self) -> "ClockBench":
        await super().__aenter__()
        self.driver = LeanStreamDriver(self, "host__request")
        self.answers, response = Outstanding(self, "host"), Fields(response_layout())
        LeanStreamMonitor(self, "host__response", lambda p: self.answers.answered(response(p)))
        self.dut.elsewhere__ready.value = 1
        self.dut.tables.value = tables_layout().const({
            "directory_base": self.tables.directory_base, "sequences": 1,
            "chunk_base": self.tables.chunk_base, "chunks": self.tables.chunks}).as_bits()
        self.posted = 0
        await self._furnish()
        return self

    # Memory

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

    def beat(self, row: int, number: int) -> tuple[int, int, int]:
        """The place of a beat behind the begin of a row of the capacity bank."""
        return self.bank, row + number // self.g.columns, number % self.g.columns

    async def store(self, row: int, first: int, words: Iterable[int]) -> None:
        """Words behind the begin of a row of the capacity bank."""
        for n, word in enumerate(words, start=first):
            await self.access(self.beat(row, n), word)

    def numbers(self, beats: int) -> list[int]:
        """Normal random numbers in the KV format, a beat each."""
        raw = self.draw.standard_normal(beats * BEAT_BYTES // 2).astype(
            DTYPES[self.spec.pim.kv_format]).tobytes()
        return [int.from_bytes(raw[n:n + BEAT_BYTES], "little")
                for n in range(0, len(raw), BEAT_BYTES)]

    async def _fill(self, bank: int, row: int) -> None:
        for offset in range(self.layout.rows):
            for column, word in enumerate(self.numbers(self.g.columns)):
                await self.access((bank, row + offset, column), word)

    async def _furnish(self) -> None:
        """Blocks that all head groups share, one in each bank; a last block of each; tables."""
        tables, banks, rows = self.tables, self.g.pim_banks, self.layout.rows
        entries = tables.chunk_base + 32 - 1
        tables.put_sequence(0, tenant=1, layers=1, head_groups=HEAD_GROUPS, segments=(entries,))
        last = [(banks - 1, rows * (SHARED_ROWS + h)) for h in range(HEAD_GROUPS)]
        for chunk, (bank, row) in enumerate(
                [(bank, rows * (bank % SHARED_ROWS)) for bank in range(banks)] + last):
            tables.put_chunk(chunk, tenant=1, channel=0, bank=bank, row=row, rows=rows)
            await self._fill(bank, row)
        for h in range(HEAD_GROUPS):
            for block in range(LAST_BLOCK + 1):
                tables.put_block(
                    BlockId(tenant=1, sequence=0, head_group=h, block=block), Residency(pim=True),
                    pim=(banks + h if block == LAST_BLOCK else block % banks, 0), writable=True)
        for address, word in tables.memory.items():
            await self.access(word_place(tables.spec, address), int.from_bytes(word, "little"))
        await self.store(QUERY_ROW, 0, self.numbers(self.spec.pim.group_max * self.layout.chunks))
        await self.store(TOKEN_ROW, 0, self.numbers(HEAD_GROUPS * 2 * self.layout.chunks))

    # Attentions

    def descriptor(self, case: dict[str, Any], n: int) -> Descriptor:
        """The n-th of a case."""
        h, chunks = n % HEAD_GROUPS, self.layout.chunks
        token = self.beat(TOKEN_ROW, 2 * chunks * h)
        return Descriptor(
            tenant=1, head_group=h, heads=case["group"], head_size=HEAD_SIZE,
            context=case["context"], blocks=case["context"] // BLOCK_TOKENS,
            scale=int(np.float32(softmax_scale(HEAD_SIZE)).view(np.uint32)),
            list=Place(self.bank, LIST_ROW), query=Place(self.bank, QUERY_ROW),
            output=Place(self.bank, OUTPUT_ROW + 2 * h), token=Place(*token),
            append=case["append"], cookie=n)

    async def measure(self, case: dict[str, Any]) -> list[int]:
        """When the attentions of a case end, from the last that settles to the last measured."""
        blocks = [*range(case["context"] // BLOCK_TOKENS - 1), LAST_BLOCK]
        lanes = [pack(LIST_ENTRY, {"block": block, "sequence": 0}) for block in blocks]
        await self.store(LIST_ROW, 0, [
            sum(lane << 32 * n for n, lane in enumerate(lanes[low:low + LIST_ENTRIES]))
            for low in range(0, len(lanes), LIST_ENTRIES)])
        counted = case["settling"] + case["measured"]
        ring = RingSettings(ring=Place(self.bank, RING_ROW), records=Place(self.bank, RECORDS_ROW),
                            ring_log2=RING_LOG2, tenant=1)
        self.dut.settings_0.value = ring.pack()
        made, size = [], 1 << RING_LOG2
        assert counted + TAIL <= size, f"{counted + TAIL} descriptors, {size} places"
        for n in range(counted + TAIL):
            made.append(self.descriptor(case, n))
            word, place = made[-1].pack(), 2 * ((self.posted + n) % size)
            await self.store(RING_ROW, place, [
                word >> 8 * BEAT_BYTES * half & (1 << 8 * BEAT_BYTES) - 1 for half in range(2)])
        while self.answers:
            await RisingEdge(self.dut.clk)
        first, self.posted = self.posted, self.posted + len(made)
        self.dut.tail.value, self.dut.doorbell.value = self.posted, 1
        await RisingEdge(self.dut.clk)
        self.dut.doorbell.value = 0
        ends: dict[int, int] = {}
        while len(ends) < len(made):
            await ValueChange(self.dut.status_0)
            head = int(RING_STATUS.from_bits(int(self.dut.status_0.value)).head) - first
            if head > 0:
                ends.setdefault(head, self.cycle)
        await self._compare(made, first, ring)
        return [ends[n] for n in range(case["settling"], counted + 1)]

    async def _compare(self, made: list[Descriptor], first: int, ring: RingSettings) -> None:
        """Records of all, and what the first of each head group has left: all do the same."""
        outcomes = [self.golden.carry_out(d, 1) for d in made[:HEAD_GROUPS]]
        for n, d in enumerate(made):
            outcome, index = outcomes[n % HEAD_GROUPS], first + n
            place = self.beat(RECORDS_ROW, index % (1 << RING_LOG2))
            self.golden.words[place] = pack(COMPLETION, completion(
                vars(d), index, ring.ring_log2, outcome, []))
            await self.access(place)
        for h, d in enumerate(made[:HEAD_GROUPS]):
            for beat in range(d.heads * self.layout.chunks):
                await self.access(self.beat(OUTPUT_ROW + 2 * h, beat))
            bank, row = outcomes[h].blocks[-1]
            for offset in range(self.layout.rows):
                for column in range(self.g.columns):
                    await self.access((bank, row + offset, column))
        while self.answers:
            await RisingEdge(self.dut.clk)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def measure_descriptors(dut: Any) -> None:
    """Outputs, records and appended tokens are compared with the golden model to the last bit."""
    options = parameters()
    async with ClockBench(dut, slice_spec(**options["options"])) as tb:
        ends = [await tb.measure(case) for case in options["cases"]]
        tb.check(int(dut.error.value), 0, "protocol errors")
    Path(RECORD).write_text(json.dumps(ends))
