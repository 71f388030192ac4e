"""Replays a load/store trace through the memory channel's hardware, on Verilator."""

import json
import re
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from model.spec.addressing import PSEUDO_CHANNELS, AddressMap, Place, full_geometry
from model.spec.errors import UserError
from model.spec.geometry import BEAT_BYTES
from model.spec.slice import SliceSpec
from model.spec.timing import Command, timing_preset
from tb.build import build, run
from tb.traced_channel import TracedChannel, access_layout

Progress = Callable[[str], None]

NEVER = 1 << 31
"""tREFI in tCK that no replay reaches: no refresh."""

CLOCKS_PER_ACCESS_MAX = 2000
"""A replay that takes longer is stuck."""

LINE = re.compile(r"(LD|ST)\s+(0[xX][0-9a-fA-F]+|[0-9]+)")
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Access:
    """A line of a trace."""

    write: bool
    place: Place


@dataclass(frozen=True)
class Observed:
    """What was seen of a replay; clocks are counted from the clock after reset.

    Attributes
    ----------
    start : int
        Clock in which the first request was offered.
    columns, rows : list of (clock, command, bank, column or row)
        Commands of the two buses; bank None for all PIM banks.
    latencies : list of int
        Clocks from the acceptance of each read to its answer.
    hit, miss, conflict : int
        Requests whose row was open; for which a closed bank, a bank with another row was opened.
    """

    start: int
    columns: list[tuple[int, int, int, int]]
    rows: list[tuple[int, int, int | None, int]]
    latencies: list[int]
    hit: int
    miss: int
    conflict: int


def replay_spec(preset: str, *, refresh: bool = True) -> SliceSpec:
    """A whole pseudo-channel of that preset."""
    timing = timing_preset(preset)
    return SliceSpec(geometry=full_geometry(preset),
                     timing=timing if refresh else replace(timing, nREFI=NEVER))


def address_map(preset: str) -> AddressMap:
    """The fields of an address of that preset."""
    geometry = full_geometry(preset)
    return AddressMap(pseudo_channels=PSEUDO_CHANNELS[preset], geometry=geometry)


def read_trace(path: Path, addresses: AddressMap, *, drop_bits: int = 0) -> list[Access]:
    """The accesses of a file; :class:`~model.spec.errors.UserError` names the line that is wrong.

    The lowest ``drop_bits`` of each address are dropped. Empty lines and what follows ``#`` are
    left out.
    """
    accesses = []
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}, expected a trace") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file, expected lines such as LD 0x1f40") from error
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        match = LINE.fullmatch(text)
        if not match:
            raise UserError(f"{path}:{number}: expected LD or ST and an address such as "
                            f"LD 0x1f40, not {line.strip()[:60]!r}")
        try:
            place = addresses.place(int(match[2], 0) >> drop_bits)
        except (UserError, ValueError) as error:
            raise UserError(f"{path}:{number}: {error}") from error
        accesses.append(Access(match[1] == "ST", place))
    if not accesses:
        raise UserError(f"{path}: no access, expected lines such as LD 0x1f40")
    return accesses


def replay(preset: str, accesses: Iterable[Access], *, refresh: bool = True,
           simulator: str = "verilator", progress: Progress = lambda text: None) -> Observed:
    """Offers the accesses as fast as the channel takes them; all of one pseudo-channel."""
    spec, addresses = replay_spec(preset, refresh=refresh), address_map(preset)
    layout = access_layout(spec)
    words = [layout.const({"write": access.write, "bank": addresses.bank_number(access.place),
                           "row": access.place.row, "column": access.place.column}).as_bits()
             for access in accesses]
    progress("building the simulator (a minute or two the first time)")
    built = build(TracedChannel(spec), "replay", simulator=simulator)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        files = {part: work / part for part in ("trace", "result", "progress")}
        files["trace"].write_text("\n".join(map(str, words)))
        progress(f"replaying {len(words)} accesses")
        with _Watch(files["progress"], len(words), progress):
            run(built, "tb.bench_replay", work, parameters={
                "preset": preset, "refresh": refresh,
                "clocks": CLOCKS_PER_ACCESS_MAX * (len(words) + 10),
                **{part: str(file) for part, file in files.items()}})
        found: dict[str, Any] = json.loads(files["result"].read_text())
    return Observed(**{**found, "columns": [tuple(c) for c in found["columns"]],
                       "rows": [tuple(r) for r in found["rows"]]})


class _Watch:
    """Says from time to time how far a replay has come."""

    def __init__(self, file: Path, total: int, progress: Progress) -> None:
        self._file, self._total, self._progress = file, total, progress
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        shown = ""
        while not self._over.wait(2):
            text = self._file.read_text() if self._file.exists() else ""
            if text and text != shown:
                shown, (done, clocks) = text, text.split()
                self._progress(f"{done} of {self._total} accesses, {clocks} clocks")


def summary(preset: str, accesses: list[Access], observed: Observed) -> dict[str, Any]:
    """The figures of a replay; latencies in controller clocks, bandwidth in 10^9 bytes a second."""
    timing = timing_preset(preset)
    delay = {Command.RD: timing.read_latency, Command.WR: timing.write_latency}
    end = max(clock + delay[Command(command)] for clock, command, _, _ in observed.columns)
    cycles = end - observed.start + 1
    seconds = cycles * timing.clock_ps * 1e-12
    latency: dict[str, float] | None = None
    if observed.latencies:
        values = np.array(observed.latencies)
        latency = {"mean": float(values.mean()), "min": int(values.min()),
                   **{f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES},
                   "max": int(values.max())}
    issued = [Command(command) for _, command, _, _ in observed.rows]
    return {
        "preset": preset, "requests": len(accesses),
        "reads": sum(not access.write for access in accesses),
        "writes": sum(access.write for access in accesses),
        "cycles": cycles, "clock_ps": timing.clock_ps,
        "bandwidth_gbps": BEAT_BYTES * len(accesses) / seconds / 1e9,
        "row_hits": observed.hit, "row_misses": observed.miss, "row_conflicts": observed.conflict,
        "read_latency": latency,
        "refreshes": {"per_bank": issued.count(Command.REF), "all_bank":
                      issued.count(Command.REF_ALL)},
    }


def log_lines(preset: str, observed: Observed) -> Iterable[str]:
    """The commands in order: clock from the first request, command, and where."""
    geometry = full_geometry(preset)
    per_group = geometry.banks_per_sid // geometry.bank_groups
    commands = sorted([(clock, 1, command, bank, f"column={place}")
                       for clock, command, bank, place in observed.columns]
                      + [(clock, 0, command, bank, f"row={place}")
                         for clock, command, bank, place in observed.rows])
    for clock, _, number, bank, place in commands:
        command = Command(number)
        where = "sid=0 all" if bank is None else (
            f"sid={bank // geometry.banks_per_sid} "
            f"group={bank % geometry.banks_per_sid // per_group} bank={bank % per_group}")
        needs_place = command in (Command.ACT, Command.RD, Command.WR)
        yield f"{clock - observed.start} {command.name} {where}{' ' + place if needs_place else ''}"
