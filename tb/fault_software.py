"""Software of the fault campaign: registers, memory, tables and moves, in few simulator calls."""

from collections.abc import Iterable, Sequence
from typing import Any

from cocotb.triggers import RisingEdge, Timer

from hdl.layouts import request_layout, response_layout
from model.golden.translator import BlockId, Residency, Tables, unpack
from model.register_access import RegisterAccess
from model.spec.dma import (
    BLOCK,
    COMPLETION,
    DESCRIPTOR_BEATS,
    ChannelSettings,
    Descriptor,
    Kind,
    Side,
    pack,
)
from model.spec.dma import Place as Spot
from model.spec.dma import unpack as unpack_record
from model.spec.geometry import BEAT_BYTES
from model.spec.port import Status
from model.spec.translation import BLOCK_ID_WIDTHS, BLOCK_WORD, Scope, Tier
from tb.bench import PERIOD_NS, Bench
from tb.fault_dut import NUMBER, campaign_space, campaign_spec
from tb.port_agent import Place
from tb.translator_memory import flat, unpacked, word_address, word_place

SPEC = campaign_spec()
GEOMETRY = SPEC.channel.geometry
BEATS = 2 * GEOMETRY.columns
"""Of a KV block: two rows."""

BLOCKS = 4
PIM, CAPACITY = GEOMETRY.pim_bank_numbers, GEOMETRY.capacity_bank_numbers
RING_LOG2 = (BLOCKS - 1).bit_length()
RING, RECORDS = Spot(CAPACITY[1], 12), Spot(CAPACITY[1], 11)
DIRECTORY, CHUNKS, ENTRIES = (word_address(SPEC.translator, (CAPACITY[1], *at))
                              for at in ((13, 0), (13, 2), (14, 0)))
WORD_BITS = 8 * BEAT_BYTES
NAMED = Side(kind=Kind.BLOCK)
IDLE_POLL_CLOCKS = 24
TIME_OUT_CLOCKS = 40_000


def block_id(n: int) -> BlockId:
    """Block n of the only sequence."""
    return BlockId(tenant=1, sequence=0, block=n)


