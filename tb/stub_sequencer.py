"""A stand-in for the attention sequencer: takes attentions, and answers with random beats."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from cocotb.triggers import RisingEdge

from hdl.attention.token_writer import token_layout
from hdl.attention.wave import wave_layout
from hdl.attention.wave_source import AttentionRequest
from hdl.layouts import result_layout
from model.spec.attention import KvLayout
from model.spec.geometry import BEAT_BYTES
from model.spec.slice import SliceSpec
from tb.bench import StreamDriver, StreamMonitor
from tb.translator_memory import flat, unpacked

BEAT_BITS = 8 * BEAT_BYTES


@dataclass
class Attention:
    """What the sequencer has been given, and what it answers."""

    order: dict[str, int]
    waves: list[dict[int, tuple[int, int]]] = field(default_factory=list)   # bank: row, tokens
    queries: list[int] = field(default_factory=list)
    whole: bool = False
    results: list[int] = field(default_factory=list)


class StubSequencer:
    """Takes attentions, waves, queries and new tokens, each in order; answers with random beats.

    A new token has to be there before its wave; it is written to ``tb.memory`` with it.

    Parameters
    ----------
    tb : DescriptorBench
    spec : SliceSpec
    stall : float
        Probability of a stall on every stream.
    """

    def __init__(self, tb: Any, spec: SliceSpec, *, stall: float) -> None:
        self.tb, self.banks = tb, spec.geometry.pim_banks
        self.attentions: list[Attention] = []
        self._waves: deque[dict[str, int]] = deque()
        self._queries: deque[int] = deque()
        self._tokens: list[dict[str, int]] = []
        self._token = flat(token_layout(spec))
        self._columns, self._written = spec.geometry.columns, 0
        self._settled = 0
        self._order, self._wave = flat(AttentionRequest()), flat(wave_layout(spec))
        self._answer = StreamDriver(tb, "result", idle=stall)
        self._result = result_layout()
        StreamMonitor(tb, "order", self._ordered, stall=stall)
        StreamMonitor(tb, "waves", self._waved, stall=stall)
        StreamMonitor(tb, "query", self._queried, stall=stall)
        StreamMonitor(tb, "token",
                      lambda p: self._tokens.append(unpacked(self._token, p)), stall=stall)

    def _ordered(self, payload: int) -> None:
        order = unpacked(self._order, payload)
        assert order["paged"] and not order["first_wave"]
        self.attentions.append(Attention(order))
        self._settle()

    def _waved(self, payload: int) -> None:
        self._waves.append({**unpacked(self._wave, payload), "columns_here": len(self._tokens)})
        self._settle()

    def _queried(self, payload: int) -> None:
        self._queries.append(payload)
        self._settle()

    def _settle(self) -> None:
        """Waves and queries belong to attentions in their order, whichever comes first."""
        for attention in self.attentions[self._settled:]:
            while self._waves and not attention.whole:
                self._take_wave(attention, self._waves.popleft())
            while self._queries and len(attention.queries) < self._beats(attention):
                attention.queries.append(self._queries.popleft())
        while (self._settled < len(self.attentions)
               and self.complete(self.attentions[self._settled])):
            self._settled += 1

    def complete(self, attention: Attention) -> bool:
        """Whether all waves and queries are there."""
        return attention.whole and len(attention.queries) == self._beats(attention)

    def _take_wave(self, attention: Attention, wave: dict[str, int]) -> None:
        self.tb.check(wave["first"], int(not attention.waves), "first")
        blocks = {bank: (wave[f"rows.{bank}"], wave[f"tokens.{bank}"])
                  for bank in range(self.banks) if wave[f"tokens.{bank}"]}
        rows = {row for row, _ in blocks.values()}
        assert not wave["uniform"] or (len(rows) == 1 and wave["rows.0"] in rows)
        attention.waves.append(blocks)
        if wave["append.valid"]:
            self._append(wave, attention.order["last_chunk"] + 1)
        attention.whole = bool(wave["last"])

    def _append(self, wave: dict[str, int], chunks: int) -> None:
        first, self._written = self._written, self._written + 2 * chunks
        self.tb.check(wave["columns_here"] >= self._written, True, "token before its wave")
        half = KvLayout(head_size=16 * chunks, columns=self._columns).half_rows
        row = wave["append.first"]
        for n, column in enumerate(self._tokens[first:self._written]):
            self.tb.check(column["value"], n // chunks, "column of K or V")
            place = (column["bank"], wave[f"rows.{column['bank']}"] + row
                     + half * column["value"], column["column"])
            self.tb.memory[place] = column["data"]
            row += column["ends"]
            if n % chunks == chunks - 1:
                self.tb.check(row, wave["append.last"] + 1, "rows of the token")
                row = wave["append.first"]

    @staticmethod
    def _beats(attention: Attention) -> int:
        return (attention.order["last_head"] + 1) * (attention.order["last_chunk"] + 1)

    async def answer(self) -> None:
        """Answers one attention after another, for ever; to be started as a task."""
        done = 0
        while True:
            await RisingEdge(self.tb.dut.clk)
            if done == len(self.attentions):
                continue
            a = self.attentions[done]
            if not self.complete(a):
                continue
            heads, chunks = a.order["last_head"] + 1, a.order["last_chunk"] + 1
            for _ in range(heads):
                beats = 1 + 2 * chunks if a.order["partial"] else chunks
                for n in range(beats):
                    a.results.append(self.tb.rng.getrandbits(BEAT_BITS))
                    await self._answer.put(self._result.const(
                        {"data": a.results[-1], "last": n == beats - 1}).as_bits())
            done += 1
