"""Extracts the cycle table that the runtime works with: ``python -m tb.cycles --help``.

Each operation is simulated, its result compared with the golden model, and its clocks taken twice:
from the hardware's counter and from the waveform. The table holds both, and where they came from.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from vcdvcd import VCDVCD

from hdl.attention.merge import Merge
from hdl.slice import Slice
from model.spec.attention import BLOCK_TOKENS, KvLayout, check_head_size
from model.spec.attention_bounds import POSTPONED_MAX, wave_clocks
from model.spec.errors import UserError
from model.spec.geometry import BEAT_BYTES, check_row_bytes
from model.spec.presets import slice_spec
from model.spec.slice import SliceSpec
from tb import bench_attend
from tb.bench import PERIOD_NS
from tb.bench_cycles import RECORD
from tb.build import (
    ROOT,
    SIMULATORS,
    WAVEFORM,
    Built,
    build,
    run,
    selected_simulator,
    simulator_version,
    to_verilog,
)

SCHEMA = 1
HEAD_SIZE = 128
"""Head size unless another is asked for: that of both models of the study (facts.md 7)."""

GROUPS = (1, 4, 8)
"""Query heads that share a KV head: none, Llama-3-8B, Qwen3-32B."""

WAVES = (1, 2, 3)
"""Lengths that are simulated; the cost of a further wave is constant, which a test checks."""

SETTLING, MEASURED = 2, 4
"""Attentions before those that are measured among others, and those at most."""

HEAD_CLOCKS = 120
"""Clocks of a query head, above those of the banks, that runs are planned with: the most seen are
91, one wave of eight heads of 64 (:mod:`tb.figures.composition`). Too few would let a forced
refresh into it."""

MERGE_PARTS = (2, 4, 16)
"""Numbers of partial results that are joined, in the runs of the merge unit."""

console = Console(stderr=True)
Row = dict[str, Any]


def slice_options(preset: str, pim_banks: int, head_size: int = HEAD_SIZE,
                  row_bytes: int = 1024) -> dict[str, Any]:
    """Parameters of :func:`~model.spec.presets.slice_spec` for the slice that is measured."""
    check_head_size(head_size, 256)
    check_row_bytes(row_bytes)
    block_rows = KvLayout(head_size=head_size, columns=row_bytes // BEAT_BYTES).rows
    return {"preset": preset, "pim_banks": pim_banks, "capacity_banks": 1,
            "rows": 1 << (max(WAVES) * block_rows - 1).bit_length(), "row_bytes": row_bytes,
            "group_max": max(GROUPS), "head_size_max": head_size}


def plans(spec: SliceSpec) -> list[list[Row]]:
    """Operations to be simulated; each list is one run."""
    fmt, head_size = spec.pim.kv_format.name, spec.pim.head_size_max
    common = {"format": fmt, "head_size": head_size, "pim_banks": spec.geometry.pim_banks}
    wave = wave_tokens(spec)
    attend = [[{"operation": "attend", **common, "group": group, "context": wave * n}
               for n in WAVES] for group in GROUPS if group <= spec.pim.group_max]
    layout = KvLayout(head_size=head_size, columns=spec.geometry.columns)
    moves = [{"operation": "migrate", **common, "direction": direction,
              "bytes": layout.block_bytes}
             for direction in ("capacity_to_pim", "pim_to_capacity")]
    merges = [{"operation": "merge", "format": fmt, "head_size": head_size, "parts": parts}
              for parts in MERGE_PARTS]
    return [*reversed(attend), moves, merges]            # the longest first


def run_name(row: Row) -> str:
    """Name of an operation's run, as results refer to it."""
    parts = [row["operation"], row["format"], f"h{row['head_size']}"]
    parts += [f"{short}{row[name]}" for short, name in
              (("g", "group"), ("ctx", "context"), ("", "direction"), ("p", "parts"))
              if name in row]
    return ".".join(parts)


def busy_clocks(waveform: Path, signal: str) -> list[int]:
    """Clocks of each interval in which a signal of the waveform was 1, in order."""
    vcd: Any = VCDVCD(str(waveform))
    name = next(n for n in vcd.signals if n.split(".")[-1] == signal)
    ps_per_tick = round(float(vcd.timescale["timescale"]) * 1e12)
    period = PERIOD_NS * 1000 // ps_per_tick
    clocks, rise = [], None
    for time, value in vcd[name].tv:
        if value == "1" and rise is None:
            rise = time
        elif value == "0" and rise is not None:
            length, rest = divmod(time - rise, period)
            if rest:
                raise ValueError(f"{waveform}: {signal} lasts {time - rise} ticks, no whole clocks")
            clocks.append(length)
            rise = None
    return clocks


