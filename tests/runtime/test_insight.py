"""Timeline, residency plot and explanations, on recorded and on made-up runs."""

import json

import pytest

from runtime.insight.explain import CAUSES, cause_of, comparison, verdict
from runtime.insight.perfetto import encode_timeline, resources, timeline
from runtime.insight.recorder import Recorder
from runtime.insight.residency import residency_plot
from runtime.serving import Served
from runtime.workload import PS_PER_MS, Request

US = PS_PER_MS // 1000


def recorded() -> Recorder:
    recorder = Recorder()
    asked = Request(arrival_ps=0, input_tokens=40, output_tokens=3, block_ids=(), origin="row")
    recorder.span("pim.stack10", "decode", 5 * US, 25 * US, busy_ps=4 * US, steps=2)
    recorder.span("pim.stack2", "decode", 5 * US, 25 * US, busy_ps=4 * US, steps=2)
    recorder.span("gpu", "prefill", 0, 5 * US, busy_ps=5 * US)
    recorder.span("dma", "demote", 3 * US, 3 * US, busy_ps=0)
    for index, start, end in ((0, 0, 10), (1, 4, 30), (2, 10, 12), (3, 12, 40)):
        recorder.request(index, Served(asked), "queued", start * US, (start + 1) * US)
        recorder.request(index, Served(asked), "decode", (start + 1) * US, end * US)
    recorder.residency(0, (0, 0), 0)
    recorder.residency(20 * US, (6, 4), 2)
    return recorder


def test_a_timeline_has_tracks_for_resources_requests_and_kv():
    trace = timeline(recorded(), ("pim", "capacity"), 1 << 30)
    events = trace["traceEvents"]
    names = [e["args"]["name"] for e in events if e["name"] == "thread_name" and e["pid"] == 1]
    assert names == ["gpu", "pim.stack2", "pim.stack10", "dma"] == resources(recorded())
    spans = [e for e in events if e["ph"] == "X" and e["pid"] == 1]
    assert [(e["cat"], e["ts"], e["dur"]) for e in spans] == [
        ("gpu", 0, 5), ("dma", 3, 0), ("pim.stack2", 5, 20), ("pim.stack10", 5, 20)]
    assert spans[2]["args"] == {"busy_us": 4, "steps": 2, "busy_share": 0.2}
    counters = [e for e in events if e["ph"] == "C" and e["name"] == "KV by tier"]
    assert counters[-1]["args"] == {"pim GiB": 6, "capacity GiB": 4}
    assert json.loads(encode_timeline(trace)) == trace
    assert encode_timeline(trace) == encode_timeline(timeline(recorded(), ("pim", "capacity"),
                                                              1 << 30))


def test_requests_share_tracks_only_one_after_the_other():
    events = timeline(recorded(), ("pim", "capacity"), 1)["traceEvents"]
    stays = [e for e in events if e["ph"] == "X" and e["pid"] == 2]
    assert len(stays) == 8
    tracks = {e["args"]["request"]: e["tid"] for e in stays}
    assert tracks == {0: 1, 1: 2, 2: 1, 3: 1}
    for track in set(tracks.values()):
        ends = 0.0
        for e in sorted((e for e in stays if e["tid"] == track), key=lambda e: e["ts"]):
            assert e["ts"] >= ends
            ends = e["ts"] + e["dur"]


def test_the_residency_plot_names_the_tiers_and_thins_long_runs():
    recorder = recorded()
    for k in range(30_000):
        recorder.residency((21 + k) * US, (k % 7, 3), 1)
    text = residency_plot(recorder, (("pim", 8), ("capacity", 100)), 1 << 30, "a run")
    assert text.startswith("<svg")
    assert "pim: 8.0 GiB" in text
    assert "capacity: 100.0 GiB" in text
    assert len(text) < 600_000
    assert residency_plot(Recorder(), (("hbm", 8),), 1, "nothing").startswith("<svg")


def result(parts: dict[str, float], *, waits: dict[str, float] | None = None, tokens: int = 100,
           pim: bool = True, e2e: float = 10.0) -> dict:
    total = sum(parts.values())
    return {"feasible": True, "time_ms": parts, "waits_ms": waits or {}, "requests": 10,
            "e2e_ms": {"mean": e2e}, "counts": {"pim_bank_bytes": int(pim)},
            "prefix_hit_rate": 0.5, "hits_by_tier": {"pim": 30, "capacity": 10},
            "migrated_bytes": 1 << 30, "dropped_bytes": 0, "output_tokens": tokens,
            "output_tokens_per_second": 1000 * tokens / total}


@pytest.mark.parametrize(("parts", "pim", "cause"), [
    ({"matrix_arithmetic": 60, "matrix": 20, "prefill_attention_arithmetic": 5}, True, "compute"),
    ({"matrix": 60, "decode_attention": 30}, True, "memory"),
    ({"matrix": 30, "decode_attention": 60}, True, "pim"),
    ({"matrix": 30, "decode_attention": 60}, False, "memory"),
    ({"matrix": 30, "all_reduce": 60}, True, "link"),
    ({"matrix": 30, "dma_wait": 60}, True, "dma"),
    ({"matrix": 30, "idle": 60}, True, "idle"),
])
def test_the_largest_cause_is_what_bounds(parts, pim, cause):
    found = verdict(result(parts, pim=pim))
    assert found.cause == cause
    assert sum(found.shares.values()) == pytest.approx(1)
    assert (CAUSES[cause] in found.sentences[0]) == (cause != "idle")
    assert found.sentences[0].startswith("It keeps up" if cause == "idle" else "Bounded by")


def test_the_bound_says_by_how_much():
    text = verdict(result({"matrix": 60.0, "decode_attention": 20.0, "idle": 20.0})).sentences[0]
    assert "60% of the time" in text
    assert "2.50 times the rate at most" in text        # 1 / (1 - 0.6)


@pytest.mark.parametrize(("waits", "cause", "words"), [
    ({"capacity": 80.0, "step": 1.0}, "capacity", "more KV capacity"),
    ({"batch": 80.0}, "queueing", "larger batch"), ({"step": 80.0}, "queueing", "load is above"),
    ({"batch": 40.0}, "memory", "waits 4 ms"), ({}, "memory", "hardly wait"),
])
def test_waiting_is_told_and_bounds_when_it_outweighs_service(waits, cause, words):
    found = verdict(result({"matrix": 60.0, "idle": 1.0}, waits=waits))
    assert found.cause == cause
    assert words in found.sentences[1]


def test_hits_and_moves_are_told():
    assert verdict(result({"matrix": 1.0})).sentences[2] == (
        "50% of the prompts' blocks were found (75% in pim, 25% in capacity); 1 GiB were moved "
        "between tiers, 0 B dropped.")


def test_systems_are_compared_by_what_changed_most():
    lines = comparison({
        "gpu": result({"matrix": 60.0, "decode_attention": 40.0}, pim=False),
        "broken": {"feasible": False, "reason": "no"},
        "fast": result({"matrix": 45.0, "decode_attention": 5.0})})
    assert lines == [
        ("fast makes 2.00 times the tokens/s of gpu; a token takes 0.55 ms less for the GPU's "
         "memory bandwidth (1 to 0.45 ms) and 0.05 ms more for the PIM units (0 to 0.05 ms).")]
    assert comparison({"gpu": result({"matrix": 1.0})}) == []


def test_every_known_part_has_a_cause():
    from runtime.tables import PART_NAMES
    assert {cause_of(part, True) for part in PART_NAMES} == set(CAUSES)
