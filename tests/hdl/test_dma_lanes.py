"""Lanes of the DMA engine, and which segment gets one."""

import random
from typing import Any

import pytest
from amaranth import Module

from hdl.dma.answers import Answers
from hdl.dma.lanes import Lanes
from hdl.dma.layouts import LOW_BITS, READ_TAG
from hdl.dma.slot_pool import SlotPool
from hdl.layouts import response_layout
from model.spec.dma import SEGMENT_BEATS, DmaSpec
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from tests.hdl.simulation import simulate
from tests.rtl.mutants import Mutant, mutated

SPEC = SliceSpec(geometry=ChannelGeometry(capacity_banks=16, rows=4))
PER_GROUP = SPEC.geometry.banks_per_sid // SPEC.geometry.bank_groups
DMA = DmaSpec(channels=2, slots=4, jobs=2, read_lanes=3, write_lanes=1, lane_requests=20)


def show_lanes(seed: int, lanes_type: Any = Lanes, answers_type: Any = Answers) -> None:
    """Reads some segments; what is answered is random, but the first of 16 beats come last."""
    rng = random.Random(seed)
    lanes: Any = lanes_type(SPEC, slots=DMA.slots, lanes=DMA.read_lanes, answers=True,
                            requests=DMA.lane_requests, window=64)
    answers: Any = answers_type(DMA, lanes)
    m = Module()
    m.submodules.lanes, m.submodules.answers = lanes, answers
    m.d.comb += [lanes.answered.eq(answers.lane_valid), lanes.answered_lane.eq(answers.lane),
                 lanes.answered_low.eq(answers.low)]
    segments = 6
    stored: list[tuple[int, int]] = []

    async def bench(ctx: Any) -> None:
        waiting: list[tuple[int, int, int]] = []        # lane, beat and slot of what is unanswered
        offered, asked = 0, 0
        for _ in range(4000):
            if len(stored) == segments * SEGMENT_BEATS:
                break
            ctx.set(lanes.offer, offered < segments)
            ctx.set(lanes.segment, {"slot": offered % DMA.slots, "beats": SEGMENT_BEATS,
                                    "spot": {"bank": 16 + offered, "row": 1}})
            take = rng.random() < 0.9
            ctx.set(lanes.take, take and ctx.get(lanes.valid))
            late = [w for w in waiting if w[1] % 16]
            answer = rng.choice(late or waiting) if waiting and rng.random() < 0.6 else None
            ctx.set(answers.response.valid, answer is not None)
            if answer:
                lane, beat, slot = answer
                tag = READ_TAG.const({"low": beat % (1 << LOW_BITS), "lane": lane}).as_bits()
                ctx.set(answers.response.payload, response_layout().const({"tag": tag}))
                assert ctx.get(answers.store), "a beat that was answered is not stored"
                assert ctx.get(answers.store_at) == slot * SEGMENT_BEATS + beat
                stored.append((slot, beat))
                waiting.remove(answer)
            if ctx.get(lanes.take):
                new = ctx.get(lanes.lane), ctx.get(lanes.beat), ctx.get(lanes.current.slot)
                same = [w for w in waiting if w[0] == new[0] and (w[1] - new[1]) % 16 == 0]
                assert not same, f"{new} asked for while {same} are unanswered"
                waiting.append(new)
                asked += 1
            offered += ctx.get(lanes.accept)
            await ctx.tick()
        ctx.set(answers.response.valid, 0)
        await ctx.tick()
        assert asked == len(stored) == segments * SEGMENT_BEATS and not waiting
        assert not ctx.get(lanes.held)

    simulate(m, bench)


@pytest.mark.parametrize("seed", range(4))
def test_answers_find_their_beat_in_any_order(seed: int) -> None:
    show_lanes(seed)


