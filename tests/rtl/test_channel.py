"""The memory channel in both simulators and both speed grades, and mutants that must be noticed."""
# amaranth: UnusedElaboratable=no

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth import Cat, Module, Signal, Value
from amaranth.lib.fifo import SyncFIFO

import hdl.channel
import hdl.dram_device
import hdl.request_head
from hdl.channel import Channel
from hdl.dram_bank import DramBank
from hdl.layouts import column_command_layout
from hdl.pass_sequencer import PassSequencer
from hdl.refresh import Refresh
from hdl.request_head import RequestHead, ResponseQueue
from hdl.timing_guard import TimingGuard
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.timing import Constraint, TimingTable, timing_preset
from tb.build import BenchFailure, simulate
from tb.column_recorder import ColumnRecorder

GEOMETRY = {"pim_banks": 4, "capacity_banks": 2, "rows": 8}
FULL = {"pim_banks": 16, "capacity_banks": 2, "rows": 2}
TINY = {"pim_banks": 2, "capacity_banks": 1, "rows": 2, "row_bytes": 256}

QUICK = (       # what a slow simulator can do
    "random_traffic_of_both_ports", "random_traffic_with_gaps_and_stalled_responses",
    "both_ports_fight_for_two_rows_of_one_bank",
    "requests_to_banks_that_do_not_exist_touch_nothing", "passes_with_traffic_on_all_banks",
    "registers_reach_the_units_in_the_mask", "an_unloaded_read_takes_trcdrd_cl_and_one_clock",
    "an_open_row_streams_at_tccdl", "back_to_back_passes_cost_exactly_the_bound",
    "a_stalled_port_does_not_stop_the_other",
)


def check(work: Path, geometry: dict[str, int], timing: str, simulator: str, *,
          length: float = 1, tests: tuple[str, ...] = (),
          changed: Callable[[TimingTable], TimingTable] = lambda table: table) -> None:
    """Builds and runs the bench; ``changed`` is what the hardware is told instead."""
    spec = SliceSpec(geometry=ChannelGeometry(**geometry), timing=changed(timing_preset(timing)))
    simulate(hdl.channel.Channel(spec, pim_unit=ColumnRecorder), "tb.bench_channel", work,
             simulator=simulator, tests=tests,
             parameters={"geometry": geometry, "timing": timing, "length": length})


def test_the_channel_with_hbm4_timing(tmp_path: Path) -> None:
    check(tmp_path, GEOMETRY, "hbm4_8000", "verilator", length=0.5)


def test_the_same_channel_with_hbm3_timing(tmp_path: Path) -> None:
    check(tmp_path, {**GEOMETRY, "bank_groups": 4}, "hbm3_5200", "verilator", length=0.5)


def test_the_channel_on_the_four_state_simulator(tmp_path: Path) -> None:
    check(tmp_path, GEOMETRY, "hbm4_8000", "icarus", length=0.15, tests=QUICK)


def test_the_channel_with_sixteen_pim_banks(tmp_path: Path) -> None:
    check(tmp_path, FULL, "hbm4_8000", "icarus", length=0.15, tests=(
        "random_traffic_of_both_ports", "passes_with_traffic_on_all_banks",
        "registers_reach_the_units_in_the_mask", "back_to_back_passes_cost_exactly_the_bound"))


# Mutants: each a plausible mistake in one place, which the named test must notice.

@dataclass(frozen=True, kw_only=True)
class WithoutFourActivateWindow(TimingTable):
    """A table from which tFAW is missing."""

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        return tuple(rule for rule in super().constraints if rule.name != "tFAW")


def without_tfaw(table: TimingTable) -> TimingTable:
    return WithoutFourActivateWindow(**asdict(table))


class DeafGuard(TimingGuard):
    """Does not see the column bus: PRE may follow RD at once."""

    def elaborate(self, platform: object) -> Module:
        self.column = Signal(column_command_layout(self.spec))
        return super().elaborate(platform)


class NoRefresh(Refresh):
    """Never asks for a refresh."""

    def elaborate(self, platform: object) -> Module:
        return Module()


class EarlyAnswers(ResponseQueue):
    """Takes the data from the bus a clock too early."""

    def __init__(self, spec: SliceSpec) -> None:
        super().__init__(spec)
        self.latency -= 1


class HastyAnswers(ResponseQueue):
    """Acknowledges writes when their data reach the bank, not the array."""

    def __init__(self, spec: SliceSpec) -> None:
        super().__init__(spec)
        self.latency = spec.timing.write_latency - 1


class ForgetfulBank(DramBank):
    """Opens row 0, whatever ACT says."""

    def elaborate(self, platform: object) -> Module:
        self.row = Signal(range(self.geometry.rows))
        return super().elaborate(platform)


