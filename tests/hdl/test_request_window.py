"""A request window against a plain list, and the direction's limits counted by hand."""
# amaranth: UnusedElaboratable=no

import random
from dataclasses import dataclass
from typing import Any

import pytest

from hdl.dram.direction import Direction
from hdl.dram.request_window import RequestWindow
from hdl.dram.urgency import Urgency
from hdl.dram.window_entry import STAMP_WIDTH, arrival_layout, word_layout
from model.spec.geometry import ChannelGeometry
from model.spec.scheduling import SchedulerSpec
from model.spec.slice import SliceSpec
from tests.hdl.simulation import simulate

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=2, capacity_banks=2, rows=4, row_bytes=64),
                 scheduler=SchedulerSpec(starvation=40))
BANKS = len(SPEC.geometry.banks)


@dataclass
class Request:
    """What the list remembers."""

    slot: int
    row: int
    column: int
    tag: int
    data: int
    since: int
    hit: bool
    opened: bool = False
    reopened: bool = False


@pytest.mark.parametrize("entries", [2, 5])
def test_a_window_is_a_list_of_which_the_oldest_that_may_is_chosen(entries: int) -> None:
    window, rng = RequestWindow(SPEC, entries=entries, holds_data=True), random.Random(3)
    requests: list[Request] = []
    open_rows: dict[int, int] = {}
    chosen_counts = {"column": 0, "activate": 0, "precharge": 0}
    lates = fulls = 0
    late = False

    def first(slots: int, alone: bool, hits: tuple[bool, ...]) -> Request | None:
        return next((r for n, r in enumerate(requests) if slots >> r.slot & 1 and r.hit in hits
                     and not (alone and n and r.slot == requests[0].slot)), None)

    async def bench(ctx: Any) -> None:
        nonlocal late, lates, fulls
        for cycle in range(3000):
            ok = {name: rng.getrandbits(BANKS) & rng.getrandbits(BANKS)
                  for name in ("columns_ok", "activates_ok", "precharges_ok")}
            opened = sum(1 << slot for slot in open_rows)
            ok["activates_ok"] &= ~opened
            ok["precharges_ok"] &= opened
            alone, reopened = rng.random() < 0.2, rng.getrandbits(BANKS)
            for name, value in {**ok, "alone": alone, "reopened": reopened, "now": cycle}.items():
                ctx.set(getattr(window, name), value)
            slot, row, column = rng.randrange(BANKS), rng.randrange(4), rng.randrange(2)
            ctx.set(window.probe, word_layout(SPEC).const(
                {"slots": 1 << slot, "row": row, "column": column}))
            want = {
                "column": first(ok["columns_ok"], alone, (True,)),
                "activate": first(ok["activates_ok"], alone, (False, True)),
                "precharge": first(ok["precharges_ok"], alone, (False,))}
            port = window.candidate
            for name, request in want.items():
                assert ctx.get(getattr(port, name)) == (request is not None), (cycle, name)
                chosen_counts[name] += request is not None
            if served := want["column"]:
                got = ctx.get(port.column_word)
                assert (got.slots, got.row, got.column) == (
                    1 << served.slot, served.row, served.column)
                assert ctx.get(port.first) == (served is requests[0])
                assert ctx.get(port.tag) == served.tag and ctx.get(window.data) == served.data
                assert (ctx.get(port.opened), ctx.get(port.reopened)) == (
                    served.opened, served.reopened)
            assert ctx.get(window.level) == len(requests)
            assert ctx.get(window.wanted) == sum({1 << r.slot for r in requests})
            assert ctx.get(window.hits) == sum({1 << r.slot for r in requests if r.hit})
            assert ctx.get(window.oldest_hits) == (bool(requests) and requests[0].hit)
            assert ctx.get(window.contains) == any(
                (r.slot, r.row, r.column) == (slot, row, column) for r in requests)
            assert ctx.get(window.late) == late, cycle
            lates += late
            fulls += len(requests) == entries

            # What is issued: perhaps the column, perhaps a row command
            column_goes = want["column"] is not None and rng.random() < 0.5
            row_goes = rng.random() < 0.5
            activates = want["activate"] if row_goes else None
            closes = want["precharge"] if row_goes and not activates else None
            ctx.set(port.column_issued, column_goes)
            ctx.set(port.activate_issued, activates is not None)
            ctx.set(window.events.opens, 1 << activates.slot if activates else 0)
            ctx.set(window.events.row, activates.row if activates else 0)
            ctx.set(window.events.closes, 1 << closes.slot if closes else 0)
            if activates:
                open_rows[activates.slot] = activates.row
                activates.opened = True
                activates.reopened = bool(reopened >> activates.slot & 1)
            if closes:
                del open_rows[closes.slot]
            arrives = rng.random() < 0.6
            new = Request(slot, row, column, rng.getrandbits(8), rng.getrandbits(256), cycle,
                          hit=False)
            assert ctx.get(window.i.ready) == (len(requests) < entries)
            ctx.set(window.i.valid, arrives)
            ctx.set(window.i.payload, arrival_layout(SPEC).const({
                "word": {"slots": 1 << slot, "row": row, "column": column}, "tag": new.tag,
                "hit": open_rows.get(slot) == row, "data": new.data}))
            takes = arrives and len(requests) < entries
            # The next in line is seen to be late a clock after it has become the oldest
            leaves = column_goes and requests[0] is want["column"]
            late = bool(requests) and not leaves and (late or cycle - requests[0].since >= 40)
            if column_goes and want["column"]:
                requests.remove(want["column"])
            if takes:
                requests.append(new)
            for request in requests:
                request.hit = open_rows.get(request.slot) == request.row
            await ctx.tick()

    simulate(window, bench)
    assert min(chosen_counts.values()) > 200 and lates > 50 and fulls > 500
    assert (1 << STAMP_WIDTH) > 3000