BUSY = {"attend": "attend_busy", "migrate": "move_busy", "merge": "busy"}
"""Port that is 1 while an operation runs."""


def measure(built: Built, plan: list[Row], options: dict[str, Any], seed: int,
            others: bool = False) -> list[Row]:
    """Simulates one plan; returns its rows with counter and waveform clocks side by side.

    With ``others``, rows of attentions also say what one adds where others wait behind it.
    """
    bench = "tb.bench_merge_cycles" if plan[0]["operation"] == "merge" else "tb.bench_cycles"
    with tempfile.TemporaryDirectory(prefix="cycles-", dir=ROOT / "build") as work:
        run(built, bench, Path(work), seed=seed, parameters={
            "spec": options, "plan": plan,
            # Clocks do not depend on data (a test compares the simulators); Icarus's speed does.
            "sparse": built.simulator == "icarus",
            "format": plan[0]["format"], "head_size_max": plan[0]["head_size"]})
        counted = json.loads((Path(work) / RECORD).read_text())
        adds: list[Row] = [{} for _ in plan]
        if others and plan[0]["operation"] == "attend":
            adds = steady(built, plan, options, seed, Path(work) / "steady")
        seen = busy_clocks(Path(work) / WAVEFORM, BUSY[plan[0]["operation"]])
    if not len(counted) == len(seen) == len(plan):
        raise ValueError(f"{len(plan)} operations, {len(counted)} counts, {len(seen)} in the wave")
    return [{**row, "cycles": count, "waveform_cycles": wave, "run": run_name(row), **more}
            for row, count, wave, more in zip(plan, counted, seen, adds, strict=True)]


def wave_tokens(spec: SliceSpec) -> int:
    """Tokens of a wave."""
    return BLOCK_TOKENS * spec.geometry.pim_banks


def attention_rows(built: Built, plan: list[Row], options: dict[str, Any]) -> list[Row]:
    """Rows of a plan of attentions, by counters alone: for benches that need no waveform."""
    spec = slice_spec(**options)
    cases = [among_others(row, spec) for row in plan]
    alone = [{"head_size": row["head_size"], "group": row["group"], "context": row["context"],
              "stored": _stored(row, spec), "settling": 0, "measured": 0} for row in plan]
    with tempfile.TemporaryDirectory(prefix="attend-", dir=ROOT / "build") as work:
        run(built, "tb.bench_attend", Path(work), parameters={"spec": options, "cases": [
            {**lonely, **(case or {}), "alone": True}
            for lonely, case in zip(alone, cases, strict=True)]})
        records = json.loads((Path(work) / bench_attend.RECORD).read_text())
    return [{**row, "cycles": record["alone"], "run": run_name(row), **_added(record["ends"])}
            for row, record in zip(plan, records, strict=True)]


def _stored(row: Row, spec: SliceSpec) -> str:
    return "" if row["format"] == spec.pim.kv_format.name else row["format"]


