"""Drives a base die as its users do: memory over AXI4, orders over AXI4-Lite, and an interrupt."""

from collections.abc import Coroutine, Mapping
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiResp

from hdl.layouts import result_layout
from model.golden.translator import BlockId, Residency, Tables, unpack
from model.register_access import Register
from model.spec.address_map import AddressMap
from model.spec.dma import (
    BLOCK,
    COMPLETION,
    ChannelSettings,
    Descriptor,
    Kind,
    Side,
    pack,
)
from model.spec.dma import Place as Spot
from model.spec.dma import unpack as unpack_record
from model.spec.geometry import BEAT_BYTES
from model.spec.translation import BLOCK_ID_WIDTHS, BLOCK_WORD, Scope, Tier
from tb.axi_driver import axi_master
from tb.bench import PERIOD_NS, Bench, StreamDriver, StreamMonitor
from tb.channel_monitor import Fields
from tb.designs import base_die_spec
from tb.host import hosts
from tb.slice_bench import Place, SliceBench
from tb.translator_memory import word_address, word_place

TIME_OUT_CLOCKS = 30_000
NAMED = Side(kind=Kind.BLOCK)


async def together(*actions: Coroutine[Any, Any, Any]) -> list[Any]:
    """Runs actions of several channels at a time; their results."""
    return [await task for task in [cocotb.start_soon(action) for action in actions]]


class Attention(SliceBench):
    """The slice's bench for attentions, with the registers and the memory of a channel of a die.

    Parameters
    ----------
    die : DieBench
    channel : int
    """

    def __init__(self, die: "DieBench", channel: int) -> None:
        super().__init__(die.dut, die.spec.channel)
        self.die, self.channel, self.rng, self.host = die, channel, die.rng, self
        self.query = StreamDriver(self, f"query__{channel}")
        result = Fields(result_layout())
        StreamMonitor(self, f"result__{channel}", lambda p: self._resulted(result(p)))

    def check(self, got: object, want: object, what: str) -> None:
        """Counts for the die's bench."""
        self.die.check(got, want, what)

    async def store(self, place: Place, word: int) -> None:
        """Keeps a word until all are written."""
        self.image[place] = word

    async def settle_host(self) -> None:
        """Writes what was stored."""
        await self.die.write(self.channel, self.image)

    def _register(self, name: str) -> Register:
        return self.die.register(f"attention_{self.channel}.{name}")

    async def write(self, name: str, value: int, index: int = 0) -> None:
        """As :class:`tb.host.Host`."""
        await self._register(name).write(value, index)

    async def write_fields(self, name: str, **fields: int) -> None:
        """As :class:`tb.host.Host`."""
        await self._register(name).set(**fields)

    async def read(self, name: str, index: int = 0) -> int:
        """As :class:`tb.host.Host`."""
        return await self._register(name).read(index)


