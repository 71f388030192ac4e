"""Speed and memory of the runtime: whole traces on one model, on one core.

The limits are those of one system, ``gpu``. Placement in PIM units takes time of its own: the
figure of ``tokenstack`` stands beside, without a limit.

Where the public traces do not lie beside the checkout, generated requests stand in, as many as the
trace has and at its rate. A million generated requests take a quarter of an hour; ``BENCH_SHORT=1``
in the environment leaves them out. How time grows is that of a twentieth of them over that of a
fortieth, over what n log n would make of it.

Seconds are processor time of one process, reading and summing up included. Limits are what is
asked of the runtime, not of a faster one.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from math import log
from pathlib import Path

from model.spec.errors import UserError
from model.spec.timing import timing_preset
from runtime.cycle_table import load_cycle_table
from runtime.generator import generate
from runtime.metrics import summarise
from runtime.models import LLAMA_3_8B
from runtime.serving import Engine, EngineConfig
from runtime.systems import SYSTEMS, build_system
from runtime.traces import load_trace
from runtime.workload import Workload
from tb.figures.figure import Figure, Progress

CYCLES = Path("build/cycles.json")
TRACES = Path(__file__).parents[3] / "shared" / "traces"
SYSTEM, PIM_SYSTEM = "gpu", "tokenstack"

MOONCAKE = "mooncake/mooncake_conversation_trace.jsonl.gz", 12_031, 3.4
AZURE = "azure2023/AzureLLMInferenceTrace_conv.csv", 19_366, 5.53
"""Place beside the checkout, rows, and rows a second (traces/CHARACTER.md)."""

MILLION = 1_000_000
FEW, MANY = MILLION // 40, MILLION // 20     # too many to be held: made lazily, as a million is
MILLION_QPS = 5.98      # the published rate of the trace that the generator is fitted to
SECONDS_LIMIT, MILLION_LIMIT, MEMORY_LIMIT_MIB = 15.0, 1800.0, 1024.0


def replay(name: str, trace: str, requests: int, qps: float) -> dict[str, float]:
    """Serves a trace, or as many generated requests; seconds, MiB and requests."""
    start = time.process_time()
    path = TRACES / trace
    workload: Workload = (load_trace(path) if trace and path.exists()
                          else generate(requests, qps, seed=1))
    table = load_cycle_table(CYCLES)
    system = build_system(SYSTEMS[name], LLAMA_3_8B,
                          timing_preset(table.provenance.preset), table)
    record = summarise(system, Engine(system, workload, EngineConfig()).run())
    assert record["requests"] == requests
    return {"seconds": time.process_time() - start, "requests": requests,
            "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _measure(trace: str, requests: int, qps: float, name: str = SYSTEM) -> dict[str, float]:
    """In a process of its own, whose memory is then this replay's alone."""
    done = subprocess.run([sys.executable, "-m", "tb.figures.runtime", name, trace, str(requests),
                           str(qps)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"runtime: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def figures(progress: Progress) -> Iterator[Figure]:
    """Seconds and memory of the two traces, and the rate of generated requests."""
    if not CYCLES.exists():
        raise UserError(f"{CYCLES}: cycles: expected a table of RTL cycle counts, not a missing "
                        "file; `make sim` makes it")
    progress(f"the Mooncake conversation trace on {SYSTEM}")
    mooncake = _measure(*MOONCAKE)
    yield Figure("runtime.mooncake_seconds", mooncake["seconds"], "s", SECONDS_LIMIT, True)
    yield Figure("runtime.mooncake_rss_mib", mooncake["mib"], "MiB", MEMORY_LIMIT_MIB, True)
    progress(f"the Mooncake conversation trace on {PIM_SYSTEM}")
    yield Figure("runtime.mooncake_tokenstack_seconds",
                 _measure(*MOONCAKE, PIM_SYSTEM)["seconds"], "s", None, True)
    progress(f"the Azure 2023 conversation trace on {SYSTEM}")
    azure = _measure(*AZURE)
    yield Figure("runtime.azure_conv_seconds", azure["seconds"], "s", SECONDS_LIMIT, True)
    progress(f"{FEW} and {MANY} generated requests on {SYSTEM}")
    few, generated = (_measure("", n, MILLION_QPS) for n in (FEW, MANY))
    yield Figure("runtime.growth", generated["seconds"] / few["seconds"]
                 / (MANY * log(MANY) / (FEW * log(FEW))), "times n log n", 1.0, True)
    if os.environ.get("BENCH_SHORT") != "1":
        progress(f"{MILLION} generated requests on {SYSTEM}")
        generated = _measure("", MILLION, MILLION_QPS)
        yield Figure("runtime.million_seconds", generated["seconds"], "s", MILLION_LIMIT, True)
        yield Figure("runtime.million_rss_mib", generated["mib"], "MiB", 4 * MEMORY_LIMIT_MIB,
                     True)
    yield Figure("runtime.requests_per_second", generated["requests"] / generated["seconds"],
                 "requests/s", MILLION / MILLION_LIMIT)


if __name__ == "__main__":
    try:
        print(json.dumps(replay(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))))
    except UserError as error:
        sys.exit(str(error))
