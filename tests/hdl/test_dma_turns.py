"""When the DMA engine reads and when it writes, and what it knows of the channel's room."""
# amaranth: UnusedElaboratable=no

import random
from typing import Any

import pytest

from hdl.dma.room import Room
from hdl.dma.turns import PATIENCE, Turns
from model.spec.dma import DmaSpec
from model.spec.scheduling import SchedulerSpec
from tests.hdl.simulation import simulate
from tests.rtl.mutants import Mutant, mutated

DMA = DmaSpec(slots=4, read_lanes=4)
LIMITS = SchedulerSpec(read_entries=6, write_entries=4, write_high=4)
READS = 20


def show_turns(turns: Any) -> None:
    """Walks through what may happen, and checks the direction in every clock."""
    async def bench(ctx: Any) -> None:
        async def clocks(count: int, write: bool, **inputs: bool) -> None:
            for name in ("can_read", "can_write", "more_reads", "more_writes", "answered",
                         "acked", "wrote"):
                ctx.set(getattr(turns, name), inputs.get(name, False))
            for clock in range(count):
                assert ctx.get(turns.write) == write, (clock, inputs)
                await ctx.tick()

        ready = {"can_read": True, "can_write": True, "more_reads": True, "more_writes": True}
        await clocks(50, False, **ready)                                # while it can
        await clocks(PATIENCE, False, **{**ready, "can_read": False})
        await clocks(3, False, **ready)                                 # patience begins anew
        await clocks(PATIENCE + 1, False, **{**ready, "can_read": False})
        await clocks(60, True, **ready)
        await clocks(60, True, **{**ready, "can_write": False, "acked": True})
        await clocks(PATIENCE + 1, True, **{**ready, "can_write": False})
        # Writes wait for the channel: reads go in between, until the first is acknowledged.
        await clocks(60, False, **ready)
        await clocks(60, False, **{**ready, "can_read": False, "answered": True})
        await clocks(3, False, **ready)
        await clocks(1, False, **ready, acked=True)
        await clocks(60, True, **ready)
        # Nothing more to write: a turn that acknowledgements do not end.
        await clocks(1, True, can_read=True, more_reads=True)
        await clocks(60, False, **ready, acked=True)
        await clocks(1, False, can_write=True)                          # nothing more to read
        await clocks(DMA.buffer_beats, True, **ready, wrote=True)       # a buffer-full ends it
        await clocks(1, True, **ready)
        await clocks(5, False, **ready)

    simulate(turns, bench)


def show_room(room: Any) -> None:
    """Random requests and answers, never more requests than there is room for."""
    rng = random.Random(3)
    seen = {"full": 0, "mixed": 0, "beyond": 0, "dropped": 0}

    async def bench(ctx: Any) -> None:
        reads = writes = 0
        for clock in range(4000):
            phase = clock // 100 % 4
            for_read = writes == 0 or reads < LIMITS.read_entries
            for_write = writes < LIMITS.write_entries
            assert ctx.get(room.for_read) == for_read, clock
            assert ctx.get(room.for_write) == for_write, clock
            seen["full"] += not for_write
            seen["mixed"] += not for_read
            seen["beyond"] += reads > LIMITS.read_entries
            now = {
                "reading": phase in {0, 2} and for_read and reads < READS and rng.random() < 0.7,
                "writing": phase in {1, 2} and for_write and rng.random() < 0.7,
                "read": reads > 0 and rng.random() < (0.4, 0.2, 0.5, 0.6)[phase],
                "wrote": writes > 0 and rng.random() < 0.3,
                "dropped": writes > 1 and rng.random() < 0.05,
            }
            seen["dropped"] += now["dropped"]
            for name, value in now.items():
                ctx.set(getattr(room, name), value)
            reads += now["reading"] - now["read"]
            writes += now["writing"] - now["wrote"] - now["dropped"]
            await ctx.tick()

    simulate(room, bench)
    assert min(seen.values()) > 20, seen


def test_turns_follow_the_channel() -> None:
    show_turns(Turns(DMA))


def test_room_is_what_the_windows_have_left() -> None:
    show_room(Room(LIMITS, reads=READS))


TURNS, ROOM = "hdl.dma.turns", "hdl.dma.room"
MUTANTS = {
    "patience ignores acknowledgements":
        Mutant(TURNS, "with m.If(can | goes | turn):", "with m.If(can | turn):", ""),
    "it reads on though the channel writes":
        Mutant(TURNS, "~self.write & parked & self.acked", "0", ""),
    "any acknowledgement ends a turn of reads":
        Mutant(TURNS, "~self.write & parked & self.acked", "~self.write & self.acked", ""),
    "a turn of writes never ends by itself":
        Mutant(TURNS, "| (written == self.dma.buffer_beats)", "", ""),
    "one write too many":
        Mutant(ROOM, "writes != self.limits.write_entries", "writes <= 4", ""),
    "reads are limited without need": Mutant(ROOM, "~self.crowded | ", "", ""),
    "reads beside writes are not limited":
        Mutant(ROOM, "reads < self.limits.read_entries", "reads < 64", ""),
    "dropped writes wait for ever": Mutant(ROOM, " - self.dropped", "", ""),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    unit = mutated(mutant, [mutant.module], monkeypatch)
    with pytest.raises(AssertionError):
        if mutant.module == TURNS:
            show_turns(unit.Turns(DMA))
        else:
            show_room(unit.Room(LIMITS, reads=READS))
