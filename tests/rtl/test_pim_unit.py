"""PIM units of 32 lanes, heads of 256, groups of 16; and faults of the wide unit, in one build."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hdl.pim.pim_unit import WidePimUnit
from model.spec.attention import PimSpec
from model.spec.mx import MXFP8_E4M3
from tb.build import BenchFailure, Built, build, run
from tests.rtl.planted import faulty_pim_unit

LARGEST = PimSpec(head_size_max=256, group_max=16, lanes=32, quantised=(MXFP8_E4M3,))
WIDE, STORED = "tb.bench_pim_bank", "tb.bench_pim_quantised"
SHAPES = "quantised_blocks_of_every_shape"


def parameters(pim: PimSpec, groups: list[int], mutant: int = 0) -> dict[str, Any]:
    return {"kv_format": pim.kv_format.name, "head_size_max": pim.head_size_max,
            "group_max": pim.group_max, "lanes": pim.lanes, "groups": groups,
            "quantised": [fmt.name for fmt in pim.quantised], "mutant": mutant}


def _addresses_as_of_one_unit(m: Any) -> None:
    m.d.comb += m.submodules.upper.bank.write_address.eq(m.submodules.lower.bank.write_address)


def _shifts_of_the_lower_heads(m: Any) -> None:
    m.d.comb += m.submodules.upper.bank.write_data.eq(m.submodules.lower.bank.write_data)


def _one_slot_of_scales(m: Any) -> None:
    m.d.comb += m.submodules.upper.bank.slot.eq(0)


def _read_at_the_lower_address(m: Any) -> None:
    m.d.comb += m.submodules.upper.bank.read_address.eq(m.submodules.lower.bank.read_address)


def _upper_never_works(m: Any) -> None:
    m.d.comb += m.submodules.upper.bank.column_valid.eq(0)


FAULTS: tuple[Callable[[Any], None], ...] = (
    _addresses_as_of_one_unit, _shifts_of_the_lower_heads, _one_slot_of_scales,
    _read_at_the_lower_address, _upper_never_works)


@pytest.fixture(scope="module")
def built() -> Built:
    """One simulator with all faults."""
    return build(faulty_pim_unit(WidePimUnit, FAULTS)(LARGEST), "pim_unit",
                 simulator="verilator", optimised=False)


def test_the_largest_unit_computes_what_sixteen_lanes_do(built: Built, tmp_path: Path) -> None:
    run(built, WIDE, tmp_path / "wide", parameters=parameters(LARGEST, [1, 16]), tests=[
        "scores_of_every_shape", "outputs_of_every_shape"])
    run(built, STORED, tmp_path / "stored", parameters=parameters(LARGEST, [7]),
        tests=[SHAPES, "wide_blocks_follow_quantised_ones"])


@pytest.mark.parametrize("number", range(1, len(FAULTS) + 1),
                         ids=[fault.__name__.strip("_") for fault in FAULTS])
def test_the_bench_kills(built: Built, tmp_path: Path, number: int) -> None:
    with pytest.raises(BenchFailure, match=rf"{SHAPES} +FAIL"):
        run(built, STORED, tmp_path, tests=[SHAPES],
            parameters=parameters(LARGEST, [2], mutant=number))
