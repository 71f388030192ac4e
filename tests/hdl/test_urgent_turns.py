"""What follows an urgent request in its turn, in a pool of requests whose banks are played here."""

from dataclasses import dataclass
from typing import Any

import pytest

import hdl.dram.request_pool
from hdl.dram.requester import READS
from hdl.layouts import request_layout
from model.spec.geometry import ChannelGeometry
from model.spec.scheduling import SchedulerSpec
from model.spec.slice import SliceSpec
from tests.hdl.simulation import simulate
from tests.rtl.mutants import Mutant, mutated

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=2, capacity_banks=1, rows=4),
                 scheduler=SchedulerSpec(read_entries=6, write_entries=2, write_high=2,
                                         starvation=30, urgent_burst=3))
BANK = SPEC.geometry.capacity_bank_numbers[0]
SLOT = len(SPEC.geometry.banks) - 1
COLUMNS_FROM = 40
"""Clock from which columns may be issued: what came at the start is late then, nothing else is."""


@dataclass(frozen=True)
class Read:
    """A request to the only bank in use."""

    name: str
    row: int
    since: int
    port: int = 0


def serve(pool: Any, reads: list[Read]) -> str:
    """What is issued, in order: names of reads, "-" for PRE; the banks are ready for everything."""
    issued: list[str] = []
    windows = [2 * port + READS for port in range(len(pool.ports))]

    async def bench(ctx: Any) -> None:
        queues = [[read for read in reads if read.port == n] for n in range(len(pool.ports))]
        for port in pool.ports:
            ctx.set(port.response.ready, 1)
        ctx.set(pool.ready.act, 1 << SLOT)
        ctx.set(pool.ready.pre, 1 << SLOT)
        for clock in range(COLUMNS_FROM + 40):
            ctx.set(pool.ready.rd, (clock >= COLUMNS_FROM) << SLOT)
            for port, queue in zip(pool.ports, queues, strict=True):
                offered = bool(queue) and queue[0].since <= clock
                ctx.set(port.request.valid, offered)
                if offered:
                    ctx.set(port.request.payload, request_layout(SPEC).const({
                        "tag": ord(queue[0].name), "bank": BANK, "row": queue[0].row}))
                    if ctx.get(port.request.ready):
                        queue.pop(0)
            await one_command(ctx)

    async def one_command(ctx: Any) -> None:
        """The first there is: a column, else an ACT, else a PRE, in the order of the ports."""
        candidates = [pool.candidates[n] for n in windows]
        kind, chosen = next(((kind, candidate) for kind in ("column", "activate", "precharge")
                             for candidate in candidates if ctx.get(getattr(candidate, kind))),
                            ("nothing", candidates[0]))
        row = ctx.get(chosen.activate_word.row)
        for candidate in candidates:
            for each in ("column", "activate"):
                ctx.set(getattr(candidate, f"{each}_issued"),
                        candidate is chosen and kind == each)
        ctx.set(pool.events.opens, (kind == "activate") << SLOT)
        ctx.set(pool.events.closes, (kind == "precharge") << SLOT)
        ctx.set(pool.events.row, row)
        if kind in ("column", "precharge"):
            issued.append(chr(ctx.get(chosen.tag)) if kind == "column" else "-")
        await ctx.tick()
        if kind == "activate":
            ctx.set(pool.rows[SLOT], row)
        if kind in ("activate", "precharge"):
            ctx.set(pool.open, (kind == "activate") << SLOT)

    simulate(pool, bench)
    return "".join(issued)


def turns(urgency: Any, late: list[int]) -> list[int]:
    """Which window goes first in each clock, if none is ever served."""
    got: list[int] = []

    async def bench(ctx: Any) -> None:
        for windows in late:
            ctx.set(urgency.late, windows)
            got.append(ctx.get(urgency.urgent))
            await ctx.tick()

    simulate(urgency, bench)
    return got


def show_turns(unit: Any) -> None:
    """``unit`` has the classes."""
    def pool(ports: int) -> Any:
        return unit.RequestPool(SPEC, ports=ports)

    # The second window keeps its turn until it cannot be served any more
    assert turns(unit.Urgency(windows=2, burst=3), [0b10, 0b11, 0b11, 0b01, 0b11, 0]) == [
        0b10, 0b10, 0b10, 0b01, 0b01, 0]
    # Only A is late: B of another row may not close the row that C hits, nor keep C from it
    assert serve(pool(1), [Read("A", 1, 0), Read("B", 2, 20), Read("C", 1, 21)]) == "AC-B"
    # B follows A, and the turn is over
    assert serve(pool(1), [Read("A", 1, 0), Read("B", 1, 19), Read("C", 2, 20),
                           Read("D", 1, 21)]) == "ABD-C"
    # Both ports are late in rows of their own: three of the one, three of the other, the rest
    assert serve(pool(2), [Read(name, row, 0, port) for port, row, names in (
        (0, 1, "ABCD"), (1, 2, "PQRS")) for name in names]) == "ABC-PQR-D-S"
    # The row of A is being opened when P of an earlier port is late, too; P closed it once before
    assert serve(pool(2), [Read("A", 1, 0, port=1), Read("P", 2, 8)]) == "--A-P"


def test_a_turn_lasts_as_long_as_the_oldest_hits_the_open_row() -> None:
    show_turns(hdl.dram.request_pool)


CHAIN = ["hdl.dram.urgency", "hdl.dram.request_pool"]
BURST = "burst=self.spec.scheduler.urgent_burst"
MUTANTS = {
    "goes on without a hit": (1, "urgency.following.eq(able & hits)", "urgency.following.eq(able)"),
    "goes on with a hit of another request": (
        1, "hits = Cat(r.oldest_hits for r in requesters)",
        "hits = Cat(r.hits[side].any() for r in requesters for side in (READS, WRITES))"),
    "one request a turn": (1, BURST, "burst=1"),
    "one request too many": (1, BURST, BURST + " + 1"),
    "nobody is late": (1, "urgency.late.eq(Cat(r.late[side]", "urgency.late.eq(Cat(C(0)"),
    "a turn can be taken before it has begun": (
        0, "turn.eq(self.urgent), begun", "turn.eq(stays), begun"),
    "a turn is kept by who cannot be served": (
        0, "Mux(begun, self.following, self.late)", "Mux(begun, self.following, ~0)"),
    "a turn begins before anything is served": (0, "begun.eq(begun & stays.any())", "begun.eq(1)"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part, good, bad = MUTANTS[name]
    unit = mutated(Mutant(CHAIN[part], good, bad, ""), CHAIN, monkeypatch)
    with pytest.raises(AssertionError):
        show_turns(unit)
