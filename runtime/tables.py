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


def count(number: int, thing: str) -> str:
    """A number of things."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


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
    title = (f"{source['model']['name']}, {source['preset']}, {count(source['cards'], 'card')}, "
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
    "matrix_arithmetic": "matrix products (arithmetic)",
    "matrix": "matrix products (reading weights)",
    "elementwise": "norms and activations",
    "all_reduce": "all-reduce between cards",
    "prefill_attention_arithmetic": "prefill attention (arithmetic)",
    "prefill_attention": "prefill attention (reading KV)",
    "decode_attention": "decode attention",
    "dma_wait": "waiting for KV to be moved",
    "idle": "idle, no request",
}
"""The parts of a run's time, in the order of the plots; in brackets what bounds the kernels."""

WAIT_NAMES = {"step": "for a step to end", "batch": "for a place in the batch",
              "capacity": "for room for their KV"}
"""What requests wait for before they are admitted."""


def bounds(result: Record) -> str:
    """What took most of a system's time: its largest parts, down to a tenth of the time."""
    total = sum(result["time_ms"].values())
    shares = sorted(((ms / total, part) for part, ms in result["time_ms"].items()), reverse=True)
    return ", ".join(f"{share:.0%} {PART_NAMES[part]}" for k, (share, part) in enumerate(shares)
                     if k == 0 or share >= 0.1)


def queueing(result: Record) -> str:
    """Whether a system keeps up with the arrivals, and what holds its queue up."""
    waits = result["waits_ms"]
    cause = max(waits, key=lambda name: waits[name])
    mean = sum(waits.values()) / result["requests"]
    return (f"Requests wait {milliseconds(mean)} on average, mostly {WAIT_NAMES[cause]}; "
            f"{result['waiting_at_last_arrival']} wait when the last arrives, "
            f"{result['drain_seconds']:.3g} s before the end")


def cards_note(record: Record) -> str:
    """How many cards the systems have, and why."""
    source = record["provenance"]
    why = (": the fewest at which each of these systems holds the model"
           if source["cards"] == source["least_cards"] else "")
    return f"{count(source['cards'], 'card')} of a GPU and five stacks for every system{why}"


def result_notes(record: Record) -> list[str]:
    """What a reader must know beside the table."""
    source = record["provenance"]
    cycles = source["cycles"]
    notes = [(f"cycles: {cycles['simulator_version']}, RTL "
              f"{cycles['rtl_sha256'][:12]}, configuration {cycles['config_sha256'][:12]}"),
             cards_note(record)]
    for name, result in record["systems"].items():
        notes.append(result["reason"] if not result["feasible"] else
                     f"{name}: {bounds(result)}; {result['mean_decoding_requests'] or 0:.1f} "
                     f"requests decode at once. {queueing(result)}")
    return notes + list(source["workload"]["notes"])


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
