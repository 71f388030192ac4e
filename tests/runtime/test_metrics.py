"""Summaries: percentiles, energy and identities between the figures of one run."""

import pytest

from model.spec.timing import HBM4_8000
from runtime.energy import ATTACC
from runtime.files import write_atomically
from runtime.generator import generate
from runtime.metrics import percentiles, summarise
from runtime.plots import wave_bound
from runtime.serving import Engine, EngineConfig
from runtime.tables import milliseconds, pair, size
from tests.runtime.common import system_named, table_in


def test_percentiles_are_values_that_occurred():
    values = [10, 20, 30, 40]
    assert percentiles(values, (0, 25, 50, 51, 99, 100)) == [10, 10, 20, 30, 40, 40]


def test_energy_pieces_add_up_to_the_published_sums():
    assert pytest.approx(3.59) == ATTACC.gpu_access_bit         # facts.md 2.2
    assert pytest.approx(4.4) == ATTACC.bank_access_bit * 8
    assert pytest.approx(6.58) == 2 * ATTACC.stack_access_bit   # facts.md 9
    assert pytest.approx(3.04) == ATTACC.pim_io_bit


@pytest.mark.parametrize("name", ["gpu", "tokenstack_base", "tokenstack"])
def test_the_figures_of_a_run_agree_with_each_other(tmp_path, name):
    system, workload = system_named(name, table_in(tmp_path)), generate(120, 4.0, 1)
    r = summarise(system, Engine(system, workload, EngineConfig()).run())
    time_ms = r["time_ms"]
    assert isinstance(time_ms, dict)
    assert sum(time_ms.values()) == pytest.approx(r["simulated_seconds"] * 1000)
    assert r["output_tokens"] == sum(q.output_tokens for q in workload.requests)
    assert r["requests_per_second"] * r["e2e_ms"]["mean"] / 1000 >= r["mean_running_requests"]
    for key in ("ttft_ms", "tpot_ms", "e2e_ms", "queue_ms"):
        cdf = r[key]["cdf"]
        assert cdf == sorted(cdf)
        assert (cdf[50], cdf[99]) == (r[key]["p50"], r[key]["p99"])
    busy = r["utilisation"]
    assert 0 < busy["gpu"] + busy["pim"] <= 1
    # no request's tokens can follow each other faster than the weights can be read
    weights = system.model.weight_bytes - 2 * 128256 * 4096
    assert r["tpot_ms"]["cdf"][0] > weights / (0.85 * system.gpu.weight_bandwidth) * 1000


def test_the_bound_of_a_wave_is_its_rows():
    # 8 rows; group 4: 20 + 31 x 4 + 6 + 17 clocks; group 1: 20 + 31 x 2 + 6 + 17
    assert wave_bound(HBM4_8000, 128, 4) == 8 * 167
    assert wave_bound(HBM4_8000, 128, 1) == 8 * 105


def test_numbers_read_well():
    assert [milliseconds(x) for x in (None, 0.0123, 14.06, 1234.5, 93_097.1)] == [
        "-", "0.0123 ms", "14.1 ms", "1234 ms", "93.1 s"]
    assert pair(2.12, 3.44) == "2.12 / 3.44 ms"
    assert pair(900.0, 12_000.0) == "900 ms / 12 s"
    assert pair(None, None) == "- / -"
    assert [size(x) for x in (0, 2048, 1.5 * 2**40)] == ["0 B", "2 KiB", "1.5 TiB"]


def test_a_failed_write_leaves_neither_file_nor_remains(tmp_path, monkeypatch):
    target = tmp_path / "results.json"
    target.write_bytes(b"old")

    def fail(self, _):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
