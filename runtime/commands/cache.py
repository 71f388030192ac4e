"""``tokenstack cache``: eviction policies on the block stream of a trace, without an engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model.spec.errors import SpecError, UserError, require_int
from runtime.commands.common import Json, Seed, print_json, progress_bar
from runtime.commands.workload import SkipBad, TraceFormat, chosen_workload
from runtime.policies import EVICTION_POLICIES, eviction_policy
from runtime.policies.base import EvictionPolicy
from runtime.policies.eviction.belady import Belady, Future
from runtime.policies.replay import Prompt, prompts, replay_flat, replay_rows

BOUNDS = ("belady", "belady_bypass")
CAPACITIES = ",".join(str(1 << k) for k in range(6, 18))
"""Those of the public reference figures."""


def cache(
    trace: Annotated[Path | None, typer.Option(
        help="Trace file, plain or gzip; without it a workload is generated.")] = None,
    trace_format: TraceFormat = None,
    skip_bad: SkipBad = False,
    seed: Seed = 1,
    requests: Annotated[int | None, typer.Option(help="Requests to generate.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use only the first rows of the trace.")] = None,
    policies: Annotated[str, typer.Option(
        help=f"Comma-separated, of {', '.join((*EVICTION_POLICIES, *BOUNDS))}, of installed "
             "packages, or module:Class.")] = ",".join((*EVICTION_POLICIES, *BOUNDS)),
    capacities: Annotated[str, typer.Option(
        help="Sizes of the cache in prefix blocks, comma-separated.")] = CAPACITIES,
    rows: Annotated[bool, typer.Option(
        "--rows", help="Count as prefix caches do: leading blocks of a prompt, tails leave first. "
                       "Otherwise each block is an access of its own.")] = False,
    bypass: Annotated[bool, typer.Option(
        "--bypass", help="A missed block may itself be the victim.")] = False,
    json: Json = False,
) -> None:
    """Count the hits of eviction policies on the prompts of a workload."""
    names = [name.strip() for name in policies.split(",")]
    if len(set(names)) != len(names):
        raise SpecError("policies", policies, "each policy once")
    for name in names:
        if name not in BOUNDS:
            eviction_policy(name)
    sizes = _sizes(capacities)
    workload = chosen_workload(trace, None, seed, requests, limit, trace_format=trace_format,
                               skip_bad=skip_bad)
    stream = list(prompts(workload.requests))
    accesses = sum(len(blocks) for _, blocks in stream)
    if not accesses:
        raise UserError(f"{trace}: trace: expected prefix block ids, of which the "
                        f"{workload.source['kind']} format has none")
    distinct = len({block for _, blocks in stream for block in blocks})
    future = Future(blocks for _, blocks in stream) if set(names) & set(BOUNDS) else None
    found: dict[str, dict[str, int]] = {name: {} for name in names}
    with progress_bar(json, len(names) * len(sizes)) as (progress, task):
        for name in names:
            for size in sizes:
                progress.update(task, description=f"{name} {size}", advance=1)
                found[name][str(size)] = _hits(name, stream, size, future, rows, bypass)
    record = {"workload": workload.source, "notes": workload.notes, "accesses": accesses,
              "distinct_blocks": distinct, "infinite_hits": accesses - distinct,
              "rows": rows, "bypass": bypass, "hits": found}
    if json:
        print_json(record)
        return
    console = Console()
    table = _table(names, sizes, found, accesses, distinct)
    console.width = max(console.width, 12 + 11 * len(names))
    console.print(table)
    for note in workload.notes:
        console.print(note, style="dim", highlight=False, markup=False, soft_wrap=True)


def _sizes(text: str) -> list[int]:
    sizes = []
    for part in text.split(","):
        if not part.strip().isdecimal():
            raise SpecError("capacities", part, "numbers of blocks, comma-separated")
        sizes.append(int(part))
        require_int("capacities", sizes[-1], 1, 1 << 40)
    return sizes


def _hits(name: str, stream: Sequence[Prompt], size: int, future: Future | None, rows: bool,
          bypass: bool) -> int:
    policy: EvictionPolicy
    if name in BOUNDS:
        assert future is not None
        policy, bypass = Belady(future), bypass or name == "belady_bypass"
    else:
        policy = eviction_policy(name)()
    if rows:
        return replay_rows(stream, size, policy).blocks
    return replay_flat(stream, size, policy, bypass=bypass)


def _table(names: Sequence[str], sizes: Sequence[int], found: dict[str, dict[str, int]],
           accesses: int, distinct: int) -> Table:
    table = Table(title=f"hits of {accesses:,} block accesses; an infinite cache has "
                        f"{accesses - distinct:,}", title_justify="left")
    table.add_column("blocks", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    for size in sizes:
        table.add_row(f"{size:,}", *(f"{found[name][str(size)]:,}" for name in names))
    return table
