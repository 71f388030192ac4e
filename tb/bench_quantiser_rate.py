"""Measures how many beats of 16-bit elements a clock the quantiser takes, or gives.

Parameters: those of ``tb.bench_quantiser``, and ``measured`` (names of formats), ``blocks`` (of a
region), ``repeat`` (regions). Leaves ``RESULT``: format -> direction -> [beats, clocks].
"""

import json
from pathlib import Path
from typing import Any

import cocotb

from model.golden import quantiser as golden
from model.spec.mx import element_format
from tb.bench import parameters
from tb.bench_quantiser import QuantiserBench

RESULT = "rates.json"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def regions_one_after_another(dut: Any) -> None:
    """Beats are offered, and taken, in every clock; the clocks count from the first to the last."""
    rates: dict[str, dict[str, list[int]]] = {}
    options = parameters()
    async with QuantiserBench(dut) as tb:
        for name in options["measured"]:
            fmt = element_format(name)
            values = tb.random_values(options["blocks"])
            made = golden.quantise(values, fmt)
            for direction in ("quant", "dequant"):
                tb.input_cycles.clear()
                tb.output_cycles.clear()
                for _ in range(options["repeat"]):
                    if direction == "quant":
                        tb.quantise(values, fmt)
                    else:
                        tb.dequantise(made.codes, made.scales, fmt)
                await tb.finished()
                cycles = tb.input_cycles if direction == "quant" else tb.output_cycles
                rates.setdefault(name, {})[direction] = [len(cycles), cycles[-1] - cycles[0] + 1]
    Path(RESULT).write_text(json.dumps(rates))
