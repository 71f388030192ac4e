"""Studies end to end on the fixture's cycles: files, resumption, Dask, bad input."""

import csv
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime import cli
from runtime.generator import WORKLOADS
from runtime.study.executors import remote_cell
from runtime.study.run import SYSTEMS, StudyRun, presets
from tests.runtime.fixture_cycles import write_fixture

ROOT = Path(__file__).parents[2]
SMALL = ["--models", "llama-3-8b", "--traces", "qwen-bailian-a", "--rates", "8", "--seeds", "1",
         "--systems", "gpu,attacc_split4,tokenstack", "--requests", "12"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").mkdir()
    write_fixture(tmp_path / "build" / "cycles.json")
    return tmp_path


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["tokenstack", "study", *arguments])
    try:
        cli.main()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    return status, *capsys.readouterr()


def test_a_study_leaves_a_page_tables_and_cells_and_is_not_run_twice(folder, monkeypatch, capsys):
    status, out, _ = call(monkeypatch, capsys, *SMALL, "--workers", "0")
    assert status == 0
    assert "1.62x, geometric mean" in out
    study = folder / "build" / "study"
    page = (study / "index.html").read_text()
    for text in ("published against measured", "30 to 47 % less", "Why the figures differ",
                 "Over GPUs alone"):
        assert text in page
    assert page.count("<svg") == 6
    with (study / "grid.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["system"] for r in rows] == ["gpu", "attacc_split4", "tokenstack"]
    assert all(float(r["tokens_per_second"]) > 0 for r in rows)
    assert {"ttft_p99_ms", "goodput_requests_per_second", "j_cell", "migrated_gib",
            "prefix_hit_rate", "e2e_p50_ms"} <= set(rows[0])
    record = json.loads((study / "study.json").read_text())
    assert {r["system"] for r in record["capacity"]} == {"gpu", "attacc_split4", "tokenstack"}
    assert record["comparisons"]["throughput"]["8"]["tokenstack"]["attacc_split4"]["mean"]["count"]
    before = {p.name: p.read_bytes() for p in study.iterdir() if p.is_file()}
    status, out, _ = call(monkeypatch, capsys, *SMALL, "--workers", "0", "--json")
    counts = json.loads(out)["counts"]
    cells = len(list((study / "cells").iterdir()))
    assert (status, counts["fresh"], counts["kept"]) == (0, 0, cells)
    assert before == {p.name: p.read_bytes() for p in study.iterdir() if p.is_file()}


def test_other_cycles_are_other_cells(folder, monkeypatch, capsys):
    options = [*SMALL, "--no-capacity", "--workers", "0", "--json"]
    assert json.loads(call(monkeypatch, capsys, *options)[1])["counts"]["fresh"] == 3
    table = folder / "build" / "cycles.json"
    table.write_text(table.read_text() + "\n")
    assert json.loads(call(monkeypatch, capsys, *options)[1])["counts"]["fresh"] == 3
    assert json.loads(call(monkeypatch, capsys, *options)[1])["counts"]["kept"] == 3


def test_an_ablation_sets_what_lacks_a_mechanism_beside_the_whole(folder, monkeypatch, capsys):
    status, out, _ = call(monkeypatch, capsys, *SMALL, "--systems",
                          "attacc_split4,tokenstack,tokenstack-no-dma", "--no-capacity",
                          "--workers", "0", "--json")
    assert status == 0
    compared = json.loads(out)["comparisons"]["throughput"]["8"]
    assert set(compared["tokenstack-no-dma"]) == {"attacc_split4", "tokenstack"}
    assert set(compared["tokenstack"]) == {"attacc_split4"}
    page = (folder / "build" / "study" / "index.html").read_text()
    assert "What each mechanism is worth" in page
    assert "SLO capacity: the highest" not in page


def test_an_infeasible_cell_is_marked_and_the_others_go_on(folder, monkeypatch, capsys):
    status, out, _ = call(
        monkeypatch, capsys, "--models", "qwen3-32b", "--traces", "qwen-bailian-a", "--rates", "4",
        "--seeds", "1", "--systems", "gpu,attacc_split4,tokenstack", "--requests", "8",
        "--cards", "1", "--slo-reference", "gpu", "--workers", "0")
    assert status == 0
    assert "infeasible: attacc_split4: qwen3-32b does not fit" in " ".join(out.split())
    page = (folder / "build" / "study" / "index.html").read_text()
    assert "infeasible: attacc_split4" in page
    assert "left out: qwen3-32b on attacc_split4." in page
    rows = json.loads((folder / "build" / "study" / "study.json").read_text())["grid"]
    assert [r["feasible"] for r in rows] == [True, False, True]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_a_killed_study_loses_at_most_what_was_in_work(folder, monkeypatch, capsys):
    cells = folder / "build" / "study" / "cells"
    command = [sys.executable, "-m", "runtime", "study", *SMALL, "--workers", "0"]
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(list(cells.glob("*.json"))) < 5 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    _, err = process.communicate()
    kept = len(list(cells.glob("*.json")))
    assert kept >= 5, err
    assert not (folder / "build" / "study" / "index.html").exists()
    status, out, _ = call(monkeypatch, capsys, *SMALL, "--workers", "0", "--json")
    assert status == 0
    assert json.loads(out)["counts"]["kept"] >= kept


def die_with_parent() -> None:
    """In a new process: the kernel kills it when the tests end, however they do."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG


@pytest.fixture
def cluster(folder):
    """A scheduler and two workers, each a process of its own, in a folder without our files."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    address = elsewhere / "scheduler.json"
    quiet = {"cwd": elsewhere, "env": environment(), "stdout": subprocess.DEVNULL,
             "stderr": subprocess.DEVNULL, "preexec_fn": die_with_parent}
    processes = [subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port",
         "0", "--no-dashboard", "--scheduler-file", str(address)], **quiet)]
    processes += [subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(address),
         "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1",
         "--local-directory", str(elsewhere)], **quiet) for _ in range(2)]
    try:
        deadline = time.monotonic() + 120
        while not (address.exists() and address.read_text().endswith("}")):
            assert time.monotonic() < deadline and processes[0].poll() is None
            time.sleep(0.1)
        yield json.loads(address.read_text())["address"]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait(timeout=10)


