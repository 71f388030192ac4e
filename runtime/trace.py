"""Reader of serving traces in Mooncake's JSON-lines form, plain or gzip.

A row is ``{"timestamp": ms, "input_length": tokens, "output_length": tokens, "hash_ids": [...]}``
with one id for each 512 prompt tokens, the last one perhaps for fewer. Rows are refused, never
repaired: the first bad one ends the reading with its file, line and field.
"""

import gzip
import hashlib
import itertools
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from model.spec.errors import UserError
from runtime.workload import PS_PER_MS, Request, Workload

MOONCAKE_BLOCK_TOKENS = 512
"""Tokens of a Mooncake hash block (README of the FAST'25 traces)."""

MAX_TOKENS = 1 << 31
MAX_TIMESTAMP = 1 << 53
"""Milliseconds; larger ones are not exact in JSON numbers."""

GZIP_MAGIC = b"\x1f\x8b"


class MooncakeRow(msgspec.Struct, frozen=True, gc=False):
    """One line of the trace."""

    timestamp: int
    input_length: int
    output_length: int
    hash_ids: tuple[int, ...]


_decoder = msgspec.json.Decoder(MooncakeRow)


def _complain(path: Path, line: int, field: str, expected: str, value: object) -> UserError:
    text = repr(value)
    shown = text if len(text) <= 60 else text[:57] + "..."
    return UserError(f"{path}:{line}: {field}: expected {expected}, not {shown}")


def _decode(path: Path, line: int, raw: bytes) -> MooncakeRow:
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError as error:
        row = msgspec.json.decode(raw)
        if not isinstance(row, dict):
            raise _complain(path, line, "row", "a JSON object", row) from None
        for field in MooncakeRow.__struct_fields__:
            if field not in row:
                raise _complain(path, line, field, "a value", "a missing field") from None
        where = re.search(r"\$\.(\w+)", str(error))
        field = where.group(1) if where else "row"
        expected = "a list of integers" if field == "hash_ids" else "an integer"
        raise _complain(path, line, field, expected, row.get(field)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = raw.decode("utf-8", "replace").strip()
        raise _complain(path, line, "row", "one JSON object on the line", text) from None


def _check(path: Path, line: int, row: MooncakeRow, previous: int) -> None:
    if not 0 <= row.timestamp <= MAX_TIMESTAMP:
        raise _complain(path, line, "timestamp", "milliseconds from the start, 0 or more",
                        row.timestamp)
    if row.timestamp < previous:
        raise _complain(path, line, "timestamp",
                        f"at least the row before's {previous}", row.timestamp)
    for field in ("input_length", "output_length"):
        if not 1 <= getattr(row, field) <= MAX_TOKENS:
            raise _complain(path, line, field, "a number of tokens, 1 or more",
                            getattr(row, field))
    blocks = -(-row.input_length // MOONCAKE_BLOCK_TOKENS)
    if len(row.hash_ids) != blocks:
        raise UserError(f"{path}:{line}: hash_ids: expected {blocks} ids, one for each "
                        f"{MOONCAKE_BLOCK_TOKENS} of {row.input_length} tokens, "
                        f"not {len(row.hash_ids)}")
    if len(set(row.hash_ids)) != blocks:
        raise UserError(f"{path}:{line}: hash_ids: expected ids that differ within a row, "
                        "not a repeated one")


def _open(path: Path) -> BinaryIO:
    try:
        with path.open("rb") as file:
            magic = file.read(2)
    except OSError as error:
        raise UserError(f"{path}: trace: expected a readable file, not "
                        f"{(error.strerror or str(error)).lower()!r}") from None
    zipped = magic == GZIP_MAGIC
    if path.suffix == ".gz" and not zipped:
        raise UserError(f"{path}: trace: expected gzip data, as its name says, not bytes that "
                        f"begin with {magic!r}")
    return cast(BinaryIO, gzip.open(path, "rb") if zipped else path.open("rb"))


def read_rows(path: Path) -> Iterator[tuple[int, MooncakeRow]]:
    """Yields (line number, checked row); the file is streamed. Blank lines are passed over."""
    previous = 0
    line = 0
    found = False
    with _open(path) as file:
        try:
            for line, raw in enumerate(file, 1):
                if not raw.strip():
                    continue
                row = _decode(path, line, raw)
                _check(path, line, row, previous)
                previous, found = row.timestamp, True
                yield line, row
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{path}:{line + 1}: trace: expected intact gzip data, "
                            f"not {str(error).lower()!r}") from None
        except OSError as error:
            raise UserError(f"{path}:{line + 1}: trace: expected readable data, "
                            f"not {str(error).lower()!r}") from None
    if not found:
        raise UserError(f"{path}: trace: expected at least one row, not an empty file")


def _spread(rows: Iterator[tuple[int, MooncakeRow]]) -> Iterator[tuple[int, int, MooncakeRow, int]]:
    """Yields (line, arrival in ps, row, rows of its tick).

    Rows that share a timestamp are spread evenly up to the next timestamp; those of the last
    one over the gap before it. A single timestamp in the whole file leaves nothing to spread over.
    """
    gap = 0
    groups = (list(g) for _, g in itertools.groupby(rows, key=lambda item: item[1].timestamp))
    group = next(groups, None)
    while group:
        following = next(groups, None)
        start = group[0][1].timestamp
        if following:
            gap = following[0][1].timestamp - start
        for k, (line, row) in enumerate(group):
            yield line, (start * PS_PER_MS) + gap * PS_PER_MS * k // len(group), row, len(group)
        group = following


def file_sha256(path: Path) -> str:
    """Checksum of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_mooncake(path: Path, limit: int | None = None) -> Workload:
    """The trace's first ``limit`` rows (all, if None) as a workload."""
    requests: list[Request] = []
    shared_ticks: set[int] = set()
    moved = 0
    for line, arrival, row, tick_rows in itertools.islice(_spread(read_rows(path)), limit):
        requests.append(Request(arrival_ps=arrival, input_tokens=row.input_length,
                                output_tokens=row.output_length, block_ids=row.hash_ids,
                                origin=f"{path}:{line}"))
        if tick_rows > 1:
            shared_ticks.add(row.timestamp)
            moved += arrival != row.timestamp * PS_PER_MS
    notes = ()
    if shared_ticks:
        notes = ((f"{moved} of {len(requests)} rows moved: {len(shared_ticks)} timestamps are "
                  "shared by several rows, which are spread evenly up to the next timestamp"),)
    return Workload(requests=tuple(requests), block_tokens=MOONCAKE_BLOCK_TOKENS, notes=notes,
                    source={"kind": "mooncake", "path": str(path), "sha256": file_sha256(path),
                            "rows": len(requests), "limit": limit})
