"""The PIM bank unit in simulation, and proof that its bench notices a wrong one."""

from pathlib import Path

import pytest

from hdl.pim.pim_bank import PimBank
from model.spec.attention import PimSpec
from model.spec.formats import BF16, FP16, FloatFormat
from tb.build import BenchFailure, simulate
from tests.rtl.mutants import Mutant, mutated

BENCH = "tb.bench_pim_bank"


def bench_parameters(pim: PimSpec, groups: list[int] | None = None) -> dict[str, object]:
    groups = groups or list(range(1, pim.group_max + 1))
    return {"kv_format": pim.kv_format.name, "head_size_max": pim.head_size_max,
            "group_max": pim.group_max, "groups": groups}


@pytest.mark.parametrize("fmt", [BF16, FP16], ids=lambda fmt: fmt.name)
def test_every_shape_on_verilator(tmp_path: Path, fmt: FloatFormat):
    pim = PimSpec(kv_format=fmt)
    simulate(PimBank(pim), BENCH, tmp_path, simulator="verilator",
             parameters=bench_parameters(pim))


@pytest.mark.parametrize("fmt, group_max", [(BF16, 2), (FP16, 1)], ids=["bf16", "fp16"])
def test_a_small_unit_on_icarus(tmp_path: Path, fmt: FloatFormat, group_max: int):
    pim = PimSpec(kv_format=fmt, head_size_max=64, group_max=group_max)
    simulate(PimBank(pim), BENCH, tmp_path, simulator="icarus",
             parameters=bench_parameters(pim))


MUTANTS = {
    "adder without sticky bit": Mutant(
        "hdl.floating", "Cat(wide[:width].any(), wide[width:])", "Cat(C(0, 1), wide[width:])",
        "outputs_of_every_shape"),
    "product one bit narrow": Mutant(
        "hdl.floating", "exact.eq((a.significand * b.significand)",
        "exact.eq(((a.significand * b.significand) & ~1)", "outputs_of_every_shape"),
    "rescale off by one": Mutant(
        "hdl.floating", "(fields.exponent - shift)", "(fields.exponent - shift - 1)",
        "outputs_of_every_shape"),
    "rescale lets subnormals through": Mutant(
        "hdl.floating", "fields.exponent <= shift", "fields.exponent < shift",
        "outputs_below_the_normal_range_vanish"),
    "zero weight not skipped": Mutant(
        "hdl.pim.mac_array", "weightless.eq(axpy & ~weight.any())", "weightless.eq(0)",
        "a_weight_of_zero_hides_its_value"),
    "tree of distant lanes": Mutant(
        "hdl.pim.mac_array", "zip(level[::2], level[1::2], strict=True)",
        "zip(level[:len(level) // 2], level[len(level) // 2:], strict=True)",
        "special_values_and_gaps"),
    "chunk counter off by one": Mutant(
        "hdl.pim.pim_bank", "ends_token = chunk == self.shape.last_chunk",
        "ends_token = chunk + 1 == self.shape.last_chunk", "outputs_of_every_shape"),
    "running sum not started anew": Mutant(
        "hdl.pim.pim_bank", "Mux(treed.about.first, MINUS_ZERO,",
        "Mux(treed.about.first & (treed.about.token == 0), MINUS_ZERO,",
        "scores_of_every_shape"),
    "running sum started at +0": Mutant(
        "hdl.pim.pim_bank", "MINUS_ZERO = 1 << FP32.width - 1", "MINUS_ZERO = 0", "signed_zeros"),
    "running sum not forwarded": Mutant(
        "hdl.pim.pim_bank", "scored.dot & (scored.about.head == treed.about.head)", "C(0, 1)",
        "scores_of_every_shape"),
    "start ignored": Mutant(
        "hdl.pim.pim_bank", "Mux(self.start, 0, chunk), Mux(self.start, 0, token)",
        "Mux(self.start, 0, chunk), token",
        "start_abandons_the_block_before"),
    "hazard of early columns not seen": Mutant(
        "hdl.pim.pim_bank", "column & (pending | recent)", "column & recent",
        "hazards_are_reported"),
}
CHAIN = ("hdl.floating", "hdl.pim.register_files", "hdl.pim.mac_array", "hdl.pim.pim_bank")
"""Modules that a mutant is built from, in the order of their imports."""


@pytest.mark.parametrize("name", MUTANTS)
def test_the_bench_notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    mutant = MUTANTS[name]
    # three heads: passes are then still pending in the second clock after a column
    pim = PimSpec(head_size_max=64, group_max=3)
    unit = mutated(mutant, CHAIN, monkeypatch).PimBank(pim)
    with pytest.raises(BenchFailure, match=rf"{mutant.seen_by} +FAIL"):
        simulate(unit, BENCH, tmp_path, simulator="icarus", tests=[mutant.seen_by],
                 parameters=bench_parameters(pim, groups=[1]))