def _added(ends: list[int]) -> Row:
    """What an attention adds among others, if any were simulated."""
    return {"steady": -(-(ends[-1] - ends[0]) // (len(ends) - 1))} if ends else {}


def among_others(row: Row, spec: SliceSpec) -> Row | None:
    """How the case of an attention among others is simulated; None if it is too long for that.

    Two attentions settle and an even number is measured, since they take two register sets by
    turns; all of them before the refreshes that they postpone are forced.
    """
    stored = _stored(row, spec)
    shape = {"head_size": row["head_size"], "group": row["group"]}
    waves = -(-row["context"] // wave_tokens(spec))
    longest = (waves * wave_clocks(spec, **shape, quantised=bool(stored))
               + HEAD_CLOCKS * row["group"])
    fitting = (POSTPONED_MAX - 1) * spec.timing.refresh_interval // longest - SETTLING
    if fitting < 2:
        return None
    return {**shape, "stored": stored, "context": row["context"], "settling": SETTLING,
            "measured": min(MEASURED, fitting // 2 * 2), "alone": False}


def steady(built: Built, plan: list[Row], options: dict[str, Any], seed: int,
           work: Path) -> list[Row]:
    """What further attentions add, without a refresh, for each row of a plan that can be so run."""
    spec = slice_spec(**options)
    cases = [among_others(row, spec) for row in plan]
    run(built, "tb.bench_attend", work, seed=seed, parameters={
        "spec": options, "cases": [case for case in cases if case],
        "sparse": built.simulator == "icarus"})
    records = iter(json.loads((work / bench_attend.RECORD).read_text()))
    return [_added(next(records)["ends"] if case else []) for case in cases]


def sources_digest() -> str:
    """Hash of every file that the cycle table depends on."""
    digest = hashlib.sha256()
    files = [ROOT / "requirements.lock", *sorted(
        path for folder in ("hdl", "model", "tb") for path in (ROOT / folder).rglob("*.py"))]
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def git_revision() -> str:
    """The checked-out revision, with a mark if files were changed since."""
    answer = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT,
                            capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"


def provenance(spec: SliceSpec, simulator: str, seed: int, key: str) -> Row:
    """Where a table comes from."""
    config = spec.as_dict()
    return {
        "preset": spec.timing.name, "clock_ps": spec.timing.clock_ps,
        "simulator": simulator, "simulator_version": simulator_version(simulator),
        "rtl_sha256": hashlib.sha256(to_verilog(Slice(spec), "slice").encode()).hexdigest(),
        "config_sha256": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
        "config": config, "seed": seed, "git_revision": git_revision(), "key": key,
    }


def is_current(output: Path, key: str) -> bool:
    """Whether a table made from the same sources and options lies there already."""
    try:
        return json.loads(output.read_text())["provenance"]["key"] == key
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_atomically(output: Path, table: Row) -> None:
    """All of the table or nothing."""
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_suffix(".part")
    temporary.write_text(json.dumps(table, indent=1) + "\n")
    temporary.replace(output)


def extract(spec: SliceSpec, options: dict[str, Any], simulator: str, seed: int,
            jobs: int) -> list[Row]:
    """Builds the simulators and carries out all plans, several at a time."""
    rows: dict[str, Row] = {}
    ordered = plans(spec)
    columns = (TextColumn("[cycles] {task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"building the slice for {simulator}", total=len(ordered))
        built = {"merge": build(Merge(spec.pim), "merge", simulator=simulator, waves="ports")}
        built["slice"] = build(Slice(spec), "slice", simulator=simulator, waves="ports")
        progress.update(task, description="simulating attention, block moves and merges")
        with ProcessPoolExecutor(jobs) as pool:
            pending = [pool.submit(measure, built.get(plan[0]["operation"], built["slice"]), plan,
                                   options, seed, True) for plan in ordered]
            for done in as_completed(pending):
                rows.update((row["run"], row) for row in done.result())
                progress.advance(task)
    return [rows[run_name(row)] for plan in reversed(ordered) for row in plan]


def disagreements(rows: Iterable[Row]) -> list[str]:
    """Operations whose counter and waveform differ."""
    return [f"{row['run']}: counter {row['cycles']}, waveform {row['waveform_cycles']}"
            for row in rows if row["cycles"] != row["waveform_cycles"]]


def main(
    output: Annotated[Path, typer.Option(help="Where the table goes.")] = Path("build/cycles.json"),
    simulator: Annotated[str, typer.Option(
        help=f"{' or '.join(SIMULATORS)}; by default what SIM says, or {SIMULATORS[0]}.")] = "",
    preset: Annotated[str, typer.Option(help="Timing preset.")] = "hbm4_8000",
    pim_banks: Annotated[int, typer.Option(
        "--banks", "--pim-banks", help="Banks with a PIM unit.")] = 16,
    head_size: Annotated[int, typer.Option(help="Elements of a head.")] = HEAD_SIZE,
    row_bytes: Annotated[int, typer.Option(help="Bytes of a DRAM row.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seed of the data.")] = 1,
    jobs: Annotated[int, typer.Option(help="Simulations at a time.")] = os.cpu_count() or 1,
) -> None:
    """Simulates the operations that the runtime needs and writes their clocks as a table."""
    if simulator:
        os.environ["SIM"] = simulator
    simulator = selected_simulator()
    options = slice_options(preset, pim_banks, head_size, row_bytes)
    spec = slice_spec(**options)
    key = hashlib.sha256(json.dumps(
        [SCHEMA, options, simulator, seed, sources_digest()]).encode()).hexdigest()
    if is_current(output, key):
        console.print(f"[cycles] {output} is up to date")
        return
    rows = extract(spec, options, simulator, seed, jobs)
    if wrong := disagreements(rows):
        raise SystemExit("tb.cycles: " + "; ".join(wrong))
    write_atomically(output, {
        "schema": SCHEMA, "provenance": provenance(spec, simulator, seed, key), "rows": rows})
    console.print(f"[cycles] {len(rows)} operations, counters and waveforms agree: {output}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except (UserError, OSError) as error:
        print(f"tb.cycles: {error}", file=sys.stderr)
        sys.exit(2)
