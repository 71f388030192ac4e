"""What the bench of the join engine is made of: rings of joins, and members that deliver parts."""

from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, with_timeout

from hdl.attention.descriptor_layouts import (
    FOREIGN_PART,
    MEMBER_PART,
    OPEN_JOIN,
    PartKind,
    board_layout,
)
from hdl.attention.descriptor_rings import RING_STATUS
from model.golden.attention_descriptor import Golden, Outcome, completion, part_header
from model.golden.attention_join import Answer, carry_out, copy_queries
from model.golden.merge import Part
from model.golden.translator import Tables
from model.spec.attention import PimSpec
from model.spec.attention_descriptor import COMPLETION, EngineSpec, Result, RingSettings
from model.spec.attention_join import FOREIGN, Join
from model.spec.dma import Place, pack, unpack
from model.spec.geometry import BEAT_BYTES, ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec
from tb.bench import PERIOD_NS, Bench, StreamDriver
from tb.descriptor_software import planted
from tb.dma_software import FaultyAgent
from tb.port_agent import painted

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=2, capacity_banks=2, rows=32, row_bytes=512),
                 pim=PimSpec(head_size_max=80, group_max=2, exponent_fraction_bits=8))
ENGINE = EngineSpec(rings=2, jobs=2, lookups=2, reads=2, joins=2, patience=400)
CHANNELS = 3
"""What is built: a die of three pseudo-channels, of which two joins may be open."""

COPIES = SPEC.geometry.banks[1]
"""The bank to which queries are copied."""

EVERY = tuple(range(CHANNELS))
TIME_OUT_CLOCKS = 1_600
BEAT_BITS = 8 * BEAT_BYTES
LOG2 = 3


def beats_of(answer: Answer) -> list[int]:
    """The beats of a member's parts, head by head."""
    raw = b"".join(part_header(part) + part.o.astype(np.float32).tobytes()
                   for part in answer.parts)
    return [int.from_bytes(raw[n:n + BEAT_BYTES], "little")
            for n in range(0, len(raw), BEAT_BYTES)]


def _decoded(board: int) -> dict[tuple[int, int], tuple[int, Any]]:
    """Tenant and name -> number and entry of the joins on a board."""
    layout = board_layout(ENGINE).from_bits(board)
    entries = [OPEN_JOIN.from_bits(layout[j].as_bits()) for j in range(ENGINE.joins)]
    found = {(e.tenant, e.join): (j, e) for j, e in enumerate(entries) if e.valid}
    assert len(found) == sum(e.valid for e in entries), "two joins of one name are open"
    return found


@dataclass
class Todo:
    """A part of a join that waits in a ring of a member."""

    join: Join
    answer: Answer


@dataclass
class Posted:
    """A join in a ring, and what its members will say."""

    join: Join
    answers: dict[int, Answer] = field(default_factory=dict)


