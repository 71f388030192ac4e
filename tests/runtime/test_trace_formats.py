"""Qwen-Bailian, Azure and BurstGPT: read as they are published, refused by file, line and field."""

import gzip
import json
import os
import pickle
import threading

import pytest

from model.spec.errors import UserError
from runtime.traces import TRACE_FORMATS, load_trace
from runtime.workload import PS_PER_MS, PS_PER_SECOND, RequestStream
from tests.runtime.common import TRACES

QWEN = {"chat_id": 159, "parent_chat_id": -1, "timestamp": 61.114, "input_length": 33,
        "output_length": 132, "type": "text", "turn": 1, "hash_ids": [1089, 1090, 6326]}
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"


def lines(path, *rows):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def test_conversations_of_qwen_bailian_are_followed_to_their_first_chat(tmp_path):
    path = lines(
        tmp_path / "q", QWEN,
        QWEN | {"chat_id": 200, "parent_chat_id": 159, "timestamp": 70, "turn": 2},
        QWEN | {"chat_id": 7, "parent_chat_id": 200, "timestamp": 80.5, "turn": 3, "type": "file"},
        QWEN | {"chat_id": 8, "parent_chat_id": 5, "timestamp": 81, "turn": 4})
    workload = load_trace(path)
    assert (workload.source["kind"], workload.block_tokens) == ("qwen-bailian", 16)
    rows = list(workload.requests)
    assert [r.arrival_ps for r in rows] == [61_114 * PS_PER_MS, 70_000 * PS_PER_MS,
                                            80_500 * PS_PER_MS, 81_000 * PS_PER_MS]
    assert [(r.session, r.chat, r.parent, r.turn, r.request_class) for r in rows] == [
        (159, 159, -1, 1, "text"), (159, 200, 159, 2, "text"), (159, 7, 200, 3, "file"),
        (5, 8, 5, 4, "text")]      # its parent is not in the file
    assert rows[0].block_ids == (1089, 1090, 6326)


