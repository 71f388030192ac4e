"""Measures how many beats a clock an AXI4 port carries, with a memory channel behind it.

Parameters: ``geometry``; ``order`` of the fields of an address; ``bursts``, of how many bursts of
32 beats a stream is. Leaves ``RESULT``: direction -> [beats, clocks from the first to the last].
"""

import json
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiResp

from model.golden.axi_burst import BUS_BYTES, INCR, AxiBurst
from model.spec.address_map import AddressMap
from model.spec.geometry import ChannelGeometry
from tb.axi_driver import AxiDriver
from tb.axi_image import ALL_BYTES
from tb.bench import Bench, parameters

RESULT = "rates.json"
BEATS = 32


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_stream_is_written_and_read_back(dut: Any) -> None:
    """Bursts follow each other, and answers are taken, in every clock."""
    given = parameters()
    addresses = AddressMap(geometry=ChannelGeometry(**given["geometry"]),
                           order=tuple(given["order"]))
    start = addresses.address(addresses.geometry.capacity_bank_numbers[0], 0, 0)
    bursts = [AxiBurst(start + n * BEATS * BUS_BYTES, BEATS, 5, INCR)
              for n in range(given["bursts"])]
    carried: dict[str, list[int]] = {"write": [], "read": []}
    async with Bench(dut) as tb:
        driver = AxiDriver(tb)

        async def watch() -> None:
            wires = {name: (getattr(dut, f"axi__{channel}valid"),
                            getattr(dut, f"axi__{channel}ready"))
                     for name, channel in (("write", "w"), ("read", "r"))}
            while True:
                await RisingEdge(dut.clk)
                for name, both in wires.items():
                    if all(int(wire.value) for wire in both):
                        carried[name].append(tb.cycle)

        cocotb.start_soon(watch())
        words = {burst.address: [tb.rng.getrandbits(8 * BUS_BYTES) for _ in range(BEATS)]
                 for burst in bursts}
        writes = [await driver.write(burst, [(word, ALL_BYTES) for word in words[burst.address]])
                  for burst in bursts]
        for issued in writes:
            await issued.done.wait()
            tb.check(issued.responses, [AxiResp.OKAY], f"answer to the write {issued.burst}")
        for issued in [await driver.read(burst) for burst in bursts]:
            await issued.done.wait()
            tb.check(issued.responses, [AxiResp.OKAY] * BEATS, f"answers to {issued.burst}")
            tb.check(issued.data, words[issued.burst.address], f"what {issued.burst} read")
    Path(RESULT).write_text(json.dumps(
        {name: [len(cycles), cycles[-1] - cycles[0] + 1] for name, cycles in carried.items()}))
