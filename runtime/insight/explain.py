"""Says in words what bounded each system, and by how much.

A run's time is the sum of its parts, so a part of share s bounds it so far: were the part free, the
same work would take 1 - s of the time, and the rate could rise by s / (1 - s) at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.tables import PART_NAMES, WAIT_NAMES, milliseconds, size

Record = dict[str, Any]

CAUSES = {
    "compute": "arithmetic on the GPU", "memory": "the GPU's memory bandwidth",
    "pim": "the PIM units", "link": "links between cards",
    "dma": "moving KV between tiers", "idle": "nothing: it waits for requests",
}
"""What a part of the time is bounded by."""

CAUSE_OF_PART = {
    "matrix": "memory", "elementwise": "memory", "prefill_attention": "memory",
    "all_reduce": "link", "dma_wait": "dma", "idle": "idle",
}


def cause_of(part: str, has_pim: bool) -> str:
    """The cause that a part of the time stands for."""
    if part.endswith("_arithmetic"):
        return "compute"
    if part == "decode_attention":
        return "pim" if has_pim else "memory"
    return CAUSE_OF_PART.get(part, "memory")


@dataclass(frozen=True)
class Verdict:
    """What bounded a system.

    Attributes
    ----------
    cause : str
        A key of :data:`CAUSES`, or ``capacity`` or ``queueing`` where waiting outweighs service.
    shares : dict
        Share of the time of each cause, the largest first.
    parts : dict
        Share of each part of it.
    sentences : tuple of str
    """

    cause: str
    shares: Mapping[str, float]
    parts: Mapping[str, float]
    sentences: tuple[str, ...]


def verdict(result: Record) -> Verdict:
    """What bounded a system, from its result."""
    total = sum(result["time_ms"].values())
    parts = dict(sorted(((part, ms / total) for part, ms in result["time_ms"].items() if ms > 0),
                        key=lambda item: -item[1]))
    has_pim = result["counts"].get("pim_bank_bytes", 0) > 0
    shares: dict[str, float] = {}
    for part, share in parts.items():
        cause = cause_of(part, has_pim)
        shares[cause] = shares.get(cause, 0.0) + share
    shares = dict(sorted(shares.items(), key=lambda item: -item[1]))
    busiest = next(iter(shares))
    waits, served = result["waits_ms"], result["e2e_ms"]["mean"] * result["requests"]
    waited = sum(waits.values())
    held = max(waits, key=lambda name: waits[name]) if waited else "step"
    queues = waited > served / 2
    cause = busiest if not queues else "capacity" if held == "capacity" else "queueing"
    return Verdict(cause, shares, parts, (
        _bound(shares, parts, has_pim), _queue(result, waited, served, held, queues, busiest),
        _store(result)))


def _bound(shares: Mapping[str, float], parts: Mapping[str, float], has_pim: bool) -> str:
    busiest, share = next(iter(shares.items()))
    inside = [f"{PART_NAMES.get(part, part.replace('_', ' '))} {parts[part]:.0%}"
              for part in parts if cause_of(part, has_pim) == busiest and parts[part] >= 0.01]
    gain = "" if share > 0.999 else (
        f" Were that free, the same work would end {share:.0%} sooner"
        f" ({1 / (1 - share):.2f} times the rate at most).")
    others = ", ".join(f"{CAUSES[c]} {s:.0%}" for c, s in list(shares.items())[1:] if s >= 0.01)
    rest = f" The rest: {others}." if others else ""
    if busiest == "idle":
        return (f"It keeps up: {share:.0%} of the time no request is there, so a faster system "
                f"would answer sooner but serve no more.{rest}")
    return (f"Bounded by {CAUSES[busiest]}: {share:.0%} of the time "
            f"({', '.join(inside)}).{gain}{rest}")


def _queue(result: Record, waited: float, served: float, held: str, queues: bool,
           busiest: str) -> str:
    mean = waited / result["requests"]
    if mean < 0.001 * result["e2e_ms"]["mean"]:
        return "Requests hardly wait to be admitted."
    text = (f"A request waits {milliseconds(mean)} of the {milliseconds(result['e2e_ms']['mean'])} "
            f"that it is there ({waited / served:.0%}), mostly {WAIT_NAMES.get(held, held)}")
    if not queues:
        return text + "."
    if held == "capacity":
        return (text + f": more KV capacity in the first tier would help before "
                f"{CAUSES[busiest]} does.")
    if held == "batch":
        return text + f": a larger batch would help, until {CAUSES[busiest]} takes all the time."
    return text + f": the load is above what {CAUSES[busiest]} can serve."


def _store(result: Record) -> str:
    found = result["prefix_hit_rate"]
    hits = "" if found is None else f"{found:.0%} of the prompts' blocks were found"
    tiers = result["hits_by_tier"]
    if found and len(tiers) > 1:
        whole = sum(tiers.values())
        hits += " (" + ", ".join(f"{n / whole:.0%} in {t}" for t, n in tiers.items() if n) + ")"
    moved, dropped = result["migrated_bytes"], result.get("dropped_bytes", 0)
    text = f"{hits[0].upper()}{hits[1:]}; " if hits else ""
    return (text + f"{size(moved)} were moved between tiers, {size(dropped)} dropped.")


def comparison(results: Mapping[str, Record]) -> list[str]:
    """Sentences that set the feasible systems against the first of them."""
    feasible = {name: r for name, r in results.items() if r["feasible"]}
    if len(feasible) < 2:
        return []
    base, first = next(iter(feasible.items()))
    sentences = []
    for name, result in list(feasible.items())[1:]:
        ratio = result["output_tokens_per_second"] / first["output_tokens_per_second"]
        each, before = _seconds_a_token(result), _seconds_a_token(first)
        change = {c: each.get(c, 0.0) - before.get(c, 0.0)
                  for c in {**each, **before} if c != "idle"}
        if not change:
            continue
        # What speaks for the outcome first, then what speaks against it.
        ends = sorted({max(change, key=lambda c: change[c]), min(change, key=lambda c: change[c])},
                      key=lambda c: change[c], reverse=ratio < 1)
        told = [f"{abs(change[c]) * 1e3:.3g} ms {'less' if change[c] < 0 else 'more'} for "
                f"{CAUSES[c]} ({before.get(c, 0.0) * 1e3:.3g} to {each.get(c, 0.0) * 1e3:.3g} ms)"
                for c in ends if change[c]]
        sentences.append(f"{name} makes {ratio:.2f} times the tokens/s of {base}"
                         + (f"; a token takes {' and '.join(told)}" if told else "")
                         + ".")
    return sentences


def _seconds_a_token(result: Record) -> dict[str, float]:
    """Machine time of an output token by cause."""
    has_pim = result["counts"].get("pim_bank_bytes", 0) > 0
    seconds: dict[str, float] = {}
    for part, ms in result["time_ms"].items():
        cause = cause_of(part, has_pim)
        seconds[cause] = seconds.get(cause, 0.0) + ms / 1e3 / result["output_tokens"]
    return seconds
