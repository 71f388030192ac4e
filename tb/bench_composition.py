"""cocotb test that lets a slice attend to job after job of any length, among other traffic.

Parameters: ``spec``, ``cases``: each a dictionary of ``group``, ``head_size``, ``stored`` (name of
a quantised format, or empty), ``contexts``, and ``gpu`` and ``dma``: whether the GPU reads runs of
columns, and blocks are moved, in capacity banks meanwhile.
"""

import json
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Event

from model.spec.presets import slice_spec
from tb.bench import parameters
from tb.bench_attend import describe, kind_of, load, one_after_another, rest
from tb.slice_bench import Sequence, SliceBench

RECORD = "composition.json"
"""File with the end of every job of each case, in clocks from the case's start."""

READ_ROWS, RUN, PAUSE_CLOCKS = 2, 8, 48
"""Rows that the GPU reads, columns that it reads in a row, and how long it pauses behind them."""

MOVED_ROWS, FROM, TO = 8, 8, 16
"""Rows of a move, and the first row that it is read from and written to."""


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def jobs_follow_each_other(dut: Any) -> None:
    """Every result is compared with the golden model, every word that the GPU reads too."""
    options = parameters()
    spec = slice_spec(**options["spec"])
    cases = options["cases"]
    records: dict[int, Any] = {}
    async with SliceBench(dut, spec, watch=False) as tb:
        bank = spec.geometry.capacity_bank_numbers[0]
        for row in (*range(READ_ROWS), *range(FROM, FROM + MOVED_ROWS)):
            await tb.paint(bank, row)
        await tb.settle_host()
        loaded: tuple[Any, Sequence | None] = None, None
        for number in sorted(range(len(cases)), key=lambda n: kind_of(cases[n])):
            case, kind = cases[number], kind_of(cases[number])
            contexts = case["contexts"]
            if loaded[0] != kind:
                loaded = kind, await load(tb, *kind, max(
                    max(other["contexts"]) for other in cases if kind_of(other) == kind))
            sequence = loaded[1]
            assert sequence
            wants = {context: tb.golden(sequence, context) for context in set(contexts)}
            await describe(tb, sequence)
            await rest(tb)
            begin = tb.cycle
            over = Event()
            others = [cocotb.start_soon(traffic(tb, bank, over)) for name, traffic in (
                ("gpu", _gpu), ("dma", _dma)) if case[name]]
            ends = await one_after_another(tb, sequence, contexts, wants)
            over.set()
            for other in others:
                await other
            await tb.settle_host()
            records[number] = {**case, "ends": [end - begin for end in ends]}
        tb.check(await tb.errors(), set(), "errors")
    Path(RECORD).write_text(json.dumps([records[n] for n in range(len(cases))]))


async def _gpu(tb: SliceBench, bank: int, over: Event) -> None:
    """Reads runs of neighbouring columns of random rows, about an eighth of the data bus."""
    columns = tb.spec.geometry.columns
    while not over.is_set():
        row = tb.rng.randrange(READ_ROWS)
        first = tb.rng.randrange(columns // RUN) * RUN
        for column in range(first, first + RUN):
            await tb.verify((bank, row, column))
        await tb.clocks(tb.rng.randrange(2 * PAUSE_CLOCKS))


async def _dma(tb: SliceBench, bank: int, over: Event) -> None:
    """One block move after another."""
    while not over.is_set():
        await tb.move((bank, FROM), (bank, TO), MOVED_ROWS)
