"""cocotb tests of hdl.host.axi_memory: every kind of burst, against a memory of bytes."""

import itertools
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiResp

from model.golden.axi_burst import BUS_BYTES, FIXED, INCR, WRAP, AxiBurst
from model.spec.address_map import AddressMap, address_order
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from tb.axi_driver import AxiDriver, Issued, axi_master
from tb.axi_image import ALL_BYTES, AxiImage, BurstMaker
from tb.bench import Bench, parameters
from tb.port_agent import PortAgent, painted

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=2, capacity_banks=2, rows=6, row_bytes=512))
"""Rows 6 and 7 of the addresses do not exist, nor do 28 of the 32 banks."""

SLOW = range(1, 60)
"""Clocks to an answer, so that most come out of order."""


class Setup:
    """The port, a memory behind it (a model, unless the bench is told that a channel is there),
    and an image of what it must hold."""

    def __init__(self, tb: Bench, *, paused: Any = (), stall: float = 0.0,
                 latency: range = range(1, 2)) -> None:
        self.tb = tb
        self.real = parameters().get("memory") == "channel"
        self.addresses = AddressMap(geometry=SPEC.geometry,
                                    order=address_order(parameters().get("order", "row_major")))
        start = dict.fromkeys(painted(SPEC), 0) if self.real else painted(SPEC)
        self.image = AxiImage(tb, self.addresses, start)
        self.agent: Any = None if self.real else PortAgent(
            tb, "port", SPEC, start, stall=stall, latency=latency)
        self.driver = AxiDriver(tb, paused=paused)
        self.make = BurstMaker(tb.rng, self.image)
        self.answers: list[tuple[Issued, AxiResp]] = []

    async def begin(self) -> None:
        """A channel's memory is not reset: it is written once."""
        for place in self.image.places if self.real else ():
            await self.write(AxiBurst(self.addresses.address(*place), 1, 5, INCR), [(0, ALL_BYTES)])
        await self.settle()

    async def write(self, burst: AxiBurst, beats: Any = None, **more: int) -> Issued:
        """Sends a write and carries it out in the image; the answer is compared by `settle`."""
        beats = self.make.beats(burst) if beats is None else beats
        issued = await self.driver.write(burst, beats, **more)
        self.answers.append((issued, self.image.write(burst, beats)))
        return issued

    async def settle(self) -> None:
        """Waits for the answers to all writes, and compares them."""
        for issued, want in self.answers:
            await issued.done.wait()
            self.tb.check(issued.responses, [want], f"answer to the write {issued.burst}")
        self.answers.clear()

    async def check_reads(self, reads: list[Issued]) -> None:
        """Waits for reads and compares them."""
        for issued in reads:
            await issued.done.wait()
            self.image.check_read(issued)

    async def check_everything(self) -> None:
        """The memory holds what the image does, and nothing else has changed."""
        await self.settle()
        if not self.real:
            self.tb.check(self.agent.memory == self.image.memory, True, "memory after all writes")
            return
        await self.check_reads([
            await self.driver.read(AxiBurst(self.addresses.address(*place), 1, 5, INCR))
            for place in self.image.places])


def corners() -> list[AxiBurst]:
    """Every size from every byte of a word, in every kind, in all short lengths."""
    base = 1024
    made = [AxiBurst(base + offset, beats, size, kind)
            for size, offset, beats, kind in itertools.product(
                range(6), (*range(9), 15, 16, 17, 30, 31), (1, 2, 3), (FIXED, INCR))]
    made += [AxiBurst(base + (n << size), beats, size, WRAP)
             for size, beats in itertools.product(range(6), (2, 4, 8, 16))
             for n in sorted({0, 1, beats - 1})]
    made += [AxiBurst(base, 33, 0, INCR), AxiBurst(base + 3, 70, 2, INCR),
             AxiBurst(0, 32, 5, INCR), AxiBurst(base, 16, 5, FIXED)]
    return [burst for burst in made if burst.allowed]


@cocotb.test(timeout_time=60, timeout_unit="us")
async def every_kind_of_burst_from_every_byte(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb, latency=range(1, 9))
        bursts = corners()
        for group in (bursts[n:n + 12] for n in range(0, len(bursts), 12)):
            for burst in group:
                await setup.write(burst, setup.make.beats(burst, full=1))
            await setup.settle()
            await setup.check_reads([await setup.driver.read(burst) for burst in group])
        await setup.check_everything()


