"""cocotb tests of hdl.base_die, reached only through AXI, its streams and its interrupt."""

from dataclasses import replace
from itertools import chain
from typing import Any

import cocotb
from cocotbext.axi import AxiResp

from model.golden.translator import Residency
from model.spec.dma import Convert, Descriptor, Kind, Place, Result, Side
from model.spec.mx import MXFP8_E4M3, QuantisedRegion, StoredFormat
from model.spec.registers import BLOCK_WIDTH, ERROR_KINDS, IDENTIFIER, capabilities
from model.spec.translation import Fault, Tier
from tb.base_die_bench import NAMED, Attention, DieBench
from tb.bench import StreamDriver, StreamMonitor, parameters
from tb.bench_dma_convert import dequantised, quantised

CHANNELS = int(parameters().get("channels", 1))
EVERY = range(CHANNELS)
IN_CAPACITY, IN_PIM = Residency(capacity=True), Residency(pim=True)
KINDS = tuple(ERROR_KINDS)


def copy_of(residency: Residency) -> Residency:
    """Formats of copies that are not there do not matter."""
    return replace(
        residency,
        pim_format=residency.pim_format if residency.pim else StoredFormat.WIDE,
        capacity_format=residency.capacity_format if residency.capacity else StoredFormat.WIDE)


async def moved(tb: DieBench, c: int, n: int, source: Tier, **options: Any) -> None:
    """A block moves to the other tier, and says so by interrupt and record."""
    await tb.order(c, Descriptor(**{
        "source": NAMED, "destination": NAMED, "beats": tb.beats, "cookie": 0xC0DE + n,
        "block": tb.question(tb.block(c, n), source), **options}))
    tb.check(await tb.interrupted(), {"dma": 1}, "interrupt")
    tb.check(await tb.register(f"dma_{c}.pending").fields(), {"channel_0": 1, "channel_1": 0},
             "pending")
    await tb.acknowledge(c)
    tb.check(int(tb.dut.irq.value), 0, "interrupt after it was acknowledged")
    record = await tb.record(c)
    tb.check((Result(record["result"]), record["cookie"]), (Result.DONE, 0xC0DE + n), "record")


@cocotb.test(timeout_time=400, timeout_unit="us")
async def a_block_moves_to_the_other_tier_and_back(dut: Any) -> None:
    async with DieBench(dut, CHANNELS) as tb:
        for c in EVERY:
            await tb.set_up(c, {1: IN_CAPACITY})
        data = [tb.random_words(tb.beats) for c in EVERY]
        for c in EVERY:
            await tb.write(c, tb.words(1, Tier.CAPACITY, data[c]))
        for c in EVERY:
            await moved(tb, c, 1, Tier.CAPACITY)
            tb.check(copy_of(await tb.residency(c, 1)), IN_PIM, "residency")
            tb.check(await tb.read(c, tb.place(1, Tier.PIM), tb.beats), data[c], "PIM copy")
        for c in EVERY:
            new = tb.random_words(tb.beats)
            await tb.write(c, tb.words(1, Tier.CAPACITY, [0] * tb.beats))
            await tb.write(c, tb.words(1, Tier.PIM, new))
            await moved(tb, c, 1, Tier.PIM)
            tb.check(copy_of(await tb.residency(c, 1)), IN_CAPACITY, "residency")
            tb.check(await tb.read(c, tb.place(1, Tier.CAPACITY), tb.beats), new, "back")


