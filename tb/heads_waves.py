"""Waveform of two heads whose attentions overlap, and views of it, for ``make waves``."""

from pathlib import Path
from typing import Any

import numpy as np

from hdl.slice import Slice
from model.spec.attention import MacMode
from model.spec.presets import slice_spec
from model.spec.timing import Command
from tb import timeline
from tb.unit_scenario import UnitScenario
from tb.wave_view import COMMANDS, MODES, PIM_REGISTERS, Group, Trace
from tb.waveform import Waveform

OPTIONS: dict[str, Any] = {
    "pim_banks": 2, "capacity_banks": 1, "rows": 16, "group_max": 2, "head_size_max": 64,
}
"""Two banks: three blocks of a head are two waves."""

SPEC = slice_spec(**OPTIONS)
TITLE = "Two KV heads, one behind the other: passes, softmax and results of both overlap"
COLUMN, SCORE = "slice.commands__column", "slice.softmax.score"
WATCHED = (
    "slice.attend_busy", "slice.softmax.busy", "slice.result__valid",
    "slice.result__payload.last", f"{SCORE}__valid", f"{SCORE}__ready", f"{SCORE}__payload.set",
    *(f"{COLUMN}.{field}" for field in ("command", "mode", "set", "register")))


def view() -> tuple[Group, ...]:
    """What shows which head each unit works for; register sets take turns with heads."""
    unit, softmax = "slice.sequencer", "slice.softmax"
    return (
        Group(title="Attentions", traces=(
            Trace(signal="slice.clk", title="clock"),
            Trace(signal="slice.attend_busy", title="some attention runs"),
            Trace(signal=f"{unit}.issuer.queries_loaded", title="queries loaded",
                  form="decimal"),
            Trace(signal=f"{unit}.issuer.k_waves", title="waves: K passes issued",
                  form="decimal"),
            Trace(signal=f"{unit}.issuer.v_waves", title="waves: V passes issued",
                  form="decimal"))),
        Group(title="Row passes", traces=(
            Trace(signal=f"{COLUMN}.command", title="column bus", form="decimal",
                  names=COMMANDS),
            Trace(signal=f"{COLUMN}.set", title="MAC_ALL: set of the head"),
            Trace(signal=f"{COLUMN}.mode", title=f"MAC_ALL: {MODES}"),
            Trace(signal=f"{COLUMN}.register", title="REG_*: register", form="decimal",
                  names=PIM_REGISTERS))),
        Group(title="Softmax", traces=(
            Trace(signal=f"{softmax}.busy", title="busy"),
            Trace(signal=f"{SCORE}__valid", title="scores in: valid"),
            Trace(signal=f"{SCORE}__ready", title="scores in: ready"),
            Trace(signal=f"{SCORE}__payload.set", title="scores in: set of the head"),
            Trace(signal=f"{softmax}.weight__valid", title="weights out: valid"),
            Trace(signal=f"{softmax}.weight__ready", title="weights out: ready"))),
        Group(title="Merge and results", traces=(
            Trace(signal="slice.merge.busy", title="merge busy"),
            Trace(signal="slice.result__valid", title="result: valid"),
            Trace(signal="slice.result__payload.last", title="result: last beat of a head"))))


def passes(waveform: Waveform, mode: MacMode, register_set: int) -> tuple[int, int]:
    """First and last clock of a head's columns of a mode."""
    columns = np.flatnonzero(
        (waveform.values(f"{COLUMN}.command") == Command.MAC_ALL)
        & (waveform.values(f"{COLUMN}.mode") == mode)
        & (waveform.values(f"{COLUMN}.set") == register_set))
    return int(columns[0]), int(columns[-1])


def scores_taken(waveform: Waveform, register_set: int) -> tuple[int, int]:
    """First and last clock in which the softmax unit takes scores of a head."""
    taken = np.flatnonzero(
        (waveform.values(f"{SCORE}__valid") & waveform.values(f"{SCORE}__ready") != 0)
        & (waveform.values(f"{SCORE}__payload.set") == register_set))
    return int(taken[0]), int(taken[-1])


def results(waveform: Waveform) -> list[int]:
    """Clocks of the last beats of the heads."""
    return [int(clock) for clock in np.flatnonzero(
        waveform.values("slice.result__valid") & waveform.values("slice.result__payload.last"))]


def _markers(waveform: Waveform) -> dict[str, int]:
    first, second = results(waveform)
    return {"second scores": passes(waveform, MacMode.DOT, 1)[0],
            "first outputs end": passes(waveform, MacMode.AXPY, 0)[1],
            "first result": first, "second result": second}


def _draw(dump: Path, picture: Path) -> None:
    timeline.draw(picture, Waveform(dump, timeline.signals(SPEC)), SPEC, TITLE)


SCENARIO = UnitScenario(
    top="slice", name="heads", what="a small slice", unit=lambda: Slice(SPEC),
    bench="tb.bench_heads_waves", parameters={"spec": OPTIONS}, view=view, watched=WATCHED,
    markers=_markers, screen_clocks=2000, picture=_draw)
"""Two KV heads of a sequence over three blocks each."""
