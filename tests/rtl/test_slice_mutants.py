"""Faults planted in the attention sequencer, each of which the slice's bench must find.

All are in one build: a fault acts while its number stands in the upper bits of ``move_rows``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from amaranth import Module, Signal

import hdl.attention.attention_units
from hdl.attention.attention_sequencer import AttentionSequencer
from hdl.attention.wave import wave_mask
from hdl.layouts import PartHeader
from hdl.slice import Slice
from model.spec.attention import MacMode, Register
from model.spec.formats import FP32
from model.spec.presets import slice_spec
from tb.build import BenchFailure, Built, build, run

OPTIONS: dict[str, Any] = {"pim_banks": 3, "capacity_banks": 1, "rows": 32, "group_max": 2,
                           "head_size_max": 128, "window": 8,
                           "quantised": ["mxint8", "mxfp8"]}
CORNERS = "attention_is_exact_at_every_context_of_two_waves"
GROWING = "maxima_that_grow_in_a_partial_wave_reach_every_bank"
LATE = "queries_may_come_late"
HELD = "results_may_be_taken_late"
QUEUED = "attentions_that_wait_follow_each_other.stall=0.0"

Fault = Callable[[AttentionSequencer, Module], None]


def _idle_bank_keeps_its_outputs(unit: AttentionSequencer, m: Module) -> None:
    row_pass = unit.pim.row_pass.p
    with m.If(row_pass.mode == MacMode.AXPY):
        m.d.comb += row_pass.mask.eq(wave_mask(m.submodules.issuer.values.p))


def _scores_read_early(unit: AttentionSequencer, m: Module) -> None:
    scores = m.submodules.scores
    m.d.comb += scores.progress.scored.eq(scores.read + 1)


def _weights_not_awaited(unit: AttentionSequencer, m: Module) -> None:
    m.d.comb += m.submodules.issuer.progress.weighted.eq(m.submodules.weights.weighted + 8)


def _queries_not_awaited(unit: AttentionSequencer, m: Module) -> None:
    m.d.comb += m.submodules.issuer.queries_loaded.eq(m.submodules.queries.loaded + 8)


def _weights_changed_in_use(unit: AttentionSequencer, m: Module) -> None:
    weights = m.submodules.weights
    m.d.comb += weights.progress.summed.eq(weights.weighted)


def _outputs_read_early(unit: AttentionSequencer, m: Module) -> None:
    m.d.comb += m.submodules.outputs.progress.summed.eq(m.submodules.scores.read)


def _last_bank_forgotten(unit: AttentionSequencer, m: Module) -> None:
    tokens = m.submodules.outputs.wave.p.tokens
    m.d.comb += [tokens[bank].eq(0) for bank in range(1, OPTIONS["pim_banks"])]


def _queries_in_one_set(unit: AttentionSequencer, m: Module) -> None:
    m.d.comb += m.submodules.queries.i.payload.eq(0)


def _outputs_of_one_set(unit: AttentionSequencer, m: Module) -> None:
    bus = unit.pim.register.p
    with m.If(bus.register == Register.OUTPUT):
        m.d.comb += bus.address[-1].eq(0)


def _sums_of_one_set(unit: AttentionSequencer, m: Module) -> None:
    m.d.comb += unit.score.p.set.eq(0)


def _maximum_of_the_attention_before(unit: AttentionSequencer, m: Module) -> None:
    m.d.comb += unit.score.p.first_wave.eq(0)


def _rows_in_one_latch(unit: AttentionSequencer, m: Module) -> None:
    m.d.comb += unit.pim.row_pass.p.latch.eq(0)


def _shape_changes_under_way(unit: AttentionSequencer, m: Module) -> None:
    m.d.comb += m.submodules.source.done.eq(m.submodules.outputs.read_out)


def _tokens_behind_the_end(unit: AttentionSequencer, m: Module) -> None:
    m.d.comb += unit.score.p.count.eq(8)


def _rescale_in_one_bank(unit: AttentionSequencer, m: Module) -> None:
    bus = unit.pim.register.p
    with m.If(bus.register == Register.RESCALE):
        m.d.comb += bus.mask.eq(1)


def _every_bank_brings_the_sum(unit: AttentionSequencer, m: Module) -> None:
    low = PartHeader()["l"].offset
    # Not unit.part.p.header: Verilator may order a block that reads one bit of a signal and drives
    # another before the block that drives the first.
    with m.If(m.submodules.outputs.part.p.header):
        m.d.comb += unit.part.p.data[low:low + FP32.width].eq(unit.state[0][0].l)


def _values_read_from_keys(unit: AttentionSequencer, m: Module) -> None:
    out = unit.pim.row_pass.p
    with m.If(out.mode == MacMode.AXPY):
        m.d.comb += out.row.eq(m.submodules.issuer.row_pass.p.row - 1)


def _heads_mixed_up(unit: AttentionSequencer, m: Module) -> None:
    bus = unit.pim.register.p
    with m.If(bus.register == Register.WEIGHT):
        m.d.comb += bus.address.eq(0)


def _outputs_not_awaited(unit: AttentionSequencer, m: Module) -> None:
    issuer = m.submodules.issuer
    m.d.comb += issuer.read_out.eq(issuer.values.ready & issuer.values.p.first)


def _maximum_of_an_attention_behind(unit: AttentionSequencer, m: Module) -> None:
    part, low, reg_set = m.submodules.outputs.part, PartHeader()["m"].offset, Signal()
    m.d.sync += reg_set.eq(reg_set ^ m.submodules.outputs.read_out)
    with m.If(part.p.header & (unit.shape.last_head == 0)):
        maximum = unit.state[reg_set][0].m
        m.d.comb += unit.part.p.data[low:low + len(maximum)].eq(maximum)


FAULTS: dict[Fault, str] = {
    _idle_bank_keeps_its_outputs: GROWING, _scores_read_early: CORNERS,
    _weights_not_awaited: CORNERS, _queries_not_awaited: LATE, _weights_changed_in_use: CORNERS,
    _outputs_read_early: CORNERS, _last_bank_forgotten: CORNERS, _queries_in_one_set: QUEUED,
    _outputs_of_one_set: QUEUED, _sums_of_one_set: QUEUED,
    _maximum_of_the_attention_before: QUEUED, _rows_in_one_latch: QUEUED,
    _shape_changes_under_way: QUEUED, _tokens_behind_the_end: CORNERS,
    _rescale_in_one_bank: GROWING, _every_bank_brings_the_sum: CORNERS,
    _values_read_from_keys: CORNERS, _heads_mixed_up: CORNERS,
    _outputs_not_awaited: HELD, _maximum_of_an_attention_behind: HELD}
"""What is wrong, and the test of the bench that must see it."""


def _scales_read_from_keys(unit: AttentionSequencer, m: Module) -> None:
    out = unit.pim.row_pass.p
    with m.If(out.mode == MacMode.SCALE):
        m.d.comb += out.row.eq(0)


def _quantised_columns_too_close(unit: AttentionSequencer, m: Module) -> None:
    m.d.comb += unit.pim.row_pass.p.spacing.eq(2)


def _format_changes_under_way(unit: AttentionSequencer, m: Module) -> None:
    source = m.submodules.source
    m.d.comb += unit.shape.format.eq(source.shape.format & source.busy.replicate(3) & 1)


QUANTISED: dict[Fault, str] = {
    _scales_read_from_keys: "quantised_attention_is_exact",
    _quantised_columns_too_close: "quantised_attention_is_exact",
    _format_changes_under_way: "formats_follow_each_other"}
"""The same for KV that is multiplied as it is stored (:mod:`tb.bench_slice_quantised`)."""

EVERY = (*FAULTS, *QUANTISED)


class FaultySequencer(AttentionSequencer):
    """A sequencer with faults; number 0 has none."""

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self.fault = Signal(range(len(EVERY) + 1))

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        for number, fault in enumerate(EVERY, start=1):
            with m.If(self.fault == number):
                fault(self, m)
        return m


class FaultySlice(Slice):
    """A slice whose sequencer has the fault that ``move_rows`` names."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += m.submodules.sequencer.fault.eq(m.submodules.registers.move_rows[24:])
        return m