def cells_done() -> int:
    """On a worker: how often it has read a cycle table for a cell."""
    from runtime.study import simulate
    return simulate._table.cache_info().hits + simulate._table.cache_info().misses


def test_two_workers_of_a_scheduler_share_the_cells_and_find_the_same(
        folder, cluster, monkeypatch, capsys):
    from distributed import Client
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        status, out, err = call(monkeypatch, capsys, *SMALL, "--scheduler", cluster, "--json")
        assert (status, err) == (0, "")
        work = client.run(cells_done)
    assert len(work) == 2
    assert all(count >= 3 for count in work.values())
    there = json.loads(out)
    here = json.loads(call(monkeypatch, capsys, *SMALL, "--workers", "0", "--json", "--out",
                           "here")[1])
    assert there["counts"]["fresh"] == here["counts"]["fresh"] == there["counts"]["cells"]
    for name in ("grid", "capacity", "comparisons"):
        assert there[name] == here[name]


def test_a_worker_with_other_code_refuses():
    with pytest.raises(Exception, match="workers of the same version"):
        remote_cell(None, None, "other")        # type: ignore[arg-type]


def test_the_presets_are_the_papers_sixteen_combinations():
    for preset in (presets(True), presets(False)):
        assert len(preset.models) * len(preset.traces) == 16
        assert preset.systems == SYSTEMS
    assert set(presets(True).traces) == set(WORKLOADS)
    assert StudyRun.__doc__


@pytest.mark.parametrize(("arguments", "message"), [
    (["--models", "llama-3-8x"], "did you mean 'llama-3-8b'"),
    (["--models", ""], "models: expected one at least"),
    (["--systems", "gpu,gpu"], "systems: expected each once, not 'gpu,gpu'"),
    (["--systems", "attacc"], "systems: expected one at least that is no AttAcc"),
    (["--systems", "gpu,tokenstak"], "did you mean 'tokenstack'"),
    (["--slo-reference", "gpux"], "did you mean 'gpu'"),
    (["--slo-share", "0"], "slo-share: expected a share above 0"),
    (["--slo-factor", "0.5"], "slo-factor: expected a factor of 1 or more"),
    (["--traces", "qwen-z"], "traces: expected one of"),
    (["--traces", "none.jsonl"], "none.jsonl"),
    (["--rates", "0"], "qps: expected a rate"), (["--rates", "a"], "rates: expected numbers"),
    (["--rates", ""], "rates: expected one at least"),
    (["--seeds", "-1"], "seeds: expected an integer"),
    (["--requests", "0"], "requests: expected an integer"),
    (["--profile", "hbm5"], "did you mean 'hbm4'"),
    (["--profile", "paper"], "`make sim PRESET=hbm3_5200` makes it from the RTL"),
    (["--profile", "paper", "--cycles", "build/cycles.json"],
     "preset: expected hbm3_5200, as profile paper has, not hbm4_8000; `make sim PRESET="),
    (["--energy", "hbm5"], "did you mean 'hbm4'"),
    (["--set", "max_batch"], "set: expected name=value"),
    (["--set", "max_bach=3"], "did you mean 'max_batch'"),
    (["--set", "max_batch=x"], "max_batch: expected an integer"),
    (["--cards", "65"], "cards: expected an integer in 1..64"),
    (["--cycles", "none.json"], "none.json: cycles: expected a table"),
    (["--workers", "-1"], "workers: expected an integer in 0..256"),
    (["--scheduler", "tcp://127.0.0.1:1"], "scheduler: expected a Dask scheduler at"),
    (["--scheduler", "tcp://127.0.0.1:1", "--workers", "2"], "workers: expected no --scheduler"),
    (["--out", "blocked"], "expected a folder that can be written"),
])
def test_bad_input_is_one_line_and_status_2(folder, monkeypatch, capsys, arguments, message):
    (folder / "blocked").write_text("a file")
    workers = () if {"--scheduler", "--workers"} & set(arguments) else ("--workers", "0")
    status, out, err = call(monkeypatch, capsys, *SMALL, *workers, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("tokenstack: ")
    assert message in err
