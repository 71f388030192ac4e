"""``tokenstack explain``, ``energy`` and ``timeline`` end to end on the fixture's cycles."""

import itertools
import json
import sys

import pytest

from runtime import cli
from runtime.commands.explain import systems_of
from runtime.energy import energy_table
from runtime.energy.price import energy_of
from tests.runtime.fixture_cycles import write_fixture


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
    return status, *capsys.readouterr()


def test_a_result_is_explained_and_priced_again(folder, monkeypatch, capsys):
    assert call(monkeypatch, capsys, "sim", "--requests", "15", "--qps", "20", "--model",
                "qwen3-32b", "--cards", "1", "--systems", "gpu,attacc_split4,tokenstack")[0] == 0
    status, out, _ = call(monkeypatch, capsys, "explain")
    text = " ".join(out.split())
    assert status == 0
    assert "Bounded by" in text
    assert "attacc_split4: qwen3-32b does not fit" in text
    assert "times the tokens/s of gpu" in text
    record = json.loads(call(monkeypatch, capsys, "explain", "--json")[1])
    assert set(record["systems"]) == {"gpu", "tokenstack"}
    for found in record["systems"].values():
        assert sum(found["shares"].values()) == pytest.approx(1)

    status, out, _ = call(monkeypatch, capsys, "energy", "--table", "attacc", "--plot", "e.svg",
                          "--json")
    assert status == 0
    assert (folder / "e.svg").read_text().startswith("<svg")
    joules = json.loads(out)["joules_per_token"]
    results = systems_of(folder / "build" / "results.json")
    for name, found in joules.items():
        assert found["total"] == pytest.approx(results[name]["joules_per_output_token"])
        assert sum(found["places"].values()) == pytest.approx(found["total"])
        again = energy_of(name, results[name], energy_table("hbm4"))
        assert again.by_place["background"] > 0
    assert "in all" in call(monkeypatch, capsys, "energy")[1]


def test_a_timeline_has_all_groups_and_repeats_itself(folder, monkeypatch, capsys):
    kept = []
    for _ in range(2):
        status, out, err = call(monkeypatch, capsys, "timeline", "--requests", "15", "--qps", "20",
                                "--json")
        assert (status, err) == (0, "")
        record = json.loads(out)
        kept.append([(folder / record[name]).read_bytes() for name in ("trace", "residency")])
    assert kept[0] == kept[1]
    assert {"gpu", "pim.stack0", "pim.stack4"} <= set(record["resources"])
    events = json.loads(kept[0][0])["traceEvents"]
    requests = {e["args"]["request"] for e in events if e["ph"] == "X" and e["pid"] == 2}
    assert requests == set(range(15))
    for e in events:
        if e["ph"] == "X":
            assert e["dur"] >= 0
            assert e["args"].get("busy_us", 0) <= e["dur"] + 1e-6
    assert any(e["ph"] == "C" and e["args"].get("pim GiB") for e in events)
    gpu = [e for e in events if e["ph"] == "X" and e["pid"] == 1 and e["cat"] == "gpu"]
    for before, after in itertools.pairwise(gpu):
        assert after["ts"] >= before["ts"] + before["dur"] - 1e-6


@pytest.mark.parametrize(("arguments", "message"), [
    (["explain", "none.json"], "none.json: result: expected a results.json"),
    (["explain", "noise.json"], "noise.json: result: expected JSON"),
    (["explain", "other.json"], "other.json: systems: expected the systems"),
    (["explain", "half.json"], "half.json: result: expected the figures of a run"),
    (["energy", "half.json"], "half.json: result: expected the figures of a run"),
    (["energy", "other.json", "--table", "hbm5"], "did you mean 'hbm4'"),
    (["timeline", "--system", "tokenstak"], "did you mean 'tokenstack'"),
    (["timeline", "--model", "llama"], "model: expected one of"),
    (["timeline", "--profile", "hbm5"], "did you mean 'hbm4'"),
    (["timeline", "--profile", "paper"], "`make sim PRESET=hbm3_5200` makes it"),
    (["timeline", "--model", "qwen3-32b", "--system", "attacc_split4", "--cards", "1"],
     "attacc_split4: qwen3-32b does not fit"),
    (["timeline", "--requests", "0"], "requests: expected an integer"),
    (["timeline", "--out", "blocked", "--requests", "2"], "blocked: out: expected a folder"),
])
def test_bad_input_is_one_line_and_status_2(folder, monkeypatch, capsys, arguments, message):
    (folder / "blocked").write_text("a file")
    (folder / "noise.json").write_text("{]")
    (folder / "other.json").write_text('{"a": 1}')
    (folder / "half.json").write_text('{"systems": {"gpu": {"feasible": true}}}')
    status, out, err = call(monkeypatch, capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
