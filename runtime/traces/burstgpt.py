"""BurstGPT CSV: seconds, model, request, response and total tokens, log type; no prefix ids.

A response of 0 tokens is a failed request: it is left out and counted, never served. Later releases
add a session's id to conversation rows.
"""

import re
from collections.abc import Mapping
from typing import ClassVar

from runtime.traces.csv_rows import Columns, split
from runtime.traces.rows import RowError, TraceRow
from runtime.workload import PS_PER_SECOND

_SECONDS = re.compile(r"(-?)(\d{1,10})(?:\.(\d{1,12})\d*)?", re.ASCII)
_COLUMNS = ("Timestamp", "Model", "Request tokens", "Response tokens", "Total tokens", "Log Type")
_SESSION = "Session ID"


class BurstGpt:
    """Reader of BurstGPT."""

    name: ClassVar[str] = "burstgpt"
    block_tokens: ClassVar[int] = 16
    tick_ps: ClassVar[int | None] = PS_PER_SECOND
    fields: ClassVar[Mapping[str, str]] = {
        "time": "Timestamp", "input": "Request tokens", "output": "Response tokens"}

    def __init__(self) -> None:
        self._columns: Columns | None = None
        self._sessions: dict[str, int] = {}

    @staticmethod
    def recognises(line: str) -> bool:
        return {"Timestamp", "Request tokens"} <= set(split(line))

    def begin(self, line: str) -> bool:
        self._columns = Columns(line, _COLUMNS)
        return True

    def decode(self, raw: bytes) -> TraceRow | None:
        columns = self._columns
        assert columns is not None
        fields = columns.fields(raw)
        stamp = fields[columns.places["Timestamp"]]
        found = _SECONDS.fullmatch(stamp)
        if not found:
            raise RowError("Timestamp", "seconds", stamp)
        sign, whole, fraction = found.groups()
        time_ps = int(whole) * PS_PER_SECOND + int((fraction or "0").ljust(12, "0"))
        request, response, total = (columns.integer(fields, name) for name in _COLUMNS[2:5])
        if request + response != total:
            raise RowError("Total tokens", f"the sum of request and response, {request + response}",
                           total)
        if response == 0:
            return None
        model, log = (fields[columns.places[name]] for name in ("Model", "Log Type"))
        return TraceRow(stamp, -time_ps if sign else time_ps, request, response,
                        session=self._session(fields), request_class=f"{model}, {log}")

    def _session(self, fields: list[str]) -> int:
        assert self._columns is not None
        place = self._columns.places.get(_SESSION)
        name = fields[place] if place is not None else ""
        return self._sessions.setdefault(name, len(self._sessions)) if name else -1
