"""The memory channel in both simulators and both speed grades, and mutants that must be noticed."""
# amaranth: UnusedElaboratable=no

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from amaranth import C, Cat, Module, Signal, Value
from amaranth.lib.fifo import SyncFIFO

import hdl.dram.channel
import hdl.dram.dram_device
import hdl.dram.request_intake
import hdl.dram.request_pool
import hdl.dram.requester
import hdl.dram.response_queue
from hdl.dram.direction import Direction
from hdl.dram.dram_bank import DramBank
from hdl.dram.eligibility import Eligibility
from hdl.dram.idle_close import IdleClose
from hdl.dram.pass_sequencer import PassSequencer
from hdl.dram.refresh import Refresh
from hdl.dram.request_intake import RequestIntake
from hdl.dram.request_pool import RequestPool
from hdl.dram.request_window import RequestWindow
from hdl.dram.response_queue import ResponseQueue
from hdl.dram.scheduler import Scheduler
from hdl.dram.timing_guard import TimingGuard
from hdl.dram.urgency import Urgency
from hdl.layouts import column_command_layout
from model.spec.geometry import ChannelGeometry
from model.spec.scheduling import SchedulerSpec
from model.spec.slice import SliceSpec
from model.spec.timing import Constraint, TimingTable, timing_preset
from tb.build import BenchFailure, build, run
from tb.column_recorder import ColumnRecorder

CHANNEL, SCHEDULING = "tb.bench_channel", "tb.bench_scheduling"
GEOMETRY = {"pim_banks": 4, "capacity_banks": 2, "rows": 8}
FULL = {"pim_banks": 16, "capacity_banks": 2, "rows": 2}
TINY = {"pim_banks": 2, "capacity_banks": 1, "rows": 2, "row_bytes": 256}
SMALL_WINDOWS = {"read_entries": 6, "write_entries": 6, "write_high": 5, "write_burst": 8,
                 "preempt_burst": 4, "read_burst": 8}

QUICK = (       # what a slow simulator can do
    "random_traffic_of_both_ports", "random_traffic_with_gaps_and_stalled_responses",
    "both_ports_fight_for_two_rows_of_one_bank",
    "requests_to_banks_that_do_not_exist_touch_nothing", "passes_with_traffic_on_all_banks",
    "registers_reach_the_units_in_the_mask", "an_unloaded_read_takes_trcdrd_cl_and_two_clocks",
    "an_open_row_streams_at_tccdl", "back_to_back_passes_cost_exactly_the_bound",
    "a_stalled_port_does_not_stop_the_other",
)
QUICK_SCHEDULING = (
    "accesses_to_the_same_word_keep_their_order", "row_hits_overtake_older_requests",
    "a_row_with_hits_stays_open_while_the_bus_writes",
    "writes_go_in_batches", "a_read_of_the_first_port_waits_for_few_writes_of_the_second",
    "everything_is_drained_whatever_stands_still",
)


def check(work: Path, geometry: dict[str, int], timing: str, simulator: str, *,
          benches: dict[str, tuple[str, ...]], length: float = 1,
          windows: dict[str, int] | None = None,
          changed: Callable[[TimingTable], TimingTable] = lambda table: table) -> None:
    """Builds and runs the benches; ``changed`` is what the hardware is told instead."""
    spec = SliceSpec(geometry=ChannelGeometry(**geometry), timing=changed(timing_preset(timing)),
                     scheduler=SchedulerSpec(**(windows or {})))
    built = build(hdl.dram.channel.Channel(spec, pim_unit=ColumnRecorder), "channel",
                  simulator=simulator)
    for bench, tests in benches.items():
        run(built, bench, work / bench, tests=tests, parameters={
            "geometry": geometry, "timing": timing, "length": length,
            "scheduler": windows or {}})


def test_the_channel_with_hbm4_timing(tmp_path: Path) -> None:
    check(tmp_path, GEOMETRY, "hbm4_8000", "verilator", length=0.25,
          benches={CHANNEL: (), SCHEDULING: ()})


def test_the_same_channel_with_hbm3_timing_and_small_windows(tmp_path: Path) -> None:
    check(tmp_path, {**GEOMETRY, "bank_groups": 4}, "hbm3_5200", "verilator", length=0.2,
          windows=SMALL_WINDOWS,
          benches={CHANNEL: (*QUICK, "nobody_starves"), SCHEDULING: QUICK_SCHEDULING})


