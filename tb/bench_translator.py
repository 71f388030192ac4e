"""cocotb tests of hdl.translator: every answer, every fault, changes under way, clocks."""

from collections.abc import Awaitable, Callable
from itertools import pairwise, product
from typing import Any

import cocotb

from hdl.translator.layouts import block_id_layout
from hdl.translator.translator import HIT_LATENCY
from model.golden.translator import BlockId, Residency
from model.spec.translation import MISS_OVERHEAD_CLOCKS, WALK_READS, Access, Fault, Scope, Tier
from tb.bench import parameters
from tb.translator_bench import Pending
from tb.translator_scene import CAPACITY, GROUPS, LAYERS, PIM, SPEC, Scene


@cocotb.test(timeout_time=200, timeout_unit="us")
async def every_access_is_judged_by_residency_and_permission(dut: Any) -> None:
    async with Scene(dut) as tb:
        accesses = [*Access]
        for number, (bits, permission) in enumerate(product(range(32), range(4))):
            residency = Residency.from_int(bits | tb.rng.randrange(64) << 5)
            block = tb.block(number % 64, residency, readable=bool(permission & 1),
                             writable=bool(permission & 2), layer=number // 64)
            accesses.append(accesses.pop(0))
            for tier in Tier:
                await tb.answer(block, tier, accesses[0])       # a walk
                for access in accesses[1:]:                     # found in the TLB
                    await tb.lookup(block, tier, access)
        tb.check(tb.count["faults"] > 500, True, "faults")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def every_entry_of_a_table_is_found(dut: Any) -> None:
    async with Scene(dut) as tb:
        for number in {0, *(SPEC.segment_start(n) + d for n in range(1, 6) for d in (-1, 0)),
                       SPEC.segment_start(6) - 1}:
            for layer, group in product(range(LAYERS), range(GROUPS)):
                await tb.expect(Fault.NONE, tb.block(number, layer=layer, head_group=group))
        block = BlockId(tenant=1, sequence=1)
        for beyond in ({"layer": LAYERS}, {"head_group": GROUPS}, {"layer": 255},
                       {"head_group": 255}, {"block": SPEC.segment_start(6)},
                       {"block": SPEC.segment_start(7)}, {"block": 65535}):
            await tb.expect(Fault.UNMAPPED, BlockId(**{**vars(block), **beyond}))
        tb.sequence(3, tenant=1, segments=1)
        await tb.expect(Fault.UNMAPPED, BlockId(tenant=1, sequence=3,
                                                block=SPEC.segment_start(1)))


@cocotb.test(timeout_time=50, timeout_unit="us")
async def wrong_tables_are_refused_by_their_cause(dut: Any) -> None:
    async with Scene(dut) as tb:
        rows, columns = SPEC.channel.geometry.rows, SPEC.channel.geometry.columns
        for sequence in (tb.tables.sequences - 1, tb.tables.sequences, 65535):
            await tb.expect(Fault.UNMAPPED, BlockId(tenant=1, sequence=sequence))
        await tb.expect(Fault.WRONG_TENANT, BlockId(tenant=2, sequence=1))
        await tb.expect(Fault.UNMAPPED, BlockId(tenant=1, sequence=1, block=60))    # no entry
        tb.put("chunk", 10, tenant=1, channel=0, bank=2, row=rows - 1, rows=2)
        tb.put("chunk", 11, tenant=1, channel=0, bank=3, row=0, rows=1)     # no such PIM bank
        tb.put("chunk", 12, tenant=1, channel=5, bank=1, row=0, rows=1)     # no such channel
        tb.put("chunk", 13, tenant=1, channel=0, bank=33, row=0, rows=1)    # no such SID
        tb.put("chunk", 14, tenant=1, channel=0, bank=1, row=65535, rows=8191)
        for number, (fault, copy) in enumerate((
                (Fault.NONE, (10, columns - 1)), (Fault.BAD_PLACE, (10, columns)),
                (Fault.UNMAPPED, (10, 2 * columns)), (Fault.UNMAPPED, (10, (1 << 15) - 1)),
                (Fault.BAD_PLACE, (11, 0)), (Fault.BAD_PLACE, (12, 0)), (Fault.BAD_PLACE, (13, 0)),
                (Fault.BAD_PLACE, (14, 8)), (Fault.BAD_PLACE, (3, 0)),      # a capacity chunk
                (Fault.WRONG_TENANT, (4, 0)), (Fault.UNMAPPED, (15, 0)),    # not allocated
                (Fault.UNMAPPED, (tb.tables.chunks, 0)), (Fault.UNMAPPED, ((1 << 20) - 1, 0)),
                (Fault.UNMAPPED, None))):
            block = tb.block(number, Residency(pim=True, capacity=True), pim=copy)
            await tb.expect(fault, block)
            await tb.expect(Fault.NONE, block, Tier.CAPACITY)       # the other copy is fine
            await tb.expect(fault, block, Tier.ANY)
        nowhere = (1 << 28) - 1
        tb.put("sequence", 4, tenant=1, layers=1, head_groups=1, segments=(nowhere,))
        tb.put("sequence", 5, tenant=1, layers=256, head_groups=256, segments=(nowhere,) * 6)
        for block in (BlockId(tenant=1, sequence=4),
                      BlockId(tenant=1, sequence=5, layer=255, head_group=255, block=63)):
            await tb.expect(Fault.TABLE_MEMORY, block)
            await tb.commit(block, PIM, CAPACITY)
            await tb.quiet()


async def _with_each_word(tb: Scene, block: BlockId, fault: Fault,
                          damage: Callable[[int, int], Callable[[], None]], bits: int) -> None:
    """Damages every word of a walk in turn: lookups and commits end with that fault."""
    words = (tb.tables.directory_base + block.sequence, tb.tables.block_address(block),
             tb.tables.chunk_base + 2 * block.tenant)
    everything = BlockId(tenant=0, sequence=0)
    for number, address in enumerate(words):
        for bit in range(bits):
            repair = damage(address, bit)
            tb.history.clear()
            await tb.expect(fault, block)
            if number < 2:                          # a commit reads no chunk
                commit = await tb.commit(block, PIM, CAPACITY)
                await tb.quiet()
                tb.check(commit.want and commit.want[0], fault, "commit")
            repair()
    tb.history.clear()
    await tb.invalidate(Scope.ALL, everything)
    await tb.expect(Fault.NONE, block)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def every_flipped_bit_of_a_table_word_is_found(dut: Any) -> None:
    async with Scene(dut, latency=range(1, 2)) as tb:
        def flip(address: int, bit: int) -> Callable[[], None]:
            good = tb.tables.memory[address]
            bad = int.from_bytes(good, "little") ^ 1 << bit
            tb.write(address, bad.to_bytes(32, "little"))
            return lambda: tb.write(address, good)
        await _with_each_word(tb, tb.block(9), Fault.TABLE_PARITY, flip, 256)


@cocotb.test(timeout_time=50, timeout_unit="us")
async def what_memory_refuses_is_a_fault(dut: Any) -> None:
    async with Scene(dut) as tb:
        def damaged(address: int, bit: int) -> Callable[[], None]:
            del bit
            tb.agent.uncorrectable.add(address)
            good = tb.mirror.memory.pop(address)            # which the model knows as missing

            def repair() -> None:
                tb.agent.uncorrectable.remove(address)
                tb.mirror.memory[address] = good
            return repair
        await _with_each_word(tb, tb.block(9), Fault.TABLE_MEMORY, damaged, 1)


@cocotb.test(timeout_time=20, timeout_unit="us")
async def hits_take_three_clocks_one_a_clock(dut: Any) -> None:
    async with Scene(dut) as tb:
        blocks = [tb.block(n) for n in range(min(4, SPEC.tlb_entries))]
        for block in blocks:
            await tb.answer(block)
        hits = [await tb.lookup(blocks[n % len(blocks)]) for n in range(100)]
        await tb.quiet()
        tb.check({p.answered - p.accepted for p in hits}, {HIT_LATENCY}, "latencies")
        tb.check(hits[-1].accepted - hits[0].accepted, 99, "clocks for 99 lookups")


@cocotb.test(timeout_time=50, timeout_unit="us")
@cocotb.parametrize(latency=[1, 30, 77])
async def a_miss_costs_the_memory_and_eight_clocks(dut: Any, latency: int) -> None:
    async with Scene(dut, latency=range(latency, latency + 1)) as tb:
        for number in range(8):
            before = len(tb.memory_clocks)
            pending = await tb.lookup(tb.block(number))
            await pending.event.wait()
            memory = tb.memory_clocks[before:]
            tb.check(len(memory), WALK_READS, "dependent reads")
            overhead = pending.answered - pending.accepted - sum(memory)
            tb.check(overhead <= MISS_OVERHEAD_CLOCKS, True, f"{overhead} clocks beside memory")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def hits_pass_outstanding_misses(dut: Any) -> None:
    async with Scene(dut, latency=range(200, 201)) as tb:
        block = tb.block(0)
        await tb.answer(block)
        misses = [await tb.lookup(tb.block(n)) for n in range(1, SPEC.slots - 1)]
        hits = [await tb.lookup(block) for _ in range(50)]
        tb.check(hits[-1].accepted - hits[0].accepted, 49, "clocks for 49 lookups")
        await hits[-1].event.wait()
        tb.check([p.answered for p in misses], [-1] * len(misses), "misses still under way")
        await tb.quiet()
        spread = max(p.answered for p in misses) - min(p.answered for p in misses)
        tb.check(spread < 20, True, f"walks overlap, {spread} clocks apart")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def lookups_of_one_block_share_a_walk(dut: Any) -> None:
    async with Scene(dut, latency=range(50, 51)) as tb:
        for number in (3, 4):                   # fine; without an entry
            block = tb.block(3) if number == 3 else BlockId(tenant=1, sequence=1, block=4)
            before = len(tb.agent.log)
            waiting = [await tb.lookup(block, Tier.PIM, access) for access in
                       (Access.READ, Access.WRITE, Access.FILL, Access.READ)[:SPEC.slots]]
            await tb.quiet()
            tb.check(len(tb.agent.log) - before, 3 if number == 3 else 2, "reads of one walk")
            tb.check(len({p.answered for p in waiting}), len(waiting), "answers, each once")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def a_set_keeps_its_ways_and_evicts_what_is_unused(dut: Any) -> None:
    async with Scene(dut) as tb:
        *kept, extra = blocks = tb.same_set(SPEC.tlb_ways + 1)
        for block in kept:
            await tb.answer(block)
        before = await tb.counters()
        for block in reversed(kept):
            await tb.answer(block)
        counters = await tb.counters()
        tb.check(counters.hits - before.hits, len(kept), "all ways hit")
        await tb.answer(extra)                  # evicts one
        await tb.answer(extra)
        tb.check((await tb.counters()).hits - counters.hits, 1, "the new one hits")
        if SPEC.tlb_ways > 1:                   # the most recently used one is still there
            before = await tb.counters()
            await tb.answer(kept[0])
            tb.check((await tb.counters()).hits - before.hits, 1, "the last one used hits")
        before = await tb.counters()
        for block in blocks:
            await tb.answer(block)
        tb.check((await tb.counters()).misses > before.misses, True, "one was evicted")


Change = Callable[[Scene, BlockId, int], Awaitable[object]]


async def _move_by(tb: Scene, block: BlockId, scope: Scope) -> None:
    """The runtime gives the block another place and has the old one forgotten."""
    ending = tb.change(block, lambda: tb.block(block.block, PIM, pim=(2, 300)))
    await tb.invalidate(scope, block, ending)


async def _commit(tb: Scene, block: BlockId, offset: int) -> None:
    """The DMA moves the residency, while others begin to look the block up."""
    pending = await tb.commit(block, PIM, CAPACITY)
    await tb.clocks(offset // 2)
    await tb.lookup(block, Tier.CAPACITY)
    await pending.event.wait()


CHANGES: dict[str, Change] = {
    **{scope.name: lambda tb, block, _, scope=scope: _move_by(tb, block, scope)
       for scope in Scope}, "commit": _commit}


@cocotb.test(timeout_time=200, timeout_unit="us")
@cocotb.parametrize(change=[*CHANGES], cached=[False, True])
async def a_change_in_any_clock_of_a_walk_is_seen(dut: Any, change: str, cached: bool) -> None:
    async with Scene(dut, latency=range(3, 4)) as tb:
        for offset in range(24):
            block = tb.block(offset)
            if cached:
                await tb.answer(block)
                await tb.answer(block, Tier.CAPACITY)
            early = [await tb.lookup(block), await tb.lookup(block, Tier.PIM)][:SPEC.slots]
            await tb.clocks(offset)
            await CHANGES[change](tb, block, offset)
            late: list[Pending] = [await tb.lookup(block, tier) for tier in Tier]
            await tb.quiet()
            for pending in late:                    # what the TLB keeps is as new
                assert pending.kind is not None
                tb.check(await tb.answer(block, *pending.kind), pending.translation,
                         f"offset {offset}")
            tb.check(len(early), 2, "lookups under way")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def an_invalidation_spares_what_is_not_meant(dut: Any) -> None:
    async with Scene(dut) as tb:
        tb.sequence(9, tenant=1)
        other = BlockId(tenant=1, sequence=9)
        tb.put("block", other, PIM, pim=(2, 0))
        blocks = {"it": tb.block(0), "block": tb.block(1), "sequence": other,
                  "tenant": tb.block(2, tenant=2)}
        spared = {Scope.BLOCK: 3, Scope.SEQUENCE: 2, Scope.TENANT: 1, Scope.ALL: 0}
        for scope, count in spared.items():
            for block in (*blocks.values(), *blocks.values()):
                await tb.answer(block)
            before = await tb.counters()
            await tb.invalidate(scope, blocks["it"])
            for block in blocks.values():
                await tb.answer(block)
            hits = (await tb.counters()).hits - before.hits
            evicting = SPEC.tlb_entries < 8             # such a TLB does not hold all four
            tb.check(hits <= count if evicting else hits == count, True, f"{scope.name}: {hits}")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def commits_compare_and_set_in_order(dut: Any) -> None:
    async with Scene(dut, latency=range(9, 10)) as tb:
        block, other = tb.block(0), tb.block(1)
        steps = [PIM, Residency(pim=True, in_flight=True, to=Tier.CAPACITY),
                 Residency(pim=True, capacity=True), CAPACITY, Residency(capacity=True)]
        for expected, residency in pairwise(steps):
            await tb.commit(block, expected, residency)         # one behind another
        await tb.commit(other, CAPACITY, PIM)                   # not what is expected
        await tb.commit(BlockId(tenant=2, sequence=1), PIM, CAPACITY)
        await tb.commit(BlockId(tenant=1, sequence=1, block=7), PIM, CAPACITY)
        await tb.commit(BlockId(tenant=1, sequence=30), PIM, CAPACITY)
        await tb.quiet()
        tb.check(tb.count["commits"], len(steps) - 1, "commits that were carried out")
        before = len(tb.memory_clocks)
        lone = await tb.commit(other, PIM, CAPACITY)
        await lone.event.wait()
        overhead = lone.answered - lone.accepted - sum(tb.memory_clocks[before:])
        tb.check(overhead <= MISS_OVERHEAD_CLOCKS, True, f"{overhead} clocks beside the memory's")
        await tb.expect(Fault.NOT_RESIDENT, block)
        await tb.expect(Fault.NOT_RESIDENT, other)


@cocotb.test(timeout_time=50, timeout_unit="us")
async def a_full_fault_queue_counts_what_it_drops(dut: Any) -> None:
    async with Scene(dut, read_faults=False) as tb:
        block = BlockId(tenant=2, sequence=1)
        lost = 5
        for _ in range(SPEC.fault_records + lost):
            await tb.expect(Fault.WRONG_TENANT, block)
        await tb.expect(Fault.NONE, tb.block(0))                # others go on
        counters = await tb.counters()
        tb.check(counters.faults, SPEC.fault_records + lost, "faults")
        tb.check(counters.faults_lost, lost, "faults without a record")


@cocotb.test(timeout_time=20, timeout_unit="us")
async def blocks_in_use_are_sampled(dut: Any) -> None:
    async with Scene(dut) as tb:
        blocks = [tb.block(n) for n in range(4)]
        await tb.expect(Fault.NOT_RESIDENT, tb.block(4, CAPACITY))      # not used
        for first in range(3):                  # nobody takes the sample: the first one stays
            for block in blocks[first:]:
                await tb.answer(block)
            await tb.clocks(2)
            tb.check(int(dut.touched__valid.value), 1, "a sample")
            sample: Any = block_id_layout().from_bits(int(dut.touched__payload.value))
            tb.check(sample.block, first, "the block used first since the last sample")
            dut.touched__ready.value = 1
            await tb.clocks(1)
            dut.touched__ready.value = 0
            await tb.clocks(2)
            tb.check(int(dut.touched__valid.value), 0, "samples")


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(idle=[0.0, 0.5], stall=[0.0, 0.4], slow=[False, True])
async def random_traffic_with_changes_is_answered_rightly(
        dut: Any, idle: float, stall: float, slow: bool) -> None:
    latency = range(1, 40) if slow else range(2, 6)
    async with Scene(dut, idle=idle, stall=stall, latency=latency) as tb:
        rng, amount = tb.rng, parameters()["random"]
        words = [Residency.from_int(rng.randrange(1 << 11)) for _ in range(6)] + [PIM, CAPACITY]
        blocks = [tb.block(n, rng.choice(words), tenant=t, layer=n % LAYERS, readable=rng.random()
                           < 0.9, writable=rng.random() < 0.8) for n in range(12) for t in (1, 2)]
        known = [*blocks, BlockId(tenant=2, sequence=1), BlockId(tenant=1, sequence=40),
                 BlockId(tenant=1, sequence=1, block=50)]
        changing: set[BlockId] = set()

        async def committer() -> None:
            for _ in range(amount // 8):
                block = rng.choice([b for b in known if b not in changing])
                changing.add(block)
                found = tb.mirror.translate(block, Tier.CAPACITY, Access.FILL).residency
                answer = tb.mirror.commit(block, found, found)[2]
                expected = answer if rng.random() < 0.8 else rng.choice(words)
                pending = await tb.commit(block, expected, rng.choice(words))
                await pending.event.wait()
                changing.remove(block)

        async def runtime() -> None:
            for _ in range(amount // 12):
                block = rng.choice([b for b in blocks if b not in changing])
                changing.add(block)
                chunk = 2 * block.tenant
                offset = rng.randrange(480)
                ending = tb.change(block, lambda block=block, chunk=chunk, offset=offset: tb.put(
                    "block", block, rng_word, pim=(chunk, offset), capacity=(chunk + 1, offset))
                    if (rng_word := words[offset % len(words)]) else None)
                await tb.clocks(rng.randrange(20))
                await tb.invalidate(rng.choice([*Scope]), block, ending)
                changing.remove(block)

        tasks = [cocotb.start_soon(committer()), cocotb.start_soon(runtime())]
        for _ in range(amount):
            some = blocks[:6] if rng.random() < 0.6 else known
            await tb.lookup(rng.choice(some), rng.choice([*Tier]), rng.choice([*Access]))
        for task in tasks:
            await task
        await tb.quiet()
