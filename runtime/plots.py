"""Plots of the report, as SVG text that is the same for the same record."""

import io
from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from model.spec.attention import KvLayout
from model.spec.timing import TimingTable
from runtime.cycle_table import WAVE_TOKENS, CycleTable
from runtime.energy import PLACES
from runtime.metrics import CDF_POINTS
from runtime.tables import PART_NAMES

COLOURS = {"gpu": "#7a7f87", "attacc": "#c9a227", "attacc_split1": "#f0c9a0",
           "attacc_split2": "#e3a869", "attacc_split3": "#da9347", "attacc_split4": "#d1802f",
           "uniform": "#6b4c9a", "tokenstack_base": "#8fb8cf", "tokenstack": "#2a6f97"}
OTHER_COLOURS = ("#b5443c", "#3a7d44", "#b9a6d3", "#7b2d26", "#444444", "#8fbf88", "#d977a8")
PART_COLOURS = {"matrix_arithmetic": "#2a6f97", "matrix": "#8fb8cf", "elementwise": "#7a7f87",
                "all_reduce": "#6b4c9a", "prefill_attention_arithmetic": "#c9a227",
                "prefill_attention": "#ead9a0", "decode_attention": "#b5443c",
                "dma_wait": "#3a7d44", "idle": "#dadde1"}
PLACE_COLOURS = dict(zip(PLACES, (
    "#7b2d26", "#b5443c", "#d1802f", "#ead9a0", "#c9a227", "#3a7d44", "#8fbf88", "#2a6f97",
    "#8fb8cf", "#6b4c9a", "#b9a6d3", "#dadde1"), strict=True))
GROUP_COLOURS = ("#7a7f87", "#2a6f97", "#b5443c", "#d1802f")
STYLE: dict[Any, Any] = {"font.family": "sans-serif", "font.size": 9, "axes.spines.top": False,
         "axes.spines.right": False, "axes.axisbelow": True, "axes.grid": True,
         "grid.color": "#e6e8eb", "svg.hashsalt": "tokenstack", "svg.fonttype": "none",
         "legend.frameon": False, "axes.titlesize": 10, "axes.titleweight": "bold",
         "axes.titlelocation": "left"}


def svg_text(figure: Figure) -> str:
    """The figure as SVG text without date, the same for the same figure."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg"):]


def new_figure(columns: int, height: float = 2.9, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A page-wide figure and its panels, row by row."""
    figure = Figure(figsize=(9.6, height), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, k + 1) for k in range(rows * columns)]


def colours(names: Iterable[str]) -> dict[str, str]:
    """Colours of systems: of known ones always the same, of others one after the other."""
    others = cycle(OTHER_COLOURS)
    return {name: COLOURS.get(name) or next(others) for name in names}


def _time_unit(results: dict[str, Any], key: str) -> tuple[str, float]:
    """Unit in which the largest percentile reads well, and its milliseconds."""
    largest = max((r[key]["p99"] for r in results.values() if r[key]), default=0.0)
    return ("s", 1000.0) if largest >= 1000 else ("ms", 1.0)


def _plain_log_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    subs = (1.0, 2.0, 5.0) if high < 1000 * low else (1.0,)     # so that labels have room
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def overview(results: dict[str, Any]) -> str:
    """Throughput, and medians with 99th percentiles of TTFT and TPOT; a row a system."""
    with matplotlib.rc_context(STYLE):
        names = list(results)
        figure, (left, middle, right) = new_figure(3, 1.0 + 0.45 * len(names))
        rates = [results[n]["output_tokens_per_second"] for n in names]
        bars = left.barh(range(len(names)), rates, color=list(colours(names).values()),
                         height=0.62)
        left.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
        left.set(title="Throughput", xlabel="output tokens per second")
        for axes, key, title in ((middle, "ttft_ms", "Time to first token"),
                                 (right, "tpot_ms", "Time per output token")):
            unit, scale = _time_unit(results, key)
            for k, (name, colour) in enumerate(colours(names).items()):
                if results[name][key] is None:
                    continue
                for y, percentile, alpha in ((k - 0.2, "p50", 1.0), (k + 0.2, "p99", 0.45)):
                    value = results[name][key][percentile] / scale
                    bar = axes.barh(y, value, height=0.36, color=colour, alpha=alpha)
                    axes.bar_label(bar, [f"{value:.3g}" if value < 1000 else f"{value:.0f}"],
                                   padding=2, fontsize=8)
            axes.set(title=title, xlabel=f"{unit}: p50, p99 pale")
        for axes in (left, middle, right):
            axes.set_yticks(range(len(names)), names if axes is left else [])
            axes.set_ylim(len(names) - 0.5, -0.5)       # the first one on top, as in the table
            axes.margins(x=0.2)
            axes.grid(visible=False, axis="y")
        return svg_text(figure)


