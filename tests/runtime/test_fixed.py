"""AttAcc's fixed mode against what its public simulator gives (facts.md 1.2 and 2.3)."""

import json
import sys

import pytest

from model.spec.errors import UserError
from runtime import cli
from runtime.fixed import pim
from runtime.fixed.catalogue import FIXED_MODELS, fixed_model
from runtime.fixed.energy import FIXED_ENERGIES
from runtime.fixed.figures import PARTS, fixed_record
from runtime.fixed.gpu import fixed_gpu
from runtime.fixed.kernels import layer_kernels
from runtime.fixed.step import FixedRun, simulate

# facts.md 2.3: (lin, lout, batch) -> (ms, J/token) of DGX, 16 GPUs, AttAcc, AttAcc without overlap
PUBLISHED = {
    (2048, 128, 1): ((31.0, 11.79), (32.0, 11.81), (17.1, 11.52), (27.4, 11.52)),
    (2048, 128, 16): ((36.3, 1.182), (33.8, 1.186), (24.178, 0.903), (29.2, 0.903)),
    (2048, 128, 64): ((64.3, 0.664), (48.4, 0.678), (30.9, 0.379), (35.4, 0.379)),
    (2048, 2048, 16): ((39.9, 1.332), (35.6, 1.336), (24.2, 0.926), (29.7, 0.926)),
    (2048, 2048, 64): ((78.8, 0.815), (55.7, 0.829), (30.9, 0.400), (36.7, 0.400)),
    (512, 512, 64): ((43.9, 0.454), (38.2, 0.468), (30.9, 0.351), (33.4, 0.351)),
}
OPT_66B = ((16e3 / 752, 0.566), (16e3 / 767, 0.542), (16e3 / 1332, 0.363), (16e3 / 1125, 0.363))
COLUMNS = ({"attacc": False}, {"attacc": False, "devices": 16}, {},
           {"pipeline": False, "co_process": False})

# Rows of ramulator.out for heads of 128, power-limited: (heads, L) -> cycles, MAC, MVGB, MVSB, WRGB
ROWS = {
    (3, 2161): (5052, 1632, 216, 264, 24), (101, 128): (1960, 3248, 848, 2424, 808),
    (101, 248): (3301, 6480, 848, 2424, 808), (130, 3004): (56398, 97776, 12480, 14560, 1040),
    (130, 4084): (77969, 133136, 16640, 18720, 1040), (159, 300): (6642, 12138, 2544, 5104, 1272),
    (159, 1020): (19993, 40848, 5088, 7648, 1272), (159, 1985): (39805, 79766, 10176, 12736, 1272),
    (461, 145): (9854, 18456, 3688, 11064, 3688), (2050, 255): (65518, 131216, 16416, 49200, 16400),
}


def run(model: str = "gpt-3-175b", *, batch: int = 16, lin: int = 2048, lout: int = 128,
        **options) -> dict:
    return fixed_record(FixedRun(model=fixed_model(model), batch=batch, lin=lin, lout=lout,
                                 **options))


@pytest.mark.parametrize("key", PUBLISHED, ids=lambda k: f"{k[0]}+{k[1]}x{k[2]}")
def test_gpt3_steps_and_energies_are_those_of_the_public_simulator(key):
    for options, (milliseconds, joules) in zip(COLUMNS, PUBLISHED[key], strict=True):
        record = run(lin=key[0], lout=key[1], batch=key[2], **options)
        assert record["step_ms"] == pytest.approx(milliseconds, rel=0.01)
        assert record["token_j"] == pytest.approx(joules, rel=0.015)


def test_another_model_is_reproduced_too():
    for options, (milliseconds, joules) in zip(COLUMNS, OPT_66B, strict=True):
        record = run("opt-66b", lout=2048, **options)
        assert record["step_ms"] == pytest.approx(milliseconds, rel=0.01)
        assert record["token_j"] == pytest.approx(joules, rel=0.015)


def test_the_parts_of_a_step_are_those_listed():
    record = run(lout=2048, batch=64)       # facts.md 2.3, below its table
    assert record["fc_ms"] == pytest.approx(13.2, rel=0.03)
    assert record["comm_ms"] == pytest.approx(10.5, rel=0.01)
    assert record["attention_ms"] == pytest.approx(4.4, rel=0.05)
    assert record["other_ms"] == pytest.approx(2.8, rel=0.02)
    assert sum(record[part] for part in PARTS) == pytest.approx(record["step_ms"])
    assert sum(record["energy_j"].values()) == pytest.approx(record["step_j"])
    assert not record["fits"]               # 1.58 TB in 1,280 GiB: marked as not physical there
    assert record["required_gib"] == pytest.approx(1.58e12 / 2**30, rel=0.01)


def test_the_row_of_vstack_is_met():
    record = run()      # its output.csv: 24.175 ms and 14.35 J a step (facts.md 1.2)
    assert record["step_ms"] == pytest.approx(24.175, rel=0.001)
    assert record["step_j"] == pytest.approx(14.35, rel=0.001)


@pytest.mark.parametrize("key", ROWS)
def test_cycles_of_a_stack_follow_the_simulated_rows(key):
    assert pim.cycles(*key, 128) == pytest.approx(ROWS[key][0], rel=0.027)
    assert pim.fitted_cycles(*key, 128) > 0


