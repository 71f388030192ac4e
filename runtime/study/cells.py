"""The unit of a study: one run, named by everything that its result depends on."""

import hashlib
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
CODE = ("runtime/*.py", "runtime/serving/**/*.py", "runtime/systems/**/*.py",
        "runtime/tiers/**/*.py", "runtime/generator/*.py", "runtime/policies/**/*.py",
        "runtime/traces/**/*.py",
        "runtime/study/simulate.py", "runtime/study/machine.py", "model/spec/**/*.py")
NO_RESULT = ("cli.py", "plots.py", "report.py", "tables.py")    # files that only show results


@dataclass(frozen=True, kw_only=True)
class TraceRef:
    """Where a cell's requests come from.

    Attributes
    ----------
    name : str
        A generator's name, or the file's.
    sha256 : str or None
        Of the file; None means that the requests are generated.
    requests : int or None
        How many: generated, or the first of the file (None: all).
    """

    name: str
    sha256: str | None
    requests: int | None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a study.

    Attributes
    ----------
    model, system, profile : str
        Names in the catalogues.
    trace : TraceRef
    qps : float or None
        Requests a second that the trace is scaled to; None means that each request is served alone,
        sharing nothing: the unloaded latencies.
    seed, cards : int
    options : tuple of (str, str)
        Settings of the engine that differ from the profile's, as text.
    """

    model: str
    trace: TraceRef
    qps: float | None
    system: str
    seed: int
    profile: str
    cards: int
    options: tuple[tuple[str, str], ...] = field(default=())

    @property
    def title(self) -> str:
        """For progress bars and messages."""
        load = "unloaded" if self.qps is None else f"{self.qps:.3g}/s"
        return f"{self.model} {self.trace.name} {self.system} {load}"


def cell_key(cell: Cell, cycles_sha256: str, code_sha256: str) -> str:
    """Name of a cell's file: the same for the same run of the same code on the same cycles."""
    text = msgspec.json.encode([asdict(cell), cycles_sha256, code_sha256], order="sorted")
    return hashlib.sha256(text).hexdigest()[:32]


@cache
def code_fingerprint() -> str:
    """Checksum of all code that a result depends on, so that no other code's is taken for it."""
    digest = hashlib.sha256()
    for path in sorted({p for pattern in CODE for p in ROOT.glob(pattern)}):
        if path.name not in NO_RESULT:
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
