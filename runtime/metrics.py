"""From what a run measured to the figures that are reported."""

from collections.abc import Sequence

import numpy as np

from runtime.energy import energy_joules
from runtime.serving import EngineResult, Served
from runtime.systems import System
from runtime.systems.routes import RESOURCES
from runtime.workload import PS_PER_MS, PS_PER_SECOND

CDF_POINTS = tuple(range(0, 101))


def percentiles(values: Sequence[int], percents: Sequence[float]) -> list[int]:
    """Nearest-rank percentiles: values that occurred. ``values`` must not be empty."""
    return [int(v) for v in np.percentile(np.asarray(values, dtype=np.int64), percents,
                                          method="inverted_cdf")]


def _distribution(values: Sequence[int]) -> dict[str, object] | None:
    if not values:
        return None
    cdf = [value / PS_PER_MS for value in percentiles(values, CDF_POINTS)]
    return {"mean": sum(values) / len(values) / PS_PER_MS, "p50": cdf[50], "p90": cdf[90],
            "p99": cdf[99], "cdf": cdf}


def _token_times(served: Sequence[Served]) -> list[int]:
    """Mean time between the tokens of each request that has more than one."""
    return [round((s.finished_ps - s.first_token_ps) / (s.request.output_tokens - 1))
            for s in served if s.request.output_tokens > 1]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def summarise(system: System, result: EngineResult) -> dict[str, object]:
    """One system's figures: times in milliseconds, rates a second, energies in joules."""
    served, counts = result.served, result.counts
    first, last = served[0].request.arrival_ps, served[-1].request.arrival_ps
    end = max(s.finished_ps for s in served)
    span = end - first
    output_tokens = sum(s.request.output_tokens for s in served)
    input_tokens = sum(s.request.input_tokens for s in served)
    block = system.model.kv_block_bytes
    moved = {"promoted_bytes": counts["promoted_kv_blocks"] * block,
             "demoted_bytes": counts["demoted_kv_blocks"] * block}
    energy = energy_joules(counts, counts["migrated_bytes"])
    busy = dict(sorted(result.time_ps.items()))
    stepping = sum(busy.values())
    gpu = stepping - busy.get("dma_wait", 0) - counts["pim_busy_ps"]
    hits = {t.name: counts[f"hits_{t.name}"] for t in system.tiers}
    residence = sum(s.finished_ps - s.admitted_ps for s in served)
    return {
        "feasible": True,
        "requests": len(served),
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "simulated_seconds": span / PS_PER_SECOND,
        "steps": counts["steps"],
        "output_tokens_per_second": output_tokens * PS_PER_SECOND / span,
        "requests_per_second": len(served) * PS_PER_SECOND / span,
        "mean_running_requests": residence / span,
        "mean_decoding_requests": _ratio(counts["decode_tokens"], counts["steps"]),
        "ttft_ms": _distribution([s.first_token_ps - s.request.arrival_ps for s in served]),
        "tpot_ms": _distribution(_token_times(served)),
        "e2e_ms": _distribution([s.finished_ps - s.request.arrival_ps for s in served]),
        "queue_ms": _distribution([s.admitted_ps - s.request.arrival_ps for s in served]),
        "waits_ms": {name: ps / PS_PER_MS for name, ps in sorted(result.waits_ps.items())},
        "waiting_at_last_arrival": sum(s.admitted_ps > last for s in served[:-1]),
        "drain_seconds": (end - last) / PS_PER_SECOND,
        "single_token_requests": sum(s.request.output_tokens == 1 for s in served),
        "prompt_blocks": counts["prompt_blocks"],
        "hits_by_tier": hits,
        "pim_hit_rate": _ratio(hits["pim"], counts["prompt_blocks"]) if "pim" in hits else None,
        "prefix_hit_rate": _ratio(sum(hits.values()), counts["prompt_blocks"]),
        "prefix_hit_tokens": sum(s.prefix_hit_tokens for s in served),
        "prefill_tokens": counts["prefill_tokens"],
        "decode_tokens": counts["decode_tokens"],
        **moved,
        "migrated_bytes": sum(moved.values()),
        "dropped_bytes": counts["dropped_kv_blocks"] * block,
        "time_ms": {name: ps / PS_PER_MS for name, ps in busy.items()}
        | {"idle": (span - stepping) / PS_PER_MS},
        "utilisation": {"gpu": gpu / span, "pim": counts["pim_busy_ps"] / span,
                        **{name: counts[f"{name}_busy_ps"] / span for name in RESOURCES}},
        "preemptions": counts["preemptions"],
        "recomputed_tokens": counts["recomputed_tokens"],
        "swapped_bytes": counts["swapped_out_kv_blocks"] * block,
        "derived": list(system.derived),
        "attended_gb_per_second": _ratio(
            counts["context_tokens"] * system.model.kv_bytes_per_token * 1000,
            busy.get("decode_attention", 0)),
        "energy_j": energy,
        "joules_per_output_token": sum(energy.values()) / output_tokens,
        "counts": dict(sorted(counts.items())),
        "figures": system.figures,
    }
