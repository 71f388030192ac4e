"""The workload that a sub-command's options ask for, and these options."""

from pathlib import Path
from typing import Annotated

import typer

from model.spec.errors import SpecError
from runtime.commands.common import DEFAULT_QPS, DEFAULT_REQUESTS
from runtime.generator import generate
from runtime.traces import TRACE_FORMATS, load_trace
from runtime.workload import Workload

TraceFormat = Annotated[str | None, typer.Option(
    help=f"Format of the trace, one of {', '.join(sorted(TRACE_FORMATS))}; default: recognised by "
         "its first line.")]
SkipBad = Annotated[bool, typer.Option(
    "--skip-bad", help="Pass over bad rows of the trace and report how many.")]


def chosen_workload(trace: Path | None, qps: float | None, seed: int, requests: int | None,
                    limit: int | None, *, trace_format: str | None = None,
                    skip_bad: bool = False) -> Workload:
    """A trace's requests, or generated ones."""
    if limit is not None and limit < 1:
        raise SpecError("limit", limit, "a number of rows, 1 or more")
    if trace is None:
        for option, value in (("limit", limit), ("trace-format", trace_format),
                              ("skip-bad", skip_bad or None)):
            if value is not None:
                use = " (use --requests)" if option == "limit" else ""
                raise SpecError(option, value, f"to go with --trace{use}")
        return generate(DEFAULT_REQUESTS if requests is None else requests,
                        DEFAULT_QPS if qps is None else qps, seed)
    if requests is not None:
        raise SpecError("requests", requests, "no --trace beside it (use --limit)")
    workload = load_trace(trace, trace_format, limit, skip_bad)
    return workload if qps is None else workload.at_rate(qps)