class JoinBench(Bench):
    """A bench of a :class:`~hdl.attention.join_engine.JoinEngine`; ring n is of tenant n + 1.

    A member has a ring for each tenant, as a pseudo-channel has, and begins what is open for it; it
    delivers in the order in which it has begun.
    """

    def __init__(self, dut: Any) -> None:
        super().__init__(dut, drain_clocks=TIME_OUT_CLOCKS)

    def begin(self, *, stall: float = 0.0, idle: float = 0.0,
              prefer: Callable[[int], Sequence[int]] = lambda n: (0, 1)) -> None:
        """Connects memory and members, and sets the rings; ``prefer`` orders a member's rings."""
        self.dut.fault_number.value = planted()
        self.draw = np.random.default_rng(self.rng.getrandbits(32))
        self.memories = [painted(SPEC) for _ in EVERY]
        self.agents = [
            FaultyAgent(self, f"copies_{n}" if n else "port", SPEC, memory, stall=stall,
                        latency=range(1, 30)) for n, memory in enumerate(self.memories)]
        self.memory, self.agent = self.memories[0], self.agents[0]
        tables = Tables(spec=TranslatorSpec(channel=SPEC), memory={}, directory_base=0,
                        sequences=1, chunk_base=0, chunks=1)
        self.goldens = [Golden(spec=SPEC, engine=ENGINE, words=dict(memory), tables=tables)
                        for memory in self.memories]
        self.golden = self.goldens[0]
        home = SPEC.geometry.banks[-1]
        self.settings = [RingSettings(ring=Place(home, 24 + n), records=Place(home, 28 + n),
                                      ring_log2=LOG2, tenant=n + 1) for n in range(2)]
        for n, settings in enumerate(self.settings):
            getattr(self.dut, f"settings_{n}").value = settings.pack()
        self.posted: list[list[Posted]] = [[], []]
        self.looked, self.strays, self.beat, self.asked = [0, 0], 0, 0, 0
        self.todo = [[deque[Todo](), deque[Todo]()] for _ in EVERY]
        self.ways = [StreamDriver(self, f"part_{n}", idle=idle) for n in EVERY]
        self.outside = StreamDriver(self, "foreign", idle=idle)
        self.seen: set[tuple[int, int]] = set()
        self.silent: set[int] = set()           # members that begin nothing
        self._boards: dict[int, dict[tuple[int, int], tuple[int, Any]]] = {}
        cocotb.start_soon(self._count_strays())
        for n in EVERY:
            started: deque[tuple[int, Todo]] = deque()
            cocotb.start_soon(self._begins(n, prefer(n), started))
            cocotb.start_soon(self._delivers(n, started, idle))

    async def _count_strays(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.strays += int(self.dut.stray.value)

    def open_for(self, n: int) -> dict[tuple[int, int], tuple[int, Any]]:
        """What stands on the board of a member: tenant and name -> number and entry."""
        board = int(getattr(self.dut, f"board_{n}").value)
        if board not in self._boards:
            self._boards[board] = _decoded(board)
        found = self._boards[board]
        self.seen.update(found)
        return found

    async def _begins(self, n: int, order: Sequence[int],
                      started: deque[tuple[int, Todo]]) -> None:
        claim, claimed = (getattr(self.dut, f"{name}_{n}") for name in ("claim", "claimed"))
        before: Set[tuple[int, int]] = set()
        while True:
            await RisingEdge(self.dut.clk)
            claim.value = 0
            await RisingEdge(self.dut.clk)
            found = self.open_for(n)
            if found.keys() - before:
                self.check(self._copies_under_way(n), [], "copies under way to who may begin")
            before = found.keys()
            for ring in order if n not in self.silent else ():
                todo = self.todo[n][ring]
                if todo and (todo[0].join.tenant, todo[0].join.join) in found:
                    number, entry = found[todo[0].join.tenant, todo[0].join.join]
                    part = todo.popleft()
                    if entry.refused or (entry.heads, entry.head_size) != (
                            part.join.heads, part.join.head_size):
                        part.answer = Answer(result=Result.BAD_JOIN)
                    started.append((number, part))
                    claim.value, claimed.value = 1, number
                    break

    def _copies_under_way(self, n: int) -> list[Any]:
        """Writes of queries to a member's memory that have not been answered."""
        log = self.agents[n].log
        return [log[number - 1] for _, number, _ in self.agents[n].answers
                if log[number - 1][0] and log[number - 1][1][0] == COPIES]

    async def _delivers(self, n: int, started: deque[tuple[int, Todo]], idle: float) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            if not started or self.rng.random() < 0.05:
                continue
            number, todo = started.popleft()
            for kind, word in self._said(todo.answer):
                await self.ways[n].put(MEMBER_PART.const(
                    {"join": number, "kind": kind, "data": word}).as_bits())

    @staticmethod
    def _said(answer: Answer) -> list[tuple[PartKind, int]]:
        if answer.parts:
            return [(PartKind.DATA, word) for word in beats_of(answer)]
        empty = answer.result is Result.ALL_ELSEWHERE
        return [(PartKind.EMPTY if empty else PartKind.FAILED, answer.result)]

    @staticmethod
    def foreign_beat(join: Join, word: int, kind: PartKind = PartKind.DATA) -> int:
        """A beat of a foreign part."""
        return FOREIGN_PART.const({"tenant": join.tenant, "join": join.join,
                                   "kind": kind, "data": word}).as_bits()

    # Joins

    def parts(self, heads: int, head_size: int) -> list[Part]:
        """Of every head."""
        return [Part(int(self.draw.integers(-40, 40)), np.float32(self.draw.uniform(0.5, 9)),
                     self.draw.standard_normal(head_size).astype(np.float32))
                for _ in range(heads)]

    def post(self, ring: int, members: Sequence[int] = EVERY, *, heads: int = 2,
             head_size: int = 64, answers: dict[int, Answer] | None = None,
             raw: int = 0, **options: Any) -> Join:
        """A join, and the parts of its members in their rings; ``answers`` instead of parts."""
        index = len(self.posted[ring])
        beats = heads * (1 + head_size // 8) if options.get("partial") else heads * head_size // 16
        start = self.beat + self.rng.randrange(3)
        self.beat = start + beats
        row, column = divmod(start, SPEC.geometry.columns)
        own = [n for n in members if n != FOREIGN]
        join = Join(**{
            "tenant": ring + 1, "join": 256 * ring + index + (1 << 31), "heads": heads,
            "head_size": head_size, "members": sum(1 << n for n in own),
            "foreign": FOREIGN in members, "cookie": self.rng.getrandbits(32),
            "output": Place(SPEC.geometry.banks[-2], row, column), **options})
        posted = Posted(join, {n: Answer(self.parts(heads, head_size)) for n in members}
                        | (answers or {}))
        for n in own:
            if n in EVERY:
                self.todo[n][ring].append(Todo(join, posted.answers[n]))
        word = join.pack() | raw
        for half in range(2):
            place = self.ring_place(ring, 2 * (index % (1 << LOG2)) + half)
            self.memory[place] = self.golden.words[place] = (
                word >> BEAT_BITS * half & (1 << BEAT_BITS) - 1)
        self.posted[ring].append(posted)
        return join

    def queries(self, heads: int, head_size: int) -> dict[str, Any]:
        """Random queries in the memory of pseudo-channel 0, and where a join is to copy them."""
        columns, start = SPEC.geometry.columns, self.asked + self.rng.randrange(3)
        self.asked = start + heads * head_size // 16
        source = Place(SPEC.geometry.banks[0], *divmod(start, columns))
        for beat in range(start, self.asked):
            place = (source.bank, *divmod(beat, columns))
            self.memory[place] = self.golden.words[place] = self.rng.getrandbits(BEAT_BITS)
        return {"broadcast": True, "query": source,
                "copy": Place(COPIES, *divmod(start + 5, columns))}

    def ring_place(self, ring: int, beat: int) -> tuple[int, int, int]:
        """Of a beat of a ring."""
        at = self.settings[ring].ring
        return at.bank, at.row + beat // SPEC.geometry.columns, beat % SPEC.geometry.columns

    async def ring(self, *rings: int) -> None:
        """Doorbells."""
        for ring in rings:
            self.dut.tail.value = len(self.posted[ring])
            self.dut.doorbell.value = 1 << ring
            await RisingEdge(self.dut.clk)
        self.dut.doorbell.value = 0

    async def deliver(self, join: Join, answer: Answer | None = None, *, beats: int = 0,
                      name: int | None = None, tenant: int = 0) -> None:
        """A foreign part, when the join has been open for some member; ``beats`` of it, or all."""
        await self.until(lambda: (join.tenant, join.join) in self.seen or not join.members)
        await self.clocks(self.rng.randrange(40) + 200 * (not join.members))
        answer = answer or next(p.answers[FOREIGN] for posted in self.posted for p in posted
                                if p.join is join)
        for kind, word in self._said(answer)[:beats or None]:
            await self.outside.put(self.foreign_beat(replace(
                join, tenant=tenant or join.tenant, join=join.join if name is None else name),
                word, kind))

    async def until(self, done: Callable[[], bool], clocks: int = TIME_OUT_CLOCKS) -> None:
        """Waits for a condition, looked at in every clock."""
        async def wait() -> None:
            while not done():
                await RisingEdge(self.dut.clk)
        await with_timeout(wait(), clocks * PERIOD_NS, "ns")

    def head(self, ring: int) -> int:
        """Joins of a ring whose records are in memory."""
        return RING_STATUS.from_bits(int(getattr(self.dut, f"status_{ring}").value)).head

    async def finish(self, *, instead: dict[int, Outcome] | None = None, strays: int = 0) -> None:
        """Waits for all records, and compares everything that the joins have changed.

        ``instead`` gives what becomes of joins, by name, to which memory or software is unkind.
        """
        await self.until(lambda: all(self.head(n) == len(self.posted[n]) for n in range(2)))
        for ring, settings in enumerate(self.settings):
            for index, posted in enumerate(self.posted[ring]):
                if index < self.looked[ring]:
                    continue
                join = posted.join
                outcome = (instead or {}).get(join.join) or copy_queries(
                    self.goldens, join, settings.tenant)
                if outcome.result is Result.DONE:
                    outcome = carry_out(
                        self.golden, join, settings.tenant, CHANNELS, posted.answers)
                record = completion(vars(join), index, LOG2, outcome, [])
                place = (settings.records.bank, settings.records.row, index % (1 << LOG2))
                self.check(unpack(COMPLETION, self.memory[place]), record, f"record of {join}")
                self.golden.words[place] = pack(COMPLETION, record)
            self.looked[ring] = len(self.posted[ring])
        wrong = [(n, place) for n, golden in enumerate(self.goldens)
                 for place, word in golden.words.items() if self.memories[n][place] != word]
        self.check(wrong[:8], [], "places that differ")
        self.check(self.strays, strays, "beats that nobody awaited")
        waiting = [n for n in EVERY for todo in self.todo[n] if todo]
        self.check(waiting, [], "members whose rings are stuck")