def distributions(results: dict[str, Any]) -> str:
    """Cumulative distributions of TTFT and TPOT."""
    with matplotlib.rc_context(STYLE):
        figure, panels = new_figure(2)
        for axes, key, title in ((panels[0], "ttft_ms", "Time to first token"),
                                 (panels[1], "tpot_ms", "Time per output token")):
            unit, scale = _time_unit(results, key)
            for name, colour in colours(results).items():
                if results[name][key] is not None:
                    axes.plot([t / scale for t in results[name][key]["cdf"]], CDF_POINTS,
                              color=colour, label=name, linewidth=1.8)
            axes.set(title=title, xlabel=f"{unit}, logarithmic", ylabel="% of requests",
                     ylim=(0, 100))
            _plain_log_axis(axes)
        panels[0].legend()
        return svg_text(figure)


def time_shares(results: dict[str, Any]) -> str:
    """Where each system's time goes."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = new_figure(1, 1.4 + 0.5 * len(results))
        names = list(results)[::-1]
        longest = max(r["simulated_seconds"] for r in results.values()) * 1000
        used = [p for p in PART_NAMES
                if any(results[n]["time_ms"].get(p, 0.0) > longest / 1000 for n in names)]
        left = [0.0] * len(names)
        for part in used:
            seconds = [results[n]["time_ms"].get(part, 0.0) / 1000 for n in names]
            axes.barh(names, seconds, left=left, color=PART_COLOURS[part], label=PART_NAMES[part],
                      height=0.6)
            left = [a + b for a, b in zip(left, seconds, strict=True)]
        axes.set(xlabel="simulated seconds")
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside upper center", ncols=3)
        return svg_text(figure)


def energy_stack(mean_places: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Joules a token of each system, stacked by place."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = new_figure(1, 1.5 + 0.36 * len(mean_places))
        names = list(mean_places)[::-1]
        left = [0.0] * len(names)
        largest = max(sum(p.values()) for p in mean_places.values())
        for place in PLACES:
            joules = [mean_places[n].get(place, 0.0) for n in names]
            if max(joules) > largest / 500:
                axes.barh(names, joules, left=left, color=PLACE_COLOURS[place], label=place,
                          height=0.66)
            left = [a + b for a, b in zip(left, joules, strict=True)]
        for y, total in enumerate(left):
            axes.annotate(f"{total:.3g}", (total, y), xytext=(4, 0), va="center", fontsize=8,
                          textcoords="offset points")
        axes.set(title=title, xlabel="J per output token", xlim=(0, largest * 1.1))
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside lower center", ncols=6)
        return svg_text(figure)


def wave_bound(timing: TimingTable, head_size: int, group: int) -> int:
    """Least clocks of a wave: its rows, each max(tRC, tRCD + 31 c + tRTP + tRP) (DESIGN.md 4)."""
    layout = KvLayout(head_size=head_size)
    column = max(timing.clocks(timing.nCCDAB), group)
    row = max(timing.clocks(timing.nRC),
              timing.clocks(timing.nRCDRD) + (layout.columns - 1) * column
              + timing.clocks(timing.nRTP) + timing.clocks(timing.nRP))
    return layout.rows * row


def attention_cycles(table: CycleTable, head_size: int) -> str:
    """Simulated attention cycles, the lines that extend them, and the bounds of the DRAM timing."""
    lines = {group: table.attend(head_size, group) for group in table.groups(head_size)}
    last = 2 * max(max(line.points) for line in lines.values()) + 2
    waves = range(1, last + 1)
    reach = (1, 2, 4, 8, 16, 32, 64)
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = new_figure(2, 3.4)
        for (group, line), colour in zip(lines.items(), GROUP_COLOURS, strict=False):
            bound = wave_bound(table.timing, head_size, group)
            left.plot([w * WAVE_TOKENS for w in waves], [line.cycles(w) for w in waves],
                      color=colour, linewidth=1.3)
            left.plot([w * WAVE_TOKENS for w in waves], [bound * w for w in waves],
                      color=colour, linestyle=(0, (2, 2)), linewidth=1.1)
            left.plot([w * WAVE_TOKENS for w in line.points], list(line.points.values()), "o",
                      color=colour, markersize=5)
            left.annotate(f"g = {group}", (last * WAVE_TOKENS, line.cycles(last)), color=colour,
                          xytext=(4, 0), textcoords="offset points", va="center")
            right.plot([w * WAVE_TOKENS for w in reach],
                       [100 * bound * w / line.cycles(w) for w in reach], color=colour,
                       marker=".", label=f"g = {group}")
        left.plot([], [], "o", color="#444444", label="simulated RTL")
        left.plot([], [], color="#444444", label="extended by the last step")
        left.plot([], [], color="#444444", linestyle=(0, (2, 2)), label="DRAM timing bound")
        left.set(title="One attention on one pseudo-channel", xlabel="context, tokens",
                 ylabel="clocks", xlim=(0, None), ylim=(0, None))
        left.legend(loc="upper left")
        right.set(title="Share of the bound that is reached", xlabel="context, tokens",
                  ylabel="% of the bound", ylim=(0, 105))
        right.set_xscale("log", base=2)
        right.set_xticks([w * WAVE_TOKENS for w in reach],
                         [f"{w * WAVE_TOKENS:,}" for w in reach])
        right.legend(loc="lower right")
        return svg_text(figure)
