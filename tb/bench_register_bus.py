"""cocotb tests of hdl.host.register_block: every kind of register behind one bus of many blocks."""

import itertools
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiResp

from model.register_access import RegisterAccess
from model.spec.registers import INTERRUPTS, REGISTER_BYTES, Access
from tb.bench import Bench
from tb.host import hosts
from tb.register_dut import KINDS, LIMIT, SPACE

WINDOW = 1 << 12
ONES = (1 << 32) - 1


async def refused(tb: Bench, master: Any, address: int, data: bytes, want: AxiResp) -> None:
    """A write that must be answered with ``want``."""
    answer = await master.write(address, data)
    tb.check(answer.resp, want, f"write of {data.hex()} to {address:#x}")


async def snapshot(access: RegisterAccess) -> dict[tuple[str, int], int]:
    """Every register of every block, by name and index."""
    return {(f"{block}.{r.name}", i): await access[f"{block}.{r.name}"].read(i)
            for block, registers in SPACE.blocks.items()
            for r in registers.registers for i in range(r.count)}


def pauses(tb: Bench) -> Any:
    """Half of the clocks at random."""
    while True:
        yield tb.rng.random() < 0.5


@cocotb.test(timeout_time=50, timeout_unit="us")
async def every_register_of_every_block_has_its_place(dut: Any) -> None:
    async with Bench(dut) as tb:
        access, _ = hosts(dut, SPACE)
        want = dict.fromkeys(await snapshot(access), 0)
        want[("kinds.number", 0)] = 0xCAFE
        want |= {("kinds.many", i): 7 for i in range(3)}
        tb.check(await snapshot(access), want, "after reset")
        for (name, index) in want:
            register = access[name]
            if register.spec.access is Access.RW:
                value = tb.rng.getrandbits(32)
                if name in ("kinds.bounded", "kinds.rows"):
                    value %= LIMIT
                await register.write(value, index)
                want[(name, index)] = value & register.spec.defined
        tb.check(await snapshot(access), want, "after all were written")
        for (name, index) in want:
            if name.startswith("kinds.") and access[name].spec.access is Access.RW and (
                    name != "kinds.rows"):
                await access[name].write(0, index)      # a value that the memory would take
                want[(name, index)] = 0
        tb.check(await snapshot(access), want, "the memory, after others were written")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def the_hardware_sees_what_was_written(dut: Any) -> None:
    async with Bench(dut) as tb:
        access, _ = hosts(dut, SPACE)
        await access["kinds.fielded"].set(low=9, high=5)
        tb.check(int(dut.fielded.value), 9 << 1 | 5 << 28, "fields")
        await access["kinds.fielded"].update(low=3)
        tb.check(await access["kinds.fielded"].fields(), {"low": 3, "high": 5}, "update")
        for i in range(3):
            await access["kinds.many"].write(0x11111111 * (i + 1), i)
        tb.check(int(dut.many.value), 0x33333333_22222222_11111111, "array")
        for i in range(8):
            await access["kinds.rows"].write(100 + i, i)
        for i in range(8):
            dut.rows_index.value = i
            await tb.clocks(2)
            tb.check(int(dut.rows.value), 100 + i, f"entry {i} of the memory")
        dut.shown.value, dut.shown_many.value = 0x12345678, 0xAAAAAAAA_55555555
        tb.check(await access["kinds.shown"].read(), 0x12345678, "input")
        tb.check(await access["kinds.shown_many"].read(1), 0xAAAAAAAA, "array of inputs")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def what_is_not_in_the_map_is_a_decode_error(dut: Any) -> None:
    async with Bench(dut) as tb:
        access, master = hosts(dut, SPACE)
        used = {SPACE.base(block) + a for block, registers in SPACE.blocks.items()
                for r in registers.registers for a in registers.addresses(r)}
        before = await snapshot(access)
        near = {a + d for a in used for d in (-4, 4)}
        edges = {w * WINDOW + d for w in range(8) for d in (0, 4, WINDOW - 4)}
        for address in sorted((near | edges) - used):
            if 0 <= address < 8 * WINDOW:
                await refused(tb, master, address, b"\xFF" * 4, AxiResp.DECERR)
                read = await master.read(address, REGISTER_BYTES)
                tb.check((read.resp, read.data), (AxiResp.DECERR, bytes(4)), f"{address:#x}")
        tb.check(await snapshot(access), before, "registers after refused accesses")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def wrong_widths_alignments_and_values_change_nothing(dut: Any) -> None:
    async with Bench(dut) as tb:
        access, master = hosts(dut, SPACE)
        dut.sticky_set.value = 0xFF
        await tb.clocks(2)
        dut.sticky_set.value = 0
        pulses = 0

        async def watch() -> None:
            nonlocal pulses
            while True:
                await RisingEdge(dut.clk)
                pulses += (int(dut.start.value) | int(dut.bell_rung.value)) != 0

        cocotb.start_soon(watch())
        before = await snapshot(access)
        tb.check(before[("kinds.sticky", 0)], 0xFF, "sticky bits are set")
        for register in KINDS.registers:
            for first, length in itertools.product(range(4), range(1, 5)):
                if first + length <= 4 and length < 4:
                    await refused(tb, master, register.offset + first, b"\x11" * length,
                                  AxiResp.SLVERR)
            if register.access is Access.RO:
                await refused(tb, master, register.offset, b"\xFF" * 4, AxiResp.SLVERR)
        for name in ("bounded", "rows"):
            for value in (LIMIT, LIMIT + 1, ONES):
                await refused(tb, master, KINDS[name].offset, value.to_bytes(4, "little"),
                              AxiResp.SLVERR)
        for offset in (1, 2, 3):
            read = await master.read(KINDS["number"].offset + offset, 1)
            tb.check(read.resp, AxiResp.SLVERR, "read that is not aligned")
        tb.check(await snapshot(access), before, "registers after refused accesses")
        tb.check(pulses, 0, "pulses of refused accesses")
        await access["kinds.bounded"].write(LIMIT - 1)
        tb.check(int(dut.bounded.value), LIMIT - 1, "the largest value")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def pulses_last_one_clock(dut: Any) -> None:
    async with Bench(dut) as tb:
        access, _ = hosts(dut, SPACE)
        seen: list[tuple[int, int, int]] = []

        async def watch() -> None:
            while True:
                await RisingEdge(dut.clk)
                start, rung = int(dut.start.value), int(dut.bell_rung.value)
                if start or rung:
                    seen.append((start, rung, int(dut.bell.value)))

        cocotb.start_soon(watch())
        for value in range(4):
            await access["kinds.start"].set(a=value & 1, b=value >> 1)
        await access["kinds.start"].write(0xFFFFFFEE)         # bits that do not exist
        for value in (5, 5, 0):
            await access["kinds.bell"].write(value)
        await tb.clocks(4)
        tb.check(seen, [(1, 0, 0), (16, 0, 0), (17, 0, 0), (0, 1, 5), (0, 1, 5), (0, 1, 0)],
                 "pulses of start, of the bell, and its value")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def a_set_is_stronger_than_a_clear(dut: Any) -> None:
    async with Bench(dut) as tb:
        access, _ = hosts(dut, SPACE)
        dut.sticky_set.value = 0b1001
        await access["kinds.sticky"].write(0xFF)
        tb.check(await access["kinds.sticky"].read(), 0b1001, "held")
        dut.sticky_set.value = 0
        await access["kinds.sticky"].write(0b1000)
        tb.check(await access["kinds.sticky"].read(), 0b0001, "one cleared")
        met = set()
        for delay in range(12):
            await access["kinds.sticky"].write(0xFF)
            answered = -1
            writing = cocotb.start_soon(access["kinds.sticky"].write(0xFF))
            for clock in range(24):
                dut.sticky_set.value = clock == delay
                await RisingEdge(dut.clk)
                if answered < 0 and int(dut.bus__bvalid.value):
                    answered = clock
            await writing
            met.add(delay - (answered - 1))         # the write is carried out a clock before
            tb.check(await access["kinds.sticky"].read(), int(delay >= answered - 1),
                     f"bit set {delay} clocks after the start of a write answered at {answered}")
        tb.check({-1, 0, 1} <= met, True, "before, with and after the clear")


