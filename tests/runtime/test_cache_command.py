"""``tokenstack cache``: hits on a small trace, JSON purity, and bad input."""

import json
import sys

import pytest

from runtime import cli

ROWS = [(0, 1, 2), (0, 3), (0, 1, 2), (0, 4)]


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(
        {"timestamp": 1000 * k, "input_length": 512 * len(ids), "output_length": 5,
         "hash_ids": list(ids)}) + "\n" for k, ids in enumerate(ROWS)))
    return path


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["tokenstack", "cache", *map(str, arguments)])
    try:
        cli.main()
        status = 0
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    return status, out, err


def test_hits_of_a_small_trace(trace, monkeypatch, capsys):
    status, out, err = call(monkeypatch, capsys, "--trace", trace, "--policies",
                            "lru,fifo,belady,belady_bypass", "--capacities", "2,4", "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    record = json.loads(out)
    assert (record["accesses"], record["distinct_blocks"], record["infinite_hits"]) == (10, 5, 5)
    # By hand: with 4 blocks all but the ids 3 and 4 can stay; with 2, Belady keeps 0 and one more.
    assert record["hits"]["lru"] == {"2": 1, "4": 5}
    assert record["hits"]["belady"]["4"] == 5
    assert record["hits"]["belady_bypass"] == {"2": 4, "4": 5}


def test_rows_count_leading_blocks(trace, monkeypatch, capsys):
    status, out, _ = call(monkeypatch, capsys, "--trace", trace, "--policies", "lru",
                          "--capacities", "2", "--rows", "--json")
    assert status == 0
    assert json.loads(out)["hits"]["lru"] == {"2": 3}


def test_a_table_and_a_generated_workload(monkeypatch, capsys):
    status, out, _ = call(monkeypatch, capsys, "--requests", "60", "--capacities", "64,1024")
    assert status == 0
    assert "survival" in out
    assert "1,024" in out


@pytest.mark.parametrize(("arguments", "message"), [
    (["--policies", "lru,lrv"], "did you mean 'lru'"),
    (["--policies", "lru,lru"], "policies: expected each policy once"),
    (["--capacities", "4,x"], "capacities: expected numbers of blocks"),
    (["--capacities", "0"], "capacities: expected an integer in 1.."),
    (["--trace", "none"], "none: trace: expected a readable file"),
    (["--trace-format", "azure"], "trace-format: expected to go with --trace"),
    (["--skip-bad"], "skip-bad: expected to go with --trace"),
])
def test_bad_input_is_one_line_and_status_2(monkeypatch, capsys, arguments, message):
    status, out, err = call(monkeypatch, capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_trace_without_ids_has_nothing_to_cache(tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6,374,44\n")
    status, _, err = call(monkeypatch, capsys, "--trace", path)
    assert status == 2
    assert "expected prefix block ids, of which the azure format has none" in err
