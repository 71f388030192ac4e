"""Cycle counts of hardware operations, as the RTL benches left them in ``build/cycles.json``.

Nothing in this file makes a cycle count: it loads, checks, and extends along one straight line per
operation and shape. A count that was simulated is used as it is; others come from the line through
the two largest sizes that were, rounded up to whole cycles.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import msgspec

from model.spec.attention import BLOCK_TOKENS, KvLayout
from model.spec.errors import UserError
from model.spec.mx import element_format
from model.spec.timing import TIMING_PRESETS
from runtime.steady import SteadyLine

COMPLETE_PIM_BANKS = 16
"""PIM banks of a pseudo-channel in a whole stack (``StackGeometry.banks_per_sid``)."""

WAVE_TOKENS = BLOCK_TOKENS * COMPLETE_PIM_BANKS
"""Tokens that one wave of all banks attends (docs/numerics.md)."""

DEFAULT_PRESET = "hbm4_8000"
REMEDY = "`make sim` makes it from the RTL"


def default_table(preset: str) -> Path:
    """Where ``make sim PRESET=...`` leaves the table of a timing preset."""
    name = "cycles" if preset == DEFAULT_PRESET else f"cycles-{preset}"
    return Path("build") / f"{name}.json"


def remedy(preset: str) -> str:
    """What makes the table of a timing preset."""
    return REMEDY if preset == DEFAULT_PRESET else (
        f"`make sim PRESET={preset}` makes it from the RTL")

Direction = Literal["capacity_to_pim", "pim_to_capacity"]
DIRECTIONS: tuple[Direction, ...] = ("capacity_to_pim", "pim_to_capacity")


class Provenance(msgspec.Struct, frozen=True):
    """What made the table."""

    preset: str
    clock_ps: int
    simulator: str
    simulator_version: str
    rtl_sha256: str
    config_sha256: str
    config: dict
    seed: int
    git_revision: str


class _Row(msgspec.Struct, frozen=True, tag_field="operation", kw_only=True):
    cycles: int
    run: str
    head_size: int
    waveform_cycles: int | None = None


class AttendRow(_Row, frozen=True, tag="attend", kw_only=True):
    """Attention of one KV head with its ``group`` query heads, on one pseudo-channel.

    ``cycles`` if it runs alone; ``steady``: what it adds where others wait, without a refresh;
    ``traffic``: who else uses the pseudo-channel meanwhile, nobody by default.
    """

    format: str
    group: int
    context: int
    pim_banks: int
    steady: int | None = None
    traffic: str = ""


class MigrateRow(_Row, frozen=True, tag="migrate", kw_only=True):
    """One KV block of one head, moved between the layers of one pseudo-channel."""

    direction: Direction
    format: str
    bytes: int
    pim_banks: int


class MergeRow(_Row, frozen=True, tag="merge", kw_only=True):
    """Partial results of one KV head's ``group`` query heads, merged to one each."""

    parts: int
    group: int = 1


class DmaMoveRow(_Row, frozen=True, tag="dma_move", kw_only=True):
    """One KV block of one head, moved by descriptor; ``format`` is that on the capacity side."""

    direction: Direction
    format: str
    bytes: int
    pim_banks: int = COMPLETE_PIM_BANKS


class QuantiseRow(_Row, frozen=True, tag="quantise", kw_only=True):
    """One KV block of one head through the quantiser."""

    format: str


class TranslateRow(_Row, frozen=True, tag="translate", kw_only=True):
    """One translation; ``outcome`` says what it met, such as ``"hit"`` or ``"walk"``."""

    outcome: str = "hit"
    head_size: int = 1


AnyRow = AttendRow | MigrateRow | MergeRow | DmaMoveRow | QuantiseRow | TranslateRow


class CycleFile(msgspec.Struct, frozen=True):
    """The whole file."""

    schema: int
    provenance: Provenance
    rows: tuple[AnyRow, ...]


