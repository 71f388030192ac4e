"""Clocks of the DMA engine on the real memory channel, alone and beside a GPU."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.dma_bounds import Spread, move_clocks
from tb.bench_dma_bounds import DMA, PLANS, RECORD, SPEC
from tb.build import ROOT, Built, build, run
from tb.dma_channel_dut import DmaOnChannel
from tb.figures.figure import Figure, Progress

BENCH = "tb.bench_dma_bounds"

SPREADS = {
    # A buffer-full of 64 KiB moves lies in all 16 banks of both SIDs; one of 4 KiB blocks in 16
    # banks at the source, and in six at the destination, a block in each.
    "move_64k": (Spread(banks=16, groups=2), Spread(banks=16, groups=2)),
    "move_4k": (Spread(banks=16, groups=2), Spread(banks=6, groups=2)),
}


def percentile(histogram: list[int], share: float) -> int:
    """Clocks that ``share`` of the reads took at most."""
    rest = share * sum(histogram)
    for clocks, count in enumerate(histogram):
        rest -= count
        if rest <= 0:
            return clocks
    raise ValueError("no reads")


def _measure(built: Built, plan: str, progress: Progress) -> dict[str, Any]:
    progress(plan.replace("_", " "))
    with tempfile.TemporaryDirectory(prefix="dma-", dir=ROOT / "build") as work:
        run(built, BENCH, Path(work), parameters={"plan": plan})
        return json.loads((Path(work) / RECORD).read_text())


def figures(progress: Progress) -> Iterator[Figure]:
    """Streams of moves against the bound of the same buffer; shares beside a GPU at 50 %.

    ``dma.unseen_...`` are of other reads of the GPU, on which no limit was chosen.
    ``dma.gpu_p99...`` are clocks from a read of the GPU to its answer.
    """
    progress("building an engine on a memory channel, unless that was done before")
    built = build(DmaOnChannel(SPEC, DMA), "dma_bounds", simulator="verilator")
    seen = {plan: _measure(built, plan, progress) for plan in PLANS}
    for plan, (source, destination) in SPREADS.items():
        measure = seen[plan]
        moved = measure["dma_writes"]
        bound = move_clocks(
            SPEC.timing, beats=DMA.buffer_beats, buffer_beats=DMA.buffer_beats,
            columns=SPEC.geometry.columns, source=source, destination=destination)
        yield Figure(f"dma.{plan}", moved / measure["clocks"], "beats moved/clock",
                     DMA.buffer_beats / bound)
    whole = seen["move_64k"]
    yield Figure("dma.bus_share_64k", (whole["dma_reads"] + whole["dma_writes"]) / whole["clocks"],
                 "beats/clock", 1.0)
    for draw in ("", "unseen_"):
        yield from _beside_a_gpu(f"dma.{draw}", seen[f"{draw}gpu50"], seen[f"{draw}gpu50_alone"])


def _beside_a_gpu(prefix: str, both: dict[str, Any], alone: dict[str, Any]) -> Iterator[Figure]:
    left = both["clocks"] - both["gpu_beats"]
    yield Figure(f"{prefix}share_of_leftover_gpu50",
                 (both["dma_reads"] + both["dma_writes"]) / left, "share", 1.0)
    yield Figure(f"{prefix}gpu_load_kept", both["gpu_beats"] / both["clocks"], "beats/clock",
                 PLANS["gpu50"]["gpu"])
    p99_alone, p99 = (percentile(each["histogram"], 0.99) for each in (alone, both))
    yield Figure(f"{prefix}gpu_p99_alone", p99_alone, "clocks", None)
    yield Figure(f"{prefix}gpu_p99", p99, "clocks", None)
    yield Figure(f"{prefix}gpu_p99_growth", p99 / p99_alone, "times", 1.0, lower_is_better=True)
