"""The command line: results, JSON purity, determinism, and one line with status 2 for bad input."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime import cli
from tests.runtime.common import FIRST_1000
from tests.runtime.fixture_cycles import fixture_table, write_fixture

ROOT = Path(__file__).parents[2]
ROW = {"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").mkdir()
    write_fixture(tmp_path / "build" / "cycles.json")
    return tmp_path


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["tokenstack", *arguments])
    try:
        cli.main()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    out, err = capsys.readouterr()
    return status, out, err


def test_sim_leaves_a_table_results_and_a_page(folder, monkeypatch, capsys):
    status, out, _ = call(monkeypatch, capsys, "sim", "--requests", "40")
    assert status == 0
    for name in ("gpu", "attacc_split4", "tokenstack_base"):
        assert re.search(rf"{name} +\d+ ", out)
    record = json.loads((folder / "build" / "results.json").read_text())
    assert record["provenance"]["cycles"]["simulator"] == "fixture"
    assert record["systems"]["tokenstack_base"]["requests"] == 40
    page = (folder / "build" / "report" / "index.html").read_text()
    assert page.count("<svg") == 6
    assert "fixture.attend.g4.ctx512" in page
    assert not re.search(r'(src|href)="http', page)


def test_the_same_arguments_leave_the_same_bytes_and_another_seed_others(
        folder, monkeypatch, capsys):
    kept = []
    for seed in ("1", "1", "2"):
        assert call(monkeypatch, capsys, "sim", "--requests", "30", "--seed", seed)[0] == 0
        kept.append([(folder / "build" / name).read_bytes()
                     for name in ("results.json", "report/index.html")])
    assert kept[0] == kept[1]
    assert kept[0] != kept[2]


def test_results_do_not_depend_on_the_hash_seed(folder):
    kept = []
    for seed in ("0", "77"):
        subprocess.run([sys.executable, "-m", "runtime", "sim", "--requests", "20", "--out", seed],
                       env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
                       cwd=folder, check=True, capture_output=True)
        kept.append([(folder / seed / name).read_bytes()
                     for name in ("results.json", "report/index.html")])
    assert kept[0] == kept[1]


@pytest.mark.parametrize("arguments", [
    ("sim", "--requests", "10"), ("generate", "--requests", "50"), ("models",), ("systems",)])
def test_json_prints_one_object_and_nothing_else(folder, monkeypatch, capsys, arguments):
    status, out, err = call(monkeypatch, capsys, *arguments, "--json")
    assert (status, err) == (0, "")
    assert out.count("\n") == 1
    assert isinstance(json.loads(out), dict)


@pytest.mark.parametrize("arguments", [("generate",), ("models",), ("systems",)])
def test_listings_print_a_table(folder, monkeypatch, capsys, arguments):
    status, out, _ = call(monkeypatch, capsys, *arguments)
    assert status == 0
    assert len(out.splitlines()) > 4


def test_an_infeasible_system_is_reported_and_the_others_go_on(folder, monkeypatch, capsys):
    status, out, _ = call(monkeypatch, capsys, "sim", "--requests", "20", "--model", "qwen3-32b",
                          "--cards", "1")
    assert status == 0
    assert "attacc_split4: qwen3-32b does not fit: its weights need 61.0 GiB" in out
    systems = json.loads((folder / "build" / "results.json").read_text())["systems"]
    assert [systems[n]["feasible"] for n in systems] == [True, False, True, True]


def test_if_no_system_is_feasible_there_is_one_line_and_nothing_else(folder, monkeypatch, capsys):
    status, out, err = call(monkeypatch, capsys, "sim", "--requests", "20", "--model", "qwen3-32b",
                            "--systems", "attacc_split4", "--cards", "1")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "attacc_split4: qwen3-32b does not fit" in err
    assert not (folder / "build" / "results.json").exists()


def test_more_cards_make_it_feasible(folder, monkeypatch, capsys):
    status, _, _ = call(monkeypatch, capsys, "sim", "--requests", "20", "--model", "qwen3-32b",
                        "--cards", "4")
    assert status == 0
    systems = json.loads((folder / "build" / "results.json").read_text())["systems"]
    assert all(result["feasible"] for result in systems.values())
    assert systems["gpu"]["time_ms"]["all_reduce"] > 0


def test_by_default_all_systems_get_the_fewest_cards_that_all_of_them_need(
        folder, monkeypatch, capsys):
    status, out, _ = call(monkeypatch, capsys, "sim", "--requests", "20", "--model", "qwen3-32b")
    assert status == 0
    assert "2 cards of a GPU" in out
    record = json.loads((folder / "build" / "results.json").read_text())
    assert record["provenance"]["cards"] == 2
    assert all(result["feasible"] for result in record["systems"].values())


def test_the_other_preset_runs_with_its_own_table(folder, monkeypatch, capsys):
    (folder / "build" / "cycles-hbm3_5200.json").write_text(
        json.dumps(fixture_table("hbm3_5200", 1538)))
    for option in (("--preset", "hbm3_5200"), ("--profile", "paper")):
        status, _, _ = call(monkeypatch, capsys, "sim", "--requests", "20", *option)
        assert status == 0
    record = json.loads((folder / "build" / "results.json").read_text())
    assert record["provenance"]["cycles"]["path"] == "build/cycles-hbm3_5200.json"
    assert "312 TFLOPS" in (folder / "build" / "report" / "index.html").read_text()


@pytest.mark.skipif(not FIRST_1000.exists(), reason="the public traces are not beside the checkout")
def test_the_real_trace_runs_to_the_end_within_its_time(folder, monkeypatch, capsys):
    begin = time.process_time()
    status, _, _ = call(monkeypatch, capsys, "sim", "--trace", str(FIRST_1000))
    assert status == 0
    assert time.process_time() - begin < 20
    systems = json.loads((folder / "build" / "results.json").read_text())["systems"]
    assert [systems[n]["requests"] for n in systems] == [1000] * 4
    assert [systems[n]["output_tokens"] for n in systems] == [349_357] * 4


def make_inputs(folder: Path) -> None:
    line = json.dumps(ROW) + "\n"
    (folder / "good.jsonl").write_text(line * 3)
    (folder / "bad.jsonl").write_text(line + json.dumps(ROW | {"input_length": 0}) + "\n")
    (folder / "broken.jsonl").write_text(line + "{\n")
    (folder / "empty.jsonl").write_text("")
    (folder / "false.jsonl.gz").write_text(line)
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(line.encode() * 9999)[:-20])
    huge = ROW | {"input_length": 512 * 9000, "hash_ids": list(range(9000))}
    (folder / "huge.jsonl").write_text(line + json.dumps(huge) + "\n")
    (folder / "noise.json").write_text("{]")
    write_fixture(folder / "empty_table.json", rows=[])
    write_fixture(folder / "version.json", schema=9)
    (folder / "blocked").write_text("a file")


BAD = [
    (["--trace", "none.jsonl"], "none.jsonl: trace: expected a readable file"),
    (["--trace", "bad.jsonl"], "bad.jsonl:2: input_length: expected a number of tokens"),
    (["--trace", "broken.jsonl"], "broken.jsonl:2: row: expected one JSON object"),
    (["--trace", "empty.jsonl"], "empty.jsonl: trace: expected at least one row"),
    (["--trace", "false.jsonl.gz"], "false.jsonl.gz: trace: expected gzip data"),
    (["--trace", "cut.jsonl.gz"], "trace: expected intact gzip data"),
    (["--trace", "huge.jsonl"], "huge.jsonl:2: input_length + output_length: expected at most"),
    (["--trace", "."], ".: trace: expected a readable file, not 'is a directory'"),
    (["--trace", "good.jsonl", "--qps", "2"], "qps: expected a workload whose requests arrive"),
    (["--trace", "good.jsonl", "--limit", "0"], "limit: expected a number of rows"),
    (["--trace", "good.jsonl", "--requests", "5"], "requests: expected no --trace"),
    (["--limit", "5"], "limit: expected to go with --trace"),
    (["--requests", "0"], "requests: expected an integer in 1.."),
    (["--qps", "0"], "qps: expected a rate"),
    (["--qps", "nan"], "qps: expected a rate"),
    (["--qps", "fast"], "Invalid value for '--qps'"),
    (["--seed", "-1"], "seed: expected an integer in 0.."),
    (["--model", "llama3-8b"], "did you mean 'llama-3-8b'"),
    (["--systems", "gpu,attacc_split5"], "did you mean 'attacc_split4'"),
    (["--systems", "gpu,gpu"], "systems: expected each system once"),
    (["--systems", ""], "system: expected one of"),
    (["--preset", "hbm4"], "preset: expected one of hbm3_5200, hbm4_8000, not 'hbm4'"),
    (["--preset", "hbm3_5200"], "'no such file or directory'; `make sim PRESET=hbm3_5200` makes"),
    (["--preset", "hbm3_5200", "--cycles", "build/cycles.json"],
     "preset: expected hbm3_5200, as asked for, not hbm4_8000; `make sim PRESET=hbm3_5200`"),
    (["--cards", "65"], "cards: expected an integer in 1..64"),
    (["--cards", "0"], "cards: expected an integer in 1..64"),
    (["--max-batch", "0"], "max_batch: expected an integer"),
    (["--step-tokens", "3"], "step_tokens: expected an integer in 65.."),
    (["--eviction", "mru"], "eviction: expected one of arc, cost_aware, fifo"),
    (["--eviction", "decimal:Decimal"], "'decimal:Decimal' to have insert, touch, pin,"),
    (["--placement", "enum:Enum"], "'enum:Enum' to be made without arguments"),
    (["--cycles", "none.json"], "`make sim` makes it from the RTL"),
    (["--cycles", "noise.json"], "noise.json: cycles: expected JSON"),
    (["--cycles", "empty_table.json"], "empty_table.json: rows: expected attend rows for bf16"),
    (["--cycles", "version.json"], "version.json: schema: expected 1, not 9"),
    (["--out", "blocked"], "blocked: out: expected a folder that can be written"),
    (["--bogus"], "No such option"),
    (["extra"], "unexpected extra argument"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_line_status_2_and_leaves_nothing(
        folder, monkeypatch, capsys, arguments, message):
    make_inputs(folder)
    before = sorted(folder.rglob("*"))
    status, out, err = call(monkeypatch, capsys, "sim", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("tokenstack: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(folder.rglob("*")) == before


NEEDS_THE_TABLE = ("--cycles", "--out", "--preset hbm3_5200")
CHECKED = [(a, m) for a, m in BAD if not " ".join(a).startswith(NEEDS_THE_TABLE)]


@pytest.mark.parametrize(("arguments", "message"), CHECKED,
                         ids=[" ".join(a) for a, _ in CHECKED])
def test_check_finds_what_can_be_found_before_there_is_a_table(
        folder, monkeypatch, capsys, arguments, message):
    make_inputs(folder)
    (folder / "build" / "cycles.json").unlink()
    status, out, err = call(monkeypatch, capsys, "sim", "--check", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_check_of_good_input_prints_and_leaves_nothing(folder, monkeypatch, capsys):
    make_inputs(folder)
    (folder / "build" / "cycles.json").unlink()
    before = sorted(folder.rglob("*"))
    for arguments in ([], ["--trace", "good.jsonl"], ["--model", "qwen3-32b"],
                      ["--preset", "hbm3_5200", "--qps", "2"]):
        assert call(monkeypatch, capsys, "sim", "--check", *arguments) == (0, "", "")
    assert sorted(folder.rglob("*")) == before


def test_an_unknown_command_is_one_line_too(folder, monkeypatch, capsys):
    status, _, err = call(monkeypatch, capsys, "simulate")
    assert (status, err.count("\n")) == (2, 1)


def test_an_interrupt_ends_with_130_and_leaves_nothing(folder):
    os.mkfifo(folder / "trace")
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime", "sim", "--trace", "trace"], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        # A shell without job control starts what it puts into the background, such as these tests,
        # with interrupts ignored; the command would inherit that, and honour it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        with (folder / "trace").open("wb"):         # opens when the command begins to read
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not (folder / "build" / "results.json").exists()