@cocotb.test(timeout_time=50, timeout_unit="us")
async def the_interrupt_is_a_level(dut: Any) -> None:
    async with Bench(dut) as tb:
        access, _ = hosts(dut, SPACE)
        status, enable = access["die.interrupt_status"], access["die.interrupt_enable"]
        for bit in range(len(INTERRUPTS)):
            dut.events.value = 1 << bit
            await RisingEdge(dut.clk)
            dut.events.value = 0
            await tb.clocks(2)
            tb.check(int(dut.irq.value), 0, "not enabled")
            await enable.write(1 << bit ^ (1 << len(INTERRUPTS)) - 1)
            tb.check(int(dut.irq.value), 0, "others enabled")
            await enable.write(1 << bit)
            await tb.clocks(5)
            tb.check(int(dut.irq.value), 1, "raised, and stays")
            tb.check(await status.read(), 1 << bit, "status")
            await status.write(1 << bit)
            tb.check(int(dut.irq.value), 0, "cleared")
            await access["die.interrupt_test"].write(1 << bit)
            tb.check(int(dut.irq.value), 1, "raised by software")
            await status.write(ONES)
            await enable.write(0)


@cocotb.test(timeout_time=10, timeout_unit="us")
@cocotb.parametrize(aw=[False, True], w=[False, True], b=[False, True], ar=[False, True],
                    r=[False, True])
async def gaps_and_back_pressure_change_nothing(dut: Any, aw: bool, w: bool, b: bool, ar: bool,
                                                r: bool) -> None:
    async with Bench(dut) as tb:
        access, master = hosts(dut, SPACE)
        write, read = master.write_if, master.read_if
        for chosen, channel in ((aw, write.aw_channel), (w, write.w_channel), (b, write.b_channel),
                                (ar, read.ar_channel), (r, read.r_channel)):
            if chosen:
                channel.set_pause_generator(pauses(tb))
        scratch, many = access["die.scratch"], access["kinds.many"]
        await scratch.write(1)
        want = {}

        async def burst() -> None:
            """Several writes under way at once, which take effect in order."""
            tasks = []
            for _ in range(24):
                index, value = tb.rng.randrange(3), tb.rng.getrandbits(32)
                want[index] = value
                tasks.append(cocotb.start_soon(many.write(value, index)))
            for task in tasks:
                await task

        async def readers() -> None:
            reads = [(name, cocotb.start_soon(access[name].read()))
                     for _ in range(12) for name in ("die.scratch", "kinds.number")]
            for name, task in reads:
                tb.check(await task, 1 if name == "die.scratch" else 0xCAFE, name)

        tasks = [cocotb.start_soon(burst()), cocotb.start_soon(readers())]
        for task in tasks:
            await task
        for index, value in want.items():
            tb.check(await many.read(index), value, f"entry {index}")
