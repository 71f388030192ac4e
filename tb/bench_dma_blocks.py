"""cocotb tests of hdl.dma.engine with the translator: blocks by their id, visible when whole."""

from dataclasses import replace
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from model.golden.dma import carry_out
from model.golden.translator import BlockId, Residency
from model.spec.dma import BLOCK, Descriptor, Kind, Place, Result, Side, pack
from model.spec.mx import StoredFormat
from model.spec.port import Status
from model.spec.translation import BLOCK_ID_WIDTHS, Access, Fault, Tier
from tb.bench_dma import CAPACITY, COLUMNS, GEOMETRY
from tb.bench_dma_streams import packet, taken
from tb.dma_software import EngineBench
from tb.dma_system import PSEUDO_CHANNEL

NAMED = Side(kind=Kind.BLOCK)
HOST = Side(kind=Kind.HOST)
BEATS = 2 * COLUMNS
IN_CAPACITY = Residency(capacity=True)
PIM_PLACE, CAPACITY_PLACE = Place(2, 4), Place(CAPACITY + 1, 6)


class BlockBench(EngineBench):
    """Tenant 1 with blocks of two rows, of which block n lies at offset 2 n of its chunks."""

    def tell(self) -> None:
        """Writes the tables."""
        self.tables.put_sequence(3, tenant=1, layers=1, head_groups=1, segments=(128,))
        for chunk, place in ((0, PIM_PLACE), (1, CAPACITY_PLACE)):
            self.tables.put_chunk(chunk, tenant=1, channel=PSEUDO_CHANNEL, bank=place.bank,
                                  row=place.row, rows=6)

    async def block(self, number: int, residency: Residency, **options: Any) -> BlockId:
        """Enters a block, and lets the translator forget what it knew."""
        block = BlockId(tenant=1, sequence=3, block=number)
        self.tables.put_block(block, residency, **{
            "pim": (0, number * BEATS), "capacity": (1, number * BEATS), **options})
        self.dut.invalidate__payload.value = 3                   # Scope.ALL
        self.dut.invalidate__valid.value = 1
        await RisingEdge(self.dut.clk)
        while not int(self.dut.invalidate__ready.value):
            await RisingEdge(self.dut.clk)
        self.dut.invalidate__valid.value = 0
        return block

    def residency(self, block: BlockId) -> Residency:
        """What the table says now."""
        return self.tables.translate(block, Tier.ANY, Access.FILL).residency

    def question(self, block: BlockId, source: Tier = Tier.CAPACITY, to: Tier = Tier.PIM,
                 keep: bool = False) -> int:
        """Field ``block`` of a descriptor."""
        return pack(BLOCK, {**{name: getattr(block, name) for name in BLOCK_ID_WIDTHS},
                            "source_tier": source, "destination_tier": to, "keep": int(keep)})

    async def ends(self, move: Descriptor, result: Result, detail: int = 0) -> None:
        """A descriptor that must end so."""
        self.software.post(0, move)
        await self.software.ring(0)
        await self.software.idle()
        record, = self.software.take_records(0)
        self.check((Result(record["result"]), record["detail"]), (result, detail), f"{move}")

    def moved(self, want: dict[Any, int], number: int, *, back: bool = False) -> None:
        """Carries a block along in an image."""
        places = [Side(place=replace(place, row=place.row + 2 * number))
                  for place in (CAPACITY_PLACE, PIM_PLACE)]
        source, destination = reversed(places) if back else places
        carry_out(GEOMETRY, want, Descriptor(source=source, destination=destination, beats=BEATS))


def stored(residency: Residency) -> Residency:
    """Formats of copies that are not there do not matter."""
    return replace(
        residency,
        pim_format=residency.pim_format if residency.pim else StoredFormat.WIDE,
        capacity_format=(residency.capacity_format if residency.capacity
                         else StoredFormat.WIDE))


