"""The watchdog against a list of start times, and mutants that this notices."""
# amaranth: UnusedElaboratable=no

import random
from typing import Any

import pytest

from hdl.reliability.watchdog import Watchdog
from model.spec.errors import SpecError
from tests.hdl.simulation import simulate
from tests.rtl.mutants import Mutant, mutated

MODULE = "hdl.reliability.watchdog"
TAGS, LIMIT = 8, 40


def drive(watchdog: Any, *, clocks: int = 6000, seed: int = 1) -> dict[str, int]:
    """Starts and finishes tags at random, some too late or never; checks every clock."""
    rng = random.Random(seed)
    seen = {"expired": 0, "unexpected": 0, "just_in_time": 0, "reused": 0}

    async def bench(ctx: Any) -> None:
        started: dict[int, int] = {}             # tag -> clock
        for clock in range(clocks):
            free = [t for t in range(TAGS) if t not in started]
            start = rng.choice(free) if free and rng.random() < 0.2 else None
            old = [t for t, since in started.items() if clock - since > LIMIT - 12]
            choice = old if old and rng.random() < 0.7 else list(started)
            finish = rng.choice(choice) if choice and rng.random() < 0.09 else None
            if rng.random() < 0.01:
                finish = rng.randrange(TAGS)
            if finish is not None and start is None and rng.random() < 0.2:
                start = finish                   # ends and begins anew in one clock
            for name, tag in (("start", start), ("finish", finish)):
                ctx.set(getattr(watchdog, name), tag is not None)
                ctx.set(getattr(watchdog, f"{name}_tag"), tag or 0)
            unexpected = (finish is not None and finish not in started) or (
                start is not None and start in started and start != finish)
            assert ctx.get(watchdog.unexpected) == unexpected, clock
            assert ctx.get(watchdog.under_way) == sum(1 << t for t in started), clock
            seen["unexpected"] += unexpected
            if ctx.get(watchdog.expired):
                tag = ctx.get(watchdog.expired_tag)
                age = clock - started.pop(tag)
                assert LIMIT <= age <= LIMIT + TAGS, (clock, tag, age)
                assert tag != finish, clock
                seen["expired"] += 1
            if finish in started:
                seen["just_in_time"] += clock - started[finish] > LIMIT - 8
                del started[finish]
            if start is not None:
                seen["reused"] += start == finish
                started[start] = clock
            assert all(clock - since <= LIMIT + TAGS for since in started.values()), clock
            await ctx.tick()

    simulate(watchdog, bench)
    return seen


def test_what_is_overdue_is_reported_once_in_time_and_nothing_else_is() -> None:
    seen = drive(Watchdog(limit=LIMIT, tags=TAGS))
    assert all(count > 10 for count in seen.values()), seen


@pytest.mark.parametrize(("parameters", "message"), [
    ({"limit": 0}, "limit: expected an integer in 1.."), ({"limit": 9, "tags": 12},
                                                         "tags: expected a power of two, not 12")])
def test_what_cannot_be_built_is_refused(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(SpecError) as refusal:
        Watchdog(**parameters)
    assert message in str(refusal.value)


@pytest.mark.parametrize("mutant", [
    Mutant(MODULE, "(age >= self.limit)", "(age > self.limit + 8)", ""),
    Mutant(MODULE, "Signal((self.limit + 2 * self.tags).bit_length())", "Signal(5)", ""),
    Mutant(MODULE, "& ~(self.finish & (self.finish_tag == turn))),", "),", ""),
    Mutant(MODULE, "| Mux(self.expired, 1 << turn, 0)),", "),", ""),
    Mutant(MODULE, "write.en.eq(self.start)", "write.en.eq(self.start & ~self.finish)", ""),
    Mutant(MODULE, "(self.finish & ~self.under_way.bit_select(self.finish_tag, 1))", "0", ""),
], ids=lambda mutant: mutant.good)
def test_a_mutant_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = mutated(mutant, [MODULE], monkeypatch)
    watchdog = unit.Watchdog(limit=LIMIT, tags=TAGS)
    with pytest.raises(AssertionError):
        drive(watchdog)
