"""Readers of serving traces, a file for each format, plain or gzip, streamed.

Rows are refused, never repaired: the first bad one ends the reading with its file, line and field,
unless bad rows are to be skipped and counted. docs/workloads.md describes the formats.
"""

from pathlib import Path

from model.spec.errors import UserError, unknown_name
from runtime.traces.azure import Azure
from runtime.traces.burstgpt import BurstGpt
from runtime.traces.lines import file_sha256, read_lines
from runtime.traces.mooncake import Mooncake
from runtime.traces.qwen_bailian import QwenBailian
from runtime.traces.rows import RowReader
from runtime.traces.stream import TraceStream
from runtime.workload import Workload

TRACE_FORMATS: dict[str, type[RowReader]] = {
    reader.name: reader for reader in (QwenBailian, Mooncake, Azure, BurstGpt)}
"""Readers by name, asked in this order whether a file is theirs."""

__all__ = ["TRACE_FORMATS", "load_trace", "recognised"]


def recognised(path: Path, line: str) -> type[RowReader]:
    """The reader of a file that begins with this line."""
    for reader in TRACE_FORMATS.values():
        if reader.recognises(line):
            return reader
    shown = line.strip()
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    raise UserError(f"{path}:1: trace: expected the first line of a trace in a known format "
                    f"({', '.join(TRACE_FORMATS)}), not {shown!r}")


def load_trace(path: Path, trace_format: str | None = None, limit: int | None = None,
               skip_bad: bool = False) -> Workload:
    """A trace file as a workload whose requests are read when they are gone through.

    Parameters
    ----------
    path : Path
    trace_format : str or None
        Name of the format; None recognises it by the first line.
    limit : int or None
        Take only so many requests.
    skip_bad : bool
        Pass over bad rows and report how many, instead of refusing the file.
    """
    if trace_format is not None and trace_format not in TRACE_FORMATS:
        raise unknown_name("trace-format", trace_format, TRACE_FORMATS)
    held = None if path.is_file() else list(read_lines(path))
    if trace_format is None:
        _, line = next(iter(held if held is not None else read_lines(path)), (1, b""))
        # A file without a line is empty in every format; let one of them say so.
        reader = recognised(path, line.decode("utf-8", "replace")) if line else Mooncake
    else:
        reader = TRACE_FORMATS[trace_format]
    stream = TraceStream(path, reader, limit, skip_bad, held)
    source: dict[str, object] = {
        "kind": reader.name, "path": str(path),
        "sha256": file_sha256(path) if held is None else None,
        "rows": len(stream), "limit": limit, "skipped": stream.tally.skipped,
        "failed": stream.tally.failed}
    return Workload(requests=stream, block_tokens=reader.block_tokens, source=source,
                    notes=stream.notes())
