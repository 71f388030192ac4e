"""AXI4 bursts of every kind through the channels of cocotbext-axi, whose master makes only some."""

import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import Event
from cocotbext.axi import AxiBus, AxiMaster, AxiResp
from cocotbext.axi.axi_channels import AxiARSource, AxiAWSource, AxiBSink, AxiRSink, AxiWSource

from model.golden.axi_burst import BUS_BYTES, AxiBurst
from tb.bench import Bench

CHANNELS = ("aw", "w", "b", "ar", "r")


def axi_bus(dut: Any, prefix: str) -> Any:
    """The five channels of a port."""
    return AxiBus.from_prefix(dut, f"{prefix}_")


def axi_master(dut: Any, prefix: str = "axi") -> Any:
    """The manager of cocotbext-axi: increments only, any address and length."""
    master: Any = AxiMaster(axi_bus(dut, prefix), dut.clk, dut.rst)
    for side in (master.write_if, master.read_if):
        side.log.setLevel(logging.ERROR)
    return master


def pauses(tb: Bench, share: float = 0.5) -> Any:
    """Clocks in which a channel of cocotbext-axi pauses, at random."""
    while True:
        yield tb.rng.random() < share


@dataclass
class Issued:
    """A burst under way.

    Attributes
    ----------
    burst : AxiBurst
    done : Event
    responses : list
        One a beat of a read, one of a write.
    data : list of int
        Of a read: what the bus carried in every beat.
    """

    burst: AxiBurst
    done: Event = field(default_factory=Event)
    responses: list[AxiResp] = field(default_factory=list)
    data: list[int] = field(default_factory=list)

    def byte(self, beat: int, address: int) -> int:
        """A byte of a read's beat."""
        return self.data[beat] >> 8 * (address % BUS_BYTES) & 0xFF


class AxiDriver:
    """Sends bursts exactly as given, allowed or not, and collects their answers by ID.

    Answers of one ID must come in the order of its bursts, with ``rlast`` on the last beat.

    Parameters
    ----------
    tb : Bench
    prefix : str
        Name of the port.
    paused : collection of str
        Channels that pause at random: gaps for aw, w and ar, back-pressure for b and r.
    """

    def __init__(self, tb: Bench, prefix: str = "axi", *, paused: Any = ()) -> None:
        dut, bus = tb.dut, axi_bus(tb.dut, prefix)
        self.tb = tb
        self.aw: Any = AxiAWSource(bus.write.aw, dut.clk, dut.rst)
        self.w: Any = AxiWSource(bus.write.w, dut.clk, dut.rst)
        self.b: Any = AxiBSink(bus.write.b, dut.clk, dut.rst)
        self.ar: Any = AxiARSource(bus.read.ar, dut.clk, dut.rst)
        self.r: Any = AxiRSink(bus.read.r, dut.clk, dut.rst)
        for name in CHANNELS:
            channel = getattr(self, name)
            channel.log.setLevel(logging.ERROR)
            if name in paused:
                channel.set_pause_generator(pauses(tb))
        self.writes: dict[int, deque[Issued]] = {}
        self.reads: dict[int, deque[Issued]] = {}
        self.waiting = tb.scoreboard()
        cocotb.start_soon(self._collect_writes())
        cocotb.start_soon(self._collect_reads())

    async def write(self, burst: AxiBurst, beats: list[tuple[int, int]], *, id: int = 0,
                    lock: int = 0) -> Issued:
        """Sends a write burst; ``beats`` are data and strobes as the bus carries them."""
        issued = self._issue(self.writes, burst, id)
        await self.aw.send(self._address(self.aw, "aw", burst, id, lock))
        for n, (word, strobe) in enumerate(beats):
            transfer = self.w._transaction_obj()
            transfer.wdata, transfer.wstrb = word, strobe
            transfer.wlast = n == len(beats) - 1
            await self.w.send(transfer)
        return issued

    async def read(self, burst: AxiBurst, *, id: int = 0, lock: int = 0) -> Issued:
        """Sends a read burst."""
        issued = self._issue(self.reads, burst, id)
        await self.ar.send(self._address(self.ar, "ar", burst, id, lock))
        return issued

    def _issue(self, under_way: dict[int, deque[Issued]], burst: AxiBurst, id: int) -> Issued:
        issued = Issued(burst)
        under_way.setdefault(id, deque()).append(issued)
        self.waiting.append(issued)
        return issued

    @staticmethod
    def _address(channel: Any, c: str, burst: AxiBurst, id: int, lock: int) -> Any:
        transfer = channel._transaction_obj()
        for name, value in (("id", id), ("addr", burst.address), ("len", burst.beats - 1),
                            ("size", burst.size), ("burst", burst.kind), ("lock", lock)):
            setattr(transfer, f"{c}{name}", value)
        return transfer

    def _finish(self, queue: deque[Issued]) -> None:
        issued = queue.popleft()
        self.waiting.remove(issued)
        issued.done.set()

    async def _collect_writes(self) -> None:
        while True:
            answer = await self.b.recv()
            queue = self.writes.get(int(answer.bid))
            assert queue, f"an answer to a write of ID {int(answer.bid)}, which nobody awaits"
            queue[0].responses.append(AxiResp(int(answer.bresp)))
            self._finish(queue)

    async def _collect_reads(self) -> None:
        while True:
            answer = await self.r.recv()
            queue = self.reads.get(int(answer.rid))
            assert queue, f"a beat of ID {int(answer.rid)}, which nobody awaits"
            issued = queue[0]
            issued.responses.append(AxiResp(int(answer.rresp)))
            issued.data.append(int(answer.rdata))
            last = len(issued.data) == issued.burst.beats
            assert int(answer.rlast) == last, f"rlast at beat {len(issued.data)} of {issued.burst}"
            if last:
                self._finish(queue)
