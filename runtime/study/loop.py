"""Runs the cells of a study: many drivers ask, an executor works, a store remembers.

A driver is a generator that yields cells and is sent their records; a grid asks once, a search for
capacity asks again and again. So cells of all drivers run side by side, each is kept as soon as it
is done, and a study that was killed goes on where it was.
"""

from collections.abc import Callable, Generator, Iterable
from typing import Any, Protocol

from runtime.study.cells import Cell
from runtime.study.store import CellStore

Record = dict[str, Any]
Driver = Generator[Cell, Record, None]


class Executor(Protocol):
    """Works on cells, several at a time."""

    @property
    def width(self) -> int:
        """How many cells may usefully be in work at once."""
        ...

    def submit(self, key: str, cell: Cell) -> None:
        """Begins a cell."""
        ...

    def finished(self) -> tuple[str, Record]:
        """Waits for any cell; returns its key and record."""
        ...


class Progress(Protocol):
    """Is told of every cell that is done; ``fresh`` if it was run now."""

    def __call__(self, cell: Cell, fresh: bool) -> None: ...


def drive(drivers: Iterable[Driver], key: Callable[[Cell], str], executor: Executor,
          store: CellStore, progress: Progress) -> None:
    """Runs all drivers to their ends."""
    waiting: dict[str, list[tuple[Driver, Cell]]] = {}
    ready: list[tuple[Driver, Record | None]] = [(driver, None) for driver in drivers]
    ready.reverse()
    in_work = 0
    while ready or in_work:
        while ready and in_work < executor.width:
            driver, record = ready.pop()
            try:
                cell = next(driver) if record is None else driver.send(record)
            except StopIteration:
                continue
            name = key(cell)
            known = store.load(name)
            if known is not None:
                progress(cell, False)
                ready.append((driver, known))
            elif name in waiting:           # another driver has asked for the same
                waiting[name].append((driver, cell))
            else:
                waiting[name] = [(driver, cell)]
                executor.submit(name, cell)
                in_work += 1
        if in_work:
            name, record = executor.finished()
            in_work -= 1
            store.save(name, record)
            asked = waiting.pop(name)
            progress(asked[0][1], True)
            ready += [(driver, record) for driver, _ in asked]
