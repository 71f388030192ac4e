"""Plots of a study, as SVG text."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.ticker import FuncFormatter

from runtime.plots import STYLE, colours, new_figure, svg_text

Record = dict[str, Any]

def ratio_intervals(comparison: Record, published: tuple[float, float], ours: str, metric: str,
                    label: str) -> str:
    """Geometric means with intervals over each baseline, every combination, and what was published.

    ``comparison[baseline]`` is what :func:`runtime.study.summary.compare` gives.
    """
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = new_figure(1, 1.5 + 0.42 * len(comparison))
        names = list(comparison)
        axes.axvspan(*_widened(published), color="#ead9a0", alpha=0.9, linewidth=0,
                     label="published")
        axes.axvline(1, color="#1d2b36", linewidth=0.9)
        colour_of = colours(names)
        for y, name in enumerate(names[::-1]):
            found = comparison[name]
            points = list(found["ratios"].values())
            axes.plot(points, [y] * len(points), "o", color=colour_of[name], alpha=0.35,
                      markersize=4)
            if found["mean"] is None:
                axes.annotate("no combination has both", (1, y), xytext=(6, 0), va="center",
                              textcoords="offset points", fontsize=8, color="#5c6770")
                continue
            mean = found["mean"]
            axes.plot([mean["low"], mean["high"]], [y, y], color=colour_of[name], linewidth=3)
            axes.plot([mean["mean"]], [y], "D", color=colour_of[name], markersize=6)
            axes.annotate(f"{mean['mean']:.2f}", (mean["mean"], y), xytext=(0, 7), ha="center",
                          textcoords="offset points", fontsize=8)
        axes.set_yticks(range(len(names)), names[::-1])
        axes.set(title=f"{metric}: {ours} over each AttAcc", xlabel=label,
                 ylim=(-0.6, len(names) - 0.3))
        _log_if_wide(axes, [r for c in comparison.values() for r in c["ratios"].values()])
        axes.grid(visible=False, axis="y")
        axes.legend(loc="lower right")
        return svg_text(figure)


def _widened(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    return (low, high) if high > low else (low * 0.993, high * 1.007)


def _log_if_wide(axes: Any, values: Sequence[float]) -> None:
    if values and max(values) > 4 * min(values):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.xaxis.set_minor_formatter(FuncFormatter(
            lambda v, _: f"{v:g}" if f"{v:e}"[0] in "25" else ""))


def cause_shares(shares: Mapping[str, Mapping[str, float]], causes: Mapping[str, str],
                 title: str) -> str:
    """What bounded each system: shares of its time, the mean over combinations."""
    shades = {"compute": "#2a6f97", "memory": "#8fb8cf", "pim": "#b5443c", "link": "#6b4c9a",
              "dma": "#3a7d44", "idle": "#dadde1"}
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = new_figure(1, 1.4 + 0.36 * len(shares))
        names = list(shares)[::-1]
        left = [0.0] * len(names)
        for cause, text in causes.items():
            part = [100 * shares[n].get(cause, 0.0) for n in names]
            if max(part) >= 0.5:
                axes.barh(names, part, left=left, color=shades[cause], height=0.66, label=text)
            left = [a + b for a, b in zip(left, part, strict=True)]
        axes.set(title=title, xlabel="% of the time", xlim=(0, 100))
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside lower center", ncols=3)
        return svg_text(figure)


def capacity_bars(capacity: Mapping[str, Mapping[str, float | None]]) -> str:
    """SLO capacity of each system on each combination, ``capacity[combination][system]``."""
    with matplotlib.rc_context(STYLE):
        systems = list(dict.fromkeys(s for values in capacity.values() for s in values))
        many = len(capacity) > 6
        figure, (axes,) = new_figure(1, 4.8 if many else 3.3)
        width = 0.84 / len(systems)
        for k, (system, colour) in enumerate(colours(systems).items()):
            places = [x + (k - (len(systems) - 1) / 2) * width for x in range(len(capacity))]
            axes.bar(places, [values.get(system) or 0.0 for values in capacity.values()],
                     width=width * 0.92, color=colour, label=system)
        labels = [name.replace("qwen-bailian-", "").replace(", ", "\n") for name in capacity]
        axes.set_xticks(range(len(capacity)), labels, fontsize=7 if many else 8,
                        rotation=90 if many else 0)
        axes.set(title="SLO capacity", ylabel="requests per second")
        # Models differ by more than systems do; bars from the lowest rate on show both.
        if many:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside lower center", ncols=5)
        return svg_text(figure)
