"""One JSON object a line, decoded with the name of the field that is wrong."""

import re
from typing import Any, TypeVar

import msgspec

from runtime.traces.rows import RowError

Row = TypeVar("Row", bound=msgspec.Struct)

EXPECTED = {"hash_ids": "a list of integers", "type": "a word", "timestamp": "a number"}
"""What a field of a wrong type should have been; other fields: an integer."""


def decode_object(decoder: "msgspec.json.Decoder[Row]", raw: bytes,
                  expected: dict[str, str] = EXPECTED) -> Row:
    """One row; raises :class:`RowError` by field."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        row: Any = msgspec.json.decode(raw)
        if not isinstance(row, dict):
            raise RowError("row", "a JSON object", row) from None
        missing = re.search(r"missing required field `(\w+)`", str(error))
        if missing:
            raise RowError(missing[1], "a value", instead="a missing field") from None
        where = re.search(r"\$\.(\w+)", str(error))
        field = where[1] if where else "row"
        raise RowError(field, expected.get(field, "an integer"), row.get(field)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = raw.decode("utf-8", "replace").strip()
        raise RowError("row", "one JSON object on the line", text) from None


def first_object(line: str) -> dict[str, Any] | None:
    """The JSON object on a line, or None if there is none."""
    try:
        value = msgspec.json.decode(line.encode())
    except (msgspec.DecodeError, UnicodeError):
        return None
    return value if isinstance(value, dict) else None
