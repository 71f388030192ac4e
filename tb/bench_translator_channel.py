"""cocotb test of the translator behind a real memory channel, with HBM4 timing and refresh."""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hdl.layouts import request_layout, response_layout
from model.golden.translator import BlockId, Residency
from model.spec.geometry import ChannelGeometry
from model.spec.port import Status
from model.spec.slice import SliceSpec
from model.spec.translation import Access, Scope, Tier, TranslatorSpec
from tb.bench import StreamDriver, StreamMonitor
from tb.translator_bench import TranslatorBench
from tb.translator_memory import flat, translator_spec, unpacked, word_place


def on_channel_spec() -> TranslatorSpec:
    """Few banks; two of them hold the tables and what the blocks' places lie in."""
    return translator_spec(channel=SliceSpec(geometry=ChannelGeometry(
        pim_banks=2, capacity_banks=2, rows=200, row_bytes=256)))


class ChannelBench(TranslatorBench):
    """The tables are written and read back through the host's port."""

    SPEC = on_channel_spec()

    def connect_memory(self) -> None:
        self.request, self.fields = request_layout(self.spec.channel), flat(response_layout())
        self.host = StreamDriver(self, "host__request")
        self.responses: dict[int, dict[str, int]] = {}
        StreamMonitor(self, "host__response", self._answered_host)

    def _answered_host(self, payload: int) -> None:
        got = unpacked(self.fields, payload)
        self.responses[got["tag"]] = got

    async def access(self, address: int, word: bytes | None = None) -> bytes:
        """Writes a word, or reads it."""
        bank, row, column = word_place(self.spec, address)
        data = int.from_bytes(word or b"", "little")
        await self.host.put(self.request.const({
            "tag": 1, "write": word is not None, "bank": bank, "row": row, "column": column,
            "data": data}).as_bits())
        while 1 not in self.responses:
            await RisingEdge(self.dut.clk)
        answer = self.responses.pop(1)
        self.check(answer["status"], Status.OK, "status")
        return answer["data"].to_bytes(32, "little")


@cocotb.test(timeout_time=200, timeout_unit="us")
async def tables_in_a_memory_channel_are_walked(dut: Any) -> None:
    async with ChannelBench(dut) as tb:
        tb.sequence(1, tenant=1, layers=2, segments=3)
        for chunk, bank in ((0, 1), (1, 16)):
            tb.put("chunk", chunk, tenant=1, channel=3, bank=bank, row=100, rows=4)
        blocks = [BlockId(tenant=1, sequence=1, layer=n % 2, block=n // 2) for n in range(12)]
        words = [Residency(pim=True), Residency(capacity=True), Residency(poisoned=True)]
        for number, block in enumerate(blocks):
            tb.put("block", block, words[number % 3], pim=(0, number), capacity=(1, number))
        written = [address for address, word in tb.tables.memory.items() if any(word)]
        for address in written:                 # the arrays begin with zeros
            await tb.access(address, tb.tables.memory[address])
        for tier in Tier:
            for block in (*blocks, BlockId(tenant=2, sequence=1), BlockId(tenant=1, sequence=2)):
                await tb.lookup(block, tier, tb.rng.choice([Access.READ, Access.FILL]))
        await tb.quiet()
        for block in blocks[:6]:
            pending = await tb.commit(block, words[0], words[1])
            await tb.lookup(block)
            await pending.event.wait()
            await tb.lookup(block)
        ending = tb.change(blocks[0], lambda: tb.put("block", blocks[0], words[0], pim=(0, 77)))
        address = tb.tables.block_address(blocks[0])
        await tb.access(address, tb.mirror.memory[address])
        await tb.invalidate(Scope.BLOCK, blocks[0], ending)
        await tb.lookup(blocks[0])
        await tb.quiet()
        for address in written:
            tb.tables.memory[address] = await tb.access(address)     # compared at the end
        tb.check(int(dut.error.value), 0, "protocol errors of the channel")
