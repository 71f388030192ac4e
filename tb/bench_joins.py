"""cocotb tests of hdl.attention.join_engine against the golden model; members are played."""

from dataclasses import replace
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hdl.attention.descriptor_layouts import PartKind
from model.golden.attention_descriptor import Outcome
from model.golden.attention_join import Answer
from model.spec.attention_descriptor import Opcode, Result
from model.spec.attention_join import FOREIGN
from model.spec.dma import Place
from model.spec.port import Status
from tb.join_software import COPIES, ENGINE, EVERY, SPEC, JoinBench, beats_of

NOTHING = Answer(result=Result.ALL_ELSEWHERE)


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(rough=[False, True])
async def parts_become_outputs(dut: Any, rough: bool) -> None:
    """Any members, shapes and kinds of output, joins of two tenants open together."""
    async with JoinBench(dut) as tb:
        tb.begin(stall=0.3 * rough, idle=0.3 * rough)
        outside = []
        shapes = (
            (EVERY, 2, 64, False), ((1,), 1, 64, False), ((0, 2, FOREIGN), 2, 64, False),
            ((0, 1), 2, 80, True), ((2, FOREIGN), 1, 80, True), ((0, 1, FOREIGN), 2, 80, False))
        for ring, order in enumerate((shapes, shapes[::-1])):
            for members, heads, head_size, partial in order:
                join = tb.post(ring, members, heads=heads, head_size=head_size, partial=partial)
                if FOREIGN in members:
                    outside.append(join)
        await tb.ring(0, 1)
        for join in sorted(outside, key=lambda join: join.join & 255):
            await tb.deliver(join)
        await tb.finish()


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(rough=[False, True])
async def queries_reach_every_member_before_it_may_begin(dut: Any, rough: bool) -> None:
    """Any members and shapes, at the end of a row, beside joins that copy nothing; nobody else."""
    async with JoinBench(dut) as tb:
        tb.begin(stall=0.3 * rough, idle=0.3 * rough)
        for members, heads, head_size in (((1,), 1, 80), (EVERY, 2, 64), ((2, 1), 1, 64),
                                          ((0, 2), 2, 80), ((0,), 2, 64)):
            for ring in range(2):
                tb.post(ring, members, heads=heads, head_size=head_size,
                        **tb.queries(heads, head_size))
                if ring and heads == 2:
                    tb.post(1, members, heads=heads, head_size=head_size)
            if heads == 2:
                await tb.ring(0, 1)
                await tb.finish()
        copied = [sum(write and place[0] == COPIES for write, place in agent.log)
                  for agent in tb.agents]
        tb.check(copied, [2 * (8 + 10 + 8), 2 * (8 + 5 + 4), 2 * (8 + 10 + 4)], "beats copied")
        read = sum(not write and place[0] == SPEC.geometry.banks[0]
                   for write, place in tb.agent.log)
        tb.check(read, 2 * (8 + 5 + 10 + 4 + 8), "beats of queries read, each once")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def queries_that_cannot_be_copied_are_named(dut: Any) -> None:
    """The members are refused; behind each such join, a good one."""
    async with JoinBench(dut) as tb:
        tb.begin()
        g = SPEC.geometry
        places = [{"query": Place(9, 0)}, {"copy": Place(9, 0)},
                  {"copy": Place(g.banks[0], g.rows - 1, g.columns - 3)},
                  {"query": Place(g.banks[0], g.rows - 1, g.columns - 3)}]
        for place in places:
            tb.post(0, **{**tb.queries(2, 64), **place})
            tb.post(0, **tb.queries(2, 64))
            await tb.ring(0)
            await tb.finish()
        for agent, status in ((0, Status.UNCORRECTABLE), (0, Status.NO_SUCH_BANK),
                              (2, Status.NO_SUCH_BANK)):
            options = tb.queries(2, 64)
            copy, query = options["copy"], options["query"]
            spoilt = (query if status is Status.UNCORRECTABLE else copy)
            write = status is not Status.UNCORRECTABLE
            at = (spoilt.bank, spoilt.row, spoilt.column)
            tb.agents[agent].trouble[write, at] = status
            join = tb.post(1, **options)
            await tb.ring(1)
            await tb.until(lambda: tb.head(1) == len(tb.posted[1]))
            for golden, memory in zip(tb.goldens, tb.memories, strict=True):
                golden.words.update({place: word for place, word in memory.items()
                                     if place[0] == copy.bank})     # whatever is in the copies
            await tb.finish(instead={join.join: Outcome(Result.QUERY_FAULT, detail=status)})
            tb.agents[agent].trouble.clear()
            tb.post(1, **tb.queries(2, 64))
            await tb.ring(1)
            await tb.finish()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def opposite_orders_do_not_deadlock(dut: Any) -> None:
    """One member prefers one tenant, the next the other one; both of them get all they want."""
    async with JoinBench(dut) as tb:
        tb.begin(prefer=lambda n: (0, 1) if n % 2 else (1, 0))
        for ring in range(2):
            for _ in range(5):
                tb.post(ring)
        await tb.ring(0, 1)
        await tb.finish()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def what_makes_no_sense_is_refused_by_name(dut: Any) -> None:
    """Refused joins of which the members are known drain their rings; behind each, a good one."""
    async with JoinBench(dut) as tb:
        tb.begin()
        wrong: tuple[tuple[dict[str, Any], Result], ...] = (
            ({"opcode": Opcode.ATTEND}, Result.BAD_OPCODE), ({"raw": 1 << 511}, Result.BAD_OPCODE),
            ({"raw": 1 << 12}, Result.BAD_OPCODE), ({"tenant": 7}, Result.WRONG_TENANT),
            ({"head_size": 48}, Result.BAD_HEAD_SIZE), ({"head_size": 72}, Result.BAD_HEAD_SIZE),
            ({"head_size": 96, "foreign": True}, Result.BAD_HEAD_SIZE),
            ({"heads": 0}, Result.BAD_GROUP), ({"heads": 3}, Result.BAD_GROUP),
            ({"members": ()}, Result.BAD_MEMBERS), ({"members": (0, 3)}, Result.BAD_MEMBERS),
            ({"members": (1, 63)}, Result.BAD_MEMBERS))
        for number, (options, result) in enumerate(wrong):
            untrusted = "raw" in options or "opcode" in options or "tenant" in options
            join = tb.post(number % 2, **options)
            if untrusted:
                for n in EVERY:
                    tb.todo[n][number % 2].clear()
            tb.post(number % 2, (0, 2), heads=1)
            await tb.ring(number % 2)
            await tb.finish(instead={join.join: Outcome(result)})


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_part_of_another_shape_is_refused(dut: Any) -> None:
    """Whoever comes with more heads fails, and the join with it; it names the lowest one."""
    async with JoinBench(dut) as tb:
        tb.begin()
        join = tb.post(0)
        for n in (1, 2):
            todo = tb.todo[n][0][0]
            todo.join = replace(todo.join, heads=1)
        await tb.ring(0)
        await tb.finish(instead={join.join: Outcome(
            Result.MEMBER_FAILED, detail=Result.BAD_JOIN, entry=1)})