class DieBench(Bench):
    """A bench whose device is a :class:`~hdl.base_die.BaseDie`, reached only through its buses.

    Channel c has one tenant, c + 1, with one sequence; its tables, ring and records lie in the
    last rows of the last capacity bank. Block n has place for two rows in both tiers.
    """

    def __init__(self, dut: Any, channels: int) -> None:
        super().__init__(dut, drain_clocks=TIME_OUT_CLOCKS)
        self.spec = base_die_spec(channels)
        self.geometry = self.spec.channel.geometry
        self.map = AddressMap(geometry=self.geometry)
        self.beats = 2 * self.geometry.columns
        home = self.geometry.banks[-1]
        self.ring, self.records = Spot(home, 12), Spot(home, 11)
        self.at = {name: word_address(self.spec.translator, (home, *place)) for name, place in (
            ("directory", (13, 0)), ("chunks", (13, 2)), ("entries", (14, 0)))}
        self.tails = [0] * channels

    async def __aenter__(self) -> "DieBench":
        await super().__aenter__()
        self.registers, self.lite = hosts(self.dut, self.spec.space)
        self.memories = [axi_master(self.dut, f"axi__{c}") for c in range(self.spec.channels)]
        return self

    def register(self, name: str) -> Register:
        """A register of the die."""
        return self.registers[name]

    # Memory

    async def write(self, c: int, words: Mapping[Place, int]) -> None:
        """Writes words, neighbours in one burst."""
        runs: list[tuple[int, bytearray]] = []
        for place in sorted(words):
            address, word = self.map.address(*place), words[place].to_bytes(BEAT_BYTES, "little")
            if runs and runs[-1][0] + len(runs[-1][1]) == address:
                runs[-1][1].extend(word)
            else:
                runs.append((address, bytearray(word)))
        for address, payload in runs:
            answer = await self.memories[c].write(address, bytes(payload))
            self.check(answer.resp, AxiResp.OKAY, f"write of {len(payload)} bytes")

    async def read(self, c: int, place: Place, beats: int) -> list[int]:
        """Reads words that follow each other."""
        answer = await self.memories[c].read(self.map.address(*place), beats * BEAT_BYTES)
        self.check(answer.resp, AxiResp.OKAY, f"read at {place}")
        return [int.from_bytes(answer.data[i:i + BEAT_BYTES], "little")
                for i in range(0, len(answer.data), BEAT_BYTES)]

    def place(self, n: int, tier: Tier) -> Place:
        """Where the copy of a block begins; blocks lie in the first banks of the tiers."""
        banks = (self.geometry.pim_bank_numbers if tier is Tier.PIM
                 else self.geometry.capacity_bank_numbers)
        return banks[0], 2 * n, 0

    def words(self, n: int, tier: Tier, data: list[int]) -> dict[Place, int]:
        """The words of a copy."""
        bank, row, _ = self.place(n, tier)
        columns = self.geometry.columns
        return {(bank, row + beat // columns, beat % columns): word
                for beat, word in enumerate(data)}

    def random_words(self, count: int) -> list[int]:
        """Finite, ordinary bfloat16 numbers, two bytes each."""
        draw = np.random.default_rng(self.rng.getrandbits(32))
        values = draw.standard_normal(count * BEAT_BYTES // 2).astype(np.float32)
        raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        return [int.from_bytes(raw[i:i + BEAT_BYTES], "little")
                for i in range(0, len(raw), BEAT_BYTES)]

    # Tables and moves

    def block(self, c: int, n: int) -> BlockId:
        """Block n of channel c's sequence."""
        return BlockId(tenant=c + 1, sequence=0, block=n)

    async def set_up(self, c: int, blocks: Mapping[int, Residency]) -> None:
        """Writes tables and registers of a channel, and lets its translator forget."""
        tables = Tables(spec=self.spec.translator, memory={}, directory_base=self.at["directory"],
                        sequences=1, chunk_base=self.at["chunks"], chunks=2)
        tables.put_sequence(0, tenant=c + 1, layers=1, head_groups=1,
                            segments=(self.at["entries"],))
        for chunk, tier in enumerate((Tier.PIM, Tier.CAPACITY)):
            tables.put_chunk(chunk, tenant=c + 1, channel=c, bank=self.place(0, tier)[0], row=0,
                             rows=8)
        for n, residency in blocks.items():
            tables.put_block(self.block(c, n), residency, pim=(0, n * self.beats),
                             capacity=(1, n * self.beats))
        await self.write(c, {word_place(self.spec.translator, address):
                             int.from_bytes(word, "little")
                             for address, word in tables.memory.items()})
        for name, value in (("directory_base", self.at["directory"]), ("sequences", 1),
                            ("chunk_base", self.at["chunks"]), ("chunks", 2)):
            await self.register(f"translator_{c}.{name}").write(value)
        await self.register(f"translator_{c}.invalidate").set(scope=Scope.ALL)
        settings = ChannelSettings(ring_log2=2)
        await self.register(f"dma_{c}.ring_0").write(self.ring.pack())
        await self.register(f"dma_{c}.records_0").write(self.records.pack())
        await self.register(f"dma_{c}.setup_0").set(
            enable=1, ring_log2=settings.ring_log2, weight=settings.weight)
        await self.register("die.interrupt_enable").set(
            attention=1, dma=1, translation=1, reliability=1)

    def question(self, block: BlockId, source: Tier) -> int:
        """Field ``block`` of a descriptor: to the other tier."""
        to = Tier.CAPACITY if source is Tier.PIM else Tier.PIM
        return pack(BLOCK, {**{name: getattr(block, name) for name in BLOCK_ID_WIDTHS},
                            "source_tier": source, "destination_tier": to})

    async def order(self, c: int, move: Descriptor) -> None:
        """A descriptor in the ring, and the doorbell."""
        word, index = move.pack(), self.tails[c] % 4
        await self.write(c, {
            (self.ring.bank, self.ring.row, 2 * index + half):
                word >> 8 * BEAT_BYTES * half & (1 << 8 * BEAT_BYTES) - 1 for half in range(2)})
        self.tails[c] += 1
        await self.register(f"dma_{c}.doorbell_0").set(tail=self.tails[c])

    async def interrupted(self) -> dict[str, int]:
        """Waits for the interrupt, and says why it came."""
        async def wait() -> None:
            while not int(self.dut.irq.value):
                await RisingEdge(self.dut.clk)
        await with_timeout(wait(), TIME_OUT_CLOCKS * PERIOD_NS, "ns")
        status = await self.register("die.interrupt_status").fields()
        return {name: bit for name, bit in status.items() if bit}

    async def acknowledge(self, c: int) -> None:
        """Clears the interrupt of the DMA engine."""
        await self.register(f"dma_{c}.clear").set(channel_0=1)
        await self.register("die.interrupt_status").set(dma=1)

    async def record(self, c: int) -> dict[str, int]:
        """The completion record of the last descriptor."""
        while (await self.register(f"dma_{c}.status_0").fields())["busy"]:
            pass
        index = self.tails[c] - 1
        word, = await self.read(c, (self.records.bank, self.records.row, index % 4), 1)
        record = unpack_record(COMPLETION, word)
        self.check(record["index"], index, "the record's index")
        return record

    async def residency(self, c: int, n: int) -> Residency:
        """What the table in memory says of a block."""
        word, = await self.read(c, word_place(self.spec.translator, self.at["entries"] + n), 1)
        return Residency.from_int(
            unpack(BLOCK_WORD, word.to_bytes(BEAT_BYTES, "little"))["residency"])
