"""What a reader of one trace format makes of a line, and how it refuses one."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import msgspec

from runtime.workload import PS_PER_SECOND

MAX_TOKENS = 1 << 31
MAX_TIME_PS = PS_PER_SECOND * 10 ** 9
"""About 32 years; no trace is longer, and sums stay far from any limit."""


class RowError(Exception):
    """A row that cannot be taken: which field, what was expected, what was found."""

    def __init__(self, field: str, expected: str, value: object = None, *,
                 instead: str = "") -> None:
        text = instead or repr(value)
        shown = text if len(text) <= 60 else text[:57] + "..."
        super().__init__(f"{field}: expected {expected}, not {shown}")


class TraceRow(msgspec.Struct, frozen=True, gc=False):
    """A row of any format.

    Attributes
    ----------
    stamp : object
        Time as the file has it, for messages.
    time_ps : int
        The same in picoseconds from the format's own zero.
    """

    stamp: object
    time_ps: int
    input_tokens: int
    output_tokens: int
    block_ids: tuple[int, ...] = ()
    session: int = -1
    chat: int = -1
    parent: int = -1
    turn: int = 0
    request_class: str = ""


class RowReader(Protocol):
    """Reads one trace format, line by line. A new format is one file with such a class.

    Attributes
    ----------
    name : str
        Name of the format for ``--trace-format``.
    block_tokens : int
        Tokens of a prefix block.
    tick_ps : int or None
        How coarse the format's times are. Rows that share a time are spread over so much, and at
        most up to the next time; None spreads them up to the next time.
    fields : mapping
        What the format calls ``time``, ``input`` and ``output``.
    """

    name: ClassVar[str]
    block_tokens: ClassVar[int]
    tick_ps: ClassVar[int | None]
    fields: ClassVar[Mapping[str, str]]

    @staticmethod
    def recognises(line: str) -> bool:
        """Whether a file whose first line is this one has the format."""
        ...

    def begin(self, line: str) -> bool:
        """Is shown the first line; returns whether that was a header. May raise RowError."""
        ...

    def decode(self, raw: bytes) -> TraceRow | None:
        """A row, or None for a failed request that is to be left out; may raise RowError."""
        ...


def check_row(row: TraceRow, previous: TraceRow | None, fields: Mapping[str, str]) -> None:
    """Raises :class:`RowError` unless times ascend and lengths are positive."""
    if not 0 <= row.time_ps <= MAX_TIME_PS:
        raise RowError(fields["time"], "a time from 0 on, less than 32 years", row.stamp)
    if previous is not None and row.time_ps < previous.time_ps:
        raise RowError(fields["time"], f"at least the row before's {previous.stamp}", row.stamp)
    for name, tokens in (("input", row.input_tokens), ("output", row.output_tokens)):
        if not 1 <= tokens <= MAX_TOKENS:
            raise RowError(fields[name], "a number of tokens, 1 or more", tokens)


def check_ids(ids: tuple[int, ...], tokens: int, block_tokens: int) -> None:
    """Raises :class:`RowError` unless there is one id for each block and none comes twice."""
    blocks = -(-tokens // block_tokens)
    if len(ids) != blocks and tokens > 0:
        raise RowError("hash_ids", f"{blocks} ids, one for each {block_tokens} of {tokens} tokens",
                       len(ids))
    if len(set(ids)) != len(ids):
        raise RowError("hash_ids", "ids that differ within a row", instead="a repeated one")
