"""cocotb tests of hdl.dma.engine: the host's packets, whole, wrong and given up."""

from typing import Any

import cocotb

from model.spec import port
from model.spec.dma import Descriptor, Kind, Place, Result, Side
from model.spec.geometry import BEAT_BYTES
from tb.bench_dma import CAPACITY, COLUMNS, LIST, put_list, region
from tb.dma_software import EngineBench

HOST = Side(kind=Kind.HOST)
def packet(tb: EngineBench, beats: int) -> list[int]:
    """Random words."""
    return [tb.rng.getrandbits(8 * BEAT_BYTES) for _ in range(beats)]


def taken(tb: EngineBench) -> list[tuple[int, int, int]]:
    """What the host has received since the last call."""
    beats = list(tb.sent)
    tb.sent.clear()
    return beats


@cocotb.test(timeout_time=2000, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.4])
async def packets_of_the_host_come_and_go_whole(dut: Any, stall: float) -> None:
    async with EngineBench(dut) as tb:
        tb.begin(stall=stall, slow=bool(stall))
        put_list(tb, LIST, [Place(n, n, n % COLUMNS) for n in range(3)])
        listed = Side(kind=Kind.LIST, place=LIST)
        for elements, beats, place in ((1, 1, region(0, 0)), (1, 5 * COLUMNS + 1, region(3, 1, 3)),
                                       (3, 4, listed), (3, COLUMNS, region(CAPACITY, 2, 1, 3))):
            sizes: dict[str, Any] = {"elements": elements, "beats": beats}
            await tb.carry_out(0, Descriptor(source=HOST, destination=place, **sizes),
                               received=packet(tb, elements * beats))
            outcome, = await tb.carry_out(1, Descriptor(source=place, destination=HOST, **sizes))
            await tb.software.until(lambda n=elements * beats: len(tb.sent) >= n)
            end = len(outcome.sent) - 1
            tb.check(taken(tb), [(word, int(n == end), 0) for n, word in enumerate(outcome.sent)],
                     f"packet of {elements} x {beats}")


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def packets_of_another_length_fail(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin()
        move = Descriptor(source=HOST, destination=region(0, 0), beats=2 * COLUMNS)
        for length in (1, COLUMNS, 2 * COLUMNS - 1, 2 * COLUMNS + 1, 3 * COLUMNS):
            before = dict(tb.memory)
            software.post(0, move)
            await software.ring(0)
            await tb.send(packet(tb, length))
            await software.idle()
            record, = software.take_records(0)
            tb.check(record["result"], Result.HOST_LENGTH, f"{length} beats")
            tb.compare(before, "elsewhere", but={(0, n // COLUMNS, n % COLUMNS)
                                                 for n in range(2 * COLUMNS)})
            await tb.carry_out(0, move, received=packet(tb, 2 * COLUMNS))    # and goes on


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def what_fails_on_its_way_to_the_host_says_so(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin()
        for row in (0, 2):
            tb.agent.trouble = {(False, (CAPACITY, row, 3)): port.Status.UNCORRECTABLE}
            software.post(0, Descriptor(source=region(CAPACITY, 0), destination=HOST,
                                        beats=4 * COLUMNS))
            await software.ring(0)
            await software.idle()
            record, = software.take_records(0)
            tb.check(record["result"], Result.READ_FAULT, "result")
            await tb.clocks(20)
            beats = taken(tb)
            if row == 0:
                tb.check(beats, [], "nothing of a packet that had not begun")
            else:
                tb.check(beats[-1][1:], (1, 1), "the packet ends with an error")
                tb.check({flags for _, *rest in beats[:-1] for flags in rest} <= {0}, True,
                         "nothing before it is the last")


@cocotb.test(timeout_time=300, timeout_unit="us")
async def aborted_packets_leave_the_streams_in_order(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin()
        length = 3 * COLUMNS
        for delay in range(40, 200, 7):
            inward = bool(delay % 2)
            software.post(0, Descriptor(
                source=HOST if inward else region(CAPACITY, 0),
                destination=region(0, 0) if inward else HOST, beats=length))
            await software.ring(0)
            sending = cocotb.start_soon(tb.send(packet(tb, length))) if inward else None
            await tb.clocks(delay)
            await software.pulse("cancel", 0)
            await tb.clocks(1)
            await software.until(lambda: not int(software.status(0).busy))
            if sending and not sending.done():
                tb.check(len(software.take_records(0)) in (0, 1), True, "records")
                await software.pulse("resume", 0)       # a packet that nobody asked for waits
                software.post(0, Descriptor(source=HOST, destination=region(9, 0), beats=length))
                await software.ring(0)
                await sending
            await software.pulse("resume", 0)
            await software.idle()
            await tb.clocks(20)
            software.take_records(0)
            beats = taken(tb)
            tb.check([last for _, last, _ in beats[:-1]], [0] * (len(beats) - 1 if beats else 0),
                     "one packet at most")
            tb.check(beats[-1][1] if beats else 1, 1, "which ends")
            # What was given up has left nothing behind.
            await tb.carry_out(0, Descriptor(
                source=HOST, destination=region(0, 0), beats=length),
                received=packet(tb, length))
