"""Cycle extraction: counters equal the waveform, simulators agree, and the fit predicts."""

import json
import random
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from hdl.attention.merge import Merge
from hdl.slice import Slice
from model.spec.attention_bounds import wave_clocks
from model.spec.presets import slice_spec
from runtime.cycle_table import fit_line
from runtime.steady import SteadyLine
from runtime.systems.pim import attention_refresh
from tb import bench_attend, bench_composition, cycles
from tb.build import SIMULATORS, Built, build, run
from tb.figures import composition
from tb.figures.attention import steady_clocks
from tests.rtl.test_slice import SMALL

ATTEND = {"operation": "attend", "format": "bf16"}
MOVE = {"operation": "migrate", "format": "bf16", "head_size": 64, "direction": "capacity_to_pim"}


def _slice(simulator: str) -> Built:
    return build(Slice(slice_spec(**SMALL)), "slice", simulator=simulator, waves="ports")


@pytest.fixture(scope="module")
def small() -> Built:
    """A slice of four PIM banks on Verilator; :mod:`tests.rtl.test_slice` uses the same."""
    return _slice("verilator")


def test_counters_and_waveforms_agree_on_both_simulators(small: Built) -> None:
    attentions = [{**ATTEND, "head_size": 64, "group": 2, "context": context}
                  for context in (1, 17)]
    merge = [{"operation": "merge", "format": "bf16", "head_size": 64, "parts": 3}]
    # Icarus simulates some hundred clocks a second: not the move, which waits for two refreshes
    plans = {"verilator": [attentions, [MOVE]], "icarus": [attentions[1:]]}
    seen: dict[str, dict[str, int]] = {}
    for simulator in SIMULATORS:
        unit = build(Merge(slice_spec(**SMALL).pim), "merge", simulator=simulator, waves="ports")
        built = small if simulator == "verilator" else _slice(simulator)
        steps = [(built, plan) for plan in plans[simulator]]
        rows = [row for device, plan in (*steps, (unit, merge))
                for row in cycles.measure(device, plan, SMALL, seed=1)]
        assert all(row["cycles"] > 0 for row in rows)
        assert cycles.disagreements(rows) == []
        seen[simulator] = {row["run"]: row["cycles"] for row in rows}
    assert len(seen["icarus"]) == 2 and seen["icarus"].items() <= seen["verilator"].items()


def test_a_disagreement_is_named() -> None:
    row = {"run": "attend.x", "cycles": 10, "waveform_cycles": 11}
    assert cycles.disagreements([row]) == ["attend.x: counter 10, waveform 11"]


def test_busy_intervals_are_read_off_a_waveform(tmp_path: Path) -> None:
    wave = tmp_path / "dump.vcd"
    wave.write_text("$timescale 1ps $end\n$scope module slice $end\n$var wire 1 ! busy $end\n"
                    "$upscope $end\n$enddefinitions $end\n#0\n0!\n#3000\n1!\n#7000\n0!\n"
                    "#9000\n1!\n#10000\n0!\n")
    assert cycles.busy_clocks(wave, "busy") == [4, 1]
    wave.write_text(wave.read_text().replace("#7000", "#7400"))
    with pytest.raises(ValueError, match="no whole clocks"):
        cycles.busy_clocks(wave, "busy")


@pytest.mark.parametrize("group", [1, 4])
def test_the_fit_predicts_contexts_that_it_has_not_seen(small: Built, group: int) -> None:
    wave = 16 * SMALL["pim_banks"]
    step = {**ATTEND, "head_size": 128, "group": group}
    rows = cycles.measure(small, [{**step, "context": context} for context in (
        wave, 2 * wave, 3 * wave, 4 * wave, 3 * wave + 5)], SMALL, 1)
    *seen, whole, part = (row["cycles"] for row in rows)
    line = fit_line(dict(enumerate(seen, start=1)), ())
    assert line.cycles(4) == pytest.approx(whole, rel=0.005)
    assert part == pytest.approx(line.cycles(4), rel=0.10), "a wave in part costs nearly as much"
    assert part <= whole
    # A further wave is 2 x 4 rows of 32 columns: tRCD + 31 c + tRTP + tRP each, tRC being shorter.
    timing = slice_spec(**SMALL).timing
    row = sum(timing.clocks(n) for n in (timing.nRCDRD, timing.nRTP, timing.nRP)) + 31 * max(
        2, group)
    assert 8 * row <= whole - seen[-1] <= 8 * row * 1.01


