"""TEST DATA, not measured: a small cycle table of round numbers for the runtime's tests.

The runtime never reads this; its real table is written by the RTL benches.
"""

import json
from pathlib import Path

ATTEND_FIXED = 300
ATTEND_PER_WAVE = {1: 900, 4: 1400, 8: 2400}
MERGE_PER_PART = 40
MIGRATE = {"capacity_to_pim": 640, "pim_to_capacity": 620}


def fixture_table(preset: str = "hbm4_8000", clock_ps: int = 1000) -> dict:
    """A table in the form of ``build/cycles.json``."""
    rows: list[dict] = []

    def add(cycles: int, run: str, **fields: object) -> None:
        rows.append({**fields, "cycles": cycles, "waveform_cycles": cycles,
                     "run": f"fixture.{run}"})

    for group, per_wave in ATTEND_PER_WAVE.items():
        for waves in (1, 2, 3):
            add(ATTEND_FIXED + per_wave * waves, f"attend.g{group}.ctx{256 * waves}",
                operation="attend", format="bf16", head_size=128, group=group,
                context=256 * waves, pim_banks=16)
    for direction, cycles in MIGRATE.items():
        add(cycles, f"migrate.{direction}", operation="migrate", direction=direction,
            format="bf16", head_size=128, bytes=8192, pim_banks=16)
    for parts in (2, 4, 8):
        add(MERGE_PER_PART * (parts - 1) + 10, f"merge.p{parts}", operation="merge",
            head_size=128, group=1, parts=parts)
    return {"schema": 1, "rows": rows, "provenance": {
        "preset": preset, "clock_ps": clock_ps, "simulator": "fixture", "simulator_version": "0",
        "rtl_sha256": "0" * 64, "config_sha256": "0" * 64, "config": {}, "seed": 1,
        "git_revision": "fixture"}}


def write_fixture(path: Path, **changes: object) -> Path:
    """Writes the table, with top-level keys replaced by ``changes``."""
    path.write_text(json.dumps(fixture_table() | changes))
    return path
