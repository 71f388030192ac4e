"""Mooncake's traces are taken as they are, and the rest refused by file, line and field."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.spec.errors import UserError
from runtime.traces import load_trace
from runtime.workload import PS_PER_MS, PS_PER_SECOND
from tests.runtime.common import FIRST_1000


def load_mooncake(path, limit=None):
    return load_trace(path, "mooncake", limit)


GOOD = {"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_become_requests_with_arrival_lengths_ids_and_origin(tmp_path):
    path = write(tmp_path / "t.jsonl", [GOOD, GOOD | {"timestamp": 2500, "hash_ids": [0, 7]}])
    first, second = tuple(load_mooncake(path).requests)
    assert (first.arrival_ps, first.input_tokens, first.output_tokens) == (0, 600, 5)
    assert second.arrival_ps == 2500 * PS_PER_MS
    assert second.block_ids == (0, 7)
    assert second.origin == f"{path}:2"
    assert second.kv_blocks == 38       # 605 tokens in blocks of 16


def test_gzip_and_plain_read_alike(tmp_path):
    plain = write(tmp_path / "t.jsonl", [GOOD, GOOD | {"timestamp": 9}])
    zipped = tmp_path / "t.jsonl.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    assert ([(r.arrival_ps, r.block_ids) for r in load_mooncake(plain).requests]
            == [(r.arrival_ps, r.block_ids) for r in load_mooncake(zipped).requests])


def test_rows_of_one_tick_are_spread_evenly_to_the_next_and_reported(tmp_path):
    ticks = [0, 0, 0, 3000, 3000, 6000, 6000]
    workload = load_mooncake(write(tmp_path / "t", [GOOD | {"timestamp": t} for t in ticks]))
    assert [r.arrival_ps // PS_PER_MS for r in workload.requests] == [
        0, 1000, 2000, 3000, 4500, 6000, 7500]
    assert "4 of 7 rows moved" in workload.notes[0]


def test_distinct_times_are_left_alone_and_nothing_is_reported(tmp_path):
    workload = load_mooncake(write(tmp_path / "t", [GOOD | {"timestamp": t} for t in (0, 5, 6)]))
    assert [r.arrival_ps // PS_PER_MS for r in workload.requests] == [0, 5, 6]
    assert workload.notes == ()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 30))
def test_spreading_keeps_order_and_a_limit_keeps_a_prefix(tmp_path_factory, gaps, limit):
    times = [sum(gaps[:k]) * 1000 for k in range(len(gaps))]
    path = write(tmp_path_factory.mktemp("t") / "t", [GOOD | {"timestamp": t} for t in times])
    arrivals = [r.arrival_ps for r in load_mooncake(path).requests]
    assert arrivals == sorted(arrivals)
    assert [r.arrival_ps for r in load_mooncake(path, limit).requests] == arrivals[:limit]


def test_rate_is_scaled_by_time_alone(tmp_path):
    workload = load_mooncake(write(
        tmp_path / "t", [GOOD | {"timestamp": t} for t in (1000, 2000, 5000)]))
    faster = workload.at_rate(4.0)
    assert [r.arrival_ps for r in faster.requests] == [
        0, PS_PER_SECOND // 8, PS_PER_SECOND // 2]
    assert faster.native_qps == pytest.approx(4.0)
    assert "scaled from 0.500 to 4" in faster.notes[-1]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(tmp_path, rate):
    workload = load_mooncake(write(tmp_path / "t", [GOOD, GOOD | {"timestamp": 9}]))
    with pytest.raises(UserError, match=r"^qps: expected a rate between"):
        workload.at_rate(rate)


BAD_ROWS = {
    "timestamp: expected milliseconds": {"timestamp": -1},
    "timestamp: expected at least the row before's 1000": {"timestamp": 999},
    "timestamp: expected an integer, not 'soon'": {"timestamp": "soon"},
    "timestamp: expected an integer, not True": {"timestamp": True},
    "input_length: expected a number of tokens, 1 or more, not 0": {"input_length": 0},
    "output_length: expected a number of tokens, 1 or more, not 0": {"output_length": 0},
    "output_length: expected an integer, not None": {"output_length": None},
    "hash_ids: expected 2 ids, one for each 512 of 600 tokens, not 1": {"hash_ids": [3]},
    "hash_ids: expected a list of integers, not 'x'": {"hash_ids": "x"},
    "hash_ids: expected a list of integers, not [0, 'y']": {"hash_ids": [0, "y"]},
    "hash_ids: expected ids that differ within a row": {"hash_ids": [4, 4]},
}


@pytest.mark.parametrize("message", BAD_ROWS)
def test_a_bad_field_is_refused_by_line_and_name(tmp_path, message):
    good = GOOD | {"timestamp": 1000}
    path = write(tmp_path / "t.jsonl", [good, good | BAD_ROWS[message]])
    with pytest.raises(UserError) as error:
        load_mooncake(path)
    assert str(error.value).startswith(f"{path}:2: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_field_is_refused_by_name(tmp_path, field):
    path = write(tmp_path / "t", [{k: v for k, v in GOOD.items() if k != field}])
    with pytest.raises(UserError, match=f":1: {field}: expected a value"):
        load_mooncake(path)


BAD_FILES = {
    "row: expected one JSON object on the line": b'{"timestamp": 0,\n',
    "row: expected a JSON object, not [1]": b"[1]\n",
    "row: expected one JSON object on the line, not": b"\xff\xfe\n",
    "trace: expected at least one row, not an empty file": b"",
    "trace: expected at least one row": b"\n\n",
}


@pytest.mark.parametrize("message", BAD_FILES)
def test_a_bad_file_is_refused(tmp_path, message):
    path = tmp_path / "t.jsonl"
    path.write_bytes(BAD_FILES[message])
    with pytest.raises(UserError) as error:
        load_mooncake(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))


def test_missing_folder_and_false_or_cut_gzip_are_refused(tmp_path):
    text = json.dumps(GOOD).encode() + b"\n"
    false, cut = tmp_path / "false.gz", tmp_path / "cut.gz"
    false.write_bytes(text)
    cut.write_bytes(gzip.compress(text * 5000)[:-30])
    for path, message in ((tmp_path / "none", "no such file"), (tmp_path, "is a directory"),
                          (false, "expected gzip data, as its name says"),
                          (cut, "expected intact gzip data")):
        with pytest.raises(UserError, match=message):
            load_mooncake(path)


@pytest.mark.skipif(not FIRST_1000.exists(), reason="the public traces are not beside the checkout")
def test_the_real_trace_is_read_whole():
    workload = load_mooncake(FIRST_1000)
    assert len(workload.requests) == 1000
    assert sum(r.input_tokens for r in workload.requests) == 13_732_944
    assert sum(r.output_tokens for r in workload.requests) == 349_357
    assert "889 of 1000 rows moved: 111 timestamps" in workload.notes[0]
