"""cocotb tests of hdl.host.registers: every register, every refusal, driven by cocotbext-axi."""

import itertools
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiResp

from model.spec.registers import (
    ADDRESS_WIDTH,
    COUNTERS,
    ERRORS,
    IDENTIFIER,
    REGISTER_BYTES,
    WAVES_MAX,
    Access,
    capabilities,
)
from model.spec.slice import SliceSpec
from tb.bench import Bench
from tb.host import Host

SPEC = SliceSpec()
ALL_ONES = (1 << 32) - 1


async def raw_write(host: Host, address: int, data: bytes) -> AxiResp:
    """The answer to a write of any address and length within a word."""
    return (await host.master.write(address, data)).resp


@cocotb.test(timeout_time=200, timeout_unit="us")
async def registers_hold_what_was_written(dut: Any) -> None:
    async with Bench(dut) as tb:
        host = Host(dut)
        for register in host.map.registers:
            if register.access is Access.RW and register.count == 1:
                for value in (ALL_ONES, 0, tb.rng.getrandbits(32), tb.rng.getrandbits(32)):
                    await host.write(register.name, value)
                    tb.check(await host.read(register.name), value & register.defined,
                             register.name)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def constants_say_what_was_built(dut: Any) -> None:
    async with Bench(dut) as tb:
        host = Host(dut)
        tb.check(await host.read("identifier"), IDENTIFIER, "identifier")
        tb.check(await host.read("capabilities"), capabilities(SPEC), "capabilities")
        dut.attend_busy.value = 1
        tb.check(await host.read_fields("status"), {"attend_busy": 1, "move_busy": 0}, "status")
        dut.attend_busy.value, dut.move_busy.value = 0, 1
        tb.check(await host.read_fields("status"), {"attend_busy": 0, "move_busy": 1}, "status")


@cocotb.test(timeout_time=200, timeout_unit="us")
async def counters_are_shown_at_their_address(dut: Any) -> None:
    async with Bench(dut) as tb:
        host = Host(dut)
        values = {name: tb.rng.getrandbits(32) for name in COUNTERS}
        dut.counters.value = sum(v << 32 * i for i, v in enumerate(values.values()))
        for name, value in values.items():
            tb.check(await host.read(name), value, name)


@cocotb.test(timeout_time=500, timeout_unit="us")
async def refused_accesses_change_nothing(dut: Any) -> None:
    async with Bench(dut) as tb:
        host = Host(dut)
        used = {a for r in host.map.registers for a in host.map.addresses(r)}
        await host.write("context", 77)
        for address in range(0, 1 << ADDRESS_WIDTH, REGISTER_BYTES):
            if address not in used and (address < 0x220 or address % 0x100 == 0):
                tb.check(await raw_write(host, address, b"\xFF" * 4), AxiResp.DECERR, "write")
                read = await host.master.read(address, 4)
                tb.check((read.resp, read.data), (AxiResp.DECERR, bytes(4)), f"{address:#x}")
        for register in host.map.registers:
            if register.access is Access.RO:
                before = await host.read(register.name)
                tb.check(await raw_write(host, register.offset, b"\xFF" * 4), AxiResp.SLVERR,
                         register.name)
                tb.check(await host.read(register.name), before, register.name)
        tb.check(await host.read("context"), 77, "context")


@cocotb.test(timeout_time=200, timeout_unit="us")
async def start_pulses_last_one_clock(dut: Any) -> None:
    async with Bench(dut) as tb:
        host = Host(dut)
        seen = {"attend": 0, "move": 0}

        async def watch() -> None:
            while True:
                await RisingEdge(dut.clk)
                seen["attend"] += int(dut.start_attend.value)
                seen["move"] += int(dut.start_move.value)

        cocotb.start_soon(watch())
        for attend, move in itertools.product((0, 1), repeat=2):
            seen.update(attend=0, move=0)
            await host.write_fields("control", attend=attend, move=move)
            await tb.clocks(4)
            tb.check(seen, {"attend": attend, "move": move}, "pulses")
            tb.check(await host.read("control"), 0, "control")


@cocotb.test(timeout_time=200, timeout_unit="us")
async def error_bits_stay_until_cleared(dut: Any) -> None:
    async with Bench(dut) as tb:
        host = Host(dut)
        for bit in range(len(ERRORS)):
            dut.errors.value = 1 << bit
            await RisingEdge(dut.clk)
            dut.errors.value = 0
        everything = (1 << len(ERRORS)) - 1
        tb.check(await host.read("error"), everything, "all set")
        for bit in range(len(ERRORS)):
            await host.write("error", 1 << bit)
            everything &= ~(1 << bit)
            tb.check(await host.read("error"), everything, f"bit {bit} cleared")


@cocotb.test(timeout_time=500, timeout_unit="us")
async def the_wave_table_keeps_rows_that_exist(dut: Any) -> None:
    async with Bench(dut) as tb:
        host = Host(dut)
        rows = [tb.rng.randrange(SPEC.geometry.rows) for _ in range(WAVES_MAX)]
        for wave, row in enumerate(rows):
            await host.write("wave_row", row, wave)
        beyond = SPEC.geometry.rows.to_bytes(4, "little")
        tb.check(await raw_write(host, host.address("wave_row"), beyond), AxiResp.SLVERR, "row")
        tb.check(await raw_write(host, host.address("wave_row"), b"\1\0"), AxiResp.SLVERR, "half")
        for wave, row in enumerate(rows):
            tb.check(await host.read("wave_row", wave), row, f"entry {wave}")
            dut.wave.value = wave
            await tb.clocks(2)
            tb.check(int(dut.wave_row.value), row, f"entry {wave} at the sequencer's port")


@cocotb.test(timeout_time=500, timeout_unit="us")
@cocotb.parametrize(idle=[False, True], stall=[False, True])
async def gaps_and_back_pressure_change_nothing(dut: Any, idle: bool, stall: bool) -> None:
    async with Bench(dut) as tb:
        host = Host(dut)

        def pauses(probability: float) -> Any:
            while True:
                yield tb.rng.random() < probability

        write, read = host.master.write_if, host.master.read_if
        if idle:
            for channel in (write.aw_channel, write.w_channel, read.ar_channel):
                channel.set_pause_generator(pauses(0.5))
        if stall:
            for channel in (write.b_channel, read.r_channel):
                channel.set_pause_generator(pauses(0.5))
        for _ in range(60):
            name = tb.rng.choice(("scale", "context", "move_rows"))
            value = tb.rng.getrandbits(32)
            await host.write(name, value)
            tb.check(await host.read(name), value, name)
