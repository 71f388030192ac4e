"""Mooncake JSON lines: ``{"timestamp": ms, "input_length", "output_length", "hash_ids"}``.

One id stands for 512 prompt tokens, the last one perhaps for fewer. Times lie on ticks about three
seconds apart (README of the FAST'25 traces), and rows of a tick are spread up to the next.
"""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from runtime.traces.json_rows import decode_object
from runtime.traces.rows import RowError, TraceRow, check_ids
from runtime.workload import PS_PER_MS

MOONCAKE_BLOCK_TOKENS = 512
MAX_TIMESTAMP = 1 << 53
"""Milliseconds; larger ones are not exact in JSON numbers."""


class MooncakeRow(msgspec.Struct, frozen=True, gc=False):
    """One line of the trace."""

    timestamp: int
    input_length: int
    output_length: int
    hash_ids: tuple[int, ...]


class Mooncake:
    """Reader of Mooncake's traces."""

    name: ClassVar[str] = "mooncake"
    block_tokens: ClassVar[int] = MOONCAKE_BLOCK_TOKENS
    tick_ps: ClassVar[int | None] = None
    fields: ClassVar[Mapping[str, str]] = {
        "time": "timestamp", "input": "input_length", "output": "output_length"}
    _expected: ClassVar[dict[str, str]] = {"hash_ids": "a list of integers"}

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(MooncakeRow)

    @staticmethod
    def recognises(line: str) -> bool:
        return line.startswith(("{", "["))

    def begin(self, line: str) -> bool:
        return False

    def decode(self, raw: bytes) -> TraceRow | None:
        row = decode_object(self._decoder, raw, self._expected)
        if not 0 <= row.timestamp <= MAX_TIMESTAMP:
            raise RowError("timestamp", "milliseconds from the start, 0 or more", row.timestamp)
        if row.input_length > 0:
            check_ids(row.hash_ids, row.input_length, self.block_tokens)
        return TraceRow(row.timestamp, row.timestamp * PS_PER_MS, row.input_length,
                        row.output_length, row.hash_ids)
