"""What every bench shares: clock, reset, seed, streams, and no way to pass without checking."""

import json
import os
import random
from collections import deque
from collections.abc import Callable, Sized
from typing import Any, Self

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, with_timeout
from cocotb.utils import get_sim_time

from tb.build import BENCH_VARIABLE

PERIOD_NS = 1
"""Period of the bench clock; the controller's is 1 ns with HBM4."""


def parameters() -> dict[str, Any]:
    """The parameters that :func:`tb.build.run` was given for this bench."""
    return json.loads(os.environ[BENCH_VARIABLE])["parameters"]


class Bench:
    """``async with Bench(dut) as tb`` resets on entry; on exit it drains and fails on silence.

    On exit every scoreboard must have emptied, nothing more may come out for ``settle`` clocks,
    and at least one comparison must have been made.

    Parameters
    ----------
    dut : handle
        The device under test, with ``clk`` and ``rst``.
    drain_clocks : int
        How long the scoreboards may take to empty.
    settle : int
        Clocks to wait for an output too many.

    Attributes
    ----------
    rng : random.Random
        The only source of random choices, seeded by the run.
    checked : int
        Comparisons made so far.
    """

    def __init__(self, dut: Any, *, drain_clocks: int = 5000, settle: int = 32) -> None:
        self.dut, self.drain_clocks, self.settle = dut, drain_clocks, settle
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.checked = 0
        self.queues: list[Sized] = []
        self._released = 0.0

    async def __aenter__(self) -> Self:
        for name in json.loads(os.environ[BENCH_VARIABLE])["inputs"]:    # nothing floats
            getattr(self.dut, name).value = 0
        self.dut.rst.value = 1
        Clock(self.dut.clk, PERIOD_NS, unit="ns").start()
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)
        self._released = get_sim_time("ns")
        return self

    @property
    def cycle(self) -> int:
        """Clocks since reset was released."""
        return round((get_sim_time("ns") - self._released) / PERIOD_NS)

    async def __aexit__(self, kind: object, *_exc: object) -> None:
        if kind is None:
            await with_timeout(self._drained(), self.drain_clocks * PERIOD_NS, "ns")
            await self.clocks(self.settle)
            assert not any(self.queues), "output still expected after the drain"
            assert self.checked > 0, "the test checked nothing"

    async def _drained(self) -> None:
        while any(self.queues):
            await RisingEdge(self.dut.clk)

    async def clocks(self, n: int) -> None:
        """Waits for ``n`` rising edges."""
        for _ in range(n):
            await RisingEdge(self.dut.clk)

    def check(self, got: object, want: object, what: str) -> None:
        """One comparison; ``what`` says which value it was."""
        assert got == want, f"cycle {self.cycle}, {what}: got {_show(got)}, want {_show(want)}"
        self.checked += 1

    def scoreboard(self) -> deque[Any]:
        """A queue of expected outputs that must be empty at the end."""
        queue: deque[Any] = deque()
        self.queues.append(queue)
        return queue


def _show(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)


class StreamDriver:
    """Drives a stream input, one payload after another, with random gaps if asked.

    Parameters
    ----------
    tb : Bench
    port : str
        Name of the stream port, such as ``"i"`` or ``"host__request"``.
    idle : float
        Probability of a gap before a payload.
    """

    def __init__(self, tb: Bench, port: str, *, idle: float = 0.0) -> None:
        self.tb, self.idle = tb, idle
        self.payload = getattr(tb.dut, f"{port}__payload")
        self.valid = getattr(tb.dut, f"{port}__valid")
        self.ready = getattr(tb.dut, f"{port}__ready")
        self.valid.value = 0

    async def put(self, payload: int) -> None:
        """Offers ``payload`` until it is taken."""
        while self.idle and self.tb.rng.random() < self.idle:
            await RisingEdge(self.tb.dut.clk)
        self.payload.value = payload
        self.valid.value = 1
        while True:
            await RisingEdge(self.tb.dut.clk)
            if int(self.ready.value):
                break
        self.valid.value = 0


class StreamMonitor:
    """Takes every payload of a stream output, stalling at random if asked, and checks the rules.

    A payload must not change, nor be withdrawn, while it is stalled.

    Parameters
    ----------
    tb : Bench
    port : str
        Name of the stream port.
    receive : callable
        Called with every payload as an integer.
    stall : float
        Probability that ``ready`` is low in a clock.
    """

    def __init__(self, tb: Bench, port: str, receive: Callable[[int], None], *,
                 stall: float = 0.0) -> None:
        self.tb, self.port, self.receive, self.stall = tb, port, receive, stall
        self.payload = getattr(tb.dut, f"{port}__payload")
        self.valid = getattr(tb.dut, f"{port}__valid")
        self.ready = getattr(tb.dut, f"{port}__ready")
        self.ready.value = int(not stall)
        cocotb.start_soon(self._watch())

    def hold(self, held: bool) -> None:
        """Takes nothing any more, or takes again; for monitors that do not stall at random."""
        self.ready.value = int(not held)

    async def _watch(self) -> None:
        stalled: int | None = None
        while True:
            await RisingEdge(self.tb.dut.clk)
            valid, ready = int(self.valid.value), int(self.ready.value)     # int() raises on X
            payload = int(self.payload.value) if valid else None
            if stalled is not None:
                assert payload == stalled, (
                    f"cycle {self.tb.cycle}, {self.port}: {_show(stalled)} became "
                    f"{_show(payload)} while it was stalled")
            stalled = payload if valid and not ready else None
            if payload is not None and ready:
                self.receive(payload)
            if self.stall:
                self.ready.value = int(self.tb.rng.random() >= self.stall)