@pytest.fixture(scope="module")
def built() -> Built:
    """One simulator with all faults."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdl.attention.attention_units, "AttentionSequencer", FaultySequencer)
        return build(FaultySlice(slice_spec(**OPTIONS)), "slice", simulator="verilator")


def _attend(built: Built, work: Path, fault: int, *tests: str,
            bench: str = "tb.bench_slice") -> None:
    run(built, bench, work, seed=2, tests=tests,
        parameters={"spec": OPTIONS, "mutant": fault})


def test_without_a_fault_the_bench_passes(built: Built, tmp_path: Path) -> None:
    _attend(built, tmp_path, 0, *sorted(set(FAULTS.values())))


@pytest.mark.parametrize(("number", "test"), list(enumerate(FAULTS.values(), start=1)),
                         ids=[fault.__name__.strip("_") for fault in FAULTS])
def test_the_bench_kills(built: Built, tmp_path: Path, number: int, test: str) -> None:
    with pytest.raises(BenchFailure):
        _attend(built, tmp_path, number, test)


def test_quantised_attention_is_exact(built: Built, tmp_path: Path) -> None:
    _attend(built, tmp_path, 0, bench="tb.bench_slice_quantised")


@pytest.mark.parametrize(("number", "test"),
                         list(enumerate(QUANTISED.values(), start=len(FAULTS) + 1)),
                         ids=[fault.__name__.strip("_") for fault in QUANTISED])
def test_the_bench_of_quantised_kv_kills(built: Built, tmp_path: Path, number: int,
                                         test: str) -> None:
    with pytest.raises(BenchFailure):
        _attend(built, tmp_path, number, test, bench="tb.bench_slice_quantised")
