"""The DMA engine on both simulators, on the real memory channel, and faults that are found."""

from pathlib import Path

import pytest

from model.spec.dma import DmaSpec
from tb.build import BenchFailure, Built, build, run, simulate
from tb.dma_software import DMA, QUANTISER, SPEC, TRANSLATOR
from tb.dma_system import DmaSystem
from tb.dma_waves import SCENARIO, TOP, view
from tb.waveform import Waveform
from tests.rtl.dma_faults import FAULTS, faulty_system, patch_units

QUICK = ["lists_may_end_a_row_and_begin_anywhere", "later_elements_see_what_earlier_ones_wrote"]


@pytest.fixture(scope="module")
def built() -> Built:
    """One simulator with all faults, none of which acts unless its number is set."""
    with pytest.MonkeyPatch.context() as patch:
        patch_units(patch)
        return build(faulty_system(), "dma", simulator="verilator")


@pytest.mark.parametrize("bench", ["dma", "dma_control", "dma_streams", "dma_blocks"])
def test_moves_records_and_memory_are_those_of_the_model(built: Built, tmp_path: Path,
                                                         bench: str) -> None:
    run(built, f"tb.bench_{bench}", tmp_path, seed=3,
        parameters={"fault": 0})


def test_data_are_converted_on_their_way(tmp_path: Path) -> None:
    simulate(DmaSystem(SPEC, DMA, translator=TRANSLATOR, quantiser=QUANTISER),
             "tb.bench_dma_convert", tmp_path, simulator="icarus", parameters={"fault": 0})


def test_the_smallest_engine_does_the_same_on_icarus(tmp_path: Path) -> None:
    small = DmaSpec(channels=2, slots=4, jobs=2, read_lanes=1, write_lanes=1, lane_requests=1)
    simulate(DmaSystem(SPEC, small, translator=TRANSLATOR), "tb.bench_dma", tmp_path,
             simulator="icarus", tests=QUICK, parameters={"fault": 0})


def test_views_of_the_waveform_show_signals_that_exist(tmp_path: Path) -> None:
    dump = SCENARIO.record(tmp_path, "icarus")
    files = SCENARIO.write_views(dump)
    assert len(files) > 4 and all(file.stat().st_size for file in files)
    seen = Waveform(dump, [trace.signal for group in view() for trace in group.traces],
                    clock=f"{TOP}.clk")
    assert seen.values(f"{TOP}.engine.mover.turns.write").any()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_bench_finds_that(built: Built, tmp_path: Path, fault: str) -> None:
    _, _, bench, test = FAULTS[fault]
    number = 1 + list(FAULTS).index(fault)
    with pytest.raises(BenchFailure, match=rf"{test} +FAIL"):
        run(built, bench, tmp_path, seed=3, tests=[test],
            parameters={"fault": number})