@cocotb.test(timeout_time=60, timeout_unit="us")
@cocotb.parametrize(aw=[0, 1], w=[0, 1], b=[0, 1], ar=[0, 1], r=[0, 1])
async def random_bursts(dut: Any, aw: int, w: int, b: int, ar: int, r: int) -> None:
    """Writes over each other in rounds, and reads beside them of what they do not touch."""
    flags = dict(zip(("aw", "w", "b", "ar", "r"), (aw, w, b, ar, r), strict=True))
    async with Bench(dut) as tb:
        setup = Setup(tb, paused=[name for name, on in flags.items() if on],
                      stall=0.4 * tb.rng.randrange(2), latency=SLOW)
        await setup.begin()
        for _ in range(2):
            hot = tb.rng.sample(setup.image.places, 6)
            bursts = [setup.make.burst(places=hot) for _ in range(10)]
            touched = set().union(*(setup.image.places_of(burst) for burst in bursts))
            quiet = [p for p in setup.image.places if p not in touched]

            async def write(bursts: list[AxiBurst] = bursts) -> None:
                for burst in bursts:
                    await setup.write(burst, id=tb.rng.randrange(16))

            writing = cocotb.start_soon(write())
            reads = []
            while len(reads) < 10:
                burst = setup.make.burst(places=quiet)
                if not setup.image.places_of(burst) & touched:
                    reads.append(await setup.driver.read(burst, id=tb.rng.randrange(16)))
            await writing
            await setup.check_reads(reads)
            await setup.settle()
            await setup.check_reads([await setup.driver.read(burst, id=tb.rng.randrange(16))
                                     for burst in bursts])
        await setup.check_everything()


@cocotb.test(timeout_time=60, timeout_unit="us")
async def writes_to_one_word_keep_their_order(dut: Any) -> None:
    """Whole and partial writes of two words, as fast as they go, a few at a time."""
    async with Bench(dut) as tb:
        setup = Setup(tb, latency=SLOW)
        await setup.begin()
        words = setup.image.places[5:7]
        for n in range(150):
            base = setup.addresses.address(*tb.rng.choice(words))
            burst = AxiBurst(base, 1, 5, INCR)
            strobe = tb.rng.choice((ALL_BYTES, 0, tb.rng.getrandbits(BUS_BYTES), 1 << 31))
            await setup.write(burst, [(tb.rng.getrandbits(256), strobe)], id=tb.rng.randrange(16))
            if n % 5 == 4:              # before others have covered what went wrong
                await setup.check_everything()


@cocotb.test(timeout_time=60, timeout_unit="us")
async def bursts_that_axi_forbids_change_nothing(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb)
        forbidden = [
            AxiBurst(0x0FE0, 2, 5, INCR), AxiBurst(0x0FFF, 2, 0, INCR),
            AxiBurst(0x0001, 129, 5, INCR), AxiBurst(0x0F01, 256, 0, INCR),
            *(AxiBurst(0, beats, 5, WRAP) for beats in (1, 3, 5, 7, 9, 15, 17, 32)),
            *(AxiBurst(offset, 4, size, WRAP) for size in range(1, 6)
              for offset in {1, (1 << size) - 1}),
            AxiBurst(0, 17, 5, FIXED), AxiBurst(0, 256, 0, FIXED),
            AxiBurst(0, 1, 6, INCR), AxiBurst(0, 4, 7, INCR), AxiBurst(0, 2, 6, WRAP),
            AxiBurst(0, 1, 0, 3), AxiBurst(64, 2, 5, 3),
        ]
        for burst in forbidden:
            tb.check(burst.allowed, False, str(burst))
            # Bytes of a size above the bus have no lanes: the strobes are all set regardless
            await setup.write(burst, [(tb.rng.getrandbits(256), ALL_BYTES)] * burst.beats)
            issued = await setup.driver.read(burst)
            await issued.done.wait()
            tb.check(issued.responses, [AxiResp.SLVERR] * burst.beats, f"answers to {burst}")
            tb.check(any(issued.data), False, "data of a refused read")
            sound = setup.make.burst()
            await setup.write(sound)                      # a good one behind each
        tb.check(len(setup.agent.log) > len(forbidden), True, "the good ones reach the memory")
        await setup.check_everything()


@cocotb.test(timeout_time=60, timeout_unit="us")
async def places_that_do_not_exist_are_decode_errors(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb, latency=SLOW)
        bank_bytes = 8 * 512
        for start in (6 * 512 - 64, 7 * 512, 2 * bank_bytes, 31 * bank_bytes,
                      17 * bank_bytes + 6 * 512 - 32):
            for size in (5, 3):
                burst = AxiBurst(start, 5, size, INCR)
                await setup.write(burst)
                await setup.settle()
                await setup.check_reads([await setup.driver.read(burst)])
        seen = [setup.addresses.place(a) in setup.image.memory for a in (6 * 512 - 32, 6 * 512)]
        tb.check(seen, [True, False], "the first burst crosses the border")
        await setup.check_everything()


