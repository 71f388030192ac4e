"""Clocks of the address translator: hits, and what a miss costs beside its memory."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hdl.translator.translator import Translator
from model.spec.translation import MISS_OVERHEAD_CLOCKS
from tb.bench_translator_clocks import RESULT
from tb.build import ROOT, simulate
from tb.figures.figure import Figure, Progress
from tb.translator_memory import translator_spec

BENCH = "tb.bench_translator_clocks"


def figures(progress: Progress) -> Iterator[Figure]:
    """Hits a clock over a stream of them; the dearest of many misses."""
    progress("hits, and misses with memory latencies of 1 to 120 clocks")
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="translate-", dir=build) as work:
        simulate(Translator(translator_spec()), BENCH, Path(work), parameters={"spec": {}})
        clocks = json.loads((Path(work) / RESULT).read_text())
    yield Figure("translate.hits_per_clock", clocks["hits"] / clocks["hit_clocks"],
                 "translations/clock", 1.0)
    yield Figure("translate.miss_overhead_clocks", clocks["miss_overhead"], "clocks",
                 MISS_OVERHEAD_CLOCKS, lower_is_better=True)
