"""cocotb test that measures streams of moves on the real memory channel, with and without a GPU.

Parameter ``plan``: what to measure (:data:`PLANS`). The measures go to ``RECORD``.
"""

import json
from collections import deque
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from hdl.dma.dma_channel import STATUS
from hdl.layouts import request_layout, response_layout
from model.spec.dma import (
    COMPLETION,
    ChannelSettings,
    Descriptor,
    DmaSpec,
    Place,
    Result,
    Side,
    bank_spread,
    place_in_region,
    unpack,
)
from model.spec.geometry import BEAT_BYTES, ChannelGeometry
from model.spec.scheduling import SHARED
from model.spec.slice import SliceSpec
from tb.bench import Bench, StreamDriver, StreamMonitor, parameters

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=16, capacity_banks=16, rows=64),
                 scheduler=SHARED)
DMA = DmaSpec()
GEOMETRY = SPEC.geometry
COLUMNS = GEOMETRY.columns
CAPACITY = GEOMETRY.capacity_bank_numbers[0]
RECORD = "dma_bounds.json"
RING_LOG2 = 5
RING, RECORDS = Place(CAPACITY + 15, 60), Place(CAPACITY + 7, 62)
POLL_CLOCKS = 100
WARM_UP_REFRESHES = 9
"""Refreshes may be postponed by eight intervals; then as many come as pass."""

ALONE_REFRESHES = 64
"""Intervals of tREFI in which the GPU is measured alone."""

PLANS: dict[str, dict[str, Any]] = {
    "move_64k": {"kib": 64, "moves": 36},
    "move_4k": {"kib": 4, "moves": 700},
    "gpu50": {"kib": 64, "moves": 60, "gpu": 0.5},
    "gpu50_alone": {"kib": 64, "moves": 0, "gpu": 0.5},
    "unseen_gpu50": {"kib": 64, "moves": 60, "gpu": 0.5, "after": 500_000},
    "unseen_gpu50_alone": {"kib": 64, "moves": 0, "gpu": 0.5, "after": 500_000},
}
"""``gpu``: share of the bus that the GPU asks for. ``after``: clocks in which nobody asks for
anything, so that the GPU's reads, which are drawn in every clock, are others."""


