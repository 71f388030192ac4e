"""cocotb tests of hdl.reliability: flips, stored and in flight, their repair and their records."""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from hdl.layouts import request_layout, response_layout
from hdl.reliability.layouts import error_layout
from model.golden.secded import CODE_BITS, poison_mark
from model.register_access import RegisterAccess
from model.spec.port import Status
from model.spec.registers import ERROR_KINDS
from model.spec.secded import CHECK_BITS, WORD_BITS, WORDS
from tb.bench import Bench, parameters
from tb.channel_tags import Outstanding
from tb.host import hosts
from tb.port_agent import Place
from tb.reliability_dut import LOG_DEPTH, SOURCES, SPACE, SPEC

KINDS = tuple(ERROR_KINDS)
BEAT_BITS = WORDS * WORD_BITS
PLACES: list[Place] = [(bank, row, column) for bank in SPEC.geometry.banks
                       for row in range(SPEC.geometry.rows)
                       for column in range(SPEC.geometry.columns)]


SETTLE = int(parameters().get("settle", 40))
"""Clocks in which the scrubber repairs a word."""


class Setup:
    """The GPU's port, the registers, and an image of what the words must read as."""

    def __init__(self, tb: Bench) -> None:
        self.tb, self.dut = tb, tb.dut
        access, _ = hosts(tb.dut, SPACE)
        self.access: RegisterAccess = access
        self.image: dict[Place, int] = {}
        self.lost: set[Place] = set()
        self.tags = Outstanding(tb, "gpu")
        self.requests, self.responses = request_layout(SPEC), response_layout()
        tb.dut.gpu__response__ready.value = 1
        cocotb.start_soon(self._answers())

    def register(self, name: str) -> Any:
        """A register of the block."""
        return self.access[f"reliability.{name}"]

    async def _answers(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if int(dut.gpu__response__valid.value):
                answer = self.responses.from_bits(int(dut.gpu__response__payload.value))
                self.tags.answered({name: int(getattr(answer, name))
                                    for name in ("tag", "write", "status", "data")})

    async def request(self, place: Place, data: int | None = None) -> None:
        """A write, or a read that must return what the image says."""
        dut, tag = self.dut, await self.tags.take()
        write = data is not None
        bank, row, column = place
        dut.gpu__request__payload.value = self.requests.const({
            "tag": tag, "write": write, "bank": bank, "row": row, "column": column,
            "data": data or 0}).as_bits()
        dut.gpu__request__valid.value = 1
        if data is not None:
            self.image[place] = data
            self.lost.discard(place)
            self.tags.expect(tag, True, Status.OK, 0)
        elif place in self.lost:
            self.tags.expect(tag, False, Status.UNCORRECTABLE, 0)
        else:
            self.tags.expect(tag, False, Status.OK, self.image[place])
        while True:
            await RisingEdge(dut.clk)
            if int(dut.gpu__request__ready.value):
                break
        dut.gpu__request__valid.value = 0

    async def quiet(self) -> None:
        """Until everything is answered, and the scrubber has had its time."""
        while len(self.tags):
            await RisingEdge(self.dut.clk)
        await self.tb.clocks(SETTLE)

    async def fill(self) -> None:
        """Writes every word."""
        for place in PLACES:
            await self.request(place, self.tb.rng.getrandbits(BEAT_BITS))
        await self.quiet()
        await self.register("log_control").set(clear_counts=1)

    async def flips(self, place: Place, flips: list[int], *, stored: bool) -> None:
        """Injects flips, given as bits of the stored word."""
        bank, row, column = place
        pattern = sum(1 << bit for bit in flips)
        await self.register("inject_place").set(bank=bank, row=row, column=column)
        for n in range(8):
            await self.register("inject_data").write(pattern >> 32 * n & 0xFFFFFFFF, n)
        await self.register("inject_check").write(pattern >> BEAT_BITS)
        await self.register("inject_control").set(**{"stored" if stored else "in_flight": 1})
        while stored and (await self.register("inject_status").fields())["stored_busy"]:
            pass

    async def counts(self) -> dict[str, int]:
        """Counts that are not 0."""
        names = (*KINDS, "scrubbed")
        counts = {name: await self.register(f"count_{name}").read() for name in names}
        return {name: count for name, count in counts.items() if count}

    async def pop(self) -> dict[str, Any]:
        """The oldest record, which is removed."""
        kind = await self.register("log_kind").fields()
        place = await self.register("log_place").fields()
        record = {"kind": KINDS[kind["kind"]], "info": kind["info"],
                  "place": (place["bank"], place["row"], place["column"]),
                  "syndrome": await self.register("log_syndrome").read(),
                  "time": await self.register("log_time").read()}
        await self.register("log_control").set(pop=1)
        return record

    async def forget(self) -> None:
        """Empties the log and clears the counts."""
        while await self.register("log_level").read():
            await self.register("log_control").set(pop=1)
        await self.register("log_control").set(clear_counts=1)


def bit_of(word: int, bit: int) -> int:
    """Place in a stored word of a bit of one of its 72-bit code words."""
    return (WORD_BITS * word + bit if bit < WORD_BITS
            else BEAT_BITS + CHECK_BITS * word + bit - WORD_BITS)


@cocotb.test(timeout_time=60, timeout_unit="us")
async def a_stored_flip_is_corrected_recorded_and_scrubbed(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb)
        await setup.fill()
        for word, bit in ((0, 0), (1, 63), (2, 64), (3, 71), (3, 17)):
            place = tb.rng.choice(PLACES)
            await setup.flips(place, [bit_of(word, bit)], stored=True)
            await setup.request(place)
            await setup.quiet()
            tb.check(int(dut.event.value), 1, "event")
            # Seen by the reader, and once more by the scrubber
            tb.check(await setup.counts(), {"corrected": 2, "scrubbed": 1}, "counts")
            for _ in range(2):
                record = await setup.pop()
                tb.check((record["kind"], record["place"]), ("corrected", place), "record")
                tb.check(record["syndrome"] >> CHECK_BITS * word & 0xFF > 0, True, "syndrome")
            tb.check(int(dut.event.value), 0, "event of an empty log")
            await setup.request(place)
            await setup.quiet()
            tb.check(await setup.counts(), {"corrected": 2, "scrubbed": 1}, "clean afterwards")
            await setup.forget()


@cocotb.test(timeout_time=60, timeout_unit="us")
async def a_double_flip_is_reported_and_poisons_the_word_for_good(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb)
        await setup.fill()
        for _ in range(4):
            place, word = tb.rng.choice(PLACES), tb.rng.randrange(WORDS)
            bits = tb.rng.sample(range(CODE_BITS), 2)
            await setup.flips(place, [bit_of(word, bit) for bit in bits], stored=True)
            setup.lost.add(place)
            await setup.request(place)
            await setup.quiet()
            tb.check(await setup.counts(), {"uncorrectable": 2}, "counts")
            record = await setup.pop()
            tb.check((record["kind"], record["place"]), ("uncorrectable", place), "record")
            await setup.forget()
            await setup.request(place)
            await setup.quiet()
            tb.check(await setup.counts(), {"poisoned": 1}, "known to be lost")
            tb.check((await setup.pop())["syndrome"], poison_mark(), "syndrome of poison")
            # One more flip in each of three words does not bring it back
            await setup.flips(place, [bit_of(w, 5 + w) for w in range(3)], stored=True)
            await setup.request(place)
            await setup.quiet()
            await setup.request(place, 12345)
            await setup.request(place)
            await setup.quiet()
            await setup.forget()
            await setup.request(place)
            await setup.quiet()
            tb.check(await setup.counts(), {}, "sound after it was written")


@cocotb.test(timeout_time=60, timeout_unit="us")
async def flips_in_flight_strike_once_and_leave_the_word_alone(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb)
        await setup.fill()
        place, other = PLACES[3], PLACES[4]
        await setup.flips(place, [bit_of(2, 11)], stored=False)
        await setup.request(other)
        await setup.quiet()
        tb.check(await setup.counts(), {}, "another word is not struck")
        tb.check(await setup.register("inject_status").fields(),
                 {"stored_busy": 0, "in_flight_armed": 1}, "armed")
        for _ in range(3):
            await setup.request(place)
        await setup.quiet()
        tb.check(await setup.counts(), {"corrected": 1}, "struck once, nothing to scrub")
        await setup.flips(place, [bit_of(2, 11), bit_of(2, 12)], stored=False)
        setup.lost.add(place)
        await setup.request(place)
        setup.lost.discard(place)
        await setup.quiet()
        await setup.request(place)
        await setup.quiet()
        tb.check(await setup.counts(), {"corrected": 1, "uncorrectable": 1}, "the word is sound")


@cocotb.test(timeout_time=100, timeout_unit="us")
async def the_walk_finds_what_nobody_reads(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb)
        await setup.fill()
        hit = tb.rng.sample(PLACES, 5)
        for place in hit:
            await setup.flips(place, [bit_of(tb.rng.randrange(WORDS), tb.rng.randrange(CODE_BITS))],
                              stored=True)
        await setup.register("scrub_interval").write(10)
        await tb.clocks(len(PLACES) * SETTLE)
        tb.check(await setup.counts(), {"corrected": 5, "scrubbed": 5}, "counts after a walk")
        await setup.register("scrub_interval").write(0)
        for place in PLACES:
            await setup.request(place)
        await setup.quiet()
        tb.check(await setup.counts(), {"corrected": 5, "scrubbed": 5}, "everything is clean")


@cocotb.test(timeout_time=200, timeout_unit="us")
async def writes_of_others_are_never_undone(dut: Any) -> None:
    """Traffic on three words, flips in all of them, a busy walk, and ports held at random."""
    async with Bench(dut) as tb:
        setup = Setup(tb)
        await setup.fill()
        hot = PLACES[:3]
        done = False

        async def hold() -> None:
            while not done:
                dut.held.value = tb.rng.choice((0, 0, 1, 2))
                await RisingEdge(dut.clk)
            dut.held.value = 0

        async def traffic() -> None:
            while not done:
                place = tb.rng.choice(hot)
                await setup.request(place, tb.rng.getrandbits(BEAT_BITS)
                                    if tb.rng.random() < 0.4 else None)
                await tb.clocks(tb.rng.randrange(SETTLE // 5))

        tasks = [cocotb.start_soon(hold()), cocotb.start_soon(traffic())]
        await setup.register("scrub_interval").write(1)
        for _ in range(60):
            await setup.flips(tb.rng.choice(hot), [tb.rng.randrange(BEAT_BITS)], stored=True)
            await tb.clocks(SETTLE - 10)            # two flips of one word would be two many
        done = True
        for task in tasks:
            await task
        counts = await setup.counts()
        tb.check(counts["corrected"] > 20 and counts["scrubbed"] > 10, True, f"{counts}")
        tb.check("uncorrectable" in counts, False, "no word was lost")
        for place in PLACES:
            await setup.request(place)
        await setup.quiet()


@cocotb.test(timeout_time=60, timeout_unit="us")
async def an_injection_that_a_write_met_is_made_again(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb)
        await setup.fill()
        place = PLACES[5]
        dut.held.value = 2                              # the scrubber waits
        injecting = cocotb.start_soon(setup.flips(place, [bit_of(1, 30)], stored=True))
        await tb.clocks(150)
        dut.held.value = 0
        await RisingEdge(dut.clk)
        dut.held.value = 2                              # it has read the word, and waits again
        await tb.clocks(SETTLE)
        await setup.request(place, tb.rng.getrandbits(BEAT_BITS))
        await tb.clocks(SETTLE)
        dut.held.value = 0
        await injecting
        await setup.request(place)
        await setup.quiet()
        tb.check(await setup.counts(), {"corrected": 2, "scrubbed": 1}, "a flip in the new word")


@cocotb.test(timeout_time=60, timeout_unit="us")
async def records_are_kept_in_order_and_losses_counted(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb)
        layout = error_layout(SPEC.geometry)

        async def report(errors: dict[int, dict[int | str, Any]]) -> int:
            dut.reports.value = sum(layout.const(e).as_bits() << layout.size * n
                                    for n, e in errors.items())
            dut.report_valid.value = sum(1 << n for n in errors)
            await RisingEdge(dut.clk)
            dut.report_valid.value = 0
            return tb.cycle

        def error(kind: str, tag: int) -> dict[int | str, Any]:
            return {"kind": KINDS.index(kind), "info": tag,
                    "place": {"bank": 16, "row": 1, "column": 1}, "syndrome": tag << 20}

        first = await report({0: error("time_out", 7), 1: error("parity", 9)})
        await tb.clocks(6)
        second = await report({1: error("protocol", 11)})
        records = [await setup.pop() for _ in range(3)]
        tb.check([(r["kind"], r["info"], r["place"], r["syndrome"]) for r in records],
                 [("time_out", 7, (16, 1, 1), 7 << 20), ("parity", 9, (16, 1, 1), 9 << 20),
                  ("protocol", 11, (16, 1, 1), 11 << 20)], "records")
        times = [r["time"] for r in records]
        tb.check([times[1] - times[0], times[2] - times[0]], [0, second - first], "times")
        tb.check(await setup.register("log_level").read(), 0, "level")

        many = LOG_DEPTH + 7
        for n in range(many):
            await report({0: error("time_out", n)})
        await report({0: error("parity", 50), 1: error("parity", 51)})
        await report({0: error("parity", 52), 1: error("parity", 53)})
        await tb.clocks(8)
        level = await setup.register("log_level").read()
        lost = await setup.register("log_lost").read()
        tb.check(level, LOG_DEPTH, "level of a full log")
        tb.check(lost, many + 4 - level, "records lost")
        tb.check(await setup.counts(), {"time_out": many + 1, "parity": 5, "protocol": 1}, "counts")
        tb.check([(await setup.pop())["info"] for _ in range(LOG_DEPTH)], list(range(LOG_DEPTH)),
                 "the oldest are kept")
        await setup.register("log_control").set(clear_counts=1)
        tb.check((await setup.counts(), await setup.register("log_lost").read()), ({}, 0), "clear")
        tb.check(SOURCES, 2, "sources of this bench")