@cocotb.test(timeout_time=400, timeout_unit="us")
async def a_block_is_quantised_on_its_way_and_dequantised_back(dut: Any) -> None:
    async with DieBench(dut, CHANNELS) as tb:
        shape = QuantisedRegion(fmt=MXFP8_E4M3, blocks=tb.beats // 2)
        small: dict[str, Any] = {"convert": Convert.QUANTISE, "format": MXFP8_E4M3.code,
                                 "destination_beats": shape.columns}
        for c in EVERY:
            await tb.set_up(c, {0: IN_PIM})
            wide = tb.random_words(tb.beats)
            await tb.write(c, tb.words(0, Tier.PIM, wide))
            await moved(tb, c, 0, Tier.PIM, **small)
            packed = await tb.read(c, tb.place(0, Tier.CAPACITY), shape.columns)
            tb.check(packed, quantised(wide), "quantised")
            want = replace(IN_CAPACITY, capacity_format=StoredFormat(MXFP8_E4M3.code))
            tb.check(copy_of(await tb.residency(c, 0)), want, "residency")
            await moved(tb, c, 0, Tier.CAPACITY, beats=shape.columns, destination_beats=tb.beats,
                        convert=Convert.DEQUANTISE, format=MXFP8_E4M3.code)
            tb.check(await tb.read(c, tb.place(0, Tier.PIM), tb.beats), dequantised(packed),
                     "dequantised")
            await moved(tb, c, 0, Tier.PIM, **small)
            await tb.order(c, Descriptor(
                source=NAMED, destination=NAMED, beats=tb.beats,
                block=tb.question(tb.block(c, 0), Tier.CAPACITY), **small))
            record = await tb.record(c)
            tb.check((Result(record["result"]), record["detail"]),
                     (Result.CONVERT_FAULT, MXFP8_E4M3.code), "what is quantised already")
            await tb.interrupted()
            await tb.acknowledge(c)


@cocotb.test(timeout_time=400, timeout_unit="us")
async def channels_move_at_the_same_time_and_do_not_mix(dut: Any) -> None:
    async with DieBench(dut, CHANNELS) as tb:
        data = [[tb.random_words(tb.beats) for _ in range(3)] for _ in EVERY]
        for c in EVERY:
            await tb.set_up(c, dict.fromkeys(range(3), IN_CAPACITY))
            for n in range(3):
                await tb.write(c, tb.words(n, Tier.CAPACITY, data[c][n]))
        for n in range(3):
            for c in EVERY:
                await tb.order(c, Descriptor(
                    source=NAMED, destination=NAMED, beats=tb.beats, cookie=16 * c + n,
                    block=tb.question(tb.block(c, n), Tier.CAPACITY)))
        for c in EVERY:
            record = await tb.record(c)
            tb.check((Result(record["result"]), record["cookie"]), (Result.DONE, 16 * c + 2),
                     f"channel {c}")
            got = await tb.read(c, tb.place(0, Tier.PIM), 3 * tb.beats)
            tb.check(got, list(chain.from_iterable(data[c])), f"channel {c}")


@cocotb.test(timeout_time=200, timeout_unit="us")
async def registers_say_what_was_built_and_refuse_what_is_wrong(dut: Any) -> None:
    async with DieBench(dut, CHANNELS) as tb:
        tb.check(await tb.register("die.identifier").read(), IDENTIFIER, "identifier")
        tb.check(await tb.register("die.channels").read(), CHANNELS, "channels")
        for c in EVERY:
            tb.check(await tb.register(f"attention_{c}.capabilities").read(),
                     capabilities(tb.spec.channel), "capabilities")
            await tb.register(f"dma_{c}.share_1").set(rate=c + 1, burst=77)
        for c in EVERY:
            tb.check(await tb.register(f"dma_{c}.share_1").fields(), {"rate": c + 1, "burst": 77},
                     f"channel {c}'s own value")
        space = tb.spec.space
        answer = await tb.lite.write(space.find("dma_0.status_0")[0], bytes(4))
        tb.check(answer.resp, AxiResp.SLVERR, "write of what is read only")
        for address in (space.base("dma_0") + 0xFF0,
                        (max(space.windows.values()) + 1) << BLOCK_WIDTH):
            answer = await tb.lite.read(address, 4)
            tb.check(answer.resp, AxiResp.DECERR, f"read of {address:#x}")
        empty = tb.map.address(9, 0, 0)
        answer = await tb.memories[CHANNELS - 1].read(empty, 32)
        tb.check(answer.resp, AxiResp.DECERR, "read of a bank that does not exist")


@cocotb.test(timeout_time=400, timeout_unit="us")
async def refused_moves_change_nothing_and_are_recorded(dut: Any) -> None:
    async with DieBench(dut, CHANNELS) as tb:
        for c in EVERY:
            await tb.set_up(c, {2: IN_CAPACITY})
            stranger = replace(tb.block(c, 2), tenant=99)
            await tb.order(c, Descriptor(source=NAMED, destination=NAMED, beats=tb.beats,
                                         block=tb.question(stranger, Tier.CAPACITY)))
            record = await tb.record(c)
            tb.check((Result(record["result"]), Fault(record["detail"])),
                     (Result.TRANSLATION_FAULT, Fault.WRONG_TENANT), "record")
            tb.check(await tb.interrupted(), {"dma": 1, "translation": 1}, "interrupt")
            kind = await tb.register(f"translator_{c}.fault_kind").fields()
            tb.check(Fault(kind["cause"]), Fault.WRONG_TENANT, "fault's cause")
            tb.check(await tb.register(f"translator_{c}.fault_high").fields(),
                     {"sequence": 0, "tenant": 99}, "fault's block")
            tb.check(await tb.register(f"translator_{c}.faults").read(), 1, "count of faults")
            await tb.register(f"translator_{c}.take").set(fault=1)
            tb.check((await tb.register(f"translator_{c}.status").fields())["fault"], 0, "queue")
            await tb.register("die.interrupt_status").set(translation=1)
            await tb.acknowledge(c)
            tb.check(copy_of(await tb.residency(c, 2)), IN_CAPACITY, "residency")
            await tb.order(c, Descriptor(source=Side(place=Place(0, 0)),
                                         destination=Side(place=Place(9, 0)), beats=1))
            tb.check(Result((await tb.record(c))["result"]), Result.BAD_PLACE, "no such bank")
            await tb.acknowledge(c)
            tb.check(int(dut.irq.value), 0, "interrupt")


@cocotb.test(timeout_time=400, timeout_unit="us")
async def flips_are_corrected_or_reported_to_the_host(dut: Any) -> None:
    async with DieBench(dut, CHANNELS) as tb:
        for c in EVERY:
            data = tb.random_words(tb.beats)
            await tb.set_up(c, {0: IN_CAPACITY})
            await tb.write(c, tb.words(0, Tier.CAPACITY, data))
            bank, row, _ = tb.place(0, Tier.CAPACITY)
            unit = f"reliability_{c}"
            for flips, kind in ((1, "corrected"), (3, "uncorrectable")):
                await tb.register(f"{unit}.inject_place").set(bank=bank, row=row, column=3)
                await tb.register(f"{unit}.inject_data").write(flips, 1)
                await tb.register(f"{unit}.inject_control").set(stored=1)
                while (await tb.register(f"{unit}.inject_status").fields())["stored_busy"]:
                    pass
                await tb.order(c, Descriptor(
                    source=NAMED, destination=NAMED, beats=tb.beats,
                    block=tb.question(tb.block(c, 0), Tier.CAPACITY)))
                record = await tb.record(c)
                lost = kind != "corrected"
                tb.check(Result(record["result"]), Result.READ_FAULT if lost else Result.DONE, kind)
                status = await tb.interrupted()
                tb.check(status.get("reliability"), 1, f"interrupt of {kind}")
                log = await tb.register(f"{unit}.log_kind").fields()
                tb.check(KINDS[log["kind"]], kind, "log")
                tb.check(await tb.register(f"{unit}.log_place").fields(),
                         {"bank": bank, "row": row, "column": 3}, "log's place")
                while await tb.register(f"{unit}.log_level").read():
                    await tb.register(f"{unit}.log_control").set(pop=1)
                await tb.acknowledge(c)
                await tb.register("die.interrupt_status").set(reliability=1)
                want = replace(IN_CAPACITY, poisoned=True) if lost else IN_PIM
                tb.check(copy_of(await tb.residency(c, 0)), want, "residency")
                if not lost:
                    tb.check(await tb.read(c, tb.place(0, Tier.PIM), tb.beats), data, "moved")
                    await moved(tb, c, 0, Tier.PIM)
            answer = await tb.memories[c].read(tb.map.address(bank, row, 3), 32)
            tb.check(answer.resp, AxiResp.SLVERR, "the GPU reads what is lost")
            while await tb.register(f"{unit}.log_level").read():
                await tb.register(f"{unit}.log_control").set(pop=1)
            await tb.register("die.interrupt_status").set(reliability=1)


@cocotb.test(timeout_time=200, timeout_unit="us")
async def packets_come_from_the_host_and_go_there(dut: Any) -> None:
    async with DieBench(dut, CHANNELS) as tb:
        for c in EVERY:
            await tb.set_up(c, {})
            got: list[int] = []
            StreamMonitor(tb, f"host_out__{c}", got.append)
            host, data = StreamDriver(tb, f"host_in__{c}"), tb.random_words(5)
            here = Side(place=Place(0, 3, 2))
            await tb.order(c, Descriptor(source=Side(kind=Kind.HOST), destination=here, beats=5))
            for n, word in enumerate(data):
                await host.put(word | (n == 4) << 256)
            tb.check(Result((await tb.record(c))["result"]), Result.DONE, "from the host")
            tb.check(await tb.read(c, (0, 3, 2), 5), data, "in memory")
            await tb.order(c, Descriptor(source=here, destination=Side(kind=Kind.HOST), beats=5))
            tb.check(Result((await tb.record(c))["result"]), Result.DONE, "to the host")
            tb.check([beat & (1 << 256) - 1 for beat in got], data, "the same packet")


@cocotb.test(timeout_time=400, timeout_unit="us")
async def attention_reads_what_a_move_brought(dut: Any) -> None:
    async with DieBench(dut, CHANNELS) as tb:
        for c in EVERY:
            unit = Attention(tb, c)
            sequence = unit.random_sequence(heads=2, head_size=64, tokens=19)
            await unit.store_sequence(sequence)
            await tb.set_up(c, {})
            await tb.order(c, Descriptor(source=Side(place=Place(0, 0)), beats=tb.beats,
                                         destination=Side(place=Place(16, 0))))
            await tb.record(c)
            await tb.write(c, tb.words(0, Tier.PIM, [0] * tb.beats))
            await tb.order(c, Descriptor(source=Side(place=Place(16, 0)), beats=tb.beats,
                                         destination=Side(place=Place(0, 0))))
            tb.check(Result((await tb.record(c))["result"]), Result.DONE, "moved there and back")
            await tb.acknowledge(c)
            await unit.start_attention(sequence, 19)
            await unit.collect(sequence, 19)
            tb.check(await tb.interrupted(), {"attention": 1}, "interrupt")
            await tb.register("die.interrupt_status").set(attention=1)
            await tb.register(f"attention_{c}.context").write(0)
            await tb.register(f"attention_{c}.control").set(attend=1)
            tb.check(await tb.interrupted(), {"attention": 1}, "interrupt of a refusal")
            error = await tb.register(f"attention_{c}.error").fields()
            tb.check([name for name, bit in error.items() if bit], ["bad_attention"], "error")
            await tb.register("die.interrupt_status").set(attention=1)