def test_the_channel_on_the_four_state_simulator(tmp_path: Path) -> None:
    check(tmp_path, GEOMETRY, "hbm4_8000", "icarus", length=0.1, windows=SMALL_WINDOWS,
          benches={CHANNEL: QUICK, SCHEDULING: QUICK_SCHEDULING})


def test_the_channel_with_sixteen_pim_banks(tmp_path: Path) -> None:
    check(tmp_path, FULL, "hbm4_8000", "icarus", length=0.1, windows=SMALL_WINDOWS,
          benches={CHANNEL: (
              "random_traffic_of_both_ports", "passes_with_traffic_on_all_banks",
              "registers_reach_the_units_in_the_mask")})


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


class CrossedPool(RequestPool):
    """Answers the first port what the second asked, and the other way round."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        for port, other in ((0, 1), (1, 0)):
            outside, inside = self.ports[port], m.submodules[f"requester_{other}"].port
            m.d.comb += [outside.response.valid.eq(inside.response.valid),
                         outside.response.payload.eq(inside.response.payload),
                         inside.response.ready.eq(outside.response.ready)]
        return m


class BlindIntake(RequestIntake):
    """Lets a request overtake an older one to the same word."""

    def elaborate(self, platform: object) -> Module:
        self.in_writes, self.in_reads = Signal(), Signal()
        return super().elaborate(platform)


class Fickle(Direction):
    """Writes only as long as it must, and turns back at once."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.writing.eq(self.writes.any() & (~self.reads.any() | self.full.any()))
        return m


class Obstinate(Direction):
    """Writes as long as there is something to write, whoever waits."""

    def elaborate(self, platform: object) -> Module:
        self.reads = Signal(self.ports)
        return super().elaborate(platform)


class StaleWindow(RequestWindow):
    """Does not see which rows are opened and closed."""

    def elaborate(self, platform: object) -> Module:
        self.events.opens = Signal(len(self.spec.geometry.banks))
        return super().elaborate(platform)


class HeadOnly(RequestWindow):
    """Looks at the oldest request only, as a queue would."""

    def elaborate(self, platform: object) -> Module:
        self.alone = C(1, 1)
        return super().elaborate(platform)


class Ruthless(Eligibility):
    """Closes rows that others have opened and not yet used."""

    def elaborate(self, platform: object) -> Module:
        self.hits = [Signal(len(self.open)) for _ in range(2 * self.ports)]
        return super().elaborate(platform)


class NoUrgency(Urgency):
    """Nobody ever goes first."""

    def elaborate(self, platform: object) -> Module:
        return Module()


class RegistersFirst(Scheduler):
    """Register transfers do not stand back for an urgent request."""

    def elaborate(self, platform: object) -> Module:
        self.clear_way = Signal()
        return super().elaborate(platform)


class NeverIdle(IdleClose):
    """Leaves rows open for ever."""

    def elaborate(self, platform: object) -> Module:
        return Module()


def shallow_fifo(*, width: int, depth: int) -> SyncFIFO:
    """A queue with less room than the credits promise."""
    return SyncFIFO(width=width, depth=max(1, depth - 4))


def aliased_slots(geometry: ChannelGeometry, bank: Value) -> Value:
    """A decoder that forgets bit 3 of the bank number: 8 is taken for 0."""
    return Cat((bank & 0b10111) == (number & 0b10111) for number in geometry.banks)


TOP, DEVICE, POOL = hdl.dram.channel, hdl.dram.dram_device, hdl.dram.request_pool
REQUESTER, INTAKE, ANSWERS = (hdl.dram.requester, hdl.dram.request_intake,
                              hdl.dram.response_queue)