@cocotb.test(timeout_time=2000, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.4])
async def blocks_move_between_tiers_and_their_residency_with_them(dut: Any, stall: float) -> None:
    async with BlockBench(dut) as tb:
        tb.begin(stall=stall, slow=bool(stall))
        tb.tell()
        for keep, announced in ((False, False), (True, False), (False, True)):
            before = IN_CAPACITY if not announced else replace(IN_CAPACITY, in_flight=True)
            block, want = await tb.block(1, before), dict(tb.memory)
            await tb.ends(Descriptor(
                source=NAMED, destination=NAMED, beats=BEATS,
                block=tb.question(block, keep=keep)), Result.DONE)
            tb.moved(want, 1)
            tb.compare(want, "promoted")
            tb.check(stored(tb.residency(block)), Residency(pim=True, capacity=keep), "residency")
        want = dict(tb.memory)
        await tb.ends(Descriptor(
            source=NAMED, destination=NAMED, beats=BEATS,
            block=tb.question(block, Tier.ANY, Tier.CAPACITY)), Result.DONE)
        tb.moved(want, 1, back=True)
        tb.compare(want, "demoted")
        tb.check(stored(tb.residency(block)), IN_CAPACITY, "residency")


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def a_block_is_visible_only_when_it_is_whole(dut: Any) -> None:
    """The residency word changes after the last beat, and before the record."""
    async with BlockBench(dut) as tb:
        tb.begin(slow=True)                 # beats may arrive long after the table could be told
        tb.tell()
        for number in range(3):
            block, want = await tb.block(number, IN_CAPACITY), dict(tb.memory)
            tb.moved(want, number)
            tb.software.post(0, Descriptor(source=NAMED, destination=NAMED, beats=BEATS,
                                           block=tb.question(block)))
            await tb.software.ring(0)
            seen = []
            while int(tb.software.status(0).head) == number:
                await RisingEdge(dut.clk)
                now = tb.residency(block)
                whole = all(tb.memory[p] == want[p] for p in want if p[0] == PIM_PLACE.bank)
                assert now.capacity or whole, "no whole copy may be read"
                assert whole or not now.pim, "a copy that is not whole may be read"
                if not seen or seen[-1] != (now.pim, now.in_flight):
                    seen.append((now.pim, now.in_flight))
            tb.check(seen, [(False, False), (False, True), (True, False)], "steps")


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def refusals_of_the_translator_touch_nothing(dut: Any) -> None:
    async with BlockBench(dut) as tb:
        tb.begin()
        tb.tell()
        block = await tb.block(2, IN_CAPACITY)
        stranger = replace(block, tenant=2)
        move = Descriptor(source=NAMED, destination=NAMED, beats=BEATS)
        before = dict(tb.memory)
        for question, result, detail in (
                (tb.question(stranger), Result.TRANSLATION_FAULT, Fault.WRONG_TENANT),
                (tb.question(block, Tier.PIM, Tier.CAPACITY), Result.TRANSLATION_FAULT,
                 Fault.NOT_RESIDENT),
                (tb.question(block, Tier.CAPACITY, Tier.CAPACITY), Result.BAD_KIND, 0),
                (tb.question(block, Tier.CAPACITY, Tier.ANY), Result.BAD_OPCODE, 0),
                (tb.question(block) | 1 << 100, Result.BAD_OPCODE, 0)):
            await tb.ends(replace(move, block=question), result, detail)
            tb.check(tb.residency(block), IN_CAPACITY, "residency")
        await tb.ends(replace(move, block=tb.question(block), elements=2), Result.BAD_LENGTH)
        block = await tb.block(2, IN_CAPACITY, pim=None)         # no place to go
        await tb.ends(replace(move, block=tb.question(block)), Result.TRANSLATION_FAULT,
                      Fault.UNMAPPED)
        tb.check(tb.residency(block), IN_CAPACITY, "residency is as before")
        tb.tables.put_chunk(2, tenant=1, channel=0, bank=2, row=0, rows=6)
        block = await tb.block(2, IN_CAPACITY, pim=(2, 0))       # in another pseudo-channel
        await tb.ends(replace(move, block=tb.question(block)), Result.BAD_PLACE)
        tb.check(tb.residency(block), IN_CAPACITY, "residency is as before")
        tb.compare(before, "refused")