def test_azure_of_2023_counts_from_its_first_row_and_invents_no_ids(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(AZURE + "2023-11-16 23:59:59.6805900,374,44\n2023-11-17 00:00:00.0000000,8,1")
    rows = list(load_trace(path).requests)
    assert [r.arrival_ps for r in rows] == [0, 319_410 * 10 ** 6]
    assert [(r.input_tokens, r.output_tokens, r.block_ids) for r in rows] == [
        (374, 44, ()), (8, 1, ())]


def test_azure_of_2024_has_offsets_and_may_leave_out_the_fraction(tmp_path):
    path = lines(tmp_path / "a.csv", AZURE.strip(), "2024-05-10 00:00:00.009930+00:00,2162,5",
                 "2024-05-10 00:00:01+00:00,10,2", "2024-05-10 02:00:02.5+02:00,10,2",
                 "2024-05-10 00:00:03Z,10,2")
    assert [r.arrival_ps for r in load_trace(path).requests] == [
        0, 990_070 * 10 ** 6, 2_490_070 * 10 ** 6, 2_990_070 * 10 ** 6]


def test_failed_requests_of_burstgpt_are_left_out_and_counted(tmp_path):
    path = lines(tmp_path / "b.csv", BURST.strip(), "5,ChatGPT,472,18,490,Conversation log",
                 "45,ChatGPT,1087,0,1087,Conversation log", "45.5,GPT-4,417,276,693,API log")
    workload = load_trace(path)
    rows = list(workload.requests)
    assert [(r.arrival_ps, r.input_tokens, r.output_tokens, r.request_class) for r in rows] == [
        (5 * PS_PER_SECOND, 472, 18, "ChatGPT, Conversation log"),
        (45 * PS_PER_SECOND + PS_PER_SECOND // 2, 417, 276, "GPT-4, API log")]
    assert workload.source["failed"] == 1
    assert "1 failed requests (a response of 0 tokens) left out" in workload.notes


def test_seconds_of_burstgpt_are_spread_over_a_second_and_not_over_a_night(tmp_path):
    path = lines(tmp_path / "b.csv", BURST.strip(), *["5,m,1,1,2,log"] * 4, "9000,m,1,1,2,log")
    workload = load_trace(path)
    assert [r.arrival_ps for r in workload.requests] == [
        5_000 * PS_PER_MS, 5_250 * PS_PER_MS, 5_500 * PS_PER_MS, 5_750 * PS_PER_MS,
        9_000_000 * PS_PER_MS]
    assert "3 of 5 rows moved" in workload.notes[0]
    assert "over 1 s" in workload.notes[0]


def test_later_releases_of_burstgpt_name_sessions(tmp_path):
    header = BURST.strip().replace("Timestamp,", "Timestamp,Session ID,Elapsed time,")
    path = lines(tmp_path / "b.csv", header, "1,ab,2,m,1,1,2,log", "2,cd,2,m,1,1,2,log",
                 "3,ab,2,m,1,1,2,log", "4,,2,m,1,1,2,log")
    assert [r.session for r in load_trace(path).requests] == [0, 1, 0, -1]


GOOD_AZURE = "2023-11-16 18:15:46.6805900,374,44"
GOOD_BURST = "5,m,472,18,490,log"

BAD = {
    "chat_id: expected an id, 0 or more, not -3": (QWEN, QWEN | {"chat_id": -3}),
    "parent_chat_id: expected another chat's id, or -1, not 159": (
        QWEN, QWEN | {"parent_chat_id": 159}),
    "turn: expected a number from 1 on, not 0": (QWEN, QWEN | {"turn": 0}),
    "type: expected a word, not 7": (QWEN, QWEN | {"type": 7}),
    "timestamp: expected a number, not 'x'": (QWEN, QWEN | {"timestamp": "x"}),
    "timestamp: expected seconds from the start, 0 or more, not -1": (
        QWEN, QWEN | {"timestamp": -1}),
    "timestamp: expected at least the row before's 61.114, not 60": (
        QWEN, QWEN | {"timestamp": 60}),
    "hash_ids: expected 3 ids, one for each 16 of 33 tokens, not 2": (
        QWEN, QWEN | {"hash_ids": [1, 2]}),
    "turn: expected a value, not a missing field": (
        QWEN, {k: v for k, v in QWEN.items() if k != "turn"}),
    "output_length: expected a number of tokens, 1 or more, not 0": (
        QWEN, QWEN | {"output_length": 0}),
    "TIMESTAMP: expected YYYY-MM-DD HH:MM:SS.fffffff, not 'now'": (
        AZURE.strip(), GOOD_AZURE, "now,1,1"),
    "TIMESTAMP: expected a date and time that exist": (
        AZURE.strip(), GOOD_AZURE, "2023-02-30 18:15:46,1,1"),
    "TIMESTAMP: expected an offset from UTC in all rows or in none": (
        AZURE.strip(), GOOD_AZURE, "2023-11-16 18:15:47+00:00,1,1"),
    "TIMESTAMP: expected a time after the first row's": (
        AZURE.strip(), GOOD_AZURE, "2023-11-16 18:15:45,1,1"),
    "ContextTokens: expected an integer, not 'many'": (
        AZURE.strip(), GOOD_AZURE, "2023-11-16 18:15:47,many,1"),
    "ContextTokens: expected a number of tokens, 1 or more, not 0": (
        AZURE.strip(), GOOD_AZURE, "2023-11-16 18:15:47,0,1"),
    "GeneratedTokens: expected a number of tokens, 1 or more, not -4": (
        AZURE.strip(), GOOD_AZURE, "2023-11-16 18:15:47,1,-4"),
    "row: expected 3 fields, as the header has, not 2": (
        AZURE.strip(), GOOD_AZURE, "2023-11-16 18:15:47,1"),
    "Timestamp: expected seconds, not 'nan'": (BURST.strip(), GOOD_BURST, "nan,m,1,1,2,log"),
    "Timestamp: expected a time from 0 on, less than 32 years, not '-6'": (
        BURST.strip(), GOOD_BURST, "-6,m,1,1,2,log"),
    "Timestamp: expected at least the row before's 5, not '4.9'": (
        BURST.strip(), GOOD_BURST, "4.9,m,1,1,2,log"),
    "Total tokens: expected the sum of request and response, 3, not 2": (
        BURST.strip(), GOOD_BURST, "6,m,1,2,2,log"),
    "Request tokens: expected a number of tokens, 1 or more, not 0": (
        BURST.strip(), GOOD_BURST, "6,m,0,2,2,log"),
    "Response tokens: expected an integer, not '1.5'": (
        BURST.strip(), GOOD_BURST, "6,m,1,1.5,2,log"),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_row_is_refused_by_line_and_field_or_skipped_and_counted(tmp_path, message):
    path = lines(tmp_path / "t", *BAD[message])
    number = len(BAD[message])
    with pytest.raises(UserError) as error:
        load_trace(path)
    assert str(error.value).startswith(f"{path}:{number}: {message}")
    assert "\n" not in str(error.value)
    workload = load_trace(path, skip_bad=True)
    assert len(workload.requests) == len(list(workload.requests)) == 1
    assert workload.source["skipped"] == 1
    assert f"1 bad rows skipped, the first {path}:{number}: {message}" in workload.notes[-1]


def test_a_file_of_bad_or_failed_rows_alone_is_refused(tmp_path):
    path = lines(tmp_path / "t", QWEN | {"turn": 0}, QWEN | {"turn": 0})
    with pytest.raises(UserError, match=r"at least one row, not 2 bad ones, the first .*:1: turn"):
        load_trace(path, skip_bad=True)
    path = lines(tmp_path / "t", BURST.strip(), "6,m,1,0,1,log")
    with pytest.raises(UserError, match="at least one row, not 1 failed requests"):
        load_trace(path)


def test_the_format_is_known_by_content_or_by_name(tmp_path):
    path = lines(tmp_path / "looks_like.csv", QWEN)
    assert load_trace(path).source["kind"] == "qwen-bailian"
    with pytest.raises(UserError, match="header: expected a column 'TIMESTAMP'"):
        load_trace(path, "azure")
    with pytest.raises(UserError, match=r"trace-format: expected one of azure, .*'azur'; did"):
        load_trace(path, "azur")
    unknown = lines(tmp_path / "t", "hello,world")
    with pytest.raises(UserError, match=r":1: trace: expected the first line of a trace in"):
        load_trace(unknown)
    assert set(TRACE_FORMATS) == {"mooncake", "qwen-bailian", "azure", "burstgpt"}


def test_gzip_a_byte_order_mark_and_windows_lines_are_taken(tmp_path):
    path = tmp_path / "a.csv.gz"
    text = "\ufeff" + AZURE + GOOD_AZURE + "\n\n"
    path.write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
    assert [r.output_tokens for r in load_trace(path).requests] == [44]


def test_a_stream_holds_no_rows_and_reads_the_file_again(tmp_path):
    path = lines(tmp_path / "t", *(QWEN | {"timestamp": k, "chat_id": k} for k in range(50)))
    workload = load_trace(path)
    assert isinstance(workload.requests, RequestStream)
    assert list(workload.requests) == list(workload.requests)
    assert list(pickle.loads(pickle.dumps(workload)).requests) == list(workload.requests)
    assert (workload.first.chat, workload.last.chat, workload.longest.kv_blocks) == (0, 49, 11)
    faster = workload.at_rate(490.0)
    assert [r.arrival_ps for r in faster.requests] == [
        k * PS_PER_SECOND // 490 for k in range(50)]
    assert faster.last.arrival_ps == PS_PER_SECOND // 10
    lines(path, QWEN)
    with pytest.raises(UserError, match="expected the 50 rows that were read before, not 1"):
        list(workload.requests)


def test_a_pipe_is_read_once_and_held(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lines, args=(pipe, QWEN, QWEN | {"timestamp": 62.0}))
    writer.start()
    workload = load_trace(pipe)
    writer.join()
    assert len(list(workload.requests)) == len(list(workload.requests)) == 2
    assert workload.source["sha256"] is None


@pytest.mark.skipif(not TRACES.exists(), reason="the public traces are not beside the checkout")
@pytest.mark.parametrize(("name", "rows", "rate", "mean"), [
    ("conv", 19_366, 5.53, 1155), ("code", 8_819, 2.57, 2048)])
def test_the_real_azure_hours_are_read_whole(name, rows, rate, mean):
    workload = load_trace(TRACES / "azure2023" / f"AzureLLMInferenceTrace_{name}.csv")
    assert len(workload.requests) == rows
    assert workload.native_qps == pytest.approx(rate, abs=0.005)
    assert sum(r.input_tokens for r in workload.requests) / rows == pytest.approx(mean, abs=0.6)
