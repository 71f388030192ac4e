"""Tables for the terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.table import Table

from runtime.generator import FitRow
from runtime.models import TransformerModel
from runtime.systems import SystemSpec

Record = dict[str, Any]


def milliseconds(value: float | None) -> str:
    """Three significant digits; seconds from ten thousand milliseconds up."""
    if value is None:
        return "-"
    if value >= 10_000:
        return f"{value / 1000:.3g} s"
    return f"{value:.0f} ms" if value >= 1000 else f"{value:.3g} ms"


def pair(low: float | None, high: float | None) -> str:
    """Two times, the unit once if they share it."""
    first, second = milliseconds(low), milliseconds(high)
    if low is not None and first.split()[-1] == second.split()[-1]:
        first = first.split()[0]
    return f"{first} / {second}"


def size(value: float) -> str:
    """Bytes with a binary prefix."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def percent(value: float | None) -> str:
    """A share with one decimal."""
    return "-" if value is None else f"{value:.1%}"


def result_cells(result: Record) -> list[str]:
    """A system's figures in the order of :data:`RESULT_COLUMNS`."""
    if not result["feasible"]:
        return ["infeasible"] + ["-"] * (len(RESULT_COLUMNS) - 1)
    ttft, tpot = result["ttft_ms"], result["tpot_ms"] or {}
    return [f"{result['output_tokens_per_second']:.0f}",
            pair(ttft["p50"], ttft["p99"]), pair(tpot.get("p50"), tpot.get("p99")),
            percent(result["pim_hit_rate"]), percent(result["prefix_hit_rate"]),
            size(result["migrated_bytes"]), f"{result['joules_per_output_token']:.3f}"]


RESULT_COLUMNS = ("tokens/s", "TTFT p50 / p99", "TPOT p50 / p99", "PIM hits", "prefix hits",
                  "migrated", "J/token")


def result_table(record: Record) -> Table:
    """Systems by figures."""
    source = record["provenance"]
    title = (f"{source['model']['name']}, {source['preset']}, {source['cards']} card(s), "
             f"{source['workload']['served_requests']} requests at "
             f"{source['workload']['served_qps']:.3g}/s")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("system", no_wrap=True)
    for name in RESULT_COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for name, result in record["systems"].items():
        table.add_row(name, *result_cells(result))
    return table


PART_NAMES = {
    "matrix": "matrix products (GPU)",
    "elementwise": "norms, activations (GPU)",
    "all_reduce": "all-reduce",
    "prefill_attention": "prefill attention (GPU)",
    "decode_attention": "decode attention",
    "dma_wait": "waiting for the stack DMA",
    "idle": "idle, no request",
}
"""The parts of a run's time, in the order of the plots."""


def bottleneck(result: Record) -> str:
    """What takes most of a system's time, in words."""
    total = sum(result["time_ms"].values())
    part, most = max(result["time_ms"].items(), key=lambda item: item[1])
    return f"{PART_NAMES[part]} {most / total:.0%} of the time"


def result_notes(record: Record) -> list[str]:
    """What a reader must know beside the table."""
    source = record["provenance"]
    workload, cycles = source["workload"], source["cycles"]
    deviation = record["cycles"]["attend"]["largest_deviation"]
    notes = [(f"cycles: {cycles['simulator']} {cycles['simulator_version']}, RTL "
              f"{cycles['rtl_sha256'][:12]}, configuration {cycles['config_sha256'][:12]}; "
              f"the line through the attention points leaves them by {deviation:.2%} at most")]
    for name, result in record["systems"].items():
        notes.append(result["reason"] if not result["feasible"] else
                     f"{name}: {bottleneck(result)}; {result['mean_decoding_requests'] or 0:.1f} "
                     f"requests decode at once, {result['requests_per_second']:.2f} of "
                     f"{workload['served_qps']:.2f} requests/s served")
    return notes + list(workload["notes"])


def fit_table(rows: Sequence[FitRow], source: str) -> Table:
    """Published against produced statistics."""
    table = Table(title="generated workload against the published statistics", caption=source,
                  title_justify="left", caption_justify="left")
    table.add_column("statistic")
    for name in ("published", "produced", "error"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.name, f"{row.published:g}", f"{row.produced:.5g}", f"{row.error:+.1%}")
    return table


def model_table(models: Iterable[TransformerModel]) -> Table:
    """The catalogue of models."""
    table = Table(title="models", title_justify="left")
    for name in ("name", "parameters", "layers", "heads / KV heads", "KV per token", "source"):
        table.add_column(name)
    for m in models:
        table.add_row(m.name, f"{m.parameters / 1e9:.2f} G", str(m.layers),
                      f"{m.heads} / {m.kv_heads}", size(m.kv_bytes_per_token), m.source)
    return table


def system_table(systems: Iterable[SystemSpec]) -> Table:
    """The catalogue of systems."""
    table = Table(title="systems", title_justify="left")
    for name in ("name", "stacks: plain / PIM / split", "what"):
        table.add_column(name)
    for s in systems:
        table.add_row(s.name, f"{s.plain} / {s.dedicated} / {s.split}", s.title)
    return table
