"""Qwen-Bailian JSON lines: chats with turns and types, seconds, and an id for 16 prompt tokens.

A row names itself (``chat_id``) and the row that it continues (``parent_chat_id``, -1 for none).
The conversation is the chain's first chat.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from runtime.traces.json_rows import decode_object, first_object
from runtime.traces.rows import RowError, TraceRow, check_ids
from runtime.workload import PS_PER_SECOND

REMEMBERED_CHATS = 1 << 20
"""Chats whose conversation is remembered, so that memory is bounded; the files have at most
172,800. A chat that continues a forgotten one begins a conversation under its parent's id."""


class QwenBailianRow(msgspec.Struct, frozen=True, gc=False):
    """One line of the trace."""

    chat_id: int
    parent_chat_id: int
    timestamp: float
    input_length: int
    output_length: int
    type: str
    turn: int
    hash_ids: tuple[int, ...]


class QwenBailian:
    """Reader of the Qwen-Bailian traces."""

    name: ClassVar[str] = "qwen-bailian"
    block_tokens: ClassVar[int] = 16
    tick_ps: ClassVar[int | None] = PS_PER_SECOND // 1000
    fields: ClassVar[Mapping[str, str]] = {
        "time": "timestamp", "input": "input_length", "output": "output_length"}

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(QwenBailianRow)
        self._sessions: OrderedDict[int, int] = OrderedDict()

    @staticmethod
    def recognises(line: str) -> bool:
        row = first_object(line)
        return row is not None and ("chat_id" in row or "parent_chat_id" in row)

    def begin(self, line: str) -> bool:
        return False

    def decode(self, raw: bytes) -> TraceRow | None:
        row = decode_object(self._decoder, raw)
        if not 0 <= row.timestamp <= 1e9:
            raise RowError("timestamp", "seconds from the start, 0 or more", row.timestamp)
        if row.chat_id < 0:
            raise RowError("chat_id", "an id, 0 or more", row.chat_id)
        if row.parent_chat_id < -1 or row.parent_chat_id == row.chat_id:
            raise RowError("parent_chat_id", "another chat's id, or -1", row.parent_chat_id)
        if row.turn < 1:
            raise RowError("turn", "a number from 1 on", row.turn)
        if row.input_length > 0:
            check_ids(row.hash_ids, row.input_length, self.block_tokens)
        # Microseconds are exact in what the files have, milliseconds.
        time_ps = round(row.timestamp * 1_000_000) * 1_000_000
        return TraceRow(row.timestamp, time_ps, row.input_length, row.output_length,
                        row.hash_ids, self._session(row), row.chat_id, row.parent_chat_id,
                        row.turn, row.type)

    def _session(self, row: QwenBailianRow) -> int:
        parent, sessions = row.parent_chat_id, self._sessions
        if parent < 0:
            session = row.chat_id
        else:
            session = sessions.get(parent, parent)
            if parent in sessions:
                sessions.move_to_end(parent)
        sessions[row.chat_id] = session
        if len(sessions) > REMEMBERED_CHATS:
            sessions.popitem(last=False)
        return session
