"""cocotb test of the scenario that `make waves SCENARIO=quantiser` shows."""

from typing import Any

import cocotb
import numpy as np

from model.golden import quantiser as golden
from model.golden.floats import DTYPES
from model.spec.mx import INT4, MXFP6_E2M3, MXFP8_E4M3, StoredFormat
from tb.bench_quantiser import QuantiserBench


@cocotb.test(timeout_time=2, timeout_unit="us")
async def blocks_are_quantised_refused_and_dequantised(dut: Any) -> None:
    """4 blocks to MXFP8, 3 to MXFP6 with an infinity, a second quantising, and INT4 back."""
    async with QuantiserBench(dut) as tb:
        values = tb.np_rng.normal(0, 1, (4, 32)).astype(np.float32)
        wide = values.astype(DTYPES[tb.spec.wide])
        tb.quantise(wide, MXFP8_E4M3)
        bad = wide[:3].copy()
        bad[1, 5] = np.inf
        tb.quantise(bad, MXFP6_E2M3)
        tb.request(StoredFormat.MXFP8_E4M3, StoredFormat.INT4, 4)
        made = golden.quantise(wide, INT4)
        tb.dequantise(made.codes, made.scales, INT4)
        await tb.finished()