def block_places(n: int, tier: Tier) -> list[Place]:
    """Words of a block's copy in a tier."""
    bank = (PIM if tier is Tier.PIM else CAPACITY)[n // 2]
    row = 2 * (n % 2)
    return [(bank, row + beat // GEOMETRY.columns, beat % GEOMETRY.columns)
            for beat in range(BEATS)]


class LiteTransport:
    """AXI4-Lite as fast as the target takes it, for tens of thousands of accesses."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        dut.bus__bready.value = dut.bus__rready.value = 1

    async def write(self, address: int, value: int) -> None:
        """Writes the word at an address."""
        dut = self.dut
        dut.bus__awaddr.value, dut.bus__wdata.value, dut.bus__wstrb.value = address, value, 0xF
        dut.bus__awvalid.value = dut.bus__wvalid.value = 1
        await RisingEdge(dut.clk)
        dut.bus__awvalid.value = dut.bus__wvalid.value = 0
        await RisingEdge(dut.clk)
        while not int(dut.bus__bvalid.value):
            await RisingEdge(dut.clk)
        assert not int(dut.bus__bresp.value), f"write of {address:#x} was refused"

    async def read(self, address: int) -> int:
        """The word at an address."""
        dut = self.dut
        dut.bus__araddr.value, dut.bus__arvalid.value = address, 1
        await RisingEdge(dut.clk)
        dut.bus__arvalid.value = 0
        await RisingEdge(dut.clk)
        while not int(dut.bus__rvalid.value):
            await RisingEdge(dut.clk)
        assert not int(dut.bus__rresp.value), f"read of {address:#x} was refused"
        return int(dut.bus__rdata.value)


class FaultSoftware:
    """What runs on the host: it moves blocks between tiers and looks after their tables.

    Parameters
    ----------
    tb : Bench
    """

    def __init__(self, tb: Bench) -> None:
        self.tb, self.dut = tb, tb.dut
        self.registers = RegisterAccess(campaign_space(), LiteTransport(tb.dut))
        self.request = request_layout(SPEC.channel)
        self.answer = flat(response_layout())
        self.tables = Tables(spec=SPEC.translator, memory={}, directory_base=DIRECTORY,
                             sequences=1, chunk_base=CHUNKS, chunks=4)
        self.tables.put_sequence(0, tenant=1, layers=1, head_groups=1, segments=(ENTRIES,))
        for chunk, bank in enumerate((*PIM, *CAPACITY)):
            self.tables.put_chunk(chunk, tenant=1, channel=NUMBER, bank=bank, row=0, rows=4)
        self.tail = 0

    async def skip(self, clocks: int) -> None:
        """Waits without looking."""
        await Timer(max(1, clocks) * PERIOD_NS - PERIOD_NS / 2, unit="ns")
        await RisingEdge(self.dut.clk)

    async def access(self, accesses: Sequence[tuple[Place, int | None]]
                     ) -> list[tuple[Status, int]]:
        """Writes, and reads where there are no data; one answer each. At most 256."""
        dut, answers = self.dut, dict[int, tuple[Status, int]]()
        dut.host__response__ready.value = 1
        sent = -1
        while len(answers) < len(accesses):
            if sent < 0 or (sent < len(accesses) and int(dut.host__request__ready.value)):
                sent += 1
                dut.host__request__valid.value = int(sent < len(accesses))
                if sent < len(accesses):
                    (bank, row, column), word = accesses[sent]
                    dut.host__request__payload.value = self.request.const({
                        "tag": sent, "write": word is not None, "bank": bank, "row": row,
                        "column": column, "data": word or 0}).as_bits()
            await RisingEdge(dut.clk)
            if int(dut.host__response__valid.value):
                got = unpacked(self.answer, int(dut.host__response__payload.value))
                answers[got["tag"]] = Status(got["status"]), got["data"]
        return [answers[tag] for tag in range(len(accesses))]

    async def write(self, words: Iterable[tuple[Place, int]]) -> None:
        """Writes, each of which must be carried out."""
        answers = await self.access(list(words))
        assert all(status is Status.OK for status, _ in answers)

    async def load(self, on: float) -> None:
        """The GPU's load, as a share of all clocks; 0 waits until nothing is under way."""
        self.dut.offer.value = int(on * (1 << 16))
        if on:
            self.dut.loaded.value = 1
            return
        await RisingEdge(self.dut.clk)
        await RisingEdge(self.dut.clk)
        while not int(self.dut.quiet.value):
            await self.skip(8)
        self.dut.loaded.value = 0

    async def set_up(self) -> None:
        """Registers after a reset; the tables in memory are as they were."""
        registers = self.registers
        for name, value in (("directory_base", DIRECTORY), ("sequences", 1),
                            ("chunk_base", CHUNKS), ("chunks", 4)):
            await registers[f"translator.{name}"].write(value)
        settings = ChannelSettings(ring_log2=RING_LOG2)
        await registers["dma.ring_0"].write(RING.pack())
        await registers["dma.records_0"].write(RECORDS.pack())
        await registers["dma.setup_0"].set(enable=1, ring_log2=RING_LOG2, weight=settings.weight)
        self.tail = 0

    async def tell(self, tiers: Sequence[Tier]) -> None:
        """Writes all tables: each block has one copy, in this tier."""
        for n, tier in enumerate(tiers):
            self.tables.put_block(
                block_id(n), Residency(pim=tier is Tier.PIM, capacity=tier is Tier.CAPACITY),
                pim=(n // 2, n % 2 * BEATS), capacity=(2 + n // 2, n % 2 * BEATS))
        await self.write((word_place(SPEC.translator, address), int.from_bytes(word, "little"))
                         for address, word in self.tables.memory.items())
        await self.registers["translator.invalidate"].set(scope=Scope.ALL)
        while (await self.registers["translator.status"].fields())["invalidating"]:
            pass

    @staticmethod
    def entry(n: int) -> Place:
        """Where the table entry of a block lies."""
        return word_place(SPEC.translator, ENTRIES + n)

    def descriptors(self, sources: Sequence[Tier]) -> list[tuple[Place, int]]:
        """Words of the next descriptors: block n goes from this tier to the other one."""
        words = []
        for n, source in enumerate(sources):
            to = Tier.CAPACITY if source is Tier.PIM else Tier.PIM
            identity = {name: getattr(block_id(n), name) for name in BLOCK_ID_WIDTHS}
            move = Descriptor(source=NAMED, destination=NAMED, beats=BEATS, cookie=n, block=pack(
                BLOCK, {**identity, "source_tier": source, "destination_tier": to})).pack()
            index = (self.tail + n) % BLOCKS * DESCRIPTOR_BEATS
            words += [((RING.bank, RING.row, index + half),
                       move >> WORD_BITS * half & (1 << WORD_BITS) - 1)
                      for half in range(DESCRIPTOR_BEATS)]
        return words

    async def ring(self) -> None:
        """The doorbell for one move of each block."""
        self.tail = self.tail + BLOCKS & 0xFFFF
        await self.registers["dma.doorbell_0"].set(tail=self.tail)

    async def idle(self) -> dict[str, int]:
        """The channel's status when it is no longer busy."""
        for _ in range(TIME_OUT_CLOCKS // IDLE_POLL_CLOCKS):
            status = await self.registers["dma.status_0"].fields()
            if not status["busy"]:
                return status
            await self.skip(IDLE_POLL_CLOCKS)
        raise AssertionError(f"the channel is busy for {TIME_OUT_CLOCKS} clocks")

    async def records(self) -> list[dict[str, int]]:
        """Completion records of the last moves."""
        answers = await self.access([((RECORDS.bank, RECORDS.row, n), None)
                                     for n in range(BLOCKS)])
        assert all(status is Status.OK for status, _ in answers), "a record cannot be read"
        records = [unpack_record(COMPLETION, word) for _, word in answers]
        assert [r["index"] for r in records] == [
            self.tail - BLOCKS + n & 0xFFFF for n in range(BLOCKS)], "records of other moves"
        return records

    async def residencies(self) -> list[tuple[Status, Residency]]:
        """What the table says of each block."""
        return [(status, Residency.from_int(
                    unpack(BLOCK_WORD, word.to_bytes(BEAT_BYTES, "little"))["residency"]))
                for status, word in await self.access(
                    [(self.entry(n), None) for n in range(BLOCKS)])]

    async def log(self) -> list[tuple[int, Place]]:
        """Kind and place of every record of the error log, which is emptied."""
        found = []
        for _ in range(await self.registers["reliability.log_level"].read()):
            kind = await self.registers["reliability.log_kind"].fields()
            at = await self.registers["reliability.log_place"].fields()
            found.append((kind["kind"], (at["bank"], at["row"], at["column"])))
            await self.registers["reliability.log_control"].set(pop=1)
        return found
