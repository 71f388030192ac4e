"""One cell of a study, from its names to its record; what a worker runs."""

import dataclasses
import hashlib
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from model.spec.errors import UserError
from runtime.cycle_table import CycleTable, load_cycle_table
from runtime.generator import WORKLOADS, generate
from runtime.metrics import summarise
from runtime.models import model_by_name
from runtime.serving import Engine, EngineConfig
from runtime.study.cells import Cell, TraceRef
from runtime.study.machine import build, engine_config
from runtime.systems import System
from runtime.traces import load_trace
from runtime.workload import PS_PER_MS, Request, Workload

Record = dict[str, Any]
PS_PER_US = PS_PER_MS // 1000
KEEP = ("p50", "p90", "p99", "mean")
"""Of each distribution; the whole of it is in ``latency_us``."""


@dataclass(frozen=True)
class Inputs:
    """Contents of the files that cells need; workers may have no such files.

    Attributes
    ----------
    cycles : dict
        Cycle table of each timing preset: its path, for messages, and its bytes.
    traces : dict
        Trace files by checksum.
    """

    cycles: dict[str, tuple[str, bytes]]
    traces: dict[str, tuple[str, bytes]]


def simulate_cell(cell: Cell, inputs: Inputs) -> Record:
    """The record of a cell; one that cannot be run says why."""
    record: Record = {"cell": dataclasses.asdict(cell)}
    try:
        workload = _workload(cell.trace, cell.seed, inputs)
        config = engine_config(cell.profile, dict(cell.options))
        system = _system(cell, inputs)
        if cell.qps is None:
            return record | {"feasible": True,
                             "latency_us": _unloaded(system, workload, config)}
        engine = Engine(system, workload.at_rate(cell.qps), config)
        result = engine.run()
    except UserError as reason:     # does not fit, a prompt that no tier holds, no cycles for it
        return record | {"feasible": False, "reason": str(reason)}
    summary = summarise(system, result)
    for name, value in summary.items():
        if isinstance(value, dict) and "cdf" in value:
            summary[name] = {key: value[key] for key in KEEP}
    return record | summary | {"latency_us": _latencies(result.served)}


def _system(cell: Cell, inputs: Inputs) -> System:
    return build(cell.system, model_by_name(cell.model), cell.profile, cell.cards,
                 lambda preset: _table(*inputs.cycles[preset]))


@lru_cache(maxsize=4)
def _table(path: str, data: bytes) -> CycleTable:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(path).name
        copy.write_bytes(data)
        table = load_cycle_table(copy)
    table.path = Path(path)         # for messages: the copy is gone
    return table


def _workload(trace: TraceRef, seed: int, inputs: Inputs) -> Workload:
    if trace.sha256 is None:
        return _generated(trace.name, trace.requests or 0, seed)
    return _read(*inputs.traces[trace.sha256], trace.requests)


@lru_cache(maxsize=8)
def _generated(name: str, requests: int, seed: int) -> Workload:
    """A short stand-in with the hit rates of the whole trace: its reuses lie closer, in scale."""
    target = WORKLOADS[name]
    return generate(requests, 1.0, seed, target,
                    distance_scale=min(1.0, requests / target.requests))


@lru_cache(maxsize=8)
def _read(name: str, data: bytes, limit: int | None) -> Workload:
    """A trace from its contents, held in memory: it is gone through at many rates."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        workload = load_trace(path, limit=limit)
        return dataclasses.replace(workload, requests=tuple(workload.requests))


def _latencies(served: list[Any]) -> dict[str, list[int | None]]:
    """TTFT and TPOT of each request in whole microseconds, in order of arrival."""
    return {
        "ttft": [(s.first_token_ps - s.request.arrival_ps) // PS_PER_US for s in served],
        "tpot": [None if s.request.output_tokens == 1 else
                 (s.finished_ps - s.first_token_ps) // (s.request.output_tokens - 1) // PS_PER_US
                 for s in served]}


def _unloaded(system: System, workload: Workload,
              config: EngineConfig) -> dict[str, list[int | None]]:
    """Latencies of each request alone, with nothing in the caches; equal lengths are run once."""
    known: dict[tuple[int, int], tuple[int | None, int | None]] = {}
    times: dict[str, list[int | None]] = {"ttft": [], "tpot": []}
    for request in workload.requests:
        lengths = request.input_tokens, request.output_tokens
        if lengths not in known:
            alone = Request(arrival_ps=0, input_tokens=lengths[0], output_tokens=lengths[1],
                            block_ids=(), origin=request.origin)
            engine = Engine(system, dataclasses.replace(workload, requests=(alone,)), config)
            once = _latencies(engine.run().served)
            known[lengths] = once["ttft"][0], once["tpot"][0]
        for name, value in zip(("ttft", "tpot"), known[lengths], strict=True):
            times[name].append(value)
    return times


def trace_reference(path: Path, limit: int | None) -> tuple[TraceRef, tuple[str, bytes]]:
    """A trace file as cells name it, and its contents for the workers."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: trace: expected a readable file, not "
                        f"{(error.strerror or str(error)).lower()!r}") from None
    name = path.name
    return (TraceRef(name=name, sha256=hashlib.sha256(data).hexdigest(), requests=limit),
            (name, data))
