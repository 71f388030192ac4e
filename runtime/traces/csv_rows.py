"""CSV with a header: columns by name, one record a line."""

import csv
from collections.abc import Sequence

from runtime.traces.rows import RowError


def split(text: str) -> list[str]:
    """Fields of one line, without blanks around them."""
    fields = text.split(",") if '"' not in text else next(csv.reader((text,)), [])
    return [field.strip() for field in fields]


class Columns:
    """Where the columns of a file are."""

    def __init__(self, header: str, needed: Sequence[str]) -> None:
        names = split(header)
        for name in needed:
            if name not in names:
                raise RowError("header", f"a column {name!r}", header.strip())
        self.count = len(names)
        self.places = {name: k for k, name in enumerate(names)}

    def fields(self, raw: bytes) -> list[str]:
        """Fields of a record, as many as there are columns."""
        try:
            fields = split(raw.decode())
        except (UnicodeDecodeError, csv.Error):
            raise RowError("row", "a line of CSV", raw.decode("utf-8", "replace").strip()) from None
        if len(fields) != self.count:
            raise RowError("row", f"{self.count} fields, as the header has",
                           instead=f"{len(fields)}")
        return fields

    def integer(self, fields: Sequence[str], name: str) -> int:
        """An integer field; a fraction is accepted only if it is zero (some tools write 12.0)."""
        text = fields[self.places[name]]
        whole, _, fraction = text.partition(".")
        if (whole.removeprefix("-").isdecimal() and whole.isascii() and len(whole) <= 18
                and not fraction.strip("0")):
            return int(whole)
        raise RowError(name, "an integer", text)
