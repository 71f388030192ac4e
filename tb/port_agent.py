"""The far end of a memory port: answers after any delay, from a plain dictionary."""

from heapq import heappop, heappush
from typing import Any

import cocotb
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from hdl.layouts import request_layout, response_layout
from model.spec.port import Status
from model.spec.slice import SliceSpec
from tb.bench import Bench

Place = tuple[int, int, int]
"""Bank, row, column."""


def painted(spec: SliceSpec) -> dict[Place, int]:
    """A memory in which every column holds a word of its own."""
    g = spec.geometry
    return {(bank, row, column): int.from_bytes(
                b"".join(n.to_bytes(4, "little") for n in (bank, row, column, bank ^ row ^ column))
                * 2, "little")
            for bank in g.banks for row in range(g.rows) for column in range(g.columns)}


class PortAgent:
    """Answers the requests of a memory port of the device under test.

    Parameters
    ----------
    tb : Bench
    port : str
        Name of the port on the device, such as ``"port"``.
    spec : SliceSpec
    memory : dict
        Word of every place that exists; reads and writes of others are answered with an error.
    stall : float
        Probability that a request is not taken in a clock.
    latency : range
        Clocks from request to answer, chosen at random. Answers come when they are due, so in
        any order, at most one a clock.

    Attributes
    ----------
    log : list
        (write, place) of every request, in order.
    poisoned : set
        Places whose words cannot be corrected until they are written again.
    """

    def __init__(self, tb: Bench, port: str, spec: SliceSpec, memory: dict[Place, int], *,
                 stall: float = 0.0, latency: range = range(1, 2)) -> None:
        self.tb, self.memory, self.stall, self.latency = tb, memory, stall, latency
        self.request_layout, self.response_layout = request_layout(spec), response_layout()
        self.log: list[tuple[bool, Place]] = []
        self.poisoned: set[Place] = set()
        self.request = self._stream(f"{port}__request")
        self.response = self._stream(f"{port}__response")
        self.answers: list[tuple[int, int, data.Const]] = []      # by the clock when due
        self.request["ready"].value = int(not stall)
        cocotb.start_soon(self._take())
        cocotb.start_soon(self._answer())

    def _stream(self, name: str) -> dict[str, Any]:
        return {part: getattr(self.tb.dut, f"{name}__{part}")
                for part in ("payload", "valid", "ready")}

    async def _take(self) -> None:
        tb = self.tb
        stalled: int | None = None
        while True:
            await RisingEdge(tb.dut.clk)
            valid, ready = int(self.request["valid"].value), int(self.request["ready"].value)
            payload = int(self.request["payload"].value) if valid else None
            assert stalled in (None, payload), f"cycle {tb.cycle}: a stalled request changed"
            stalled = payload if valid and not ready else None
            if payload is not None and ready:
                self._serve(self.request_layout.from_bits(payload))
            if self.stall:
                self.request["ready"].value = int(tb.rng.random() >= self.stall)

    def _serve(self, request: data.Const) -> None:
        place = (request.bank, request.row, request.column)
        write, known = bool(request.write), place in self.memory
        self.log.append((write, place))
        answer: dict[int | str, Any] = {
            "tag": request.tag, "write": write, "data": 0,
            "status": Status.OK if known else Status.NO_SUCH_BANK}
        if known and write:
            self.memory[place] = request.data
            self.poisoned.discard(place)
        elif place in self.poisoned:
            answer["status"] = Status.UNCORRECTABLE
        elif known:
            answer["data"] = self.memory[place]
        due = self.tb.cycle + self.tb.rng.choice(self.latency)
        heappush(self.answers, (due, len(self.log), self.response_layout.const(answer)))

    async def _answer(self) -> None:
        valid, clk = self.response["valid"], self.tb.dut.clk
        while True:
            valid.value = 0
            while not self.answers or self.answers[0][0] > self.tb.cycle:
                await RisingEdge(clk)
            valid.value = 1
            self.response["payload"].value = heappop(self.answers)[2].as_bits()
            while True:
                await RisingEdge(clk)
                if int(self.response["ready"].value):
                    break
