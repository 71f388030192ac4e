"""The quantiser on the simulators, and mutants of it that the bench must kill."""

from dataclasses import replace

import pytest

from hdl.quantiser.quantiser import Quantiser
from tb.bench_quantiser import quantiser_spec
from tb.build import BenchFailure, simulate
from tb.quantiser_waves import SCENARIO, view
from tb.waveform import Waveform
from tests.rtl.mutants import Mutant, mutated

BENCH = "tb.bench_quantiser"
LARGE = {"wide": "bf16", "blocks_max": 256, "exhaustive": 1, "regions": 30}
SMALL = {"wide": "fp16", "blocks_max": 34, "exhaustive": 61, "regions": 8}
MUTANT = {"wide": "bf16", "blocks_max": 34, "exhaustive": 29, "regions": 12,
          "formats": ["mxfp8_e5m2", "mxfp6_e2m3", "int4"]}
NUMBERS = "every_number_in_every_format/half_away=False"
TIES = "ties_and_overflows_of_every_format/half_away={}/overflow={}"
BACK = "every_element_at_every_scale"
PARTIAL = "columns_that_are_full_in_part/stall=0.0"
STALLED = "random_regions_of_any_length_format_and_direction/idle=0.4/stall=0.6"
REFUSED = "what_is_quantised_already_is_refused_and_takes_no_beats/stall=0.0"
NO_GAPS = "a_beat_a_clock_without_gaps_between_blocks_and_regions/back={}"
ON_ICARUS = [NUMBERS, TIES.format(True, True), BACK, STALLED, REFUSED,
             "no_blocks_and_too_many_are_refused", "latencies_are_as_stated"]


@pytest.mark.parametrize("simulator, parameters, tests", [
    ("verilator", LARGE, []), ("icarus", SMALL, ON_ICARUS),
], ids=["verilator-bf16", "icarus-fp16"])
def test_the_quantiser_matches_the_golden_model(tmp_path, simulator, parameters, tests):
    simulate(Quantiser(quantiser_spec(**parameters)), BENCH, tmp_path, simulator=simulator,
             parameters=parameters, tests=tests)


def test_views_of_the_waveform_show_signals_that_exist(tmp_path):
    dump = SCENARIO.record(tmp_path, "icarus")
    files = SCENARIO.write_views(dump)
    signals = [trace.signal for group in view() for trace in group.traces]
    waveform = Waveform(dump, signals, clock="quantiser.clk")
    assert len(signals) > 30 and all(signal in waveform for signal in signals)
    for signal in ("request__valid", "i__valid", "o__valid", "result__valid"):
        assert waveform.values(f"quantiser.{signal}").any(), f"nothing to see on {signal}"
    assert {file.name for file in files} >= {"quantiser.gtkw", "quantiser.sucl"}
    assert dump.stat().st_size < 2_000_000


MUTANTS = {
    "ties go up": Mutant(
        "element_encoder", "(settings.half_away | rest | laid[low])", "C(1, 1)",
        TIES.format(False, False)),
    "half away ignored by INT4": Mutant(
        "element_encoder", "(settings.half_away | (k % 2 == 0))", "(k % 2 == 0)",
        TIES.format(True, False)),
    "no saturation": Mutant(
        "element_encoder", "beyond.eq(magnitude > fmt.largest)", "beyond.eq(0)",
        TIES.format(False, False)),
    "infinity, whatever was asked for": Mutant(
        "element_encoder", "settings.overflow, special, fmt.largest", "1, special, fmt.largest",
        TIES.format(False, False)),
    "largest of a beat only": Mutant(
        "scale_finder", "block.eq(_largest([half, first_half]))", "block.eq(half)", NUMBERS),
    "scale wraps below the range": Mutant(
        "scale_finder", "Mux(code < 0, 0, code[:8])", "code[:8]", NUMBERS),
    "results below the normal range vanish": Mutant(
        "element_decoder", "Mux(below, sunk, Cat", "Mux(below, 0, Cat", BACK),
    "a spilt column is lost": Mutant(
        "columns", "spilt.eq(self.last & over)", "spilt.eq(0)", PARTIAL),
    "a stall loses a beat": Mutant(
        "dequantise_path", "step.eq(~self.o.valid | self.o.ready)", "step.eq(1)", STALLED),
    "quantised twice": Mutant(
        "quantiser", "self.status.eq(Status.ALREADY_QUANTISED)", "self.status.eq(Status.DONE)",
        REFUSED),
    "too few beats wait for their scale": Mutant(
        "quantise_path", "WAITING_BEATS = ScaleFinder.LATENCY + 3", "WAITING_BEATS = 6",
        NO_GAPS.format(False)),
}
CHAIN = [f"hdl.quantiser.{name}" for name in (
    "scale_finder", "element_encoder", "element_decoder", "columns", "tally", "quantise_path",
    "dequantise_path", "quantiser")]


@pytest.mark.parametrize("name", MUTANTS)
def test_the_bench_notices(tmp_path, monkeypatch, name):
    mutant = replace(MUTANTS[name], module=f"hdl.quantiser.{MUTANTS[name].module}")
    unit = mutated(mutant, CHAIN, monkeypatch).Quantiser(quantiser_spec(**MUTANT))
    with pytest.raises(BenchFailure, match=rf"{mutant.seen_by} +FAIL"):
        simulate(unit, BENCH, tmp_path, simulator="icarus", parameters=MUTANT,
                 tests=[mutant.seen_by])