def show_shares(_: int, lanes_type: Any = Lanes) -> None:
    """Asks until nothing more may be asked for, crowded and then not; nothing is answered."""
    lanes: Any = lanes_type(SPEC, slots=DMA.slots, lanes=DMA.read_lanes, answers=True,
                            requests=DMA.lane_requests, window=16)

    async def bench(ctx: Any) -> None:
        for n in range(DMA.read_lanes):
            ctx.set(lanes.offer, 1)
            ctx.set(lanes.segment, {"slot": n, "beats": SEGMENT_BEATS,
                                    "spot": {"bank": n * PER_GROUP}})
            await ctx.tick()
        ctx.set(lanes.offer, 0)
        ctx.set(lanes.take, 1)
        seen = [0] * DMA.read_lanes
        # Without an answer a lane stops at 16 beats: a tag tells no more of them apart.
        for crowded, expected in ((1, 16 // DMA.read_lanes), (0, 1 << LOW_BITS)):
            ctx.set(lanes.crowded, crowded)
            for _ in range(100):
                if ctx.get(lanes.valid):
                    seen[ctx.get(lanes.lane)] += 1
                ctx.set(lanes.take, ctx.get(lanes.valid))
                await ctx.tick()
            assert seen == [expected] * DMA.read_lanes

    simulate(lanes, bench)


def show_banks_in_turn(_: int, lanes_type: Any = Lanes, pool_type: Any = SlotPool) -> None:
    """Two rows of a bank and one of another are to be written, by one lane."""
    reads, writes = (lanes_type(SPEC, slots=DMA.slots, lanes=lanes, answers=reading, requests=8,
                                window=64) for reading, lanes in ((True, 3), (False, 1)))
    pool = pool_type(SPEC, DMA)
    pool.connect_lanes(reads, writes)
    m = Module()
    m.submodules.reads, m.submodules.writes, m.submodules.pool = reads, writes, pool
    m.d.comb += [writes.offer.eq(pool.write_offer), writes.segment.eq(pool.write_segment),
                 pool.write_accept.eq(writes.accept)]
    spots = [{"bank": 0, "row": 1}, {"bank": 0, "row": 2}, {"bank": 1, "row": 1}]

    async def bench(ctx: Any) -> None:
        for slot, spot in enumerate(spots):
            ctx.set(pool.offer, 1)
            ctx.set(pool.segment, {"reads": 0, "writes": 1, "beats": 1, "destination": spot,
                                   "source": {"bank": 16 + slot}})
            await ctx.tick()
        ctx.set(pool.offer, 0)
        ctx.set(pool.load, 1)           # each is filled from a stream
        await ctx.tick().repeat(len(spots))
        ctx.set(pool.load, 0)
        written = []
        ctx.set(writes.take, 1)
        for _ in range(20):
            ctx.set(writes.take, ctx.get(writes.valid))
            if ctx.get(writes.valid):
                written.append((ctx.get(writes.at.bank), ctx.get(writes.at.row)))
            await ctx.tick()
        assert written == [(0, 1), (1, 1), (0, 2)], "a row of the same bank before another bank"

    simulate(m, bench)


def show_groups(answers: int, lanes_type: Any = Lanes) -> None:
    """Of three segments of even bank groups and one of an odd one, two lanes take one of each.

    Reads do so only while they are crowded.
    """
    lanes = lanes_type(SPEC, slots=DMA.slots, lanes=2, answers=bool(answers), requests=8)

    async def bench(ctx: Any) -> None:
        taken = []
        ctx.set(lanes.offer, 1)
        ctx.set(lanes.segment, {"beats": 1, "spot": {"bank": PER_GROUP}})
        ctx.set(lanes.held, 0b10)                       # of which only the first lane is free
        assert ctx.get(lanes.accept) == answers
        ctx.set(lanes.held, 0)
        ctx.set(lanes.crowded, answers)
        for slot, group in enumerate((0, 2, 0, 1)):
            ctx.set(lanes.offer, 1)
            ctx.set(lanes.segment, {"slot": slot, "beats": 1, "spot": {"bank": group * PER_GROUP}})
            if ctx.get(lanes.accept):
                taken.append(slot)
            await ctx.tick()
        assert taken == [0, 3] and ctx.get(lanes.held) == 0b11

    simulate(lanes, bench)


def test_a_lane_has_its_share_of_the_window_while_it_is_crowded() -> None:
    show_shares(0)


@pytest.mark.parametrize("answers", [0, 1], ids=["writes", "reads"])
def test_lanes_are_kept_for_either_kind_of_bank_group(answers: int) -> None:
    show_groups(answers)


def test_banks_take_turns_where_each_has_several_rows() -> None:
    show_banks_in_turn(0)


LANES, ANSWERS, POOL = "hdl.dma.lanes", "hdl.dma.answers", "hdl.dma.slot_pool"
MUTANTS = {
    "all of the window for the oldest": Mutant(
        LANES, "Mux(self.crowded, self.share, self.requests)", "self.requests", "shares"),
    "always crowded": Mutant(
        LANES, "Mux(self.crowded, self.share, self.requests)", "self.share", "shares"),
    "any lane for any group": Mutant(LANES, "free & self._for(self.segment.spot)", "free",
                                     "groups"),
    "reads share lanes out, even alone": Mutant(
        LANES, "Mux(self.crowded, share, every)", "share", "groups of reads"),
    "reads never share lanes out": Mutant(
        LANES, "Mux(self.crowded, share, every)", "every", "groups of reads"),
    "oldest first whatever its bank": Mutant(
        POOL, "scarce & soon, scarce, able & soon, able", "scarce, able", "banks"),
    "two beats with the same bits": Mutant(LANES, " & ~twin)", ")", "answers"),
    "the beat before the last": Mutant(ANSWERS, "(low >= asked", "(low > asked", "answers"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    unit = mutated(mutant, [mutant.module], monkeypatch)
    show = {"answers": show_lanes, "shares": show_shares, "banks": show_banks_in_turn,
            "groups": show_groups, "groups of reads": show_groups}[mutant.seen_by]
    types = {keyword: getattr(unit, name) for keyword, name in (
        ("lanes_type", "Lanes"), ("answers_type", "Answers"), ("pool_type", "SlotPool"))
        if getattr(getattr(unit, name, None), "__module__", None) == mutant.module}
    with pytest.raises(AssertionError):
        show(int(mutant.seen_by == "groups of reads"), **types)