@cocotb.test(timeout_time=100, timeout_unit="us")
async def members_without_a_part_are_not_waited_for(dut: Any) -> None:
    """Nothing to add; failures, of which the lowest is named, whenever it comes."""
    async with JoinBench(dut) as tb:
        tb.begin()
        bad = {n: Answer(result=Result(Result.LIST_FAULT + n)) for n in EVERY}
        for ring, answers in enumerate((
                {0: NOTHING}, {2: NOTHING}, {0: NOTHING, 1: NOTHING}, dict.fromkeys(EVERY, NOTHING),
                {0: bad[0]}, {2: bad[2], 1: bad[1]}, bad, {0: NOTHING, 2: bad[2]})):
            tb.post(ring % 2, answers=answers)
            tb.post(ring % 2)
            if ring % 2:
                await tb.ring(0, 1)
                await tb.finish()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def outsiders_are_members_too(dut: Any) -> None:
    """Alone, empty, failed; not awaited once another has failed, unless it has begun."""
    async with JoinBench(dut) as tb:
        tb.begin()
        failed = Answer(result=Result.QUERY_FAULT)
        for members, answer in (((FOREIGN,), None), ((0, FOREIGN), NOTHING), ((0, FOREIGN), failed),
                                ((FOREIGN,), NOTHING)):
            join = tb.post(0, members, answers={FOREIGN: answer} if answer else None)
            await tb.ring(0)
            await tb.deliver(join)
            await tb.finish()
        tb.post(0, (0, 1, FOREIGN), answers={1: failed})
        await tb.ring(0)
        await tb.finish()

        join = tb.post(0, (0, 1, FOREIGN), answers={1: failed})
        tb.silent = {0, 1}
        answer = tb.posted[0][-1].answers[FOREIGN]
        await tb.ring(0)
        await tb.deliver(join, beats=3)
        tb.silent.clear()
        await tb.clocks(200)
        tb.check(tb.head(0), len(tb.posted[0]) - 1, "records while a part is in the midst")
        half = Answer(answer.parts)
        for word in beats_of(half)[3:]:
            await tb.outside.put(tb.foreign_beat(join, word))
        await tb.finish()
        good = tb.post(0, (2, FOREIGN))
        await tb.ring(0)
        await tb.deliver(good)
        await tb.finish()


