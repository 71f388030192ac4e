"""When a refresh is asked for while reads and writes take turns."""

from dataclasses import replace
from typing import Any

import pytest
from amaranth.sim import Simulator

from hdl.dram.refresh import PATIENCE, PERIOD, Refresh
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.timing import HBM4_8000
from tests.rtl.mutants import Mutant, mutated

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=3, capacity_banks=2, rows=4),
                 timing=replace(HBM4_8000, nREFI=240))
INTERVAL = SPEC.timing.refresh_interval
PIM, FIRST, LAST, ALL = 0b00111, 0b01000, 0b10000, 0b11111


def show_refresh(refresh: Any) -> None:
    """Goes through the cases; after each, what is asked for, and all is wanted again."""
    async def bench(ctx: Any) -> None:
        async def clocks(count: int, wanted: int, *, resting: int = 0, turned: bool = False,
                         writing: bool = False) -> int:
            """What is asked for first; it is issued at once."""
            asked = 0
            for name, value in (("wanted", wanted), ("resting", resting), ("turned", turned),
                                ("writing", writing)):
                ctx.set(getattr(refresh, name), value)
            for _ in range(count):
                await ctx.tick()
                asked = asked or ctx.get(refresh.slots)
                ctx.set(refresh.issued, ctx.get(refresh.valid))
            ctx.set(refresh.issued, 0)
            return asked

        drain = {"turned": True, "writing": True}
        assert not await clocks(INTERVAL + 2, ALL)
        # One of each is outstanding. Only when a drain begins, and only what nobody wants.
        assert not await clocks(3, ALL & ~FIRST)
        assert not await clocks(3, ALL & ~FIRST, turned=True)
        assert not await clocks(3, ALL & ~FIRST, writing=True)
        assert not await clocks(3, ALL, resting=ALL, **drain)
        assert await clocks(3, ALL & ~FIRST, **drain) == FIRST
        # Who has left a bank: not while others wait for their turn.
        assert not await clocks(4 * PERIOD, ALL & ~LAST, resting=PIM)
        await clocks(2 * PERIOD, ALL)
        assert await clocks(4 * PERIOD, ALL & ~LAST) == LAST
        # From six on also what only later ports want, in either direction; not before it has
        # turned, and not what others want as well.
        await clocks(PATIENCE * INTERVAL, ALL)
        assert not await clocks(3, ALL, resting=PIM)
        assert await clocks(2, ALL, resting=PIM, turned=True) == PIM
        await clocks(INTERVAL // 2, ALL)
        assert not await clocks(3, ALL, **drain)
        assert await clocks(2, ALL, resting=FIRST, **drain) == FIRST

    simulator = Simulator(refresh)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()


def test_refreshes_pass_while_others_wait_for_their_turn() -> None:
    show_refresh(Refresh(SPEC))


MUTANTS = {
    "who has left is taken at once": ("left[index] & calm", "left[index]"),
    "any direction is a drain": ("self.turned & self.writing", "self.turned"),
    "at any time of a drain": ("self.turned & self.writing", "self.writing"),
    "whoever wants it": ("self.turned & ~(needed & slots).any()", "self.turned"),
    "resting at any time": ("(pending >= PATIENCE) & self.turned &", "(pending >= PATIENCE) &"),
    "resting units wait": ("self.wanted & ~self.resting)", "self.wanted)"),
    "one is as good as six": ("| (pending >= PATIENCE) &", "| (pending != 0) &"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = Mutant("hdl.dram.refresh", *MUTANTS[name], "")
    unit = mutated(mutant, [mutant.module], monkeypatch)
    with pytest.raises(AssertionError):
        show_refresh(unit.Refresh(SPEC))