@cocotb.test(timeout_time=3000, timeout_unit="us")
async def an_abort_leaves_a_block_where_it_was(dut: Any) -> None:
    async with BlockBench(dut) as tb:
        software = tb.begin()
        tb.tell()
        seen = set()
        for delay in range(4, 420, 11):
            block, want = await tb.block(0, IN_CAPACITY), dict(tb.memory)
            tb.moved(want, 0)
            software.post(0, Descriptor(source=NAMED, destination=NAMED, beats=BEATS,
                                        block=tb.question(block)))
            await software.ring(0)
            await tb.clocks(delay)
            await software.pulse("cancel", 0)
            await RisingEdge(dut.clk)
            await software.until(lambda: not int(software.status(0).busy))
            results = [record["result"] for record in software.take_records(0)]
            now = stored(tb.residency(block))
            if results == [Result.DONE]:
                tb.check(now, Residency(pim=True), "moved")
                tb.compare(want, "moved")
            else:
                tb.check(now, IN_CAPACITY, f"{results} after {delay} clocks")
                tb.compare(want, "source and rest", but={p for p in want
                                                         if p[0] == PIM_PLACE.bank})
            seen |= set(results)
            software.rings[0].settings = software.rings[0].settings
            await software.pulse("resume", 0)
            await software.idle()
            software.take_records(0)
        tb.check(seen, {Result.DONE, Result.ABORTED}, "results seen")


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def blocks_that_cannot_be_read_are_poisoned(dut: Any) -> None:
    async with BlockBench(dut) as tb:
        tb.begin()
        tb.tell()
        block = await tb.block(0, IN_CAPACITY)
        place = (CAPACITY_PLACE.bank, CAPACITY_PLACE.row + 1, 2)
        tb.agent.trouble = {(False, place): Status.UNCORRECTABLE}
        move = Descriptor(source=NAMED, destination=NAMED, beats=BEATS,
                          block=tb.question(block))
        await tb.ends(move, Result.READ_FAULT, Status.UNCORRECTABLE)
        tb.check(stored(tb.residency(block)), replace(IN_CAPACITY, poisoned=True), "residency")
        tb.agent.trouble.clear()
        await tb.ends(move, Result.TRANSLATION_FAULT, Fault.POISONED)
        block = await tb.block(0, IN_CAPACITY)                   # mended by software
        dut.inject.value = 3
        await tb.ends(replace(move, block=tb.question(block)), Result.BUFFER_FAULT)
        tb.check(tb.residency(block), IN_CAPACITY, "what was spoiled in the buffer is whole still")
        dut.inject.value = 0
        await tb.ends(replace(move, block=tb.question(block)), Result.DONE)


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def blocks_come_from_the_host_and_go_there(dut: Any) -> None:
    async with BlockBench(dut) as tb:
        software = tb.begin()
        tb.tell()
        block = await tb.block(1, Residency(in_flight=True, to=Tier.CAPACITY))
        want, beats = dict(tb.memory), packet(tb, BEATS)
        software.post(0, Descriptor(source=HOST, destination=NAMED, beats=BEATS,
                                    block=tb.question(block, to=Tier.CAPACITY)))
        await software.ring(0)
        await tb.send(beats)
        await software.idle()
        tb.check([record["result"] for record in software.take_records(0)], [Result.DONE], "in")
        for n, word in enumerate(beats):
            want[CAPACITY_PLACE.bank, CAPACITY_PLACE.row + 2 + n // COLUMNS, n % COLUMNS] = word
        tb.compare(want, "a block from the host")
        tb.check(stored(tb.residency(block)), IN_CAPACITY, "residency")
        await tb.ends(Descriptor(source=NAMED, destination=HOST, beats=BEATS,
                                 block=tb.question(block)), Result.DONE)
        await tb.clocks(20)
        tb.check([word for word, _, _ in taken(tb)], beats, "the same block")
        tb.check(stored(tb.residency(block)), IN_CAPACITY, "residency")