@dataclass(frozen=True)
class Line:
    """Measured points, and the line ``intercept + slope * x`` through the two largest.

    Not least squares: what starts an operation up is hidden by the second wave only, so the first
    step is shorter than those that follow, and all points together would promise less per wave
    than the DRAM timing allows (group 1: 834 clocks instead of 840).
    """

    points: Mapping[int, int]
    runs: tuple[str, ...]
    intercept: Fraction
    slope: Fraction

    def cycles(self, x: int) -> int:
        """The measured count at ``x``, or the line's, rounded up."""
        measured = self.points.get(x)
        return self.fitted(x) if measured is None else measured

    def fitted(self, x: int) -> int:
        """The line at ``x``, rounded up to a whole cycle."""
        value = self.intercept + self.slope * x
        return -(-value.numerator // value.denominator)

    @property
    def largest_deviation(self) -> float:
        """Largest relative distance of a measured point from the line."""
        return max(abs(float(self.intercept + self.slope * x) / y - 1)
                   for x, y in self.points.items())


def fit_line(points: Mapping[int, int], runs: tuple[str, ...]) -> Line:
    """The line through the two largest points; a single one gives a line through the origin."""
    before, last = sorted({0: 0, **points} if len(points) == 1 else points)[-2:]
    slope = Fraction(points[last] - points.get(before, 0), last - before)
    return Line(points, runs, points[last] - slope * last, slope)


class CycleTable:
    """Cycles of attend, migrate and merge for any size, from a checked :class:`CycleFile`.

    Parameters
    ----------
    file : CycleFile
        Contents.
    path : Path
        Where it was read, for messages.
    sha256 : str
        Its checksum, for provenance.

    Attributes
    ----------
    timing : TimingTable
        Preset that the hardware was simulated with.
    translations : dict
        Clocks of a translation, by what it met; empty if none was simulated.
    """

    def __init__(self, file: CycleFile, path: Path, sha256: str) -> None:
        self.provenance, self.path, self.sha256 = file.provenance, path, sha256
        self.timing = TIMING_PRESETS[file.provenance.preset]
        attend: dict[tuple[str, int, int], dict[int, AttendRow]] = defaultdict(dict)
        merge: dict[tuple[int, int], dict[int, MergeRow]] = defaultdict(dict)
        self._migrate: dict[tuple[str, int, str], MigrateRow] = {}
        self._moves: dict[tuple[str, int, str], DmaMoveRow] = {}
        beside: dict[tuple[str, str, int, int], dict[int, AttendRow]] = defaultdict(dict)
        self.translations: dict[str, int] = {}
        for row in file.rows:
            if isinstance(row, TranslateRow):
                self.translations[row.outcome] = max(
                    row.cycles, self.translations.get(row.outcome, 0))
            elif isinstance(row, QuantiseRow):
                continue        # the quantiser works within a move, whose row counts it
            elif isinstance(row, DmaMoveRow):
                if (row.pim_banks == COMPLETE_PIM_BANKS
                        and row.bytes == KvLayout(head_size=row.head_size).block_bytes):
                    self._put(self._moves, (row.format, row.head_size, row.direction), row)
            elif isinstance(row, MergeRow):
                # The merge unit takes parts one after the other; the first is only copied.
                self._put(merge[row.head_size, row.group], row.parts - 1, row)
            elif row.pim_banks != COMPLETE_PIM_BANKS:
                continue        # smaller slices check the composition; they are not composed from
            elif isinstance(row, AttendRow):
                waves = -(-row.context // WAVE_TOKENS)
                key = row.format, row.head_size, row.group
                if row.context == waves * WAVE_TOKENS:
                    self._put(beside[row.traffic, *key] if row.traffic else attend[key], waves, row)
            elif row.bytes == KvLayout(head_size=row.head_size).block_bytes:
                self._put(self._migrate, (row.format, row.head_size, row.direction), row)
        self._attend = {key: _line(rows) for key, rows in attend.items()}
        self._steady = {key: {waves: row.steady for waves, row in rows.items()
                              if row.steady is not None} for key, rows in attend.items()}
        self._beside = {key: {waves: (row.steady, row.cycles) for waves, row in rows.items()
                              if row.steady is not None} for key, rows in beside.items()}
        self._merge = {key: _line(rows) for key, rows in merge.items()}

    def _put(self, rows: dict, key: object, row: _Row) -> None:
        known = rows.setdefault(key, row)
        if known.cycles != row.cycles:
            raise UserError(f"{self.path}: {row.run}: cycles: expected {known.cycles}, as "
                            f"{known.run} has for the same operation, not {row.cycles}")

    def attend(self, head_size: int, group: int, kv_format: str = "bf16") -> Line:
        """Cycles over waves (one wave is :data:`WAVE_TOKENS` tokens), of all :meth:`passes`."""
        lines = [self._attend[kv_format, head_size, g]
                 for g in self.passes(head_size, group, kv_format)]
        if len(lines) == 1:
            return lines[0]
        shared = set.intersection(*(set(line.points) for line in lines))
        return Line({x: sum(line.points[x] for line in lines) for x in sorted(shared)},
                    tuple(run for line in lines for run in line.runs),
                    sum((line.intercept for line in lines), Fraction()),
                    sum((line.slope for line in lines), Fraction()))

    def steady(self, head_size: int, group: int, kv_format: str = "bf16",
               traffic: str = "") -> tuple[SteadyLine, ...]:
        """Cycles of each of :meth:`passes` among others; nothing if that was not simulated.

        Other traffic holds up the register transfers of attention, not its row passes: what the
        banks need for a wave is the same beside it.
        """
        timing, lines = self.timing, []
        interval = timing.refresh_interval
        refresh = Fraction(interval, interval - timing.clocks(timing.nRFCab))
        for each in self.passes(head_size, group, kv_format):
            alone = self._attend[kv_format, head_size, each]
            pairs = {waves: (steady, alone.cycles(waves)) for waves, steady
                     in self._steady[kv_format, head_size, each].items()}
            if traffic:
                pairs = self._beside.get((traffic, kv_format, head_size, each), {})
            if not pairs:
                return ()
            adds, whole = pairs[max(pairs)]
            lines.append(SteadyLine({waves: steady for waves, (steady, _) in pairs.items()},
                                    alone.slope, refresh, Fraction(whole - adds)))
        return tuple(lines)

    def passes(self, head_size: int, group: int, kv_format: str = "bf16") -> tuple[int, ...]:
        """Query heads of the measured attentions that together serve ``group`` of one KV head.

        That group alone if it was measured. If not, its heads are attended some at a time, each
        time over all of the KV: the largest measured group as often as it is filled, and once the
        smallest that the rest fits into.
        """
        known = [g for g in self.groups(head_size, kv_format)
                 if len(self._attend[kv_format, head_size, g].points) > 1]
        if group in known:
            return (group,)
        if not known:
            raise self._missing(f"attend rows for {kv_format}, head_size {head_size}, group "
                                f"{group} at two multiples of {WAVE_TOKENS} tokens at least")
        rounds, rest = divmod(group, known[-1])
        last = (next(g for g in known if g >= rest),) if rest else ()
        return (known[-1],) * rounds + last

    def groups(self, head_size: int, kv_format: str = "bf16") -> tuple[int, ...]:
        """Numbers of query heads a KV head that :meth:`attend` has, in ascending order."""
        return tuple(sorted(group for name, size, group in self._attend
                            if (name, size) == (kv_format, head_size)))

    def merge(self, head_size: int, group: int) -> Line:
        """Cycles over further parts (parts - 1) to merge one KV head's query heads.

        Without rows for ``group``, its heads are merged one after the other as group 1 is.
        """
        line = self._merge.get((head_size, group))
        if line is not None:
            return line
        single = self._merge.get((head_size, 1))
        if single is None:
            raise self._missing(f"merge rows for head_size {head_size} and group {group} or 1")
        return fit_line({x: y * group for x, y in single.points.items()}, single.runs)

    def migrate(self, head_size: int, direction: Direction, kv_format: str = "bf16") -> MigrateRow:
        """The measured move of one KV block of one head."""
        row = self._migrate.get((kv_format, head_size, direction))
        if row is None:
            size = KvLayout(head_size=head_size).block_bytes
            raise self._missing(f"a migrate row {direction} for {kv_format}, head_size "
                                f"{head_size}, {size} bytes")
        return row

    def move(self, head_size: int, direction: Direction) -> int:
        """Cycles of one plain KV block of one head: by descriptor if that was measured."""
        row = self._moves.get(("bf16", head_size, direction))
        return row.cycles if row else self.migrate(head_size, direction).cycles

    def quantised_move(self, head_size: int, direction: Direction, kv_format: str) -> int | None:
        """The same with ``kv_format`` on the capacity side; None if it was not measured."""
        names = {element_format(kv_format).name, kv_format}
        rows = [self._moves.get((name, head_size, direction)) for name in sorted(names)]
        return next((row.cycles for row in rows if row), None)

    def _missing(self, what: str) -> UserError:
        return UserError(f"{self.path}: rows: expected {what}, not a table without; {REMEDY}")


def _line(rows: Mapping[int, _Row]) -> Line:
    ordered = sorted(rows.items())
    return fit_line({x: row.cycles for x, row in ordered}, tuple(row.run for _, row in ordered))


def load_cycle_table(path: Path, preset: str = DEFAULT_PRESET) -> CycleTable:
    """Reads and checks a cycle table; every fault is one :class:`UserError` line.

    ``preset`` is what it should be of, to say how to make one if there is none.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cycles: expected a table of RTL cycle counts, not "
                        f"{(error.strerror or str(error)).lower()!r}; {remedy(preset)}") from None
    try:
        file = msgspec.json.decode(data, type=CycleFile)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$")
        raise UserError(f"{path}: {where.strip('.`') or 'file'}: {text[0].lower()}{text[1:]}; "
                        f"{REMEDY}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cycles: expected JSON, not {str(error)!r}; {REMEDY}") from None
    if file.schema != 1:
        raise UserError(f"{path}: schema: expected 1, not {file.schema}; {REMEDY}")
    if file.provenance.preset not in TIMING_PRESETS:
        raise UserError(f"{path}: provenance.preset: expected one of "
                        f"{', '.join(sorted(TIMING_PRESETS))}, not {file.provenance.preset!r}")
    if file.provenance.clock_ps < 1:
        raise UserError(f"{path}: provenance.clock_ps: expected a positive integer, "
                        f"not {file.provenance.clock_ps}")
    for index, row in enumerate(file.rows):
        _check_row(path, index, row)
    return CycleTable(file, path, hashlib.sha256(data).hexdigest())


def _check_row(path: Path, index: int, row: AnyRow) -> None:
    where = f"{path}: rows[{index}]"
    sizes = [name for name in ("cycles", "head_size", "group", "context", "pim_banks", "bytes")
             if hasattr(row, name)]
    if getattr(row, "steady", None) is not None:
        sizes.append("steady")
    for name in sizes:
        if getattr(row, name) < 1:
            raise UserError(f"{where}.{name}: expected a positive integer, "
                            f"not {getattr(row, name)}")
    if isinstance(row, MergeRow) and row.parts < 2:
        raise UserError(f"{where}.parts: expected 2 or more, not {row.parts}")
    if row.waveform_cycles is not None and row.waveform_cycles != row.cycles:
        raise UserError(f"{where}.waveform_cycles: expected {row.cycles}, as the counter has, "
                        f"not {row.waveform_cycles}")
