"""One workload on several systems, and the record of it."""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from model.spec.errors import UserError
from model.spec.timing import TimingTable
from runtime.cycle_table import REMEDY, CycleTable
from runtime.engine import Engine
from runtime.gpu import H100
from runtime.metrics import summarise
from runtime.models import TransformerModel
from runtime.serving import EngineConfig
from runtime.systems import Infeasible, System, SystemSpec, build_system
from runtime.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is to be run.

    Attributes
    ----------
    workload : Workload
    model : TransformerModel
    systems : sequence of SystemSpec
    timing : TimingTable
    table : CycleTable
    cards : int
        Cards of every system.
    engine : EngineConfig
    """

    workload: Workload
    model: TransformerModel
    systems: Sequence[SystemSpec]
    timing: TimingTable
    table: CycleTable
    cards: int
    engine: EngineConfig

    def __post_init__(self) -> None:
        made_for = self.table.provenance.preset
        if made_for != self.timing.name:
            raise UserError(f"{self.table.path}: preset: expected {self.timing.name}, as asked "
                            f"for, not {made_for}; `make sim PRESET={self.timing.name}` makes it")
        if self.table.provenance.clock_ps != self.timing.clock_ps:
            raise UserError(f"{self.table.path}: provenance.clock_ps: expected "
                            f"{self.timing.clock_ps}, the clock of {self.timing.name}, "
                            f"not {self.table.provenance.clock_ps}; {REMEDY}")

    def run(self, progress: Callable[[str], None] = lambda name: None) -> dict[str, object]:
        """Runs all systems and returns the whole record, in plain data.

        ``progress`` is called with a system's name when its run begins. Every system is built
        and every request checked before the first run, so that bad input costs no waiting.
        """
        built: dict[str, System | Infeasible] = {}
        for spec in self.systems:
            try:
                built[spec.name] = build_system(spec, self.model, self.timing, self.table,
                                                cards=self.cards)
            except Infeasible as reason:
                built[spec.name] = reason
        engines = {name: Engine(system, self.workload, self.engine)
                   for name, system in built.items() if isinstance(system, System)}
        results: dict[str, object] = {}
        for spec in self.systems:
            system = built[spec.name]
            progress(spec.name)
            if isinstance(system, Infeasible):
                results[spec.name] = {"feasible": False, "reason": str(system),
                                      "title": spec.title}
            else:
                results[spec.name] = {"title": spec.title,
                                      **summarise(system, engines[spec.name].run())}
        return {"schema": 1, "provenance": self._provenance(), "systems": results,
                "cycles": self._cycles()}

    def _provenance(self) -> dict[str, object]:
        return {
            "workload": {**self.workload.source, "block_tokens": self.workload.block_tokens,
                         "served_requests": len(self.workload.requests),
                         "served_qps": round(self.workload.native_qps, 6),
                         "notes": list(self.workload.notes)},
            "model": {"name": self.model.name, "source": self.model.source,
                      "parameters": self.model.parameters,
                      "kv_bytes_per_token": self.model.kv_bytes_per_token},
            "preset": self.timing.name, "timing_source": self.timing.source,
            "cards": self.cards, "gpu": H100.name, "engine": self.engine.as_dict(),
            "cycles": {"path": str(self.table.path), "sha256": self.table.sha256,
                       **msgspec.to_builtins(self.table.provenance)},
        }

    def _cycles(self) -> dict[str, object]:
        """The lines that the table was extended by, with the runs behind them."""
        attend = self.table.attend(self.model.head_size, self.model.group)
        merge = self.table.merge(self.model.head_size, self.model.group)
        record: dict[str, object] = {}
        for name, line in (("attend", attend), ("merge", merge)):
            record[name] = {
                "points": {str(x): y for x, y in line.points.items()}, "runs": list(line.runs),
                "intercept": float(line.intercept), "slope": float(line.slope),
                "largest_deviation": line.largest_deviation}
        return record


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that it is there in whole or not at all."""
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

