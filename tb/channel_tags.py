"""Answers of a memory port come in any order: what is expected of each tag."""

from typing import Any

from cocotb.triggers import RisingEdge

from model.spec.port import TAG_WIDTH, Status
from tb.bench import Bench

Answer = tuple[bool, Status, int]
"""Write, status, data."""


class Outstanding:
    """A scoreboard by tag: hands out tags, and compares each answer with what its tag expects.

    Parameters
    ----------
    tb : Bench
        It waits at its end until nothing is expected.
    name : str
        Of the port.
    """

    def __init__(self, tb: Bench, name: str) -> None:
        self.tb, self.name = tb, name
        self.expected: dict[int, Answer | None] = {}
        self._next = tb.rng.getrandbits(TAG_WIDTH)
        tb.queues.append(self)

    def __len__(self) -> int:
        return len(self.expected)

    async def take(self) -> int:
        """A tag that no request under way has; waits until there is one."""
        while self._next in self.expected:
            await RisingEdge(self.tb.dut.clk)
        tag = self._next
        self.expected[tag] = None
        self._next = (tag + 1) % (1 << TAG_WIDTH)
        return tag

    def expect(self, tag: int, write: bool, status: Status, data: int) -> None:
        """What the answer with this tag must be."""
        self.expected[tag] = bool(write), status, data

    def answered(self, answer: dict[str, Any]) -> None:
        """Compares an answer, as fields of the response layout, with what was expected."""
        want = self.expected.pop(answer["tag"], None)
        assert want is not None, (
            f"cycle {self.tb.cycle}: {self.name} answers tag {answer['tag']}, which nobody awaits")
        got = bool(answer["write"]), Status(answer["status"]), answer["data"]
        self.tb.check(got, want, f"{self.name}, tag {answer['tag']} (write, status, data)")
