"""cocotb tests of hdl.attention.descriptor_engine against the golden model, without PIM banks."""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from model.golden.translator import Residency
from model.spec.attention_descriptor import Descriptor, Opcode, Result
from model.spec.dma import Place
from model.spec.mx import StoredFormat
from model.spec.port import Status
from model.spec.translation import Fault
from tb.bench import parameters
from tb.descriptor_scene import BLOCKS, CAPACITY, ENGINE, SPEC, Scene
from tb.descriptor_software import DESCRIPTOR_BITS

STALLS = {"stall": [0.0, 0.3]}


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(**STALLS)
async def every_shape_and_context_is_set_up(dut: Any, stall: float) -> None:
    """Corners of contexts for each head size, group and kind of result."""
    async with Scene(dut) as tb:
        tb.furnish(stall=stall)
        cocotb.start_soon(tb.sequencer.answer())
        for head_size, heads in ((64, 1), (80, 2)):
            await tb.go(*(tb.make(1, blocks, tokens=tokens, heads=heads, head_size=head_size,
                                  partial=heads == 2 and blocks > 1)
                          for blocks, tokens in ((1, 1), (1, 16), (2, 1), (9, 15))))


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(**STALLS)
async def any_list_of_blocks_becomes_full_waves(dut: Any, stall: float) -> None:
    """Windows, sinks, blocks of one bank only, blocks twice, prefixes of another sequence."""
    async with Scene(dut) as tb:
        tb.furnish(stall=stall)
        cocotb.start_soon(tb.sequencer.answer())
        tb.sequence(4, tenant=1, segments=1)
        for block in range(12):
            tb.put(1, block, bank=block // 4)                  # banks 0 0 0 0 1 1 1 1 2 ...
        for block in range(4):
            tb.enter(4, block, block % 3, 8 * block, tenant=1)
        lists = [[(1, n) for n in range(12)],
                 [(1, 0), (1, 1), *((1, n) for n in range(40, 48))],
                 [(4, 0), (4, 1), (4, 2), (1, 9), (1, 9), (1, 30)],
                 [(1, tb.rng.randrange(BLOCKS)) for _ in range(30)]]
        await tb.go(*(tb.descriptor(entries, tenant=1) for entries in lists))


@cocotb.test(timeout_time=100, timeout_unit="us")
async def equal_rows_are_announced_once(dut: Any) -> None:
    """Blocks that lie side by side: every full wave is uniform."""
    async with Scene(dut) as tb:
        tb.furnish(blocks=0)
        cocotb.start_soon(tb.sequencer.answer())
        for block in range(7):
            tb.put(1, block, bank=block % 3, row=8 * (block // 3))
        uniform: list[int] = []

        async def watch() -> None:
            while True:
                await RisingEdge(dut.clk)
                if int(dut.waves__valid.value) and int(dut.waves__ready.value):
                    uniform.append(int(dut.waves__payload.value) >> 3 * (7 + 5) & 1)
        cocotb.start_soon(watch())
        await tb.go(tb.make(1, 7))
        tb.check(uniform, [1, 1, 0], "uniform waves")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def what_makes_no_sense_is_refused_by_name(dut: Any) -> None:
    """Each refusal, and those that win over others; the ring goes on."""
    async with Scene(dut) as tb:
        tb.furnish(blocks=4)
        cocotb.start_soon(tb.sequencer.answer())
        for options in (
                {"opcode": Opcode.NONE}, {"tenant": 2}, {"resident": False},
                {"append": True, "format": StoredFormat.MXINT8}, {"head_size": 48},
                {"head_size": 72}, {"head_size": 96}, {"head_size": 0}, {"heads": 0},
                {"heads": 3}, {"format": StoredFormat.MXFP4}, {"scale": 0}, {"scale": 1},
                {"scale": 0x7F80_0000}, {"scale": 0xBF80_0000}, {"blocks": 0}, {"context": 0},
                {"context": 33}, {"context": 16}, {"context": 1 << 20 | 17},
                {"blocks": 0, "context": 0}, {"opcode": 2, "tenant": 2, "head_size": 0}):
            wrong = tb.make(1, 2, **{"tokens": 5, **options}) if "tenant" not in options else (
                tb.descriptor([(1, 0)], **{"tokens": 5, **options}))
            await tb.go(wrong, tb.make(1, 1))
        before = len(tb.sequencer.attentions)
        for name in ("reserved", "reserved_list"):
            low, width = DESCRIPTOR_BITS[name]
            good = tb.make(1, 1)
            tb.post(0, good, raw=good.pack() | 1 << low + width - 1)
            await tb.ring(0)
            await tb.refused(good, Result.BAD_OPCODE)
        tb.check(len(tb.sequencer.attentions), before, "attentions begun")


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(where=[1, 9])
async def the_first_block_that_fails_is_named(dut: Any, where: int) -> None:
    """Before an attention has begun, and in the middle of one."""
    async with Scene(dut) as tb:
        tb.furnish()
        cocotb.start_soon(tb.sequencer.answer())
        wrong: dict[int, tuple[Result, int]] = {}
        kinds: tuple[tuple[dict[str, Any], Result, int], ...] = (
            ({"residency": CAPACITY}, Result.NOT_RESIDENT, Fault.NOT_RESIDENT),
            ({"residency": Residency(pim=True, poisoned=True)}, Result.TRANSLATION_FAULT,
             Fault.POISONED),
            ({"residency": Residency(pim=True, pim_format=StoredFormat.MXFP8_E4M3)},
             Result.MIXED_FORMAT, StoredFormat.MXFP8_E4M3),
            ({"channel": 0}, Result.BAD_PLACE, 0),
            ({"offset": 3}, Result.BAD_PLACE, 0),
            ({"row": SPEC.geometry.rows - 7}, Result.BAD_PLACE, 0))
        for number, (options, result, detail) in enumerate(kinds):
            block = 40 + number
            tb.put(1, block, **options)
            wrong[block] = (result, detail)
        entries = {block: (1, block) for block in wrong}
        entries |= {100: (1, 200), 101: (2, 1), 102: (7, 0)}
        wrong |= {100: (Result.TRANSLATION_FAULT, Fault.UNMAPPED),
                  101: (Result.TRANSLATION_FAULT, Fault.WRONG_TENANT),
                  102: (Result.TRANSLATION_FAULT, Fault.UNMAPPED)}
        for key, (result, detail) in wrong.items():
            good = [(1, tb.rng.randrange(40)) for _ in range(where + 2)]
            d = tb.descriptor([*good[:where], entries[key], *good[where:]], tenant=1)
            outcome = tb.golden.find(d, 1)
            tb.check((outcome.result, outcome.detail, outcome.entry), (result, detail, where),
                     "the model's result")
            await tb.go(d, tb.make(1, 1))


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(**STALLS)
async def blocks_elsewhere_are_asked_of_others(dut: Any, stall: float) -> None:
    """Some, the last one, all of them; and a descriptor that wants all in the PIM layers."""
    async with Scene(dut) as tb:
        tb.furnish(stall=stall)
        cocotb.start_soon(tb.sequencer.answer())
        for block in (3, 4, 9, 15):
            tb.put(1, block, residency=CAPACITY)
        away = {"resident": False, "partial": True}
        await tb.go(tb.make(1, 16, **away), tb.make(1, 12, **away),
                    tb.make(1, 2, first=3, **away), tb.make(1, 5, partial=True),
                    tb.make(1, 5, append=True, **away), tb.make(1, 6, append=True, **away))


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(**STALLS)
async def the_new_token_is_there_before_its_wave(dut: Any, stall: float) -> None:
    async with Scene(dut) as tb:
        tb.furnish(stall=stall)
        cocotb.start_soon(tb.sequencer.answer())
        for head_size in (64, 80):
            for tokens in (1, 7, 16):
                d = tb.make(1, tb.rng.randrange(1, 8), tokens=tokens, append=True,
                            head_size=head_size)
                watch = cocotb.start_soon(_appended(tb, d))
                await tb.go(d)
                await watch
        tb.put(1, 20, writable=False)
        tb.put(1, 21, residency=Residency(pim=True, capacity=True))
        await tb.go(tb.make(1, 1, first=20, append=True), tb.make(1, 2, first=20, append=True),
                    tb.make(1, 2, first=20))


async def _appended(tb: Scene, d: Descriptor) -> None:
    """When the last wave of the attention comes, all words of the token have been written."""
    before = len(tb.sequencer.attentions)
    await tb.until(lambda: len(tb.sequencer.attentions) > before
                   and tb.sequencer.attentions[-1].whole)
    want = dict(tb.golden.words)
    bank, row = tb.golden.find(d, 1).blocks[-1]
    tb.golden.append(d, tb.layout(d.head_size), tb.golden.find(d, 1))
    changed = [place for place, word in tb.golden.words.items() if want[place] != word]
    tb.golden.words.update(want)
    token = tb.golden.read(d.token, 2 * d.head_size // 16)
    beats = [int.from_bytes(token[n:n + 32], "little") for n in range(0, len(token), 32)]
    tb.check(sorted(tb.memory[place] for place in changed), sorted(beats), "the token's words")
    assert all(place[0] == bank and row <= place[1] < row + 10 for place in changed)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def what_memory_refuses_is_recorded(dut: Any) -> None:
    """Ring, list, queries, token and output: words that cannot be read, places that are not."""
    async with Scene(dut) as tb:
        tb.furnish(blocks=20)
        cocotb.start_soon(tb.sequencer.answer())
        nowhere = Place(9, 0)
        beyond = Place(tb.banks[1], SPEC.geometry.rows - 1, tb.columns - 1)
        missing: tuple[dict[str, Any], ...] = (
            {"list": nowhere}, {"query": nowhere}, {"query": beyond}, {"output": nowhere},
            {"output": beyond}, {"token": nowhere, "append": True})
        for options in missing:
            await tb.go(tb.make(1, 9, **options), tb.make(1, 1))
        spoil = tb.agent.poisoned
        for name, result, options in (("list", Result.LIST_FAULT, {}),
                                      ("query", Result.QUERY_FAULT, {}),
                                      ("token", Result.APPEND_FAULT, {"append": True})):
            d = tb.make(1, 20, heads=2, **options)
            place = getattr(d, name)
            beat = tb.rng.randrange(2)
            at = tb.ring_place(place, beat)
            spoil.add(at)
            if result is Result.LIST_FAULT:
                d = tb.make(1, 20, list=d.list)
            await tb.go(d, tb.make(1, 1), instead={d.cookie: (
                result, 0 if result is Result.LIST_FAULT else Status.UNCORRECTABLE)})
            spoil.discard(at)
        d = tb.make(1, 2)
        at = tb.ring_place(d.output, 1)
        tb.agent.trouble[True, at] = Status.NO_SUCH_BANK
        before = tb.memory[at]
        tb.post(0, d, tb.make(1, 1))
        await tb.ring(0)
        await tb.until(lambda: int(tb.status(0).head) == tb.posted[-1].index + 1)
        tb.memory[at] = tb.attention(d).results[1]
        await tb.finish(instead={d.cookie: (Result.OUTPUT_FAULT, Status.NO_SUCH_BANK)})
        tb.check(tb.memory[at] == before, False, "the refused word")
        d = tb.make(1, 1)
        tb.post(0, d)
        spoil.add(tb.ring_place(tb.settings[0].ring, 2 * (tb.posted[-1].index % 4)))
        await tb.ring(0)
        await tb.refused(d, Result.RING_FAULT, cookie=0)


@cocotb.test(timeout_time=400, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.3], slow=[True])
async def rings_of_several_tenants_run_together(dut: Any, stall: float, slow: bool) -> None:
    """Random lists with errors, appends and blocks elsewhere, several laps of every ring."""
    async with Scene(dut) as tb:
        tb.furnish(stall=stall, slow=slow, log2=3)
        cocotb.start_soon(tb.sequencer.answer())
        for tenant in (1, 2, 3):
            tb.put(tenant, 40, residency=CAPACITY)
            tb.put(tenant, 41, residency=Residency(pim=True, poisoned=True))
        for _ in range(parameters().get("laps", 1)):
            for ring in range(3):
                tb.post(ring, *(_random(tb, ring + 1) for _ in range(tb.rng.randrange(3, 9))))
            for ring in range(3):
                await tb.ring(ring)
            await tb.finish()


def _random(tb: Scene, tenant: int) -> Descriptor:
    limit = tb.rng.choice((30, 40, 40, 42))
    entries = [(tenant, tb.rng.randrange(limit)) for _ in range(tb.rng.randrange(1, 14))]
    partial = tb.rng.random() < 0.5
    resident = not partial or tb.rng.random() < 0.5
    return tb.descriptor(
        entries, tenant=tenant, heads=tb.rng.randrange(1, 3),
        head_size=tb.rng.choice((64, 80)), partial=partial, resident=resident,
        append=entries.count(entries[-1]) == 1 and tb.rng.random() < 0.5,
        opcode=tb.rng.choice((Opcode.ATTEND,) * 9 + (Opcode.NONE,)))


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(**STALLS)
async def parts_go_to_their_joins(dut: Any, stall: float) -> None:
    """A ring waits for its join without holding up others; failures and empty parts are told."""
    async with Scene(dut) as tb:
        tb.furnish(stall=stall, log2=3)
        cocotb.start_soon(tb.sequencer.answer())
        cocotb.start_soon(tb.claims())
        for block in (3, 4):
            tb.put(1, block, residency=CAPACITY)
        tb.put(2, 41, residency=Residency(pim=True, poisoned=True))
        part = {"joined": True, "partial": True, "resident": False}

        tb.open_join(3, 1, 77, heads=2)
        tb.open_join(1, 3, 77)                                  # of another tenant
        tb.post(0, tb.make(1, 7, heads=2, join=77, **part), tb.make(1, 2))
        tb.post(1, tb.make(2, 3, join=77, **part), tb.make(2, 2))
        tb.post(2, tb.make(3, 3), tb.make(3, 1, join=77, **part))
        for ring in range(3):
            await tb.ring(ring)
        await tb.until(lambda: tb.status(0).head == 2 and tb.status(2).head == 2)
        await tb.clocks(300)
        tb.check(int(tb.status(1).head), 0, "records of the ring that waits")
        tb.open_join(0, 2, 77)
        await tb.finish()

        made = [tb.make(1, 2, first=3, join=1, **part), tb.make(1, 1, heads=2, join=2, **part),
                tb.make(1, 1, head_size=80, join=3, **part),
                tb.make(1, 1, join=4, **{**part, "partial": False}),
                tb.make(1, 1, join=5, **part), tb.make(1, 2, join=6, **part)]
        for number, d in enumerate(made):
            tb.open_join(number % 4, 1, d.join, refused=d.join == 5)
            await tb.go(d)
        for where in (0, 11):               # before an attention has begun, and in one
            tb.open_join(where % 4, 2, where, heads=2)
            blocks = [(2, tb.rng.randrange(40)) for _ in range(12)]
            blocks[where] = (2, 41)
            await tb.go(tb.descriptor(blocks, tenant=2, heads=2, join=where, **part), ring=1)
        tb.check(tb.board, {}, "joins that were not begun")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_part_whose_join_will_not_come_is_replaced(dut: Any) -> None:
    """Software holds the ring, writes another descriptor over it, and lets the ring go on."""
    async with Scene(dut) as tb:
        tb.furnish(blocks=3)
        cocotb.start_soon(tb.sequencer.answer())
        tb.post(0, tb.make(1, 2, joined=True, partial=True, join=5))
        await tb.ring(0)
        await tb.clocks(200)
        await tb.enable(0, False)
        await tb.clocks(50)
        tb.check((int(tb.status(0).head), len(tb.sequencer.attentions)), (0, 0), "what has begun")
        tb.posted.pop()
        tb.post(0, tb.make(1, 2))
        await tb.enable(0, True)
        await tb.finish()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def tenants_take_turns(dut: Any) -> None:
    """A full ring does not hold up the others: each waits for one attention of every other."""
    async with Scene(dut) as tb:
        tb.furnish(blocks=3, log2=3)
        many = [tb.make(1, 2) for _ in range(8)]
        tb.post(0, *many)
        await tb.ring(0)
        few = {ring: tb.make(ring + 1, 2) for ring in (1, 2)}
        for ring, d in few.items():
            tb.post(ring, d)
            await tb.ring(ring)
        cocotb.start_soon(tb.sequencer.answer())
        await tb.finish()
        scales = [a.order["scale"] for a in tb.sequencer.attentions]
        for d in few.values():
            assert scales.index(d.scale) <= ENGINE.jobs + 2, "a tenant was held up"
        tb.checked += 1


@cocotb.test(timeout_time=100, timeout_unit="us")
async def the_next_is_ready_before_this_one_is_over(dut: Any) -> None:
    """With nothing answered, as many attentions are handed over as may be under way."""
    async with Scene(dut) as tb:
        tb.furnish(blocks=3, log2=3)
        cocotb.start_soon(tb.heads_follow_records())
        for ring in range(2):
            tb.post(ring, *(tb.make(ring + 1, 3) for _ in range(3)))
            await tb.ring(ring)
        await tb.until(lambda: sum(a.whole for a in tb.sequencer.attentions) == ENGINE.jobs, 3000)
        await tb.clocks(500)
        tb.check(len(tb.sequencer.attentions), ENGINE.jobs, "attentions under way")
        cocotb.start_soon(tb.sequencer.answer())
        await tb.finish()


@cocotb.test(timeout_time=100, timeout_unit="us")
async def a_ring_can_be_held(dut: Any) -> None:
    """Nothing is begun of a ring that is not enabled; a doorbell too large is refused."""
    async with Scene(dut) as tb:
        tb.furnish(blocks=3, log2=2)
        cocotb.start_soon(tb.sequencer.answer())
        await tb.enable(0, False)
        tb.post(0, tb.make(1, 3), tb.make(1, 1))
        await tb.ring(0)
        tb.post(1, tb.make(2, 3))
        await tb.ring(1)
        await tb.until(lambda: int(tb.status(1).head) == 1)
        tb.check(len(tb.sequencer.attentions), 1, "attentions")
        await tb.enable(0, True)
        await tb.finish()
        dut.tail.value = 99
        dut.doorbell.value = 1
        await RisingEdge(dut.clk)
        dut.doorbell.value = 0
        await tb.clocks(200)
        tb.check((int(tb.status(0).bad_doorbell), int(tb.status(0).busy)), (1, 0), "bad doorbell")
