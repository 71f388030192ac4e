"""What the translator's bench is made of: tables in a memory, clients, and what answers are legal.

Tables change while lookups are under way, so a lookup may have several legal answers: those of
every version of the tables that was in force between its acceptance and its answer. A version
comes into force when the change begins, and is out of force when the change is acknowledged.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import cocotb
from cocotb.triggers import Event, RisingEdge
from cocotb.utils import get_sim_time

from hdl.translator.layouts import (
    commit_layout,
    committed_layout,
    counters_layout,
    fault_layout,
    invalidation_layout,
    lookup_layout,
    tables_layout,
    translation_layout,
)
from model.golden.translator import BlockId, Place, Residency, Tables, Translation
from model.spec.translation import (
    BLOCK_ID_WIDTHS,
    Access,
    Fault,
    Scope,
    Tier,
    TranslatorSpec,
)
from tb.bench import PERIOD_NS, Bench, StreamDriver, StreamMonitor, parameters
from tb.translator_memory import TableAgent, flat, translator_spec, unpacked, word_address

FOREVER = 1 << 62


@dataclass
class Version:
    """What every lookup of a block is answered with while it is in force."""

    answers: dict[tuple[Tier, Access], Translation]
    start: int = 0
    end: int = FOREVER


@dataclass
class Pending:
    """A request without an answer, then with it."""

    block: BlockId
    kind: tuple[Tier, Access] | None            # None: a commit
    want: tuple[Fault, bool, Residency] | None = None
    accepted: int = -1
    answered: int = -1
    translation: Translation | None = None
    event: Event = field(default_factory=Event)


class TranslatorBench(Bench):
    """A translator with tables behind its port, clients before it, and their books.

    Parameters
    ----------
    dut : handle
    idle, stall : float
        Gaps between requests; stalls of answers, fault records and memory requests.
    latency : range
        Of the memory.
    read_faults : bool
        Take fault records as they come.

    Attributes
    ----------
    SPEC : TranslatorSpec or None
        What was built; None: what the run's parameters say.
    """

    SPEC: TranslatorSpec | None = None

    def __init__(self, dut: Any, *, idle: float = 0.0, stall: float = 0.0,
                 latency: range = range(4, 5), read_faults: bool = True) -> None:
        super().__init__(dut, drain_clocks=20000)
        self.idle, self.stall, self.latency = idle, stall, latency
        self.read_faults = read_faults
        self.spec = self.SPEC or translator_spec(**parameters()["spec"])
        bank = self.spec.tier_banks(Tier.CAPACITY)[0] * 16
        base = word_address(self.spec, (bank, 0, 0))
        self.tables = Tables(spec=self.spec, memory={}, directory_base=base, sequences=24,
                             chunk_base=base + 64, chunks=40)
        self.next_word = base + 128         # behind them: the sequences' segments
        for address in range(base, self.next_word):
            self.tables.memory[address] = bytes(32)
        self.history: dict[BlockId, list[Version]] = {}
        self.pending: dict[tuple[bool, int, int], Pending] = {}
        self.queues.append(self.pending)
        self.records: dict[tuple[bool, int, int], tuple[Any, ...]] = {}
        self.count = {"lookups": 0, "commits": 0, "faults": 0, "records": 0, "invalidations": 0}
        self.translation_fields = flat(translation_layout(self.spec))
        self.committed_fields, self.fault_fields = flat(committed_layout()), flat(fault_layout())
        self.next_tag = 0
        self.memory_clocks: list[int] = []  # from request to answer, of every access

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.mirror = self.tables.copy()    # changed by the golden model, the other by the DUT
        dut, stall = self.dut, self.stall
        dut.tables.value = tables_layout().const({
            name: getattr(self.tables, name)
            for name in ("directory_base", "sequences", "chunk_base", "chunks")}).as_bits()
        if fault := parameters().get("fault"):
            dut.fault_number.value = fault
        self.connect_memory()
        self.lookups = StreamDriver(self, "requester__lookup", idle=self.idle)
        self.commits = StreamDriver(self, "requester__commit", idle=self.idle)
        self.invalidations = StreamDriver(self, "invalidate", idle=self.idle)
        StreamMonitor(self, "requester__translation", self._translated, stall=stall)
        StreamMonitor(self, "requester__committed", self._committed, stall=stall)
        if self.read_faults:
            StreamMonitor(self, "fault", self._recorded, stall=stall)
        return self

    async def __aexit__(self, kind: object, *exc: object) -> None:
        await super().__aexit__(kind, *exc)
        if kind is None:
            self._check_books()

    def connect_memory(self) -> None:
        """Puts the tables behind the translator's port."""
        self.agent = TableAgent(self, self.tables, stall=self.stall / 2, latency=self.latency)
        cocotb.start_soon(self._watch_memory())

    async def _watch_memory(self) -> None:
        dut = self.dut
        offset, mask = flat(self.agent.request_layout)["tag"]
        answer_offset, _ = flat(self.agent.response_layout)["tag"]
        asked: dict[int, int] = {}
        while True:
            await RisingEdge(dut.clk)
            if int(dut.port__request__valid.value) and int(dut.port__request__ready.value):
                asked[int(dut.port__request__payload.value) >> offset & mask] = self.now
            if int(dut.port__response__valid.value) and int(dut.port__response__ready.value):
                tag = int(dut.port__response__payload.value) >> answer_offset & mask
                self.memory_clocks.append(self.now - asked.pop(tag))

    def _check_books(self) -> None:
        wrong = [hex(a) for a, word in self.mirror.memory.items() if self.tables.memory[a] != word]
        self.check(wrong, [], "words of the tables that differ")
        counters: Any = counters_layout().from_bits(int(self.dut.counters.value))
        books = self.count
        self.check(counters.hits + counters.misses, books["lookups"], "hits and misses")
        self.check(counters.commits, books["commits"], "commits")
        self.check(counters.faults, books["faults"], "faults")
        self.check(counters.invalidations, books["invalidations"], "invalidations")
        if self.read_faults:
            self.check(books["records"], books["faults"] - counters.faults_lost, "fault records")
            self.check(len(self.records), counters.faults_lost, "faults without a record")

    @property
    def now(self) -> int:
        """The clock. The base's ``cycle`` depends on which task of a clock's edge runs first."""
        return round(get_sim_time("ns")) // PERIOD_NS

    # Tables

    def reserve(self, words: int) -> int:
        """Zeroed words for a segment; returns the first one's address."""
        first, self.next_word = self.next_word, self.next_word + words
        for address in range(first, self.next_word):
            self.write(address, bytes(32))
        return first

    def write(self, address: int, word: bytes) -> None:
        """Writes a word of the tables, in hardware and mirror."""
        self.tables.memory[address] = self.mirror.memory[address] = word

    def put(self, what: str, *args: Any, **options: Any) -> int:
        """A method ``put_...`` of both tables; returns the word's address."""
        getattr(self.tables, f"put_{what}")(*args, **options)
        return getattr(self.mirror, f"put_{what}")(*args, **options)

    def sequence(self, sequence: int, *, tenant: int, layers: int = 1, head_groups: int = 1,
                 segments: int = 1) -> int:
        """Enters a sequence with room for its blocks."""
        bases = tuple(self.reserve(layers * head_groups * (
            self.spec.segment_start(n + 1) - self.spec.segment_start(n))) for n in range(segments))
        return self.put("sequence", sequence, tenant=tenant, layers=layers,
                        head_groups=head_groups, segments=bases)

    def change(self, block: BlockId, how: Callable[[], object]) -> list[Version]:
        """Changes what the tables say of a block; returns what ends when that is acknowledged."""
        how()
        versions = self.history.setdefault(block, [])
        versions.append(Version(self._answers(block), start=self.now))
        return versions[-2:-1]

    def end(self, versions: Iterable[Version]) -> None:
        """A change is acknowledged in this clock."""
        for version in versions:
            version.end = self.now

    def _answers(self, block: BlockId) -> dict[tuple[Tier, Access], Translation]:
        return {(tier, access): self.mirror.translate(block, tier, access)
                for tier in Tier for access in Access}

    # Requests

    def _tag(self) -> tuple[int, int]:
        while True:
            self.next_tag = (self.next_tag + 37) % (1 << 11)
            tag = self.next_tag & 7, self.next_tag >> 3
            if not {(False, *tag), (True, *tag)} & {*self.pending, *self.records}:
                return tag

    async def lookup(self, block: BlockId, tier: Tier = Tier.ANY,
                     access: Access = Access.READ) -> Pending:
        """Asks for a place; returns when the request is accepted."""
        if block not in self.history:
            self.history[block] = [Version(self._answers(block))]
        pending = Pending(block, (tier, access))
        requester, tag = self._tag()
        self.pending[False, requester, tag] = pending
        await self.lookups.put(lookup_layout().const({
            "id": vars(block), "tier": tier, "access": access, "requester": requester,
            "tag": tag}).as_bits())
        pending.accepted = self.now
        self.count["lookups"] += 1
        return pending

    async def answer(self, block: BlockId, tier: Tier = Tier.ANY,
                     access: Access = Access.READ) -> Translation:
        """Asks for a place and waits for the answer."""
        pending = await self.lookup(block, tier, access)
        await pending.event.wait()
        assert pending.translation is not None
        return pending.translation

    async def commit(self, block: BlockId, expected: Residency, residency: Residency) -> Pending:
        """Changes a residency word; returns when that is accepted."""
        if block not in self.history:
            self.history[block] = [Version(self._answers(block))]
        want: list[Any] = []
        ending = self.change(
            block, lambda: want.extend(self.mirror.commit(block, expected, residency)))
        pending = Pending(block, None, want=(want[0], want[1], want[2]))
        requester, tag = self._tag()
        self.pending[True, requester, tag] = pending
        await self.commits.put(commit_layout().const({
            "id": vars(block), "expected": vars(expected), "residency": vars(residency),
            "requester": requester, "tag": tag}).as_bits())
        pending.accepted = self.now

        async def finish() -> None:
            await pending.event.wait()
            self.end(ending)
        cocotb.start_soon(finish())
        return pending

    async def invalidate(self, scope: Scope, block: BlockId,
                         ending: Iterable[Version] = ()) -> None:
        """Makes the translator forget; returns when it has."""
        await self.invalidations.put(invalidation_layout().const(
            {"scope": scope, "id": vars(block)}).as_bits())
        self.end(ending)
        self.count["invalidations"] += 1

    # Answers

    def _translated(self, payload: int) -> None:
        got = unpacked(self.translation_fields, payload)
        pending = self.pending.pop((False, got["requester"], got["tag"]))
        assert pending.kind is not None
        pending.answered = self.now
        fault = Fault(got["fault"])
        assert not fault or not got["place"], "a place in spite of a fault"
        place = None if fault else Place(**{
            name: got[f"place.{name}"] for name in ("channel", "bank", "row", "column")})
        pending.translation = Translation(
            fault=fault, tier=Tier(got["tier"]), place=place,
            residency=Residency.from_int(got["residency"]))
        legal = [version.answers[pending.kind] for version in self.history[pending.block]
                 if version.end >= pending.accepted and version.start <= self.now]
        assert pending.translation in legal, (
            f"clock {self.now}, {pending.block}, {pending.kind}: got {pending.translation}, "
            f"want one of {legal}")
        self.checked += 1
        self._answered((False, got["requester"], got["tag"]), fault, pending)

    def _committed(self, payload: int) -> None:
        got = unpacked(self.committed_fields, payload)
        pending = self.pending.pop((True, got["requester"], got["tag"]))
        pending.answered = self.now
        self.check((Fault(got["fault"]), bool(got["done"]), Residency.from_int(got["found"])),
                   pending.want, f"commit of {pending.block}")
        self.count["commits"] += got["done"]
        self._answered((True, got["requester"], got["tag"]), Fault(got["fault"]), pending)

    def _answered(self, key: tuple[bool, int, int], fault: Fault, pending: Pending) -> None:
        if fault:
            self.count["faults"] += 1
            tier, access = pending.kind or (Tier.PIM, Access.READ)
            self._match(key, (fault, pending.block, tier, access))
        pending.event.set()

    def _recorded(self, payload: int) -> None:
        got = unpacked(self.fault_fields, payload)
        self.count["records"] += 1
        block = BlockId(**{name: got[f"id.{name}"] for name in BLOCK_ID_WIDTHS})
        self._match((bool(got["commit"]), got["requester"], got["tag"]),
                    (Fault(got["cause"]), block, Tier(got["tier"]), Access(got["access"])))

    def _match(self, key: tuple[bool, int, int], record: tuple[Any, ...]) -> None:
        """Answer and record of a fault come in any order; the second must agree with the first."""
        first = self.records.pop(key, None)
        if first is None:
            self.records[key] = record
        else:
            self.check(record, first, "answer and record of a fault")

    async def quiet(self) -> None:
        """Waits until every request is answered."""
        while self.pending:
            await RisingEdge(self.dut.clk)
