"""The parts of a study that need no engine: search, statistics, store, loop, summary."""

import json

import numpy as np
import pytest

from model.spec.errors import SpecError
from runtime.study.cells import Cell, TraceRef, cell_key, code_fingerprint
from runtime.study.loop import drive
from runtime.study.plan import Combination
from runtime.study.slo import Slo, met, search, share_met
from runtime.study.statistics import geometric_mean
from runtime.study.store import CellStore
from runtime.study.summary import compare

TRACE = TraceRef(name="qwen-bailian-a", sha256=None, requests=10)


def cell(qps: float | None = 1.0, system: str = "gpu") -> Cell:
    return Cell(model="m", trace=TRACE, qps=qps, system=system, seed=1, profile="hbm4", cards=1)


def found(slo: Slo, start: float, limit: float):
    """Searches a system that meets the objective up to a rate."""
    steps = search(slo, start)
    rate = next(steps)
    while True:
        try:
            rate = steps.send(1.0 if rate <= limit else 0.5)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("limit", [0.02, 0.3, 1.0, 3.7, 64.0, 900.0])
@pytest.mark.parametrize("start", [0.001, 1.0, 50.0, 5000.0])
def test_the_search_brackets_the_capacity_closely(start, limit):
    slo = Slo(reference="gpu")
    capacity = found(slo, start, limit)
    assert capacity.holds <= limit < capacity.fails
    assert capacity.fails / capacity.holds <= slo.tolerance
    assert len({rate for rate, _ in capacity.tried}) == len(capacity.tried) < 30


def test_the_search_tells_what_lies_beyond_its_ends():
    slo = Slo(reference="gpu", low=0.1, high=100.0)
    below, above = found(slo, 1.0, 0.05), found(slo, 1.0, 1e9)
    assert (below.holds, below.fails) == (0.0, 0.1)
    assert (above.holds, above.fails) == (100.0, None)


def test_the_objective_counts_both_latencies_and_single_tokens_by_the_first():
    slo = Slo(reference="gpu", factor=2.0)
    alone = {"latency_us": {"ttft": [100, 100, 100, 100], "tpot": [10, 10, None, 10]}}
    loaded = {"latency_us": {"ttft": [200, 201, 150, 100], "tpot": [20, 10, None, 21]}}
    assert met(slo, alone, loaded) == [True, False, True, False]
    assert share_met(slo, alone, loaded) == 0.5


@pytest.mark.parametrize(("field", "value"), [("factor", 0.5), ("share", 0.0), ("share", 1.1),
                                              ("tolerance", 1.0), ("factor", float("nan"))])
def test_an_impossible_objective_is_refused(field, value):
    with pytest.raises(SpecError, match="expected a"):
        Slo(**{"reference": "gpu", field: value})


def test_the_geometric_mean_and_its_interval():
    exact = geometric_mean([2.0, 8.0])
    assert exact is not None
    assert exact.mean == pytest.approx(4.0)
    assert (exact.low, exact.high) == pytest.approx((2.0, 8.0))
    ratios = np.exp(np.random.default_rng(5).normal(0.3, 0.2, 400)).tolist()
    wide = geometric_mean(ratios)
    assert wide is not None
    spread = float(np.std(np.log(ratios))) / 20         # of a mean of 400
    assert np.log(wide.high / wide.low) == pytest.approx(2 * 1.96 * spread, rel=0.05)
    assert wide == geometric_mean(ratios)
    assert geometric_mean([]) is None


def test_a_comparison_names_those_that_have_no_ratio():
    places = [Combination("m", TRACE, seed) for seed in range(5)]
    ours = dict(zip(places, [2.0, None, 0.0, 3.0, 0.0], strict=True))
    theirs = dict(zip(places, [1.0, 1.0, 1.0, 0.0, 0.0], strict=True))
    result = compare(ours, theirs)
    assert list(result["ratios"].values()) == [2.0]
    assert sorted(result["without"].values()) == [
        "infeasible", "neither reaches it", "only ours reaches it", "only theirs reaches it"]
    assert result["mean"]["count"] == 1


def test_a_key_depends_on_everything():
    keys = {cell_key(c, cycles, code) for c in (cell(), cell(2.0), cell(None), cell(system="x"))
            for cycles in "ab" for code in "cd"}
    assert len(keys) == 16
    assert cell_key(cell(), "a", "c") == cell_key(cell(), "a", "c")
    assert len(code_fingerprint()) == 64


def test_the_store_keeps_whole_files_only(tmp_path):
    store = CellStore(tmp_path / "cells")
    assert store.load("k") is None
    store.save("k", {"feasible": True})
    assert store.load("k") == {"feasible": True}
    store.path("k").write_bytes(store.path("k").read_bytes()[:-3])
    assert store.load("k") is None                      # damaged: run again
    assert [p.name for p in store.folder.iterdir()] == ["k.json"]


class Worker:
    """Answers out of order, and says what it was asked."""

    def __init__(self, width: int, fail_after: int | None = None) -> None:
        self.width, self.fail_after = width, fail_after
        self.asked: list[str] = []
        self.open: list[tuple[str, Cell]] = []
        self.most = 0

    def submit(self, key: str, cell: Cell) -> None:
        self.asked.append(key)
        self.open.append((key, cell))
        self.most = max(self.most, len(self.open))

    def finished(self):
        if self.fail_after is not None:
            if not self.fail_after:
                raise KeyboardInterrupt
            self.fail_after -= 1
        key, cell = self.open.pop()
        return key, {"feasible": True, "qps": cell.qps}


def ask(log: list, rates) -> object:
    for rate in rates:
        record = yield cell(rate)
        log.append(record["qps"])


def key_of(one: Cell) -> str:
    return f"q{one.qps}"


def test_the_loop_runs_each_cell_once_and_answers_everybody(tmp_path):
    logs: list[list] = [[], [], []]
    worker, told = Worker(2), []
    drive([ask(logs[0], (1.0, 2.0)), ask(logs[1], (1.0, 3.0)), ask(logs[2], (4.0,))], key_of,
          worker, CellStore(tmp_path), lambda c, fresh: told.append(fresh))
    assert logs == [[1.0, 2.0], [1.0, 3.0], [4.0]]
    assert sorted(worker.asked) == ["q1.0", "q2.0", "q3.0", "q4.0"]
    assert worker.most == 2
    assert told.count(True) == 4


def test_a_killed_study_goes_on_where_it_was(tmp_path):
    rates = tuple(float(n) for n in range(1, 9))
    first = Worker(1, fail_after=5)
    with pytest.raises(KeyboardInterrupt):
        drive([ask([], rates)], key_of, first, CellStore(tmp_path), lambda c, fresh: None)
    assert len(list(tmp_path.iterdir())) == 5           # only the one in work is lost
    second, log = Worker(1), []
    drive([ask(log, rates)], key_of, second, CellStore(tmp_path), lambda c, fresh: None)
    assert log == list(rates)
    assert second.asked == ["q6.0", "q7.0", "q8.0"]
    assert json.loads((tmp_path / "q8.0.json").read_text())["qps"] == 8.0
