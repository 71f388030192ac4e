"""``tokenstack dram``: cycles worked out by hand, JSON purity, the log, and bad input."""

import json
import sys
from itertools import islice
from pathlib import Path

import pytest

from model.spec.addressing import Place, full_geometry
from tb import cli, patterns
from tb.replay import address_map

ADDRESSES = address_map("hbm4_8000")


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
         *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["tokenstack", "dram", *map(str, arguments)])
    try:
        cli.main()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    out, err = capsys.readouterr()
    return status, out, err


def replayed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path,
             lines: list[str], *options: object) -> dict:
    path.write_text("\n".join(lines) + "\n")
    status, out, err = call(monkeypatch, capsys, "--trace", path, "--json",
                            "--simulator", "verilator", *options)
    assert status == 0, err
    assert out.count("\n") == 1
    return json.loads(out)


def test_short_traces_take_the_clocks_that_the_timing_table_says(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    """ACT in the clock after the request; RCDRD 20, CL 10, CCDL 2, RAS 29, RP 17, one beat."""
    trace = tmp_path / "trace"
    one = replayed(monkeypatch, capsys, trace, ["LD 0x0"])
    assert one["cycles"] == 1 + 20 + 10 + 1
    assert (one["row_hits"], one["row_misses"], one["row_conflicts"]) == (0, 1, 0)
    assert one["read_latency"]["max"] == 1 + 20 + 10 + 1
    assert one["bandwidth_gbps"] == pytest.approx(32 / 32)

    row = replayed(monkeypatch, capsys, trace, [f"LD {n:#x}" for n in range(32)])
    assert row["cycles"] == 1 + 20 + 31 * 2 + 10 + 1
    assert (row["row_hits"], row["row_misses"], row["row_conflicts"]) == (31, 1, 0)

    log = tmp_path / "log"
    two = replayed(monkeypatch, capsys, trace, ["LD 0x0", "", "LD 0x20  # another row"],
                   "--log", log, "--no-refresh", "--simulator", "icarus")
    assert two["cycles"] == 1 + 29 + 17 + 20 + 10 + 1
    assert (two["row_hits"], two["row_misses"], two["row_conflicts"]) == (0, 1, 1)
    assert log.read_text().splitlines() == [
        "1 ACT sid=0 group=0 bank=0 row=0", "21 RD sid=0 group=0 bank=0 column=0",
        "30 PRE sid=0 group=0 bank=0", "47 ACT sid=0 group=0 bank=0 row=1",
        "67 RD sid=0 group=0 bank=0 column=0"]

    store = replayed(monkeypatch, capsys, trace, ["ST 0x400000"])      # RCDWR 10, CWL 5
    assert store["cycles"] == 1 + 10 + 5 + 1
    assert store["read_latency"] is None and store["writes"] == 1


def test_a_stream_fills_the_bus_and_other_channels_are_left_out(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    places = islice(patterns.streaming(full_geometry("hbm4_8000")), 2000)
    lines = [f"LD {ADDRESSES.address(place):#x}" for place in places]
    other = f"ST {ADDRESSES.address(Place(5, 0, 0, 0, 0, 0)):#x}"
    got = replayed(monkeypatch, capsys, tmp_path / "trace", [*lines, other, *lines[:1]])
    assert got["left_out"] == 1 and got["requests"] == 2001
    assert 0.97 < 2001 / got["cycles"] <= 1
    again = replayed(monkeypatch, capsys, tmp_path / "trace", [other], "--pseudo-channel", 5)
    assert again["writes"] == 1
    in_bytes = [f"LD {ADDRESSES.address(Place(0, 0, 0, 0, 0, n)) << 5:#x}" for n in range(32)]
    assert replayed(monkeypatch, capsys, tmp_path / "trace", in_bytes,
                    "--bytes")["row_hits"] == 31


@pytest.mark.parametrize(("text", "message"), [
    ("LD 0x0\nLOAD 0x1\n",
     ":2: expected LD or ST and an address such as LD 0x1f40, not 'LOAD 0x1'"),
    ("LD 0xzz\n", ":1: expected LD or ST and an address"),
    ("LD\n", ":1: expected LD or ST and an address"),
    ("LD 0x0 0x1\n", ":1: expected LD or ST and an address"),
    ("ST 0x40000000\n", ":1: address 0x40000000: expected at most 0x3fffffff, 30 bits"),
    ("# nothing\n", ": no access, expected lines such as LD 0x1f40"),
    ("LD 0x1000000\n", ": no access to pseudo-channel 0, expected one at least"),
    ("\x00\xff", ":1: expected LD or ST"),
])
def test_a_bad_trace_is_answered_with_one_line(
        text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace"
    trace.write_text(text)
    status, out, err = call(monkeypatch, capsys, "--trace", trace)
    assert (status, out) == (2, "")
    assert err.startswith(f"tokenstack: {trace}{message}") and err.count("\n") == 1


@pytest.mark.parametrize(("options", "message"), [
    (["--trace", "missing"], "missing: No such file or directory, expected a trace"),
    ([], "Missing option '--trace'"),
    (["--trace", "trace", "--preset", "hbm5"], "hbm5"),
    (["--trace", "trace", "--pseudo-channel", "64"], "--pseudo-channel 64: expected 0..63"),
    (["--trace", "trace", "--simulator", "icarsu"],
     "--simulator: expected one of icarus, verilator, not 'icarsu'; did you mean 'icarus'?"),
    (["--trace", "trace", "--log", "no/where"], "--log no/where: No such file or directory"),
])
def test_bad_options_are_answered_with_one_line(
        options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trace").write_text("LD 0x0\n")
    status, out, err = call(monkeypatch, capsys, *options)
    assert (status, out) == (2, "")
    assert message in err and err.count("\n") == 1