@pytest.mark.parametrize("key", ROWS)
def test_commands_are_counted_as_simulated(key):
    """Its generator lets a last, partly filled round do a little more or less in idle channels."""
    made = pim.commands(*key, 128)
    _, mac, to_banks, to_softmax, write = ROWS[key]
    assert 0 <= mac - made.mac <= pim.CHANNELS + 0.007 * mac    # it warms each channel up, too
    assert 0 <= to_softmax - made.to_softmax <= pim.CHANNELS
    assert 0 <= to_banks - made.to_banks <= 8 * 5       # 5 heads in the last of 7 rounds
    assert made.write_vector == write


def test_attention_is_layers_times_the_mean_of_a_table():
    asked = FixedRun(model=fixed_model("gpt-3-175b"), batch=16, lin=2048, lout=128)
    assert asked.stack_heads == 39          # ceil(int(96 / 8) * 16 / 5)
    table = [pim.cycles(39, context, 128) for context in range(2049, 2176)]
    expected = 96 * sum(table) / len(table) * pim.CLOCK_NS * 1e-6
    assert simulate(asked).part("score", "softmax", "context") == pytest.approx(expected)


def test_kernels_of_a_layer_worked_by_hand():
    layer = {k.name: k for k in layer_kernels(fixed_model("gpt-3-175b"), 16, 2100, 8, pim=True)}
    assert layer["qkv"].flops == 2 * 16 * 4608 * 12288
    assert layer["score"].bytes == 2 * 192 * (128 + 2100 * 128 + 2100)
    assert layer["to_pim"].result_bytes == 2 * 16 * 4608
    assert layer["softmax"].flops == 5 * 192 * 2100
    assert layer["norm"].bytes == 3 * 2 * 16 * 12288
    gated = [k.name for k in layer_kernels(fixed_model("llama-7b"), 1, 100, 8, pim=False)]
    assert gated == ["qkv", "score", "softmax", "context", "output", "reduce", "norm", "ff0", "ff1",
                     "activation", "ff_down", "reduce", "norm"]


def test_an_idle_core_costs_bandwidth():
    """One block of threads on 108 cores reaches a 108th of the bandwidth."""
    gpu = fixed_gpu("a100a")
    kernel = next(k for k in layer_kernels(fixed_model("llama-7b"), 1, 4096, 8, pim=False)
                  if k.name == "score")
    seconds, memory_bound = gpu.time(kernel, 8)
    assert memory_bound
    assert seconds == pytest.approx(kernel.bytes / (3352e9 * 0.85 * 4 / 108))


def test_the_slip_hides_seven_eighths_of_the_transfers():
    slipped, meant = run(), run(energy=FIXED_ENERGIES["attacc"])
    assert meant["energy_j"]["PIM transfers"] == pytest.approx(
        8 * slipped["energy_j"]["PIM transfers"])
    assert meant["step_ms"] == slipped["step_ms"]


def test_every_model_of_the_simulator_runs_and_overlap_helps():
    assert len(FIXED_MODELS) == 11
    for name in FIXED_MODELS:
        record, plain = run(name, lout=8), run(name, lout=8, attacc=False)
        assert 0 < record["step_ms"] < plain["step_ms"]
        assert record["attention_ms"] > 0


def test_another_gpu_has_faster_links_and_no_power_limit_shortens_attention():
    assert run(gpu=fixed_gpu("h100"))["comm_ms"] < run()["comm_ms"]
    assert run(power_limit=False)["attention_ms"] < run()["attention_ms"]
    assert run(straight_line=True)["attention_ms"] == pytest.approx(run()["attention_ms"], rel=0.2)


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["tokenstack", "fixed", *arguments])
    try:
        cli.main()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    return status, *capsys.readouterr()


def test_the_command_prints_one_object_or_a_table(monkeypatch, capsys):
    status, out, err = call(monkeypatch, capsys, "--system", "attacc", "--profile", "paper",
                            "--model", "gpt-3-175b", "--batch", "16", "--json")
    assert (status, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out)["step_ms"] == pytest.approx(24.178, rel=0.001)
    status, out, _ = call(monkeypatch, capsys, "--model", "GPT-175B", "--batch", "999")
    assert status == 0
    assert "does not fit" in out


@pytest.mark.parametrize(("arguments", "message"), [
    (["--model", "gpt-3-175"], "did you mean 'gpt-3-175b'"),
    (["--system", "atacc"], "did you mean 'attacc'"),
    (["--profile", "hbm4"], "profile: expected paper"),
    (["--gpu", "b200"], "gpu: expected one of a100a, h100"),
    (["--energy", "atacc"], "energy: expected one of"),
    (["--batch", "0"], "batch: expected an integer in 1..4096"),
    (["--lin", "0"], "lin: expected an integer"),
    (["--lout", "1"], "lout: expected an integer in 2.."),
    (["--devices", "7"], "devices: expected a divisor of 12288"),
    (["--batch", "x"], "Invalid value for '--batch'"),
])
def test_bad_input_is_one_line_and_status_2(monkeypatch, capsys, arguments, message):
    status, out, err = call(monkeypatch, capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_an_unknown_model_is_refused_by_the_catalogue():
    with pytest.raises(UserError, match="model: expected one of"):
        fixed_model("bert")
