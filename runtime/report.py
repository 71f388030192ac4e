"""The report page: one self-contained HTML file."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model.spec.timing import TimingTable
from runtime import energy, plots, tables
from runtime.cycle_table import DIRECTIONS, WAVE_TOKENS, CycleTable
from runtime.energy.price import joules_per_token
from runtime.models import TransformerModel
from runtime.systems import PIM_DENSITY_PERCENT, STACKS_PER_CARD, USABLE_PERCENT
from runtime.systems.gpu import A100A, H100, GpuSpec
from runtime.systems.pim import attention_refresh, steady_cycles

TEMPLATES = Path(__file__).with_name("templates")


ATTACC = "attacc_simulator (scale-snu)"
VSTACK = "vStack development simulator (Guo-Cheng-Ma/legacy2603)"


def _constants(model: TransformerModel, timing: TimingTable,
               gpu: GpuSpec) -> list[tuple[str, str, str]]:
    """(what, value, source) of every constant behind the figures."""
    e = energy.ATTACC
    return [
        ("model",
         (f"{model.name}: {model.parameters / 1e9:.2f} G parameters in bfloat16, {model.layers} "
          f"layers, {model.heads} query and {model.kv_heads} KV heads of {model.head_size}"),
         model.source),
        ("DRAM timing", f"{timing.name}, clock {timing.clock_ps / 1000:g} ns", timing.source),
        ("GPU arithmetic",
         (f"{gpu.flops / 1e12:g} TFLOPS dense 16-bit ({gpu.name}), "
          f"{gpu.compute_percent} % reached"), f"{ATTACC} src/config.py:82-127 and 4"),
        ("GPU bandwidth", f"{gpu.bandwidth_percent} % of the stacks' data buses reached",
         f"{ATTACC} src/config.py:5"),
        ("norms and activations",
         "6.87 us + 1.6e-6 us/B, 8.29 us + 4.47e-7 us/B at 1555 GB/s, scaled by bandwidth",
         f"{ATTACC} src/devices.py:166-175"),
        ("all-reduce", "6060 ns + 0.009 ns/B, twice a layer, with two cards or more",
         f"{ATTACC} src/devices.py:234"),
        ("stacks a card", str(STACKS_PER_CARD), f"{ATTACC} src/config.py:167; {VSTACK}"),
        ("density of PIM layers", f"{PIM_DENSITY_PERCENT} % of plain layers", VSTACK),
        ("usable capacity", f"{USABLE_PERCENT} %", VSTACK),
        ("refresh of PIM banks",
         (f"attention takes {float(attention_refresh(timing)):.4f} times its simulated clocks: "
          "tREFI / (tREFI - tRFCab)"), "DRAM timing"),
        ("DRAM energy",
         (f"{e.gpu_access_bit:.2f} pJ/bit to the GPU, {e.bank_access_bit:.2f} to a bank's MAC "
          f"unit, {e.pim_io_bit:.2f} for queries and outputs, {2 * e.stack_access_bit:.2f} for a "
          "migration"),
         f"{ATTACC} src/config.py:35-64, its PIM transfers taken a bit, not a byte"),
        ("arithmetic and link energy", f"{e.gpu_mac} pJ a MAC, {e.link_byte} pJ/B between cards",
         f"{ATTACC} src/config.py:22, 25"),
    ]


def _attentions(table: CycleTable, head_size: int) -> list[dict[str, Any]]:
    """Rows about attention, one for each number of query heads a KV head."""
    rows = []
    for group in table.groups(head_size):
        line = table.attend(head_size, group)
        rows.append({
            "group": group, "runs": line.runs,
            "simulated": {waves * WAVE_TOKENS: cycles for waves, cycles in line.points.items()},
            "further": float(line.slope),
            "bound": plots.wave_bound(table.timing, head_size, group),
            "steady": float(steady_cycles(table, group=group, head_size=head_size, context=4096)),
        })
    return rows


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
        "energy": [plots.energy_stack(
            {n: joules_per_token(n, r, prices)["places"] for n, r in feasible.items()},
            f"Prices: {prices.name}") for prices in (energy.ENERGY_TABLES["attacc"],
                                                   energy.ENERGY_TABLES["hbm4"])],
    } if feasible else {}
    gpu = next(g for g in (H100, A100A) if g.name == record["provenance"]["gpu"])
    return environment.get_template("report.html.j2").render(
        record=record, source=record["provenance"], systems=record["systems"], feasible=feasible,
        columns=tables.RESULT_COLUMNS, cells=tables.result_cells, bounds=tables.bounds,
        queueing=tables.queueing, cards_note=tables.cards_note(record), figures=figures,
        attention=plots.attention_cycles(table, model.head_size),
        attentions=_attentions(table, model.head_size),
        refresh=float(attention_refresh(timing)), timing=timing,
        migrations=[table.migrate(model.head_size, d) for d in DIRECTIONS],
        gpu_percent=gpu.bandwidth_percent, constants=_constants(model, timing, gpu))
