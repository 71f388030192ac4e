"""The PIM unit with quantised KV, and faults that its bench must find, all in one build."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hdl.pim.pim_bank import PimBank
from model.spec.attention import PimSpec
from model.spec.mx import MXFP8_E4M3, MXINT8, SCALE_BIAS, StoredFormat
from tb.build import BenchFailure, Built, build, run
from tests.rtl.planted import faulty_pim_unit

PIM = PimSpec(head_size_max=64, group_max=2, quantised=(MXINT8, MXFP8_E4M3))
PARAMETERS: dict[str, Any] = {"kv_format": "bf16", "head_size_max": 64, "group_max": 2,
                              "quantised": ["mxint8", "mxfp8"]}
BENCH = "tb.bench_pim_quantised"
SHAPES = "quantised_blocks_of_every_shape"


def _scales_of_keys_for_values(m: Any) -> None:
    m.d.comb += m.submodules.scales.index.eq(m.submodules.sequencer.scale_index[:5])


def _one_slot_of_scales(m: Any) -> None:
    m.d.comb += [m.submodules.scales.slot.eq(0), m.submodules.scales.write_slot.eq(0)]


def _first_chunk_twice(m: Any) -> None:
    m.d.comb += m.submodules.decoder.half.eq(0)


def _values_not_scaled(m: Any) -> None:
    m.d.comb += m.submodules.lanes.scale.eq(SCALE_BIAS)


def _keys_not_scaled(m: Any) -> None:
    m.d.comb += m.submodules.blocks.scale.eq(SCALE_BIAS)


def _first_chunks_of_one_head(m: Any) -> None:
    m.d.comb += m.submodules.blocks.head.eq(0)


def _integers_for_everything(m: Any) -> None:
    m.d.comb += m.submodules.decoder.format.eq(StoredFormat.MXINT8)


FAULTS: tuple[Callable[[Any], None], ...] = (
    _scales_of_keys_for_values, _one_slot_of_scales, _first_chunk_twice, _values_not_scaled,
    _keys_not_scaled, _first_chunks_of_one_head, _integers_for_everything)


@pytest.fixture(scope="module")
def built() -> Built:
    """One simulator with all faults."""
    return build(faulty_pim_unit(PimBank, FAULTS)(PIM), "pim_unit", simulator="icarus")


def test_quantised_blocks_are_multiplied_exactly(built: Built, tmp_path: Path) -> None:
    run(built, BENCH, tmp_path, parameters=PARAMETERS)


@pytest.mark.parametrize("number", range(1, len(FAULTS) + 1),
                         ids=[fault.__name__.strip("_") for fault in FAULTS])
def test_the_bench_kills(built: Built, tmp_path: Path, number: int) -> None:
    with pytest.raises(BenchFailure, match=rf"{SHAPES} +FAIL"):
        run(built, BENCH, tmp_path, tests=[SHAPES], parameters={**PARAMETERS, "mutant": number})
