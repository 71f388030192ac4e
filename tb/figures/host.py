"""Beats a clock through the AXI4 memory port, with a memory channel behind it."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.spec import bounds
from model.spec.address_map import INTERLEAVED
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from tb.axi_channel_dut import AxiChannelDut
from tb.bench_host_rate import BEATS, RESULT
from tb.build import ROOT, build, run
from tb.figures.figure import Figure, Progress

GEOMETRY: dict[str, Any] = {"pim_banks": 1, "capacity_banks": 16, "rows": 16}
BURSTS = 256
"""All of the capacity banks: two intervals of tREFI."""

ORDERS = {"": INTERLEAVED, "paired_": ("sid", "row", "bank", "column", "bank_group")}
"""``paired``: whole rows of two banks of different groups, so that banks change rows in turn."""


def figures(progress: Progress) -> Iterator[Figure]:
    """Writes and reads of long bursts, one behind the other, in two orders of addresses."""
    spec = SliceSpec(geometry=ChannelGeometry(**GEOMETRY))
    bound = bounds.streaming(spec.timing, spec.geometry)
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    for name, order in ORDERS.items():
        progress("building an AXI4 port on a memory channel, unless that was done before")
        built = build(AxiChannelDut(spec, order), "host")
        with tempfile.TemporaryDirectory(prefix="host-", dir=folder) as work:
            progress(f"{BURSTS} bursts of {BEATS} beats")
            run(built, "tb.bench_host_rate", Path(work),
                parameters={"geometry": GEOMETRY, "order": order, "bursts": BURSTS})
            rates = json.loads((Path(work) / RESULT).read_text())
        for direction, (beats, clocks) in rates.items():
            yield Figure(f"host.{name}{direction}_beats_per_clock", beats / clocks,
                         "beats/clock", bound)
