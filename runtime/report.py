"""The report page: one self-contained HTML file."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model.spec.timing import TimingTable
from runtime import plots, tables
from runtime.cycle_table import DIRECTIONS, CycleTable
from runtime.energy import ATTACC
from runtime.gpu import H100
from runtime.models import TransformerModel
from runtime.systems import PIM_DENSITY_PERCENT, STACKS_PER_CARD, USABLE_PERCENT

TEMPLATES = Path(__file__).with_name("templates")


def _constants(model: TransformerModel, timing: TimingTable) -> list[tuple[str, str, str]]:
    """(what, value, source) of every constant behind the figures."""
    energy = ATTACC
    return [
        ("model",
         (f"{model.name}: {model.parameters / 1e9:.2f} G parameters, {model.layers} layers, "
          f"{model.heads} query and {model.kv_heads} KV heads of {model.head_size}"),
         model.source),
        ("DRAM timing", f"{timing.name}, clock {timing.clock_ps / 1000:g} ns", timing.source),
        ("GPU arithmetic",
         (f"{H100.flops / 1e12:g} TFLOPS dense 16-bit ({H100.name}), "
          f"{H100.compute_percent} % reached"), "facts.md 7; AttAcc simulator, facts.md 2.2"),
        ("GPU bandwidth", f"{H100.bandwidth_percent} % of the stacks' data buses reached",
         "AttAcc simulator, facts.md 2.2"),
        ("norms and activations",
         "6.87 us + 1.6e-6 us/B, 8.29 us + 4.47e-7 us/B at 1555 GB/s, scaled by bandwidth",
         "AttAcc simulator, facts.md 2.2"),
        ("stacks a card", str(STACKS_PER_CARD), "facts.md 1.2"),
        ("density of PIM layers", f"{PIM_DENSITY_PERCENT} % of plain layers", "facts.md 1.2"),
        ("usable capacity", f"{USABLE_PERCENT} %", "facts.md 1.2"),
        ("DRAM energy",
         (f"{energy.gpu_access_bit:.2f} pJ/bit to the GPU, {energy.bank_access_bit:.2f} to a "
          f"bank's MAC unit, {energy.pim_io_bit:.2f} for queries and outputs, "
          f"{2 * energy.stack_access_bit:.2f} for a migration"),
         "AttAcc simulator with its byte/bit slip mended, facts.md 2.2 and 9"),
        ("arithmetic energy", f"{energy.mac} pJ a MAC", "AttAcc simulator, facts.md 2.2"),
    ]


def render_report(record: dict[str, Any], table: CycleTable, model: TransformerModel,
                  timing: TimingTable) -> str:
    """The page of a record; the same record gives the same page."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"ms": tables.milliseconds, "size": tables.size,
                            "percent": tables.percent}
    feasible = {n: r for n, r in record["systems"].items() if r["feasible"]}
    figures = {
        "overview": plots.overview(feasible), "distributions": plots.distributions(feasible),
        "time": plots.time_shares(feasible),
    } if feasible else {}
    attend = table.attend(model.head_size, model.group)
    migrations = [table.migrate(model.head_size, d) for d in DIRECTIONS]
    return environment.get_template("report.html.j2").render(
        record=record, source=record["provenance"], systems=record["systems"], feasible=feasible,
        columns=tables.RESULT_COLUMNS, cells=tables.result_cells, bounds=tables.bounds, queueing=tables.queueing,
        figures=figures, attention=plots.attention_cycles(table, model, timing),
        attend=attend, migrations=migrations,
        bound=plots.wave_bound(timing, model.head_size, model.group),
        constants=_constants(model, timing))
