"""Streams of benches that run for millions of clocks: Python wakes only when something moves.

What the rules of a stream demand of stalled payloads is for :mod:`tb.bench` to check; here nothing
is stalled.
"""

from typing import Any

from cocotb.triggers import RisingEdge

from tb.bench import StreamDriver, StreamMonitor


class LeanStreamDriver(StreamDriver):
    """A driver that sleeps while the device is not ready."""

    async def put(self, payload: int) -> None:
        """Offers ``payload`` until it is taken; no gaps."""
        self.payload.value = payload
        self.valid.value = 1
        await RisingEdge(self.tb.dut.clk)
        while not int(self.ready.value):
            await RisingEdge(self.ready)
            await RisingEdge(self.tb.dut.clk)
        self.valid.value = 0


class LeanStreamMonitor(StreamMonitor):
    """A monitor that is always ready and sleeps while the device offers nothing.

    Parameters
    ----------
    tb, port, receive, stall
        As of :class:`~tb.bench.StreamMonitor`; only ``stall`` 0 is possible.
    """

    def __init__(self, tb: Any, port: str, receive: Any, *, stall: float = 0.0) -> None:
        if stall:
            raise ValueError(f"stall: expected 0 in a lean bench, not {stall}")
        super().__init__(tb, port, receive)

    async def _watch(self) -> None:
        while True:
            if not int(self.valid.value):
                await RisingEdge(self.valid)
            await RisingEdge(self.tb.dut.clk)
            if int(self.valid.value):
                self.receive(int(self.payload.value))