def move(number: int, kib: int) -> Descriptor:
    """From capacity to PIM layers; 64 KiB over all banks, 4 KiB from four banks into one."""
    beats = kib * 1024 // BEAT_BYTES
    rows = beats // COLUMNS
    if kib == 64:
        row = number * (rows // 16) % 60
        return Descriptor(source=Side(place=Place(CAPACITY, row), interleave=4),
                          destination=Side(place=Place(0, row), interleave=4), beats=beats)
    bank = 0
    for bit, flip in enumerate(bank_spread(GEOMETRY)):
        bank ^= flip if number >> bit & 1 else 0
    # Four banks of each block: they take turns in the two highest bits of the order of banks.
    start = CAPACITY ^ (bank_spread(GEOMETRY)[2] * (number & 1)
                        | bank_spread(GEOMETRY)[3] * (number >> 1 & 1))
    return Descriptor(
        source=Side(place=Place(start, number // 4 % 60), interleave=2),
        destination=Side(place=Place(bank, number // 16 * rows % 60)), beats=beats)


class BoundsBench(Bench):
    """Writes descriptors through the channel and lets the engine run."""

    async def setup(self) -> None:
        """Connects the host's port and sets channel 0."""
        self.request, self.response = request_layout(SPEC), response_layout()
        self.driver = StreamDriver(self, "host__request")
        self.answers: deque[Any] = deque()
        StreamMonitor(self, "host__response",
                      lambda p: self.answers.append(self.response.from_bits(p)))
        self.dut.settings_0.value = ChannelSettings(
            ring=RING, records=RECORDS, ring_log2=RING_LOG2).pack()
        self.tail = 0

    async def access(self, place: Place, word: int | None = None) -> int:
        """One access of the host."""
        await self.driver.put(self.request.const({
            "write": word is not None, "bank": place.bank, "row": place.row,
            "column": place.column, "data": word or 0}).as_bits())
        while not self.answers:
            await RisingEdge(self.dut.clk)
        return int(self.answers.popleft().data)

    async def write_ring(self, moves: list[Descriptor]) -> None:
        """Puts descriptors into the ring, from its first entry on."""
        for n, descriptor in enumerate(moves):
            for half in range(2):
                word = descriptor.pack() >> 256 * half & (1 << 256) - 1
                await self.access(place_in_region(GEOMETRY, RING, 0, 2 * n + half), word)

    def head(self) -> int:
        """Descriptors that are done."""
        return int(STATUS.from_bits(int(self.dut.status_0.value)).head)

    async def start(self, count: int) -> None:
        """Rings the doorbell for so many more."""
        self.tail += count
        self.dut.tail.value = self.tail & 0xFFFF
        self.dut.doorbell.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.doorbell.value = 0

    async def run(self, moves: int, size: int, warm_up: int) -> None:
        """Keeps the ring filled; measures from the end of the warm-up to the last doorbell."""
        given = min(moves, 1 << RING_LOG2)
        await self.start(given)
        clocks = 0
        while self.head() < moves - size:
            await ClockCycles(self.dut.clk, POLL_CLOCKS)
            clocks += POLL_CLOCKS
            room = (1 << RING_LOG2) - (given - self.head())
            more = min(room, moves - given)
            if more:
                await self.start(more)
                given += more
            if clocks >= warm_up:
                self.dut.counting.value = 1
        self.dut.counting.value = 0


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def measure(dut: Any) -> None:
    name = parameters()["plan"]
    plan = PLANS[name]
    async with BoundsBench(dut) as tb:
        await tb.setup()
        if "after" in plan:
            await ClockCycles(dut.clk, plan["after"])
        kib, count = plan["kib"], plan["moves"]
        descriptors = [move(n, kib) for n in range(min(count, 1 << RING_LOG2) or 1)]
        if count:
            await tb.write_ring(descriptors)
        first = descriptors[0]
        words = {n: tb.rng.getrandbits(256) for n in (0, 1, COLUMNS, first.beats - 1)}
        for n, word in words.items():
            await tb.access(place_in_region(GEOMETRY, first.source.place,
                                            first.source.interleave, n), word)
        dut.offer.value = round(65536 * plan.get("gpu", 0))
        interval = SPEC.timing.refresh_interval
        warm_up = WARM_UP_REFRESHES * interval
        if count:
            await tb.run(count, 8 if kib == 64 else 16, warm_up)
        else:
            await ClockCycles(dut.clk, warm_up)
            dut.counting.value = 1
            await ClockCycles(dut.clk, ALONE_REFRESHES * interval)
            dut.counting.value = 0
        await ClockCycles(dut.clk, 2)
        measures = {key: int(getattr(dut, key).value)
                    for key in ("clocks", "gpu_beats", "dma_reads", "dma_writes")}
        histogram = []
        for at in range(1 << len(dut.latency_at)):
            dut.latency_at.value = at
            await RisingEdge(dut.clk)
            await RisingEdge(dut.clk)
            histogram.append(int(dut.latency_count.value))
        tb.check(sum(histogram), measures["gpu_beats"], "reads of the GPU, by their time")
        dut.offer.value = 0
        while count and tb.head() < count:
            await ClockCycles(dut.clk, POLL_CLOCKS)
        await ClockCycles(dut.clk, 2000)
        tb.answers.clear()                   # those of the last reads of the GPU
        if count:
            for n, word in words.items():
                got = await tb.access(place_in_region(
                    GEOMETRY, first.destination.place, first.destination.interleave, n))
                tb.check(got, word, f"beat {n} of the first move")
            for n in range(len(descriptors)):
                record = unpack(COMPLETION, await tb.access(
                    place_in_region(GEOMETRY, RECORDS, 0, n)))
                tb.check(record["result"], Result.DONE, f"record {n}")
        Path(RECORD).write_text(json.dumps({**measures, "histogram": histogram}))