def test_attention_without_a_pause_pays_for_its_refreshes(small: Built, tmp_path: Path) -> None:
    """The runtime's share of refresh against a run of many intervals of tREFI."""
    interval = slice_spec(**SMALL).timing.refresh_interval
    # Shorter than tREFI, so that some meet no refresh; from the 16th on none can be postponed
    case = {"group": 4, "head_size": 128, "stored": "", "context": 128, "settling": 16,
            "measured": 20}
    run(small, "tb.bench_attend", tmp_path,
        parameters={"spec": SMALL, "cases": [case]})
    record, = json.loads((tmp_path / bench_attend.RECORD).read_text())
    clocks = [after - before for before, after in pairwise(record["ends"])]
    alone = min(clocks)
    assert alone < interval and sum(clocks) > 12 * interval
    mean = steady_clocks(record["ends"], interval)
    want = float(alone * attention_refresh(slice_spec(**SMALL).timing))
    assert mean == pytest.approx(want, rel=0.03), f"{mean:.0f} clocks, predicted {want:.0f}"


def test_random_jobs_cost_what_the_runtime_s_model_says(small: Built, tmp_path: Path) -> None:
    """The check of ``make bench`` at a small size: other lengths, in any order."""
    spec, shape = slice_spec(**SMALL), {"head_size": 128, "group": 4}
    wave = cycles.wave_tokens(spec)
    one, two = cycles.attention_rows(small, [
        {**ATTEND, **shape, "context": wave * n} for n in (1, 2)], SMALL)
    line = SteadyLine(points={1: one["steady"], 2: two["steady"]},
                      wave=Fraction(two["cycles"] - one["cycles"]), refresh=Fraction(1),
                      end=Fraction(two["cycles"] - two["steady"]))
    draw = random.Random(5)
    contexts = [draw.randrange(wave, 5 * wave) for _ in range(composition.JOBS)]
    jobs, want = composition.fitting(contexts, line, spec)
    assert len(jobs) > 2
    run(small, "tb.bench_composition", tmp_path, parameters={"spec": SMALL, "cases": [
        {**shape, "stored": "", "contexts": jobs, "gpu": False, "dma": False}]})
    record, = json.loads((tmp_path / bench_composition.RECORD).read_text())
    assert len(record["ends"]) == len(jobs)
    assert want == pytest.approx(record["ends"][-1], rel=composition.MAX_LIMIT)


@pytest.mark.parametrize(("group", "share"), [(1, 0.97), (4, 0.90)])
def test_what_waits_hides_softmax_merge_and_gather(small: Built, tmp_path: Path, group: int,
                                                   share: float) -> None:
    """The bench of ``make bench`` at a small size: 8 waves on 4 banks, one attention on another."""
    spec = slice_spec(**SMALL)
    case = {"group": group, "head_size": 128, "stored": "", "context": 512, "settling": 1,
            "measured": 2}
    run(small, "tb.bench_attend", tmp_path,
        parameters={"spec": SMALL, "cases": [case]})
    record, = json.loads((tmp_path / bench_attend.RECORD).read_text())
    begin, *ends = record["ends"]
    banks = 8 * wave_clocks(spec, head_size=128, group=group)
    assert len(ends) == 2
    assert share <= 2 * banks / (ends[-1] - begin) <= 1
    assert banks < record["alone"] < 1.35 * banks


def test_the_window_of_a_figure_is_a_whole_number_of_refresh_intervals() -> None:
    # 7 attentions are 20.3 intervals, 9 are 26.1, 10 are 29.0
    ends = [1000 + n * 290 for n in range(11)]
    assert steady_clocks(ends, 100) == 290
    ends[10] += 1
    assert steady_clocks(ends, 100) == 290.1
    ends[9] -= 10
    assert steady_clocks(ends, 100) == 2600 / 9
    assert steady_clocks([5, 1005], 100) == 1000, "too short for a choice"


def test_a_table_is_made_anew_only_if_something_changed(tmp_path: Path) -> None:
    table = tmp_path / "cycles.json"
    assert not cycles.is_current(table, "key")
    cycles.write_atomically(table, {"provenance": {"key": "key"}})
    assert cycles.is_current(table, "key")
    assert not cycles.is_current(table, "other")
    assert list(tmp_path.iterdir()) == [table]


@pytest.mark.parametrize(("options", "message"), [
    (["--banks", "0"], "pim_banks: expected an integer in 1..16, not 0"),
    (["--head-size", "100"], "head_size: expected a multiple of 16 in 64..256, not 100"),
    (["--row-bytes", "1000"], ("row_bytes: expected a power of two that is a multiple of a column "
                              "(32 bytes), not 1000")),
    (["--preset", "ddr5"], "preset: expected one of hbm3_5200, hbm4_8000, not 'ddr5'"),
    (["--simulator", "verilater"], ("SIM: expected one of icarus, verilator, not 'verilater'; "
                                   "did you mean 'verilator'?")),
])
def test_what_cannot_be_measured_is_refused_in_one_line(
        tmp_path: Path, options: list[str], message: str) -> None:
    table = tmp_path / "cycles.json"
    done = subprocess.run([sys.executable, "-m", "tb.cycles", "--output", str(table), *options],
                          cwd=cycles.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"tb.cycles: {message}\n")
    assert not list(tmp_path.iterdir())
