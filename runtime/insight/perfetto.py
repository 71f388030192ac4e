"""A recorded run as Chrome trace JSON, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

Three groups of tracks: the hardware, a track for each resource; the requests, a track for each
until it ends and its track is free for another; and counters of where KV lives. A span of many
steps, in which GPU and PIM units take turns, is drawn as one; its arguments say how long the
resource was busy within it.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Any

import msgspec

from runtime.insight.recorder import Recorder, Stay
from runtime.workload import PS_PER_MS

Event = dict[str, Any]
PS_PER_US = PS_PER_MS // 1000
HARDWARE, REQUESTS, MEMORY = 1, 2, 3
GROUPS = {HARDWARE: "hardware", REQUESTS: "requests", MEMORY: "KV residency"}


def timeline(recorder: Recorder, tiers: Sequence[str], block_bytes: int) -> dict[str, Any]:
    """The trace of a run.

    Parameters
    ----------
    recorder : Recorder
    tiers : sequence of str
        Names of the system's tiers.
    block_bytes : int
        Bytes of a KV block, for the counters.
    """
    events = [*_names(recorder), *_spans(recorder), *_requests(recorder.stays),
              *_residency(recorder, tiers, block_bytes)]
    return {"displayTimeUnit": "ms", "traceEvents": events}


def encode_timeline(trace: dict[str, Any]) -> bytes:
    """The trace as JSON; the same run gives the same bytes."""
    return msgspec.json.encode(trace)


def _microseconds(ps: int) -> float:
    return ps / PS_PER_US


def resources(recorder: Recorder) -> list[str]:
    """Resources that did something: the GPU, PIM units by stack, then engines and links."""
    order = {"gpu": 0, "pim": 1, "dma": 2, "hbm_read": 3, "hbm_write": 4, "nvlink": 5, "pcie": 6}

    def place(name: str) -> tuple[int, int, str]:
        kind, _, rest = name.partition(".")
        digits = "".join(c for c in rest if c.isdigit())
        return order.get(kind, len(order)), int(digits or 0), name

    return sorted({span.resource for span in recorder.spans}, key=place)


def _names(recorder: Recorder) -> Iterator[Event]:
    for pid, name in GROUPS.items():
        yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
        yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0,
               "args": {"sort_index": pid}}
    for tid, name in enumerate(resources(recorder), 1):
        yield {"ph": "M", "name": "thread_name", "pid": HARDWARE, "tid": tid,
               "args": {"name": name}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": HARDWARE, "tid": tid,
               "args": {"sort_index": tid}}


def _spans(recorder: Recorder) -> Iterator[Event]:
    threads = {name: tid for tid, name in enumerate(resources(recorder), 1)}
    for span in sorted(recorder.spans, key=lambda s: (s.start_ps, threads[s.resource], s.end_ps)):
        duration = span.end_ps - span.start_ps
        yield {"ph": "X", "name": span.what, "cat": span.resource, "pid": HARDWARE,
               "tid": threads[span.resource], "ts": _microseconds(span.start_ps),
               "dur": _microseconds(duration),
               "args": {"busy_us": _microseconds(span.busy_ps), "steps": span.steps,
                        "busy_share": span.busy_ps / duration if duration else 1.0}}


def _tracks(stays: Sequence[Stay]) -> dict[int, int]:
    """A track for each request: the lowest that is free from its first state to its last."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for stay in stays:
        first[stay.request] = min(first.get(stay.request, stay.start_ps), stay.start_ps)
        last[stay.request] = max(last.get(stay.request, stay.end_ps), stay.end_ps)
    tracks: dict[int, int] = {}
    free: list[int] = []
    used: list[tuple[int, int]] = []        # (end, track)
    for index in sorted(first, key=lambda i: (first[i], i)):
        while used and used[0][0] <= first[index]:
            heappush(free, heappop(used)[1])
        track = heappop(free) if free else len(used) + 1
        tracks[index] = track
        heappush(used, (last[index], track))
    return tracks


def _requests(stays: Sequence[Stay]) -> Iterator[Event]:
    tracks = _tracks(stays)
    for track in sorted(set(tracks.values())):
        yield {"ph": "M", "name": "thread_name", "pid": REQUESTS, "tid": track,
               "args": {"name": f"request slot {track}"}}
    for stay in sorted(stays, key=lambda s: (s.start_ps, tracks[s.request], s.end_ps)):
        yield {"ph": "X", "name": stay.state, "cat": "request", "pid": REQUESTS,
               "tid": tracks[stay.request], "ts": _microseconds(stay.start_ps),
               "dur": _microseconds(stay.end_ps - stay.start_ps),
               "args": {"request": stay.request, "input_tokens": stay.input_tokens,
                        "output_tokens": stay.output_tokens,
                        "prefix_hit_tokens": stay.prefix_hit_tokens}}


def _residency(recorder: Recorder, tiers: Sequence[str], block_bytes: int) -> Iterator[Event]:
    gib = block_bytes / 2**30
    for told in recorder.residencies:
        where = {f"{tier} GiB": blocks * gib
                 for tier, blocks in zip(tiers, told.kv_blocks, strict=True)}
        yield {"ph": "C", "name": "KV by tier", "pid": MEMORY, "tid": 0,
               "ts": _microseconds(told.now_ps), "args": where}
        yield {"ph": "C", "name": f"KV in use in {tiers[0]}", "pid": MEMORY, "tid": 0,
               "ts": _microseconds(told.now_ps), "args": {"GiB": told.busy * gib}}
