"""Files that are there in whole or not at all."""

import os
import tempfile
from pathlib import Path

import msgspec


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that nobody ever sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def encode(record: dict[str, object]) -> bytes:
    """The record as indented JSON; the same record gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
