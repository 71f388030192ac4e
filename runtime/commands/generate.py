"""``tokenstack generate``: how well the generated workload fits what is published."""

from typing import Annotated

import typer
from rich.console import Console

from runtime import tables
from runtime.commands.common import DEFAULT_QPS, DEFAULT_REQUESTS, Json, Seed, print_json
from runtime.generator import WORKLOADS, generate, measure_fit, workload_statistics


def generate_command(
    like: Annotated[str, typer.Option(
        help=f"Trace to be like, one of {', '.join(WORKLOADS)}.")] = "qwen-bailian-a",
    requests: Annotated[int, typer.Option(help="Requests to generate.")] = DEFAULT_REQUESTS,
    qps: Annotated[float, typer.Option(help="Requests a second.")] = DEFAULT_QPS,
    seed: Seed = 1,
    reuse_distance: Annotated[bool, typer.Option(
        "--reuse-distance", help="Scale reuse distances to the number of requests, and show the "
                                 "LRU hit rates too.")] = False,
    json: Json = False,
) -> None:
    """Show how well the generated workload fits the published statistics."""
    target = workload_statistics(like)
    workload = generate(requests, qps, seed, target,
                        distance_scale=requests / target.requests if reuse_distance else 1.0)
    fit = measure_fit(workload, qps, target, reuse_distance=reuse_distance)
    if json:
        print_json({"like": like, "source": target.source, "requests": requests, "qps": qps,
                    "seed": seed, "fit": [{"name": r.name, "published": r.published,
                                           "produced": r.produced} for r in fit]})
        return
    Console().print(tables.fit_table(fit, target.source))
