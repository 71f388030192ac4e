"""Azure LLM inference CSV: ``TIMESTAMP,ContextTokens,GeneratedTokens``, no prefix ids.

The 2023 files have wall-clock times such as ``2023-11-16 18:15:46.6805900``; those of 2024 (one
week, DynamoLLM) add an offset from UTC, ``2024-05-10 00:00:00.009930+00:00``, and leave out a
fraction that is zero. Times count from the first row.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar

from runtime.traces.csv_rows import Columns, split
from runtime.traces.rows import RowError, TraceRow
from runtime.workload import PS_PER_SECOND

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d):([0-5]\d)(?:\.(\d{1,9}))?"
                   r"(?:(Z)|([+-])([01]\d|2[0-3]):?([0-5]\d))?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


@lru_cache(maxsize=64)
def _seconds_of_minute(date: str, minute: str) -> int:
    """Seconds since 1970 at which a minute begins; rows come in order, so few are remembered."""
    since = datetime.fromisoformat(f"{date}T{minute}:00").replace(tzinfo=UTC) - _EPOCH
    return since.days * 86_400 + since.seconds


class Azure:
    """Reader of both forms; a file has one of them."""

    name: ClassVar[str] = "azure"
    block_tokens: ClassVar[int] = 16
    tick_ps: ClassVar[int | None] = PS_PER_SECOND // 10 ** 7    # of the 2023 files: 100 ns
    fields: ClassVar[Mapping[str, str]] = {
        "time": "TIMESTAMP", "input": "ContextTokens", "output": "GeneratedTokens"}

    def __init__(self) -> None:
        self._columns: Columns | None = None
        self._zero_ps: int | None = None
        self._has_offset = False

    @staticmethod
    def recognises(line: str) -> bool:
        return {"TIMESTAMP", "ContextTokens"} <= set(split(line))

    def begin(self, line: str) -> bool:
        self._columns = Columns(line, _COLUMNS)
        return True

    def decode(self, raw: bytes) -> TraceRow | None:
        assert self._columns is not None
        fields = self._columns.fields(raw)
        stamp = fields[self._columns.places["TIMESTAMP"]]
        time_ps = self._time_ps(stamp)
        row_input = self._columns.integer(fields, "ContextTokens")
        row_output = self._columns.integer(fields, "GeneratedTokens")
        if self._zero_ps is None:
            self._zero_ps = time_ps
        if time_ps < self._zero_ps:
            raise RowError("TIMESTAMP", "a time after the first row's", stamp)
        return TraceRow(stamp, time_ps - self._zero_ps, row_input, row_output)

    def _time_ps(self, stamp: str) -> int:
        found = _TIME.fullmatch(stamp)
        if not found:
            raise RowError("TIMESTAMP", "YYYY-MM-DD HH:MM:SS.fffffff", stamp)
        date, minute, second, fraction, utc, sign, hours, minutes = found.groups()
        offset = bool(utc or sign)
        if self._zero_ps is None:
            self._has_offset = offset
        elif offset != self._has_offset:
            raise RowError("TIMESTAMP", "an offset from UTC in all rows or in none", stamp)
        try:
            shift = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1) if sign else 0
            seconds = _seconds_of_minute(date, minute) - shift * 60 + int(second)
        except (ValueError, OverflowError):
            raise RowError("TIMESTAMP", "a date and time that exist", stamp) from None
        return seconds * PS_PER_SECOND + int((fraction or "0").ljust(12, "0"))
