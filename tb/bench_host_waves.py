"""cocotb test of the scenario that `make waves SCENARIO=host` shows."""

from typing import Any

import cocotb
from cocotbext.axi import AxiResp

from model.golden.axi_burst import FIXED, INCR, WRAP, AxiBurst
from tb.bench import Bench
from tb.bench_axi_memory import SPEC, Setup


@cocotb.test(timeout_time=10, timeout_unit="us")
async def bursts_become_accesses(dut: Any) -> None:
    """Words in whole and in part, reads of each kind; a burst and a place that are refused."""
    async with Bench(dut) as tb:
        setup = Setup(tb)
        bank, row, column = setup.image.places[0]
        start = setup.addresses.address(bank, row, column)
        whole, parts = AxiBurst(start, 4, 5, INCR), AxiBurst(start + 29, 5, 1, INCR)
        for id, burst in enumerate((whole, parts)):
            await setup.write(burst, setup.make.beats(burst, full=1), id=id)
            await setup.settle()
        await setup.check_reads([
            await setup.driver.read(burst, id=id) for id, burst in enumerate((
                whole, parts, AxiBurst(start + 64, 4, 5, WRAP), AxiBurst(start, 3, 2, FIXED)))])

        missing = setup.addresses.address(bank, SPEC.geometry.rows, column)
        refused = [await setup.write(burst, setup.make.beats(burst, full=1), id=4)
                   for burst in (AxiBurst(start, 3, 5, WRAP), AxiBurst(missing, 2, 5, INCR))]
        await setup.settle()
        tb.check([issued.responses for issued in refused], [[AxiResp.SLVERR], [AxiResp.DECERR]],
                 "what AXI4 does not allow, and where nothing is")
        await setup.check_reads([await setup.driver.read(whole, id=5)])
