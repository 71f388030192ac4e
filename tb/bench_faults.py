"""cocotb test of the fault campaign: flips, aborts and resets while blocks move under load."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from model.golden.translator import Residency
from model.spec.dma import Result
from model.spec.port import Status
from model.spec.registers import ERROR_KINDS
from model.spec.secded import BEAT_CHECK_BITS, CHECK_BITS, WORD_BITS, WORDS
from model.spec.translation import Fault, Tier
from tb.bench import Bench, parameters
from tb.fault_software import (
    BEATS,
    BLOCKS,
    GEOMETRY,
    RING,
    FaultSoftware,
    block_id,
    block_places,
)
from tb.fault_software import WORD_BITS as BEAT_BITS
from tb.port_agent import Place

KINDS = tuple(ERROR_KINDS)
CODE_BITS = WORD_BITS + CHECK_BITS
REPORTED = (KINDS.index("uncorrectable"), KINDS.index("poisoned"))
CORRECTED = KINDS.index("corrected")
SINGLES_AN_EPISODE, DOUBLES_AN_EPISODE = 24, 6
LOAD = 0.1
"""Reads a clock that the GPU offers."""

MOVE_CLOCKS = 5000
"""Longer than the moves of an episode take: when aborts and resets fall."""

SCRUB_CLOCKS = 1000
"""In which the scrubber repairs the words of its queue."""

RESULTS = "faults.json"


@dataclass
class Flip:
    """What was injected: where, into what, how many bits, and whether on the way to a reader."""

    place: Place
    site: str
    bits: int
    in_flight: bool = False


class Campaign(FaultSoftware):
    """Episodes: inject, move four blocks to the other tier, look at everything.

    Attributes
    ----------
    outcomes : Counter
        (bits, site, outcome) -> how often.
    """

    def __init__(self, tb: Bench) -> None:
        super().__init__(tb)
        self.rng = tb.rng
        self.tiers = [Tier.CAPACITY] * BLOCKS
        self.data = [[self.rng.getrandbits(BEAT_BITS) for _ in range(BEATS)]
                     for _ in range(BLOCKS)]
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        self.patterns: dict[int, int] = {}

    async def begin(self) -> None:
        """Every word of the banks is written, so that the GPU finds no flaws but ours."""
        for bank in GEOMETRY.banks:
            for row in range(GEOMETRY.rows):
                await self.write(((bank, row, column), 0) for column in range(GEOMETRY.columns))
        await self.set_up()
        await self.repair(range(BLOCKS))

    async def repair(self, blocks: Any) -> None:
        """Writes data of blocks, and all tables."""
        for n in blocks:
            await self.write(zip(block_places(n, self.tiers[n]), self.data[n], strict=True))
        await self.tell(self.tiers)

    # What is injected

    def sites(self) -> Iterator[tuple[str, Place]]:
        """A word to hit, again and again: mostly of a block that moves."""
        while True:
            n, draw = self.rng.randrange(BLOCKS), self.rng.random()
            if draw < 0.8:
                yield "source", self.rng.choice(block_places(n, self.tiers[n]))
            elif draw < 0.88:
                yield "destination", self.rng.choice(block_places(n, self.other(n)))
            elif draw < 0.95:
                yield "table", self.rng.choice([self.entry(n), self.sequence, *self.chunks])
            else:
                yield "ring", (RING.bank, RING.row, self.rng.randrange(GEOMETRY.columns))

    @property
    def sequence(self) -> Place:
        """The directory's only word."""
        return (RING.bank, 13, 0)

    @property
    def chunks(self) -> list[Place]:
        """The words of the chunk table."""
        return [(RING.bank, 13, 2 + n) for n in range(4)]

    def other(self, n: int) -> Tier:
        """Where a block goes."""
        return Tier.CAPACITY if self.tiers[n] is Tier.PIM else Tier.PIM

    def pattern(self, bits: int) -> int:
        """Flips of different bits of one code word, as bits of the stored word."""
        word = self.rng.randrange(WORDS)
        return sum(1 << (WORD_BITS * word + bit if bit < WORD_BITS
                         else BEAT_BITS + CHECK_BITS * word + bit - WORD_BITS)
                   for bit in self.rng.sample(range(CODE_BITS), bits))

    async def inject(self, flip: Flip) -> None:
        """Through the registers of the reliability unit, as software would."""
        bank, row, column = flip.place
        await self.registers["reliability.inject_place"].set(bank=bank, row=row, column=column)
        pattern = self.pattern(flip.bits)
        for n in range(BEAT_BITS // 32 + 1):
            part = pattern >> 32 * n & 0xFFFFFFFF
            if self.patterns.get(n, 0) != part:
                self.patterns[n] = part
                name = "inject_data" if n < BEAT_BITS // 32 else "inject_check"
                await self.registers[f"reliability.{name}"].write(part, n % (BEAT_BITS // 32))
        kind = "in_flight" if flip.in_flight else "stored"
        await self.registers["reliability.inject_control"].set(**{kind: 1})
        status = self.registers["reliability.inject_status"]
        while not flip.in_flight and (await status.fields())["stored_busy"]:
            await self.skip(8)

    async def flips(self, count: int, bits: int) -> list[Flip]:
        """Flips of different words, the last of them on its way to whoever reads it."""
        chosen: dict[Place, Flip] = {}
        sites = self.sites()
        while len(chosen) < count:
            site, place = next(sites)
            chosen.setdefault(place, Flip(place, site, bits))
        flips = list(chosen.values())
        flips[-1].in_flight = flips[-1].site == "source"
        for flip in flips:
            await self.inject(flip)
        return flips

    # Episodes

    async def prepare(self) -> None:
        """Descriptors in the ring."""
        await self.write(self.descriptors(self.tiers))

    async def flip_episode(self, count: int, bits: int) -> None:
        """Flips in what four moves will read or write, the moves, and what became of it."""
        await self.prepare()
        flips = await self.flips(count, bits)
        await self.load(LOAD)
        await self.ring()
        await self.idle()
        await self.load(0)
        records = await self.records()
        wrong = await self.look(records)
        log = await self.log()
        unexpected = {KINDS[kind] for kind, _ in log} - {"corrected", "uncorrectable", "poisoned"}
        assert not unexpected, f"the log has {unexpected}"
        for flip in flips:
            self.outcomes[self.name(flip.bits), flip.site, self.outcome(flip, log)] += 1
        await self.settle(flips, wrong)

    def outcome(self, flip: Flip, log: list[tuple[int, Place]]) -> str:
        """What the log says of a flip's word."""
        kinds = {kind for kind, place in log if place == flip.place}
        if flip.bits == 1:
            assert not kinds & set(REPORTED), f"{flip}: one flip is uncorrectable"
            return "corrected" if CORRECTED in kinds else "masked"
        assert CORRECTED not in kinds, f"{flip}: two flips were taken for one"
        return "detected" if kinds & set(REPORTED) else "masked"

    @staticmethod
    def name(bits: int) -> str:
        """Of a kind of faults."""
        return "single flip" if bits == 1 else "double flip"

    async def look(self, records: list[dict[str, int]] | None) -> set[int]:
        """Compares every readable copy with what it must hold; returns blocks to be mended.

        A block is silently corrupt if a copy that the table says may be read is read as OK with
        other data; it is lost if the table offers no copy, or one that cannot be read and is not
        marked.
        """
        wrong = set()
        for n, (status, residency) in enumerate(await self.residencies()):
            if status is not Status.OK:         # the entry itself was hit: it is written anew
                wrong.add(n)
                result = Result(records[n]["result"]) if records else Result.DONE
                assert result is not Result.DONE, f"block {n}: moved with a lost table entry"
                copies = [self.tiers[n]]
            else:
                copies = [tier for tier in (Tier.PIM, Tier.CAPACITY) if residency.has(tier)]
            if records is not None and status is Status.OK:
                self.judge(n, records[n], copies, residency.poisoned)
            readable = 0
            for tier in copies:
                answers = await self.access([(p, None) for p in block_places(n, tier)])
                bad = [status for status, _ in answers if status is not Status.OK]
                silent = sum(status is Status.OK and word != want for (status, word), want in zip(
                    answers, self.data[n], strict=True))
                self.outcomes["copies", "looked at", "words"] += len(answers)
                if silent:
                    self.outcomes["copies", "block", "silent"] += silent
                readable += not bad
                if bad:
                    wrong.add(n)
            if status is Status.OK:
                if residency.poisoned or residency.in_flight or len(copies) != 1:
                    wrong.add(n)
                if not readable and not residency.poisoned and not self.excused(n, records):
                    self.outcomes["copies", "block", "lost"] += 1
                if len(copies) == 1:
                    self.tiers[n] = copies[0]
        return wrong

    def excused(self, n: int, records: list[dict[str, int]] | None) -> bool:
        """Its data have two flips that no move has met, as its descriptor failed before."""
        return records is not None and Result(records[n]["result"]) in (
            Result.TRANSLATION_FAULT, Result.RING_FAULT, Result.COMMIT_FAULT)

    def judge(self, n: int, record: dict[str, int], copies: list[Tier], poisoned: bool) -> None:
        """A record and the table must say the same."""
        result, detail = Result(record["result"]), record["detail"]
        moved, before = self.other(n), self.tiers[n]
        self.outcomes["moves", "result", result.name] += 1
        if result is Result.DONE:
            assert copies == [moved] and not poisoned, f"block {n}: done, but in {copies}"
        else:
            assert copies == [before], f"block {n}: {result.name}, but in {copies}"
            assert poisoned == (result is Result.READ_FAULT), f"block {n}: {result.name}, poisoned"
        if result is Result.READ_FAULT:
            assert detail == Status.UNCORRECTABLE, f"block {n}: read fault {detail}"
        elif result in (Result.TRANSLATION_FAULT, Result.COMMIT_FAULT):
            assert detail == Fault.TABLE_MEMORY, f"block {n}: translation fault {detail}"
        else:
            assert result in (Result.DONE, Result.ABORTED, Result.RING_FAULT,
                              Result.BUFFER_FAULT), f"block {n}: {result.name}"

    async def settle(self, flips: list[Flip], wrong: set[int]) -> None:
        """What software does after an error: it disarms, and writes anew what was hit."""
        if wrong or flips[0].bits > 1:
            hit = {n for n in range(BLOCKS) for flip in flips
                   if flip.place in block_places(n, self.tiers[n])}
            await self.write((flip.place, 0) for flip in flips)
            await self.repair(sorted(wrong | hit))
        # Whatever was not read, or found the scrubber's queue full, is read until it is repaired.
        for _ in range(len(flips) + 1):
            await self.access([(flip.place, None) for flip in flips])
            await self.skip(SCRUB_CLOCKS)
            if not await self.log():
                return
        raise AssertionError(f"flips are not repaired: {flips}")

    async def buffer_episode(self, bits: int) -> None:
        """Flips in every word that enters the engine's buffer."""
        await self.prepare()
        pattern, register = self.pattern(bits), self.registers["dma.buffer_flips"]
        for n in range(BEAT_BITS // 32 + BEAT_CHECK_BITS // 32):
            await register.write(pattern >> 32 * n & 0xFFFFFFFF, n)
        before = await self.registers["dma.corrected"].read()
        await self.load(LOAD)
        await self.ring()
        await self.idle()
        await self.load(0)
        for n in range(BEAT_BITS // 32 + BEAT_CHECK_BITS // 32):
            await register.write(0, n)
        records = await self.records()
        want = Result.DONE if bits == 1 else Result.BUFFER_FAULT
        assert {r["result"] for r in records} == {want}, f"buffer, {bits} flips: {records}"
        assert not await self.look(records), "a block is not where it should be"
        count = await self.registers["dma.corrected"].read() - before
        if bits == 1:
            assert count >= BLOCKS * BEATS, f"{count} words were corrected in the buffer"
            self.outcomes[self.name(1), "buffer", "corrected"] += BLOCKS * BEATS
        else:
            self.outcomes[self.name(2), "buffer", "detected"] += BLOCKS
        assert not await self.log(), "flips in the buffer are not errors of memory"

    async def stop_episode(self, reset: bool) -> None:
        """An abort or a reset somewhere in four moves."""
        await self.prepare()
        await self.load(LOAD)
        await self.ring()
        await self.skip(self.rng.randrange(MOVE_CLOCKS))
        before = list(self.tiers)
        if reset:
            await self.reset()
            await self.set_up()
            wrong = await self.look(None)
            await self.tell(self.tiers)
        else:
            await self.registers["dma.abort"].set(channel_0=1)
            await self.idle()
            await self.registers["dma.resume"].set(channel_0=1)
            await self.idle()
            await self.load(0)
            wrong = await self.look(await self.records())
            assert not wrong, f"aborted, blocks {wrong} are not clean"
        stayed = sum(a is b for a, b in zip(before, self.tiers, strict=True))
        self.outcomes["reset" if reset else "abort", "moves",
                      "before" if stayed == BLOCKS else "between" if stayed else "after"] += 1
        assert not await self.log(), "an abort or a reset is not an error of memory"

    async def sabotage(self, how: str) -> None:
        """What a campaign must notice: data that are wrong behind its back, or a block nowhere."""
        n = self.rng.randrange(BLOCKS)
        if how == "data":
            await self.write([(block_places(n, self.tiers[n])[3], self.data[n][3] ^ 1)])
        else:
            self.tables.put_block(block_id(n), Residency())
            entry = self.tables.memory[self.tables.block_address(block_id(n))]
            await self.write([(self.entry(n), int.from_bytes(entry, "little"))])
        await self.look(None)

    async def reset(self) -> None:
        """All registers; what is in the arrays stays there."""
        dut = self.dut
        dut.offer.value = dut.loaded.value = 0
        dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        await RisingEdge(dut.clk)
        self.patterns.clear()


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def faults_are_corrected_or_reported_and_nothing_is_lost(dut: Any) -> None:
    wanted = parameters()
    async with Bench(dut) as tb:
        campaign = Campaign(tb)
        await campaign.begin()
        episodes = (
            ["singles"] * -(-wanted["singles"] // SINGLES_AN_EPISODE)
            + ["doubles"] * -(-wanted["doubles"] // DOUBLES_AN_EPISODE)
            + ["buffer_1"] * wanted["buffers"] + ["buffer_2"] * wanted["buffers"]
            + ["abort"] * wanted["aborts"] + ["reset"] * wanted["resets"])
        tb.rng.shuffle(episodes)
        for episode in episodes:
            match episode:
                case "singles":
                    await campaign.flip_episode(SINGLES_AN_EPISODE, 1)
                case "doubles":
                    await campaign.flip_episode(DOUBLES_AN_EPISODE, 2)
                case "buffer_1" | "buffer_2":
                    await campaign.buffer_episode(int(episode[-1]))
                case _:
                    await campaign.stop_episode(episode == "reset")
        if "sabotage" in wanted:
            await campaign.sabotage(wanted["sabotage"])
        outcomes = campaign.outcomes
        Path(RESULTS).write_text(json.dumps({
            "clocks": tb.cycle, "outcomes": [[*key, n] for key, n in sorted(outcomes.items())]}))
        tb.check(outcomes["copies", "block", "silent"], 0, "words silently corrupt")
        tb.check(outcomes["copies", "block", "lost"], 0, "blocks lost")