MUTANTS: dict[str, tuple[Any, str, Any, str, str]] = {
    "refresh never issued":
        (TOP, "Refresh", NoRefresh, CHANNEL, "idle_banks_are_refreshed_once_every_trefi"),
    "guard deaf to columns":
        (TOP, "TimingGuard", DeafGuard, CHANNEL, "both_ports_fight_for_two_rows_of_one_bank"),
    "answers a clock early":
        (REQUESTER, "ResponseQueue", EarlyAnswers, CHANNEL, "random_traffic_of_both_ports"),
    "write acknowledged early":
        (REQUESTER, "ResponseQueue", HastyAnswers, CHANNEL,
         "a_write_is_answered_when_its_data_are_in_the_array"),
    "wrong row register":
        (TOP, "DramBank", ForgetfulBank, CHANNEL, "every_column_is_where_it_was_written"),
    "pass done early":
        (TOP, "PassSequencer", EagerSequencer, CHANNEL, "passes_with_traffic_on_all_banks"),
    "banks of a pass not held":
        (TOP, "PassSequencer", IdleSequencer, CHANNEL, "passes_with_traffic_on_all_banks"),
    "answers of the ports crossed":
        (TOP, "RequestPool", CrossedPool, CHANNEL, "random_traffic_of_both_ports"),
    "no room for answers":
        (ANSWERS, "SyncFIFO", shallow_fifo, CHANNEL, "a_stalled_port_does_not_stop_the_other"),
    "missing banks aliased":
        (INTAKE, "bank_slots", aliased_slots, CHANNEL,
         "requests_to_banks_that_do_not_exist_touch_nothing"),
    "nobody ever urgent":
        (POOL, "Urgency", NoUrgency, CHANNEL, "nobody_starves"),
    "registers before urgent requests":
        (TOP, "Scheduler", RegistersFirst, CHANNEL,
         "nobody_starves_beside_registers_that_are_read"),
    "same word, any order":
        (REQUESTER, "RequestIntake", BlindIntake, SCHEDULING,
         "accesses_to_the_same_word_keep_their_order"),
    "windows blind to rows":
        (REQUESTER, "RequestWindow", StaleWindow, CHANNEL,
         "both_ports_fight_for_two_rows_of_one_bank"),
    "no look-ahead":
        (REQUESTER, "RequestWindow", HeadOnly, SCHEDULING, "row_hits_overtake_older_requests"),
    "no write batches":
        (POOL, "Direction", Fickle, SCHEDULING, "writes_go_in_batches"),
    "reads wait for all writes":
        (POOL, "Direction", Obstinate, SCHEDULING,
         "a_read_of_the_first_port_waits_for_few_writes_of_the_second"),
    "rows closed before they are used":
        (POOL, "Eligibility", Ruthless, SCHEDULING,
         "a_row_with_hits_stays_open_while_the_bus_writes"),
    "idle rows stay open":
        (TOP, "IdleClose", NeverIdle, SCHEDULING, "idle_rows_are_closed"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, mutant, bench, test = MUTANTS[name]
    monkeypatch.setattr(module, attribute, mutant)
    if attribute == "DramBank":         # the default of an argument, which is bound already
        monkeypatch.setitem(hdl.dram.channel.Channel.__init__.__kwdefaults__, "bank_unit", mutant)
    with pytest.raises(BenchFailure, match=test):
        check(tmp_path, TINY, "hbm4_8000", "icarus", length=0.3, windows=SMALL_WINDOWS,
              benches={bench: (test,)})


@pytest.mark.parametrize(("changed", "rule", "test"), [
    (lambda t: replace(t, nRP=t.nRP - 2), "tRP", "both_ports_fight_for_two_rows_of_one_bank"),
    (lambda t: replace(t, nRCDRD=t.nRCDRD - 2), "tRCDRD", "random_traffic_of_both_ports"),
    (lambda t: replace(t, nWTRS=t.nWTRS - 2), "tWTRS", "random_traffic_of_both_ports"),
    (without_tfaw, "tFAW", "columns_of_a_pass_have_no_bubble_under_traffic"),
], ids=["tRP one clock short", "tRCDRD one clock short", "tWTRS one clock short", "tFAW ignored"])
def test_a_wrong_timing_is_noticed(changed: Callable[[TimingTable], TimingTable], rule: str,
                                   test: str, tmp_path: Path) -> None:
    with pytest.raises(BenchFailure, match=rf"TimingViolation: {rule}: "):
        check(tmp_path, TINY, "hbm4_8000", "icarus", length=0.3, windows=SMALL_WINDOWS,
              benches={CHANNEL: (test,)}, changed=changed)


def test_the_small_build_of_the_mutants_passes_unchanged(tmp_path: Path) -> None:
    # Without the two longest, which pass in the builds above
    long = {"idle_banks_are_refreshed_once_every_trefi", "nobody_starves"}
    benches = {bench: tuple(sorted({test for *_, other, test in MUTANTS.values()
                                    if other == bench} - long))
               for bench in (CHANNEL, SCHEDULING)}
    benches[CHANNEL] += ("columns_of_a_pass_have_no_bubble_under_traffic",)
    check(tmp_path, TINY, "hbm4_8000", "icarus", length=0.3, windows=SMALL_WINDOWS,
          benches=benches)
