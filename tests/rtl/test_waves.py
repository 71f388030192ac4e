"""`make waves`: its views refer to what the waveform holds, and can be moved with it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model.spec.attention import MacMode
from model.spec.presets import slice_spec
from model.spec.registers import register_map
from model.spec.timing import Command
from tb import dram_waves, gtkwave, host_waves, surfer
from tb.bench_waves import BLOCKS, HEADS
from tb.build import ROOT
from tb.heads_waves import SCENARIO, WATCHED, passes, results, scores_taken
from tb.heads_waves import view as heads_view
from tb.unit_scenario import UnitScenario
from tb.wave_view import COMMANDS, register_names, view
from tb.waveform import Waveform, copy_readable, intervals
from tb.waves import OPTIONS, record, write_views

SPEC = slice_spec(**OPTIONS)
HEADER = """$timescale 1ps $end
$scope module slice $end
$var wire 1 ! clk $end
$var wire 4 " {escape}bus.command [3:0] $end
$var wire 1 # \\$auto$yosys.cc:1 $end
$var wire 1 $ \\$auto$yosys.cc:2 $end
$var wire 1 $ busy $end
$upscope $end
$enddefinitions $end
"""
CHANGES = """#0
0!
b0 "
1#
x$
#500
1!
b1001 "
1$
#1000
0!
0#
#1500
1!
b0 "
#2000
0!
#2500
1!
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make waves SIM=icarus` leaves."""
    output = tmp_path_factory.mktemp("waves")
    write_views(record(output, "icarus"), SPEC)
    return output


@pytest.fixture(scope="module")
def waveform(folder: Path) -> Waveform:
    """The waveform, with the signals that tests look at."""
    return Waveform(folder / "dump.vcd", [
        "slice.move_busy", "slice.attend_busy", "slice.commands__row.command",
        "slice.commands__column.command", "slice.result__valid", "slice.result__payload.last"])


def test_every_signal_of_every_view_is_in_the_waveform(folder: Path, waveform: Waveform) -> None:
    traces = [trace for group in view(SPEC) for trace in group.traces]
    assert len(traces) > 100
    assert [trace.signal for trace in traces if trace.signal not in waveform] == []
    shown = re.findall(r"^(?:\+\{[^}]*\} )(slice\.\S+)$", (folder / "slice.gtkw").read_text(), re.M)
    assert shown == [waveform.reference(trace.signal) for trace in traces]
    added = re.findall(r"^variable_add (\S+)$", (folder / "slice.sucl").read_text(), re.M)
    assert added == [trace.signal for trace in traces]


def test_the_views_can_be_moved_and_their_name_files_exist(folder: Path) -> None:
    text = (folder / "slice.gtkw").read_text()
    files = set(re.findall(r"^\^\d+ (\S+)$", text, re.M)) | {
        *re.findall(r'^\[(?:dumpfile|savefile)\] "(.*)"$', text, re.M)}
    assert {"dump.vcd", "slice.gtkw", "slice.commands.txt"} <= files
    for name in files:
        assert Path(name).name == name and (folder / name).stat().st_size > 0, name
    names = [path.stem for path in (folder / surfer.MAPPINGS).iterdir()]
    assert sorted(names) == sorted(
        {trace.names.key for group in view(SPEC) for trace in group.traces if trace.names})


def test_the_picture_is_drawn_and_the_waveform_is_of_a_handy_size(folder: Path) -> None:
    assert (folder / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "timeline.png").stat().st_size > 50_000
    assert 1e6 < (folder / "dump.vcd").stat().st_size < 60e6


def test_the_run_is_one_move_and_then_one_attention(waveform: Waveform) -> None:
    move, = intervals(waveform.values("slice.move_busy") != 0)
    attend, = intervals(waveform.values("slice.attend_busy") != 0)
    assert move[1] < attend[0]
    columns = waveform.values("slice.commands__column.command")
    per_block = 16 * SPEC.pim.chunks_max                 # columns of K or of V
    reads = np.count_nonzero(columns[slice(*move)] == Command.RD)
    assert reads == np.count_nonzero(columns[slice(*move)] == Command.WR) == 2 * per_block
    waves = -(-BLOCKS // SPEC.geometry.pim_banks)
    assert np.count_nonzero(columns[slice(*attend)] == Command.MAC_ALL) == 2 * per_block * waves
    ended = waveform.values("slice.result__valid") & waveform.values("slice.result__payload.last")
    assert np.count_nonzero(ended) == HEADS


def test_the_markers_stand_where_the_operations_begin_and_end(
        folder: Path, waveform: Waveform) -> None:
    text = (folder / "slice.gtkw").read_text()
    times = [int(t) for t in re.findall(r"^\*\S+ -1 (.*)$", text, re.M)[0].split() if t != "-1"]
    titles = re.findall(r"^\[markername\] [A-Z](.*)$", text, re.M)
    move, = intervals(waveform.values("slice.move_busy") != 0)
    attend, = intervals(waveform.values("slice.attend_busy") != 0)
    row_pass = np.flatnonzero(waveform.values("slice.commands__row.command") == Command.ACT_ALL)[0]
    assert dict(zip(titles, times, strict=True)) == {
        title: waveform.ticks(int(clock)) for title, clock in (
            ("move", move[0]), ("moved", move[1]), ("attend", attend[0]),
            ("first pass", row_pass), ("attended", attend[1]))}


def test_names_come_from_the_specification() -> None:
    lines = gtkwave.translations(COMMANDS).splitlines()
    assert lines[Command.NOP] == "0 -" and len(lines) == len(Command)
    assert all(line.split()[0] == str(int(c)) and line.endswith(c.name)
               for c, line in zip(Command, lines, strict=True) if c is not Command.NOP)
    addresses = register_names().labels
    assert addresses[register_map()["control"].offset] == "control"
    assert addresses[register_map()["wave_row"].offset + 4] == "wave_row[1]"
    assert surfer.mapped(COMMANDS).splitlines()[:3] == ["Name = commands", "Bits = 4", "0 -"]


def test_a_name_of_several_signals_is_none(tmp_path: Path) -> None:
    raw, copy = tmp_path / "raw.vcd", tmp_path / "copy.vcd"
    raw.write_text(HEADER.format(escape="").replace("wire 1 $ busy", "wire 2 $ clk") + CHANGES)
    copy_readable(raw, copy)
    assert "slice.clk" not in Waveform(copy, ["slice.bus.command"], clock="slice.bus.command")
    with pytest.raises(KeyError):
        Waveform(copy)


@pytest.mark.parametrize("escape", ["", "\\"], ids=["verilator", "icarus"])
def test_both_spellings_of_a_field_read_alike(tmp_path: Path, escape: str) -> None:
    raw, copy = tmp_path / "raw.vcd", tmp_path / "copy.vcd"
    raw.write_text(HEADER.format(escape=escape) + CHANGES)
    copy_readable(raw, copy)
    assert "auto" not in copy.read_text() and "1#" not in copy.read_text()
    waveform = Waveform(copy, ["slice.bus.command", "slice.busy"])
    assert waveform.reference("slice.bus.command") == "slice.bus.command[3:0]"
    assert waveform.clocks == 2 and waveform.ticks(1) == 1500
    assert waveform.values("slice.bus.command").tolist() == [Command.MAC_ALL, Command.NOP]
    assert intervals(waveform.values("slice.busy") != 0) == [(0, 2)]


def test_intervals_are_half_open_runs() -> None:
    assert intervals(np.array([1, 1, 0, 1, 0], bool)) == [(0, 2), (3, 4)]
    assert intervals(np.zeros(3, bool)) == []


@pytest.mark.parametrize(("arguments", "message"), [
    (["tb.waves", "--simulator", "vcs"], "tb.waves: SIM: expected one of icarus, verilator"),
    (["tb.verilog", "--banks", "0"], "tb.verilog: pim_banks: expected an integer in 1..16, not 0"),
    (["tb.verilog", "--preset", "hbm5"], "tb.verilog: preset: expected one of hbm3_5200,"),
])
def test_bad_options_are_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    ran = subprocess.run([sys.executable, "-m", *arguments, "--output", str(tmp_path / "out")],
                         cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2 and ran.stderr.startswith(message)
    assert ran.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_scenario_that_does_not_exist_is_refused_in_one_line() -> None:
    done = subprocess.run([sys.executable, "-m", "tb.waves", "--scenario", "tide"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == ("tb.waves: scenario: expected one of dma, dram, heads, host, "
                           "quantiser, slice, translator, not 'tide'\n")


@pytest.mark.parametrize(("scenario", "suffixes"), [
    (dram_waves.SCENARIO, {".gtkw", ".sucl", ".txt", ".png"}),
    (host_waves.SCENARIO, {".gtkw", ".sucl", ".txt"})], ids=["dram", "host"])
def test_a_unit_is_shown_by_views_that_refer_to_it(
        scenario: UnitScenario, suffixes: set[str], tmp_path: Path) -> None:
    dump = scenario.record(tmp_path, "icarus")
    files = scenario.write_views(dump)
    assert {file.suffix for file in files} >= suffixes
    assert all(file.stat().st_size for file in files)
    waveform = Waveform(dump, scenario.watched, clock=f"{scenario.top}.clk")
    assert [t.signal for group in scenario.view() for t in group.traces
            if t.signal not in waveform] == []
    moments = list(scenario.markers(waveform).values())
    assert len(moments) == 5 and moments == sorted(moments)


def test_two_heads_overlap(tmp_path: Path) -> None:
    """Scores and softmax of the second head while outputs of the first go on."""
    dump = SCENARIO.record(tmp_path, "icarus")
    files = SCENARIO.write_views(dump)
    assert {file.suffix for file in files} >= {".gtkw", ".sucl", ".png"}
    assert all(file.stat().st_size > 0 for file in files)
    waveform = Waveform(dump, WATCHED)
    assert [t.signal for group in heads_view() for t in group.traces
            if t.signal not in waveform] == []
    keys, values = ([passes(waveform, mode, head) for head in range(2)]
                    for mode in (MacMode.DOT, MacMode.AXPY))
    first, second = results(waveform)
    assert keys[1][0] < values[0][1], "scores of the second head before the first one's outputs end"
    taken = scores_taken(waveform, 1)[0]
    softmax = next((begin, end) for begin, end in intervals(
        waveform.values("slice.softmax.busy") != 0) if begin <= taken + 1 < end)
    assert values[0][0] < softmax[0] < values[0][1], "... which softmax works on meanwhile"
    assert values[0][1] < first < values[1][1], "... and the first is read out under the second"
    assert keys[1][0] < first < second
    attend, = intervals(waveform.values("slice.attend_busy") != 0)
    assert attend[0] < keys[0][0] and attend[1] >= second