class EagerSequencer(PassSequencer):
    """Reports a pass as done a clock before its results are readable."""

    def __init__(self, spec: SliceSpec) -> None:
        super().__init__(spec)
        self.spec = replace(spec, timing=replace(spec.timing, nCL=spec.timing.nCL - 2))


class IdleSequencer(PassSequencer):
    """Lets requests use the PIM banks during a pass."""

    def elaborate(self, platform: object) -> Module:
        self.busy = Signal()
        return super().elaborate(platform)


class CrossedChannel(Channel):
    """Answers the host what the DMA engine asked, and the other way round."""

    def _requester(self, m: Module, name: str, port: Any, *parts: Any) -> RequestHead:
        other = self.dma if name == "host" else self.host
        crossed = SimpleNamespace(request=port.request, response=other.response)
        return super()._requester(m, name, crossed, *parts)


def shallow_fifo(*, width: int, depth: int) -> SyncFIFO:
    """A queue with less room than the credits promise."""
    return SyncFIFO(width=width, depth=max(1, depth - 4))


def aliased_slots(geometry: ChannelGeometry, bank: Value) -> Value:
    """A decoder that forgets bit 3 of the bank number: 8 is taken for 0."""
    return Cat((bank & 0b10111) == (number & 0b10111) for number in geometry.banks)


HEAD, CHANNEL, DEVICE = hdl.request_head, hdl.channel, hdl.dram_device
MUTANTS: dict[str, tuple[Any, str, Any, str]] = {
    "refresh never issued":
        (CHANNEL, "Refresh", NoRefresh, "idle_banks_are_refreshed_once_every_trefi"),
    "guard deaf to columns":
        (CHANNEL, "TimingGuard", DeafGuard, "both_ports_fight_for_two_rows_of_one_bank"),
    "answers a clock early":
        (CHANNEL, "ResponseQueue", EarlyAnswers, "random_traffic_of_both_ports"),
    "write acknowledged early":
        (CHANNEL, "ResponseQueue", HastyAnswers,
         "a_write_is_answered_when_its_data_are_in_the_array"),
    "wrong row register":
        (DEVICE, "DramBank", ForgetfulBank, "every_column_is_where_it_was_written"),
    "pass done early":
        (CHANNEL, "PassSequencer", EagerSequencer, "passes_with_traffic_on_all_banks"),
    "banks of a pass not held":
        (CHANNEL, "PassSequencer", IdleSequencer, "passes_with_traffic_on_all_banks"),
    "answers of the ports crossed":
        (CHANNEL, "Channel", CrossedChannel, "random_traffic_of_both_ports"),
    "no room for answers":
        (HEAD, "SyncFIFO", shallow_fifo, "a_stalled_port_does_not_stop_the_other"),
    "missing banks aliased":
        (HEAD, "bank_slots", aliased_slots, "requests_to_banks_that_do_not_exist_touch_nothing"),
    "nobody ever urgent":
        (HEAD, "STARVATION_CLOCKS", 1 << 20, "nobody_starves"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, mutant, test = MUTANTS[name]
    monkeypatch.setattr(module, attribute, mutant)
    with pytest.raises(BenchFailure, match=test):
        check(tmp_path, TINY, "hbm4_8000", "icarus", length=0.3, tests=(test,))


@pytest.mark.parametrize(("changed", "rule", "test"), [
    (lambda t: replace(t, nRP=t.nRP - 2), "tRP", "both_ports_fight_for_two_rows_of_one_bank"),
    (lambda t: replace(t, nRCDRD=t.nRCDRD - 2), "tRCDRD", "random_traffic_of_both_ports"),
    (lambda t: replace(t, nWTRS=t.nWTRS - 2), "tWTRS", "random_traffic_of_both_ports"),
    (without_tfaw, "tFAW", "columns_of_a_pass_have_no_bubble_under_traffic"),
], ids=["tRP one clock short", "tRCDRD one clock short", "tWTRS one clock short", "tFAW ignored"])
def test_a_wrong_timing_is_noticed(changed: Callable[[TimingTable], TimingTable], rule: str,
                                   test: str, tmp_path: Path) -> None:
    with pytest.raises(BenchFailure, match=rf"TimingViolation: {rule}: "):
        check(tmp_path, TINY, "hbm4_8000", "icarus", length=0.3, tests=(test,), changed=changed)


def test_the_small_build_of_the_mutants_passes_unchanged(tmp_path: Path) -> None:
    # Without the two longest, which pass in the builds above
    tests = {mutant[3] for mutant in MUTANTS.values()} | {
        "columns_of_a_pass_have_no_bubble_under_traffic"} - {
        "idle_banks_are_refreshed_once_every_trefi", "nobody_starves"}
    check(tmp_path, TINY, "hbm4_8000", "icarus", length=0.3, tests=tuple(sorted(tests)))
