"""A trace file as requests: read row by row, checked, ticks spread, bad rows refused or counted."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from model.spec.errors import UserError
from runtime.traces.lines import read_lines
from runtime.traces.rows import RowError, RowReader, TraceRow, check_row
from runtime.workload import Request


@dataclass
class Tally:
    """What a pass over a file met."""

    skipped: int = 0
    first_skipped: str = ""
    failed: int = 0
    moved: int = 0
    shared_ticks: int = 0


@dataclass
class TraceStream:
    """Requests of a trace file, read anew each time; a file larger than memory will do.

    Making one reads the whole file once, so that everything wrong with it is known before anything
    is run, and the first and last request and the longest are. Only a pipe, which cannot be read
    again, is held in memory.

    Parameters
    ----------
    path : Path
    reader : class of RowReader
        Reads the file's format.
    limit : int or None
        Take only so many requests.
    skip_bad : bool
        Pass over bad rows and count them, instead of refusing the file.
    """

    path: Path
    reader: type[RowReader]
    limit: int | None = None
    skip_bad: bool = False
    held: list[tuple[int, bytes]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.tally = Tally()
        self._length = 0
        for request in self._requests(self.tally):
            if not self._length:
                self.first = self.longest = request
            elif request.kv_blocks > self.longest.kv_blocks:
                self.longest = request
            self.last = request
            self._length += 1
        if not self._length:
            what = ("an empty file" if not self.tally.skipped else
                    f"{self.tally.skipped} bad ones, the first {self.tally.first_skipped}")
            if self.tally.failed:
                what = f"{self.tally.failed} failed requests"
            raise UserError(f"{self.path}: trace: expected at least one row, not {what}")

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Request]:
        count = 0
        for request in self._requests(Tally()):
            count += 1
            yield request
        if count != self._length:
            raise UserError(f"{self.path}: trace: expected the {self._length} rows that were read "
                            f"before, not {count}: the file has changed")

    def notes(self) -> tuple[str, ...]:
        """What was done to the rows, in words."""
        tally, notes = self.tally, []
        if tally.shared_ticks:
            notes.append(
                f"{tally.moved} of {self._length} rows moved: {tally.shared_ticks} timestamps are "
                "shared by several rows, which are spread evenly up to the next timestamp"
                + ("" if self.reader.tick_ps is None else
                   f" or over {self.reader.tick_ps / 1e12:g} s, the resolution of the times"))
        if tally.failed:
            notes.append(f"{tally.failed} failed requests (a response of 0 tokens) left out")
        if tally.skipped:
            notes.append(f"{tally.skipped} bad rows skipped, the first {tally.first_skipped}")
        return tuple(notes)

    def _requests(self, tally: Tally) -> Iterator[Request]:
        return itertools.islice(self._spread(tally), self.limit)

    def _rows(self, tally: Tally) -> Iterator[tuple[int, TraceRow]]:
        reader, previous = self.reader(), None
        lines = iter(read_lines(self.path) if self.held is None else self.held)
        first = next(lines, None)
        if first is None:
            return
        try:
            header = reader.begin(first[1].decode("utf-8", "replace"))
        except RowError as error:
            raise UserError(f"{self.path}:{first[0]}: {error}") from None
        if not header:
            lines = itertools.chain((first,), lines)
        for line, raw in lines:
            try:
                row = reader.decode(raw)
                if row is None:
                    tally.failed += 1
                    continue
                check_row(row, previous, reader.fields)
            except RowError as error:
                message = f"{self.path}:{line}: {error}"
                if not self.skip_bad:
                    raise UserError(message) from None
                tally.skipped += 1
                tally.first_skipped = tally.first_skipped or message
                continue
            previous = row
            yield line, row

    def _spread(self, tally: Tally) -> Iterator[Request]:
        """Rows that share a time are spread evenly up to the next one, or over the tick.

        Those of the last time are spread over the gap before it. A single time in the whole file
        leaves nothing to spread over.
        """
        gap, tick = 0, self.reader.tick_ps
        groups = (list(g) for _, g in itertools.groupby(
            self._rows(tally), key=lambda item: item[1].time_ps))
        group = next(groups, None)
        while group:
            following = next(groups, None)
            start, count = group[0][1].time_ps, len(group)
            if following:
                gap = following[0][1].time_ps - start
            width = gap if tick is None else min(gap, tick)
            tally.shared_ticks += count > 1
            for k, (line, row) in enumerate(group):
                tally.moved += width * k // count > 0
                yield Request(
                    arrival_ps=start + width * k // count, input_tokens=row.input_tokens,
                    output_tokens=row.output_tokens, block_ids=row.block_ids,
                    origin=f"{self.path}:{line}", session=row.session, chat=row.chat,
                    parent=row.parent, turn=row.turn, request_class=row.request_class)
            group = following