@cocotb.test(timeout_time=60, timeout_unit="us")
async def a_poisoned_word_is_never_read_nor_merged(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb, latency=range(1, 20))
        place = setup.image.places[10]
        base = setup.addresses.address(*place) - BUS_BYTES
        for marked in (setup.image.poisoned, setup.agent.poisoned):
            marked.add(place)
        row = AxiBurst(base, 3, 5, INCR)
        part = AxiBurst(base + BUS_BYTES + 4, 1, 2, INCR)
        await setup.check_reads([await setup.driver.read(row), await setup.driver.read(part)])
        await setup.write(part)
        await setup.write(row, [(1, ALL_BYTES), (2, ALL_BYTES ^ 1), (3, ALL_BYTES)])
        await setup.settle()
        await setup.check_reads([await setup.driver.read(row)])
        tb.check(place in setup.image.poisoned, True, "still poisoned")
        await setup.write(row, [(4, ALL_BYTES)] * 3)
        await setup.settle()
        await setup.check_reads([await setup.driver.read(row)])
        tb.check(place in setup.image.poisoned, False, "written as a whole")
        await setup.check_everything()


@cocotb.test(timeout_time=60, timeout_unit="us")
async def exclusive_accesses_are_answered_as_normal_ones(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb)
        burst = AxiBurst(0x40, 1, 3, INCR)
        await setup.check_reads([await setup.driver.read(burst, lock=1)])
        await setup.write(burst, lock=1)
        await setup.settle()
        await setup.check_reads([await setup.driver.read(burst, lock=1)])


@cocotb.test(timeout_time=60, timeout_unit="us")
async def each_word_is_accessed_once(dut: Any) -> None:
    async with Bench(dut) as tb:
        setup = Setup(tb)
        narrow = AxiBurst(0x200, 128, 0, INCR)                    # four words, byte by byte
        full = [(tb.rng.getrandbits(256), 1 << s.start % BUS_BYTES) for s in narrow.lanes()]
        await setup.write(narrow, full)
        await setup.settle()
        places = [setup.addresses.place(0x200 + BUS_BYTES * i) for i in range(4)]
        tb.check(setup.agent.log, [(True, place) for place in places], "whole words are written")
        setup.agent.log.clear()
        await setup.check_reads([await setup.driver.read(narrow)])
        tb.check(setup.agent.log, [(False, place) for place in places], "and read once")
        await setup.check_everything()


@cocotb.test(timeout_time=60, timeout_unit="us")
@cocotb.parametrize(write=[False, True])
async def a_beat_a_clock_and_the_stated_latency(dut: Any, write: bool) -> None:
    async with Bench(dut) as tb:
        delay = 10
        setup = Setup(tb, latency=range(delay, delay + 1))
        bursts = [AxiBurst(1024 * n, 32, 5, INCR) for n in range(2)] * 2
        issued = []
        times: dict[str, list[int]] = {name: [] for name in ("start", "end", "request")}

        async def watch() -> None:
            while True:
                await RisingEdge(dut.clk)
                address, answer = ("aw", "w") if write else ("ar", "r")
                for name, channel in (("start", f"axi__{address}"), ("end", f"axi__{answer}")):
                    if int(getattr(dut, f"{channel}valid").value) and int(
                            getattr(dut, f"{channel}ready").value):
                        times[name].append(tb.cycle)
                if int(dut.port__request__valid.value):
                    times["request"].append(tb.cycle)

        cocotb.start_soon(watch())
        for burst in bursts:
            issued.append(await (setup.write(burst, [(1, ALL_BYTES)] * 32) if write
                                 else setup.driver.read(burst)))
        await setup.settle()
        if not write:
            await setup.check_reads(issued)
        span = times["request"][-1] - times["request"][0] + 1
        tb.check(span, 32 * len(bursts), "clocks of requests")
        if write:
            tb.check(times["request"][0] - times["end"][0], 3, "from W to the request")
        else:
            tb.check(times["request"][0] - times["start"][0], 2, "from AR to the request")
            tb.check(times["end"][-1] - times["end"][0] + 1, 32 * len(bursts), "clocks of R")
            tb.check(times["end"][0] - times["request"][0], delay + 2, "from request to R")


@cocotb.test(timeout_time=200, timeout_unit="us")
async def the_manager_of_cocotbext_reads_back_what_it_wrote(dut: Any) -> None:
    """Any address and length, which it cuts at 4 KiB, several under way."""
    async with Bench(dut) as tb:
        addresses = AddressMap(geometry=SPEC.geometry)
        start = painted(SPEC)
        PortAgent(tb, "port", SPEC, start, stall=0.2, latency=SLOW)
        master = axi_master(dut)
        for place in start:
            start[place] = 0
        size = 6 * 512                                            # bank 0 and bank 1 have a gap
        image = bytearray(size)
        for _ in range(16):
            length = tb.rng.choice((1, 7, 32, 200, 1500))
            at = tb.rng.randrange(size - length)
            data = tb.rng.randbytes(length)
            image[at:at + length] = data
            answer = await master.write(at, data, size=tb.rng.randrange(6))
            tb.check(answer.resp, AxiResp.OKAY, f"write of {length} bytes to {at:#x}")
        reads = [(at, cocotb.start_soon(master.read(at, 300))) for at in range(0, size - 300, 197)]
        for at, task in reads:
            answer = await task
            tb.check(bytes(answer.data), bytes(image[at:at + 300]), f"300 bytes from {at:#x}")
        tb.check(addresses.place(size)[1], 6, "the row behind the last does not exist")
