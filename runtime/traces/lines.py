"""Lines of a trace file, plain or gzip, streamed; and its checksum."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from model.spec.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_LINE = 1 << 26
"""Bytes; a longer line is no row of a trace, and would only fill the memory."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's plain bytes, whatever it is called; opened once, so that a pipe will do."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: trace: expected a readable file, not "
                        f"{(error.strerror or str(error)).lower()!r}") from None
    with file:
        try:
            magic = file.peek(2)[:2]
        except OSError as error:
            raise UserError(f"{path}: trace: expected readable data, "
                            f"not {str(error).lower()!r}") from None
        zipped = magic == GZIP_MAGIC
        if path.suffix == ".gz" and not zipped:
            raise UserError(f"{path}: trace: expected gzip data, as its name says, not bytes "
                            f"that begin with {magic!r}")
        if not zipped:
            yield file
            return
        with gzip.open(file, "rb") as unzipped:
            yield cast(BinaryIO, unzipped)


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields (line number, line); blank lines are passed over."""
    line = 0
    with opened(path) as file:
        try:
            while raw := file.readline(MAX_LINE):
                line += 1
                if len(raw) == MAX_LINE:
                    raise UserError(f"{path}:{line}: row: expected a line of less than "
                                    f"{MAX_LINE} bytes, not a longer one")
                if line == 1:
                    raw = raw.removeprefix(BYTE_ORDER_MARK)
                if not raw.isspace():
                    yield line, raw
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{path}:{line + 1}: trace: expected intact gzip data, "
                            f"not {str(error).lower()!r}") from None
        except OSError as error:
            raise UserError(f"{path}:{line + 1}: trace: expected readable data, "
                            f"not {str(error).lower()!r}") from None


def file_sha256(path: Path) -> str:
    """Checksum of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
