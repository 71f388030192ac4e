"""What several tests of the runtime need."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from model.spec.timing import HBM4_8000
from runtime.cycle_table import CycleTable, load_cycle_table
from runtime.models import LLAMA_3_8B, TransformerModel
from runtime.systems import System, build_system, system_by_name
from runtime.workload import PS_PER_SECOND, Request, Workload
from tests.runtime.fixture_cycles import write_fixture

TRACES = Path(__file__).parents[3] / "shared" / "traces"
"""Public traces, where the checkout has them beside it."""

FIRST_1000 = TRACES / "mooncake" / "mooncake_conversation_first1000.jsonl.gz"


def table_in(folder: Path) -> CycleTable:
    """The fixture's cycle table, read by the real reader."""
    return load_cycle_table(write_fixture(folder / "cycles.json"))


def system_named(name: str, table: CycleTable, model: TransformerModel = LLAMA_3_8B,
                 cards: int = 1, tiers: Iterable[int] = ()) -> System:
    """A system on HBM4; ``tiers`` replaces the capacities, in KV blocks."""
    system = build_system(system_by_name(name), model, HBM4_8000, table, cards=cards)
    sizes = tuple(tiers)
    return system if not sizes else replace(system, tiers=tuple(
        replace(t, kv_blocks=n) for t, n in zip(system.tiers, sizes, strict=False)))


def workload_of(rows: Iterable[tuple[float, int, int, tuple[int, ...]]],
                block_tokens: int = 16) -> Workload:
    """Requests from (seconds, input, output, block ids)."""
    return Workload(
        block_tokens=block_tokens, source={"kind": "test"},
        requests=tuple(Request(arrival_ps=round(t * PS_PER_SECOND), input_tokens=i,
                               output_tokens=o, block_ids=ids, origin=f"row {k}")
                       for k, (t, i, o, ids) in enumerate(rows)))


def unshared(rows: Iterable[tuple[float, int, int]], block_tokens: int = 16) -> Workload:
    """Requests from (seconds, input, output) that share nothing."""
    made, next_id = [], 0
    for t, i, o in rows:
        blocks = -(-i // block_tokens)
        made.append((t, i, o, tuple(range(next_id, next_id + blocks))))
        next_id += blocks
    return workload_of(made, block_tokens)