@cocotb.test(timeout_time=200, timeout_unit="us")
async def a_foreign_part_may_break_off(dut: Any) -> None:
    """In its first, a middle or its last beat, by word or by silence; another one follows at once.

    Late beats are dropped, before the other part and behind it.
    """
    async with JoinBench(dut) as tb:
        tb.begin()
        length, strays, half = 2 * (1 + 64 // 8), 0, ENGINE.patience // 2
        for beats in (1, length // 2, length // 2 + 1, length - 1):
            for says, late_first in ((True, False), (True, True), (False, False), (False, True)):
                why = Result.QUERY_FAULT if says else Result.TIMED_OUT
                tb.silent = {0}                         # so that no head is whole before
                join, other = (tb.post(ring, (ring, FOREIGN)) for ring in range(2))
                words, others = (beats_of(tb.posted[ring][-1].answers[FOREIGN])
                                 for ring in range(2))
                await tb.ring(0, 1)
                await tb.until(lambda: (other.tenant, other.join) in tb.seen)  # noqa: B023
                await tb.deliver(join, beats=beats)
                if says:
                    await tb.outside.put(tb.foreign_beat(join, why, PartKind.FAILED))
                else:
                    await tb.clocks(half)               # no signs of life:
                    await tb.outside.put(tb.foreign_beat(other, others[0]))
                    await tb.outside.put(tb.foreign_beat(join, 0, PartKind.EMPTY))
                    await tb.clocks(ENGINE.patience - half - 2)
                    strays += 2
                late = [tb.foreign_beat(join, word) for word in words[beats:]]
                whole = [tb.foreign_beat(other, word) for word in others]
                own = tb.foreign_beat(join, why, PartKind.BROKEN)
                for beat in (*late, own, *whole) if late_first else (*whole, own, *late):
                    await tb.outside.put(beat)
                strays += 1 + len(late)
                tb.silent.clear()
                await tb.finish(strays=strays, instead={join.join: Outcome(
                    Result.MEMBER_FAILED, detail=why, entry=FOREIGN)})


@cocotb.test(timeout_time=100, timeout_unit="us")
async def what_was_whole_before_may_have_been_written(dut: Any) -> None:
    """A join of a foreign part alone that breaks off in its second head; a good one behind it."""
    async with JoinBench(dut) as tb:
        tb.begin()
        join = tb.post(0, (FOREIGN,))
        at = (join.output.bank, join.output.row, join.output.column)
        before = {place: word for place, word in tb.memory.items() if place[0] == at[0]}
        await tb.ring(0)
        await tb.deliver(join, beats=2 * (1 + 64 // 8) - 1)
        await tb.until(lambda: tb.head(0) == 1)
        tb.check(tb.memory[at] != before[at], True, "the first head was written")
        tb.memory.update(before)
        good = tb.post(0, (FOREIGN,))
        await tb.ring(0)
        await tb.deliver(good)
        await tb.finish(instead={join.join: Outcome(
            Result.MEMBER_FAILED, detail=Result.TIMED_OUT, entry=FOREIGN)})


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_foreign_part_that_pauses_is_awaited(dut: Any) -> None:
    """A clock less than it may be silent, in each of its beats."""
    async with JoinBench(dut) as tb:
        tb.begin()
        join = tb.post(0, (FOREIGN,), heads=1)
        await tb.ring(0)
        await tb.deliver(join, beats=1)
        for word in beats_of(tb.posted[0][0].answers[FOREIGN])[1:]:
            await tb.clocks(ENGINE.patience - 1)
            await tb.outside.put(tb.foreign_beat(join, word))
        await tb.finish()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def what_nobody_awaits_is_dropped(dut: Any) -> None:
    """Another name, another tenant, a second part, a beat of another join in the midst."""
    async with JoinBench(dut) as tb:
        tb.begin()
        join = tb.post(0, (0, FOREIGN))
        tb.silent = {0}
        other = tb.post(1, (0, FOREIGN))
        await tb.ring(0, 1)
        beats = len(beats_of(tb.posted[0][0].answers[FOREIGN]))
        await tb.deliver(join, name=join.join ^ 1)
        await tb.deliver(join, tenant=2)
        await tb.deliver(join, beats=4)
        await tb.deliver(other, beats=2)
        await tb.deliver(join, NOTHING)
        for word in beats_of(tb.posted[0][0].answers[FOREIGN])[4:]:
            await tb.outside.put(tb.foreign_beat(join, word))
        await tb.deliver(join)
        await tb.deliver(other)
        tb.silent.clear()
        await tb.finish(strays=3 * beats + 3)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def software_may_give_up(dut: Any) -> None:
    """Who has begun is awaited all the same; a ring whose part is not wanted any more waits."""
    async with JoinBench(dut) as tb:
        tb.begin()
        tb.silent = {2}
        join = tb.post(0, (0, 2, FOREIGN))
        await tb.ring(0)
        await tb.clocks(300)
        tb.check(tb.head(0), 0, "records before")
        dut.cancel.value = 1
        await RisingEdge(dut.clk)
        dut.cancel.value = 0
        await tb.until(lambda: tb.head(0) == 1)
        tb.check(len(tb.todo[2][0]), 1, "parts of a cancelled join that wait")
        tb.todo[2][0].clear()
        tb.silent.clear()
        tb.post(0)
        await tb.ring(0)
        await tb.finish(instead={join.join: Outcome(
            Result.MEMBER_FAILED, detail=Result.CANCELLED, entry=2)})


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_name_is_open_once(dut: Any) -> None:
    """The second of a name waits for the first; the other tenant's of that name does not."""
    async with JoinBench(dut) as tb:
        tb.begin()
        tb.silent = set(EVERY)
        for ring, members in ((0, (0, 1)), (0, (1, 2)), (1, EVERY)):
            tb.post(ring, members, join=77)
        await tb.ring(0)
        await tb.clocks(100)
        await tb.ring(1)
        await tb.clocks(100)
        tb.silent.clear()
        await tb.finish()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def what_memory_refuses_is_recorded(dut: Any) -> None:
    """A join that cannot be read, places that are not, a write that is refused."""
    async with JoinBench(dut) as tb:
        tb.begin()
        beyond = Place(SPEC.geometry.banks[-1], SPEC.geometry.rows - 1, SPEC.geometry.columns - 3)
        for output in (Place(9, 0), beyond):
            tb.post(0, output=output)
            tb.post(0)
            await tb.ring(0)
            await tb.finish()
        join = tb.post(0)
        at = (join.output.bank, join.output.row, join.output.column)
        tb.agent.trouble[True, at] = Status.NO_SUCH_BANK
        before = dict(tb.memory)
        await tb.ring(0)
        await tb.until(lambda: tb.head(0) == 5)
        for place, word in before.items():              # whatever became of the output
            if place[0] == at[0]:
                tb.memory[place] = word
        await tb.finish(instead={join.join: Outcome(Result.OUTPUT_FAULT, Status.NO_SUCH_BANK)})
        join = tb.post(0, (), cookie=0)
        spoilt = tb.ring_place(0, 2 * ((len(tb.posted[0]) - 1) % 8))
        tb.agent.poisoned.add(spoilt)
        await tb.ring(0)
        await tb.finish(instead={join.join: Outcome(Result.RING_FAULT)})
        tb.agent.poisoned.discard(spoilt)
        tb.post(0)
        await tb.ring(0)
        await tb.finish()
