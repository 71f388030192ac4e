"""A plot of where KV lives over time."""

from collections.abc import Sequence

import matplotlib

from runtime.insight.recorder import Recorder
from runtime.plots import STYLE, new_figure, svg_text
from runtime.workload import PS_PER_SECOND

TIER_COLOURS = {"pim": "#2a6f97", "capacity": "#8fb8cf", "hbm": "#7a7f87", "host": "#ead9a0"}
POINTS = 2000       # more than a page has pixels


def residency_plot(recorder: Recorder, tiers: Sequence[tuple[str, int]], block_bytes: int,
                   title: str) -> str:
    """KV in each tier against time, and what running requests use of the first; SVG text.

    Quantised blocks count as what they hold, not as what they take.

    Parameters
    ----------
    recorder : Recorder
    tiers : sequence of (str, int)
        Names, and capacities in KV blocks.
    block_bytes : int
    title : str
    """
    told = recorder.residencies
    told = [told[i] for i in sorted({round(k * (len(told) - 1) / (POINTS - 1))
                                     for k in range(POINTS)})] if len(told) > POINTS else told
    used = [k for k in range(len(tiers)) if k == 0 or any(t.kv_blocks[k] for t in told)]
    empty = [name for k, (name, _) in enumerate(tiers) if k not in used]
    title += f" (never used: {', '.join(empty)})" if empty else ""
    seconds = [t.now_ps / PS_PER_SECOND for t in told]
    gib = block_bytes / 2**30
    with matplotlib.rc_context(STYLE):
        figure, panels = new_figure(1, 1.9 * len(used) + 0.5, rows=len(used))
        for place, axes in zip(used, panels, strict=True):
            name, capacity = tiers[place]
            held = [t.kv_blocks[place] * gib for t in told]
            colour = TIER_COLOURS.get(name, "#444444")
            axes.fill_between(seconds, held, step="post", color=colour, alpha=0.75, linewidth=0,
                              label="held")
            if place == 0:
                axes.step(seconds, [t.busy * gib for t in told], where="post", color="#b5443c",
                          linewidth=1.2, label="of running requests")
            axes.axhline(capacity * gib, color="#1d2b36", linewidth=1, linestyle=(0, (3, 2)),
                         label="capacity")
            # An empty tier of half a TiB would hide what the others do.
            top = max([*held, 0.0]) * 1.15
            axes.set(title=f"{name}: {capacity * gib:,.1f} GiB", ylabel="GiB, as bfloat16",
                     ylim=(0, min(capacity * gib * 1.08, top) or 1.0))
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
        panels[-1].set(xlabel="simulated seconds")
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
        return svg_text(figure)
