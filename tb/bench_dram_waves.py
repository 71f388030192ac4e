"""cocotb test of the scenario that `make waves SCENARIO=dram` shows."""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from model.spec.attention import MacMode, Register
from model.spec.timing import Command
from tb.bench import Bench
from tb.channel_agents import REFRESHES, ChannelBench, Port, random_word


@cocotb.test(timeout_time=10, timeout_unit="us")
async def requests_share_the_banks(dut: Any) -> None:
    """Row hits of two banks; a late read; a drain that reads cut short; a row pass; a refresh."""
    async with Bench(dut) as tb:
        bench = ChannelBench(tb)
        first, second = bench.geometry.capacity_bank_numbers

        async def stream(port: Port, banks: tuple[int, ...], row: int, count: int,
                         write: bool = False) -> None:
            for n in range(count):
                await port.access(banks[n % len(banks)], row, n // len(banks) % 16,
                                  random_word(tb) if write else None)

        await stream(bench.host, (first, second), 0, 24)
        await bench.all_done()
        hits = bench.pulses["row_hits"]
        tb.check(hits, 22, "row hits: all but the first of each bank")

        # Hits of the GPU go on and on; the DMA wants another row of that bank
        await stream(bench.host, (first,), 0, 8)
        late = cocotb.start_soon(stream(bench.dma, (first,), 1, 1))
        await stream(bench.host, (first,), 0, 72)
        await late
        await bench.all_done()
        tb.check(bench.cycles(Command.PRE)[0] < bench.cycles(Command.RD)[-2], True,
                 "the row was closed for who was late, though there were hits")

        writing = cocotb.start_soon(stream(bench.dma, (first, second), 2, 48, write=True))
        while not bench.cycles(Command.WR):
            await RisingEdge(dut.clk)
        await stream(bench.host, (first, second), 3, 8)
        await writing
        await bench.all_done()
        reads, writes = bench.cycles(Command.RD), bench.cycles(Command.WR)
        tb.check(writes[0] < reads[-1] < writes[-1], True, "reads in the midst of the writes")

        banks = (1 << bench.geometry.pim_banks) - 1
        word = random_word(tb)
        await bench.transfer(register=Register.QUERY, mask=banks, content=word)
        await bench.run_pass(row=0, last_column=bench.geometry.columns - 1, spacing=2,
                             mode=MacMode.DOT, start=True, mask=banks)
        await bench.transfer(register=Register.OUTPUT, mask=1, want=word ^ Register.QUERY)
        await bench.all_done()
        while not bench.cycles(*REFRESHES):
            await RisingEdge(dut.clk)
        await tb.clocks(300)
