"""Beats of 16-bit elements a clock through the quantiser, a format and a direction at a time."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hdl.quantiser.quantiser import Quantiser
from model.spec.mx import ALIASES, ELEMENT_FORMATS, QuantisedRegion, element_format
from tb.bench_quantiser import quantiser_spec
from tb.bench_quantiser_rate import RESULT
from tb.build import ROOT, build, run
from tb.figures.figure import Figure, Progress

BLOCKS = 128
"""K and V of 16 tokens with heads of 128 elements."""

OPTIONS: dict[str, Any] = {
    "blocks_max": 256, "blocks": BLOCKS, "repeat": 3, "measured": [*ELEMENT_FORMATS, *ALIASES]}


def bound(name: str) -> float:
    """Beats a clock: the bus carries a beat a clock, on whichever side has more of them."""
    region = QuantisedRegion(fmt=element_format(name), blocks=BLOCKS)
    return region.wide_beats / max(region.wide_beats, region.columns)


def figures(progress: Progress) -> Iterator[Figure]:
    """Each format in both directions; ``mxfp8`` is another name of ``mxfp8_e4m3``."""
    progress("regions of 128 blocks in every format")
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    built = build(Quantiser(quantiser_spec(**OPTIONS)), "quantiser")
    with tempfile.TemporaryDirectory(prefix="quantiser-", dir=folder) as work:
        run(built, "tb.bench_quantiser_rate", Path(work), parameters=OPTIONS)
        rates = json.loads((Path(work) / RESULT).read_text())
    for direction in ("quant", "dequant"):
        for name, measured in rates.items():
            beats, clocks = measured[direction]
            yield Figure(f"{direction}.{name}.beats_per_clock", beats / clocks, "beats/clock",
                         bound(name))