def test_late_windows_go_first_in_turn() -> None:
    urgency = Urgency(windows=3, burst=1)
    got = []

    async def bench(ctx: Any) -> None:
        for late, served in ((0b000, 0), (0b110, 0), (0b110, 0b010), (0b110, 0b001),
                             (0b110, 0b100), (0b111, 0b001), (0b110, 0b010), (0, 0), (0b010, 0)):
            ctx.set(urgency.late, late)
            ctx.set(urgency.served, served)
            got.append(ctx.get(urgency.urgent))
            await ctx.tick()

    simulate(urgency, bench)
    assert got == [0, 0b010, 0b010, 0b100, 0b100, 0b001, 0b010, 0, 0b010]


def test_requests_of_an_open_row_follow_in_one_turn() -> None:
    """At most three; a turn ends with a clock in which the next in line cannot follow."""
    urgency = Urgency(windows=3, burst=3)
    got = []

    async def bench(ctx: Any) -> None:
        for late, following, served in (
                (0b110, 0b000, 0b010), (0b100, 0b010, 0b000), (0b100, 0b011, 0b010),
                (0b100, 0b010, 0b010), (0b100, 0b010, 0b100),       # three of the first window
                (0b010, 0b001, 0b010), (0b100, 0b000, 0b000),       # no hit behind it
                (0b100, 0b110, 0b100), (0b000, 0b100, 0b001), (0b000, 0b000, 0b000),
                (0b000, 0b100, 0b000)):
            ctx.set(urgency.late, late)
            ctx.set(urgency.following, following)
            ctx.set(urgency.served, served)
            got.append(ctx.get(urgency.urgent))
            await ctx.tick()

    simulate(urgency, bench)
    assert got == [0b010, 0b010, 0b010, 0b010, 0b100, 0b010, 0b100, 0b100, 0b100, 0, 0]


LIMITS = SchedulerSpec(write_burst=6, preempt_burst=3, read_burst=4, quiet_clocks=5)


def served(direction: Direction, clocks: int, **ports: int) -> list[str]:
    """R or W for each clock in which both ports' requests may be served, first ports first."""
    letters = []

    async def bench(ctx: Any) -> None:
        for name in ("reads", "writes", "full", "narrow"):
            ctx.set(getattr(direction, name), ports.get(name, 0))
        for _ in range(clocks):
            writing = ctx.get(direction.writing)
            waiting = ports.get("writes" if writing else "reads", 0)
            first = waiting & -waiting
            ctx.set(direction.wrote, first if writing else 0)
            ctx.set(direction.read, 0 if writing else first)
            letters.append("W" if writing else "R")
            await ctx.tick()

    simulate(direction, bench)
    return letters


def direction() -> Direction:
    return Direction(SliceSpec(geometry=SPEC.geometry, scheduler=LIMITS), ports=2)


def runs(letters: list[str]) -> list[int]:
    text = "".join(letters)
    return [len(run) for run in text.replace("RW", "R W").replace("WR", "W R").split()]


def test_writes_wait_for_reads_until_a_window_is_full() -> None:
    assert served(direction(), 50, reads=0b01, writes=0b01) == ["R"] * 50
    # four reads and the clock of the decision; six writes and the clock of the decision
    assert runs(served(direction(), 60, reads=0b10, writes=0b10, full=0b10))[1:5] == [6, 4, 6, 4]


def test_a_read_of_an_earlier_port_waits_for_fewer_writes() -> None:
    assert runs(served(direction(), 60, reads=0b01, writes=0b10, full=0b10))[1:5] == [3, 4, 3, 4]
    assert runs(served(direction(), 60, reads=0b10, writes=0b01, full=0b01))[1:5] == [6, 4, 6, 4]


def test_writes_to_one_bank_group_go_on_for_half_as_many() -> None:
    ports = {"reads": 0b10, "writes": 0b10, "full": 0b10}
    assert runs(served(direction(), 60, **ports, narrow=1))[1:5] == [3, 4, 3, 4]
    assert served(direction(), 30, writes=0b01, narrow=1) == ["R"] + ["W"] * 29


def test_without_reads_writes_go_on() -> None:
    assert served(direction(), 30, writes=0b01) == ["R"] + ["W"] * 29
    assert served(direction(), 30) == ["R"] * 30
