"""The watch over a port: reads by their tags, writes of one tag together."""
# amaranth: UnusedElaboratable=no

from typing import Any

import pytest

from hdl.reliability.port_watch import PortWatch
from tests.hdl.simulation import simulate
from tests.rtl.mutants import Mutant, mutated

MODULE = "hdl.reliability.port_watch"
LIMIT, TAGS, CLOCKS = 40, 256, 600

STARTS = {1: ("write", 5), 2: ("write", 5), 3: ("write", 5), 4: ("write", 6), 5: ("write", 6),
          6: ("read", 5), 8: ("read", 7), 20: ("write", 9), 25: ("write", 9),
          30: ("read", 14), 31: ("write", 14), 32: ("write", 15), 35: ("write", 15),
          60: ("write", 6), 61: ("write", 11), 62: ("write", 12), 63: ("write", 12)}
FINISHES = {10: ("write", 5), 12: ("write", 6), 13: ("write", 6), 15: ("read", 5),
            20: ("write", 5), 25: ("write", 9), 35: ("write", 15), 40: ("write", 14),
            45: ("write", 15), 70: ("write", 12), 71: ("write", 12)}
OVERDUE = {5: 1, 7: 8, 9: 20, 14: 30, 6: 60, 11: 61}
"""Tags that are not answered, or not all of their writes, and when they began."""


def expired(watch: Any) -> dict[int, int]:
    """Tag -> clock in which it was reported; each at most once."""
    seen: dict[int, int] = {}

    async def bench(ctx: Any) -> None:
        for clock in range(CLOCKS):
            for side, events in (("start", STARTS), ("finish", FINISHES)):
                kind, tag = events.get(clock, ("", 0))
                ctx.set(getattr(watch, side), bool(kind))
                ctx.set(getattr(watch, f"{side}_write"), kind == "write")
                ctx.set(getattr(watch, f"{side}_tag"), tag)
            if ctx.get(watch.expired):
                tag = ctx.get(watch.expired_tag)
                assert tag not in seen, f"tag {tag} is reported twice"
                seen[tag] = clock
            await ctx.tick()

    simulate(watch, bench)
    return seen


def right(seen: dict[int, int]) -> bool:
    """Those that are overdue, and in time."""
    return seen.keys() == OVERDUE.keys() and all(
        LIMIT <= clock - OVERDUE[tag] <= LIMIT + TAGS for tag, clock in seen.items())


def test_an_access_without_an_answer_is_reported_and_no_other() -> None:
    seen = expired(PortWatch(limit=LIMIT))
    assert right(seen), seen


@pytest.mark.parametrize("mutant", [
    Mutant(MODULE, "event & (known == 1) & ~same", "event & ~same", ""),
    Mutant(MODULE, "event & (known == 1) & ~same", "event & (known == 1)", ""),
    Mutant(MODULE, "write.en.eq(event & ~(same & (known != 0)))", "write.en.eq(event)", ""),
    Mutant(MODULE, "Mux(writes.under_way.bit_select(tag, 1), read.data, 0)", "read.data + 1", ""),
    Mutant(MODULE, "self.finish & ~self.finish_write)", "self.finish)", ""),
    Mutant(MODULE, "reads.expired | writes.expired", "reads.expired", ""),
], ids=lambda mutant: mutant.bad)
def test_a_mutant_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not right(expired(mutated(mutant, [MODULE], monkeypatch).PortWatch(limit=LIMIT)))
