"""Results of cells on disk: a file each, written whole or not at all."""

from pathlib import Path
from typing import Any

import msgspec

from model.spec.errors import UserError
from runtime.files import write_atomically

Record = dict[str, Any]


class CellStore:
    """A folder of finished cells, which a later run of the study does not repeat.

    Parameters
    ----------
    folder : Path
        Made when the first cell is finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where a cell's result lies."""
        return self.folder / f"{key}.json"

    def load(self, key: str) -> Record | None:
        """A finished cell's result; None if there is none, or its file is damaged."""
        try:
            return msgspec.json.decode(self.path(key).read_bytes(), type=Record)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        except OSError as error:
            raise self._unusable(error) from None

    def save(self, key: str, record: Record) -> None:
        """Keeps a result."""
        try:
            write_atomically(self.path(key), msgspec.json.encode(record))
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> UserError:
        return UserError(f"{self.folder}: out: expected a folder that can be written, not "
                         f"{(error.strerror or str(error)).lower()!r}")
