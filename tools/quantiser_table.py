"""Prints the table of docs/quantiser.md: ``python -m tools.quantiser_table [--write]``."""

import sys
from pathlib import Path

from model.golden.quantiser_error import table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "quantiser.md"
BEGIN, END = "<!-- tools.quantiser_table -->\n", "<!-- end -->\n"


def written(page: str) -> str:
    """The table as it stands in the page."""
    return page.split(BEGIN)[1].split(END)[0]


def computed() -> str:
    """The table as it is."""
    return "\n".join(table()) + "\n"


def main(arguments: list[str]) -> int:
    """Prints the table, or writes it into the page; returns the exit status."""
    if arguments not in ([], ["--write"]):
        print(f"tools.quantiser_table: expected nothing or --write, not {' '.join(arguments)!r}",
              file=sys.stderr)
        return 2
    if arguments:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(before + BEGIN + computed() + END + rest.split(END)[1])
    else:
        print(computed(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
