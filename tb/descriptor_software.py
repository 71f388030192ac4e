"""What the benches of the attention descriptor engine are made of: tables, lists, rings, books."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cocotb.triggers import RisingEdge, with_timeout

from hdl.attention.descriptor_layouts import (
    ELSEWHERE,
    MEMBER_PART,
    PartKind,
    Source,
    board_layout,
)
from hdl.attention.descriptor_rings import RING_STATUS
from hdl.translator.layouts import tables_layout
from model.golden.attention_descriptor import Golden, Outcome, completion
from model.golden.translator import BlockId, Residency, Tables
from model.spec.attention import BLOCK_TOKENS, KvLayout
from model.spec.attention_descriptor import (
    COMPLETION,
    DESCRIPTOR,
    LIST_ENTRY,
    Descriptor,
    EngineSpec,
    Result,
    RingSettings,
    blocks_of,
)
from model.spec.attention_join import Join
from model.spec.dma import LIST_ENTRIES, Place, pack, place_in_region, unpack
from model.spec.geometry import BEAT_BYTES
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec
from tb.bench import PERIOD_NS, Bench, StreamMonitor
from tb.descriptor_system import PSEUDO_CHANNEL
from tb.dma_software import FaultyAgent
from tb.port_agent import PortAgent, painted
from tb.stub_sequencer import BEAT_BITS, Attention, StubSequencer
from tb.translator_memory import TableMemory, flat, unpacked

TIME_OUT_CLOCKS = 6_000
FIRST_SCALE = 0x3E00_0000
PIM = Residency(pim=True)


_planted: list[int] = []


def plant(fault: int) -> None:
    """Selects a fault of the hardware for all benches that begin from now on."""
    _planted.append(fault)


def planted() -> int:
    """The fault selected last; 0: none."""
    return _planted[-1] if _planted else 0


@dataclass
class Posted:
    """A descriptor in a ring."""

    ring: int
    index: int
    descriptor: Descriptor


class DescriptorBench(Bench):
    """A bench of a :class:`~tb.descriptor_system.DescriptorSystem`.

    Lists, queries and tokens lie in the first capacity bank, outputs in the second, rings and
    records in the last rows of both. Block ``n`` of a sequence is entered with ``enter``.
    """

    def __init__(self, dut: Any, spec: SliceSpec, engine: EngineSpec,
                 translator: TranslatorSpec) -> None:
        super().__init__(dut, drain_clocks=TIME_OUT_CLOCKS)
        self.spec, self.engine, self.translator = spec, engine, translator
        self.columns = spec.geometry.columns
        self.free = dict.fromkeys(spec.geometry.capacity_bank_numbers, 0)    # next beat
        self.asked: deque[tuple[int, int, int, BlockId]] = deque()
        self.board: dict[int, tuple[Join, bool]] = {}       # number -> join, whether refused
        self.opened: dict[int, tuple[Join, bool]] = {}      # and those that have been begun
        self.joins: dict[tuple[int, int], int] = {}         # tenant and name -> number
        self.told: dict[int, list[tuple[PartKind, int]]] = {}       # what came for each number
        self.posted: list[Posted] = []
        self.looked: list[int] = [0] * engine.rings
        self.chunks = 0

    def begin(self, *, stall: float = 0.0, slow: bool = False, log2: int = 2) -> None:
        """Connects memory, tables and the sequencer, and sets all rings; to be called once."""
        if planted():
            self.dut.fault_number.value = planted()
        latency = range(1, 60) if slow else range(20, 26)
        self.memory = painted(self.spec)
        self.agent = FaultyAgent(self, "port", self.spec, self.memory, stall=stall,
                                 latency=latency)
        self.tables = Tables(spec=self.translator, memory={}, directory_base=0, sequences=8,
                             chunk_base=64, chunks=192)
        for word in range(64 + 192):
            self.tables.memory[word] = bytes(BEAT_BYTES)
        PortAgent(self, "tables_port", self.spec, TableMemory(self.tables), latency=latency)
        self.dut.tables.value = tables_layout().const({
            "directory_base": 0, "sequences": 8, "chunk_base": 64, "chunks": 192}).as_bits()
        self.sequencer = StubSequencer(self, self.spec, stall=stall)
        self._elsewhere = flat(ELSEWHERE)
        StreamMonitor(self, "elsewhere", self._ask, stall=stall)
        StreamMonitor(self, "part", self._tell, stall=stall)
        last = self.spec.geometry.rows - 1
        self.settings = [RingSettings(
            ring=Place(self.banks[0], last - 2 * n - 1), records=Place(self.banks[1], last - n),
            ring_log2=log2, tenant=n + 1) for n in range(self.engine.rings)]
        for n, settings in enumerate(self.settings):
            getattr(self.dut, f"settings_{n}").value = settings.pack()
        self.next_segment = 64 + 192
        self.golden = Golden(spec=self.spec, engine=self.engine, words=dict(self.memory),
                             tables=self.tables, pseudo_channel=PSEUDO_CHANNEL)
        self.expected = list[tuple[Posted, Outcome]]()

    @property
    def banks(self) -> tuple[int, ...]:
        """Capacity banks."""
        return self.spec.geometry.capacity_bank_numbers

    def _ask(self, payload: int) -> None:
        ask = unpacked(self._elsewhere, payload)
        self.asked.append((ask["cookie"], ask["entry"], ask["joined"] * ask["join"], BlockId(**{
            name: ask[f"id.{name}"] for name in
            ("tenant", "sequence", "layer", "head_group", "block")})))

    # Joins

    def _tell(self, payload: int) -> None:
        beat = MEMBER_PART.from_bits(payload)
        self.told.setdefault(beat.join, []).append(
            (PartKind(beat.kind), beat.data))

    def open_join(self, number: int, tenant: int, name: int, *, heads: int = 1,
                  head_size: int = 64, refused: bool = False) -> None:
        """Opens a join for the pseudo-channel; :meth:`claims` takes it away when it is begun."""
        self.board[number] = self.opened[number] = Join(
            tenant=tenant, join=name, members=1, heads=heads, head_size=head_size,
            output=Place(0, 0)), refused
        self.joins[tenant, name] = number
        self._show_board()

    def _show_board(self) -> None:
        entries: list[dict[str, int]] = [{} for _ in range(self.engine.joins)]
        for number, (join, refused) in self.board.items():
            entries[number] = {
                "valid": 1, "refused": int(refused),
                **{name: getattr(join, name) for name in ("tenant", "join", "heads", "head_size")}}
        self.dut.board.value = board_layout(self.engine).const(entries).as_bits()

    async def claims(self) -> None:
        """Closes joins whose parts have been begun, for ever; to be started as a task."""
        while True:
            await RisingEdge(self.dut.clk)
            if int(self.dut.claim.value):
                del self.board[int(self.dut.claimed.value)]     # not there: begun twice
                self._show_board()

    # Tables and memory

    def sequence(self, sequence: int, *, tenant: int, segments: int = 3) -> None:
        """Enters a sequence of one layer and head group with room for its blocks."""
        bases = []
        for n in range(segments):
            bases.append(self.next_segment)
            self.next_segment += (self.translator.segment_start(n + 1)
                                  - self.translator.segment_start(n))
        for word in range(bases[0], self.next_segment):
            self.tables.memory[word] = bytes(BEAT_BYTES)
        self.tables.put_sequence(sequence, tenant=tenant, layers=1, head_groups=1,
                                 segments=tuple(bases))

    def enter(self, sequence: int, block: int, bank: int, row: int, *, tenant: int,
              residency: Residency = PIM, channel: int = PSEUDO_CHANNEL, offset: int = 0,
              writable: bool = True, rows: int = 8) -> None:
        """Enters a block of a sequence."""
        self.tables.put_chunk(self.chunks, tenant=tenant, channel=channel, bank=bank, row=row,
                              rows=rows)
        self.tables.put_block(BlockId(tenant=tenant, sequence=sequence, block=block), residency,
                              pim=(self.chunks, offset), writable=writable)
        self.chunks += 1

    def reserve(self, bank: int, beats: int) -> Place:
        """Some beats of a capacity bank; now and then the rest of a row is skipped."""
        start = self.free[bank] + self.rng.randrange(3)
        self.free[bank] = start + beats
        row, column = divmod(start, self.columns)
        assert (start + beats) // self.columns < self.spec.geometry.rows - 8, "bank is full"
        return Place(bank, row, column)

    def store(self, place: Place, beats: Sequence[int]) -> None:
        """Writes consecutive beats without detours, in hardware and model."""
        for n, word in enumerate(beats):
            at = place_in_region(self.spec.geometry, place, 0, n)
            self.memory[at.bank, at.row, at.column] = word
            self.golden.words[at.bank, at.row, at.column] = word

    def block_list(self, entries: Sequence[tuple[int, int]]) -> Place:
        """Writes a block list of (sequence, block)."""
        words = [pack(LIST_ENTRY, {"sequence": s, "block": b}) for s, b in entries]
        beats = [sum(word << 32 * n for n, word in enumerate(words[low:low + LIST_ENTRIES]))
                 for low in range(0, len(words), LIST_ENTRIES)]
        place = self.reserve(self.banks[0], max(1, len(beats)))
        self.store(place, beats)
        return place

    def descriptor(self, entries: Sequence[tuple[int, int]], *, tenant: int, tokens: int = 0,
                   heads: int = 1, head_size: int = 64, **options: Any) -> Descriptor:
        """A descriptor of these blocks, the last one with ``tokens`` (default: 1 to 16)."""
        tokens = tokens or self.rng.randrange(1, BLOCK_TOKENS + 1)
        chunks = head_size // 16
        partial = options.get("partial", False)
        beats = heads * (1 + 2 * chunks if partial else chunks)
        number = len(self.posted) + len(self.expected)
        made = Descriptor(**{
            "tenant": tenant, "heads": heads, "head_size": head_size, "blocks": len(entries),
            "context": max(0, len(entries) - 1) * BLOCK_TOKENS + tokens,
            "scale": FIRST_SCALE + self.rng.getrandbits(20), "list": self.block_list(entries),
            "query": self.reserve(self.banks[0], heads * chunks),
            "output": self.reserve(self.banks[1], beats),
            "token": self.reserve(self.banks[0], 2 * chunks),
            "cookie": self.rng.getrandbits(32), **options})
        assert made.blocks != len(entries) or "context" in options or (
            not entries or blocks_of(made.context) == len(entries)), number
        return made

    # Rings

    def ring_place(self, start: Place, beat: int) -> tuple[int, int, int]:
        """Bank, row and column of a beat behind a place."""
        at = place_in_region(self.spec.geometry, start, 0, beat)
        return at.bank, at.row, at.column

    def post(self, ring: int, *descriptors: Descriptor, raw: int | None = None) -> None:
        """Writes descriptors behind those that are there, without a doorbell."""
        settings = self.settings[ring]
        for d in descriptors:
            index = sum(p.ring == ring for p in self.posted)
            word = d.pack() if raw is None else raw
            for half in range(2):
                place = self.ring_place(
                    settings.ring, 2 * (index % (1 << settings.ring_log2)) + half)
                self.memory[place] = self.golden.words[place] = (
                    word >> BEAT_BITS * half & (1 << BEAT_BITS) - 1)
            self.posted.append(Posted(ring, index, d))

    async def ring(self, ring: int) -> None:
        """The doorbell."""
        self.dut.tail.value = sum(p.ring == ring for p in self.posted) & 0xFFFF
        self.dut.doorbell.value = 1 << ring
        await RisingEdge(self.dut.clk)
        self.dut.doorbell.value = 0

    async def heads_follow_records(self) -> None:
        """Watches, for ever, that a ring's head advances only after the record was answered."""
        answered, dut = 0, self.dut
        tag, source = flat(self.agent.response_layout)["tag"][0], Source.RECORD.value
        while True:
            await RisingEdge(dut.clk)
            heads = sum(int(self.status(n).head) for n in range(self.engine.rings))
            assert heads <= answered, f"cycle {self.cycle}: a head runs ahead of its record"
            if int(dut.port__response__valid.value):
                answered += int(dut.port__response__payload.value) >> tag & 7 == source

    def status(self, ring: int) -> Any:
        """The ring's status."""
        return RING_STATUS.from_bits(int(getattr(self.dut, f"status_{ring}").value))

    async def enable(self, ring: int, enable: bool) -> None:
        """Holds a ring, or lets it go on."""
        self.settings[ring] = replace(self.settings[ring], enable=enable)
        getattr(self.dut, f"settings_{ring}").value = self.settings[ring].pack()
        await RisingEdge(self.dut.clk)

    def layout(self, head_size: int) -> KvLayout:
        """Of a block."""
        return KvLayout(head_size=head_size, columns=self.columns)

    def attention(self, d: Descriptor) -> Attention:
        """What the sequencer was given for a descriptor."""
        return next(a for a in self.sequencer.attentions if a.order["scale"] == d.scale)

    async def refused(self, d: Descriptor, result: Result, *, cookie: int | None = None) -> None:
        """The only descriptor that was not looked at, whose bits in the ring are not ``d``."""
        posted = self.posted[-1]
        await self.until(lambda: int(self.status(posted.ring).head) == posted.index + 1)
        settings = self.settings[posted.ring]
        record = completion({"cookie": d.cookie if cookie is None else cookie}, posted.index,
                            settings.ring_log2, Outcome(result), [])
        place = self.ring_place(settings.records, posted.index % (1 << settings.ring_log2))
        self.check(unpack(COMPLETION, self.memory[place]), record, "record")
        self.golden.words[place] = pack(COMPLETION, record)
        self.looked[posted.ring] = posted.index + 1

    async def until(self, done: Callable[[], bool], clocks: int = TIME_OUT_CLOCKS) -> None:
        """Waits for a condition, looked at in every clock."""
        async def wait() -> None:
            while not done():
                await RisingEdge(self.dut.clk)
        await with_timeout(wait(), clocks * PERIOD_NS, "ns")

    async def finish(self, *, instead: dict[int, tuple[Result, int]] | None = None) -> None:
        """Waits until all that was posted is over, and compares everything that it has changed.

        ``instead`` gives result and detail of descriptors, by cookie, to which memory is unkind.
        """
        heads = [sum(p.ring == n for p in self.posted) for n in range(self.engine.rings)]
        await self.until(lambda: all(int(self.status(n).head) == head & 0xFFFF
                                     for n, head in enumerate(heads)))
        attentions = {a.order["scale"]: a for a in self.sequencer.attentions}
        asks: list[tuple[int, int, int, BlockId]] = []
        for posted in [p for p in self.posted if p.index >= self.looked[p.ring]]:
            asks += self._compare(posted, attentions, (instead or {}).get(
                posted.descriptor.cookie))
        for n, head in enumerate(heads):
            self.looked[n] = head
        self.check(sorted(self.asked), sorted(asks), "blocks that were asked of others")
        self.asked.clear()
        wrong = [place for place, word in self.golden.words.items()
                 if self.memory[place] != word]
        self.check(wrong[:8], [], "places that differ")

    def _compare(self, posted: Posted, attentions: dict[int, Attention],
                 instead: tuple[Result, int] | None) -> list[tuple[int, int, int, BlockId]]:
        d, golden, settings = posted.descriptor, self.golden, self.settings[posted.ring]
        number = self.joins.get((settings.tenant, d.join)) if d.joined else None
        join, refused = (None, False) if number is None else self.opened[number]
        outcome = golden.find(d, settings.tenant, join)
        if refused and outcome.result is Result.DONE:
            outcome = Outcome(Result.BAD_JOIN)
        entries = golden.entries(d) if outcome.result > Result.BAD_CONTEXT or (
            outcome.result is Result.DONE) else []
        name = f"ring {posted.ring}, descriptor {posted.index}"
        layout = self.layout(64 if outcome.result else d.head_size)
        if outcome.result is Result.DONE:
            attention = attentions[d.scale]
            appended = not instead or instead[0] is not Result.APPEND_FAULT
            if d.append and appended and not golden.append(d, layout, outcome):
                outcome.result, outcome.detail = Result.APPEND_FAULT, 1
            self._compare_attention(name, d, outcome, attention, instead)
            if outcome.result is Result.APPEND_FAULT:
                pass
            elif not golden.read(d.query, d.heads * layout.chunks):
                outcome.result, outcome.detail = Result.QUERY_FAULT, 1
            elif d.joined or (instead and instead[0] is not Result.OUTPUT_FAULT):
                pass
            elif not golden.write(d.output, b"".join(
                    word.to_bytes(BEAT_BYTES, "little") for word in attention.results)):
                outcome.result, outcome.detail = Result.OUTPUT_FAULT, 1
        if instead:
            outcome = replace(outcome, result=instead[0], detail=instead[1])
        record = completion(vars(d), posted.index, settings.ring_log2, outcome, entries)
        place = self.ring_place(settings.records, posted.index % (1 << settings.ring_log2))
        self.check(unpack(COMPLETION, self.memory[place]), record, f"record of {name}: {d}")
        golden.words[place] = pack(COMPLETION, record)
        if number is not None:
            words = attentions[d.scale].results if outcome.result is Result.DONE else []
            kind = (PartKind.EMPTY if outcome.result is Result.ALL_ELSEWHERE else PartKind.FAILED)
            self.check(self.told.pop(number, []), [(PartKind.DATA, word) for word in words]
                       or [(kind, outcome.result)], f"part of {name}")
        return [(d.cookie, n, d.joined * d.join, BlockId(tenant=settings.tenant, layer=d.layer,
                                      head_group=d.head_group, **entries[n]))
                for n in outcome.elsewhere]

    def _compare_attention(self, name: str, d: Descriptor, outcome: Outcome,
                           attention: Attention, instead: object) -> None:
        want = [{bank: (outcome.blocks[n][1], outcome.tokens[n]) for bank, n in wave.items()}
                for wave in outcome.waves]
        order = attention.order
        if not instead and outcome.result is Result.DONE:
            self.check(attention.waves, want, f"{name}: waves")
            queries = b"".join(q.to_bytes(BEAT_BYTES, "little") for q in attention.queries)
            wanted = self.golden.read(d.query, d.heads * d.head_size // 16)
            self.check(queries.hex(), wanted.hex() or bytes(len(queries)).hex(),
                       f"{name}: queries")
        self.check((order["context"], order["last_head"] + 1, 16 * (order["last_chunk"] + 1),
                    order["partial"]), (d.context, d.heads, d.head_size, d.partial),
                   f"{name}: attention")


DESCRIPTOR_BITS = {name: (low, width) for name, low, width in (
    (name, sum(list(DESCRIPTOR.values())[:n]), width)
    for n, (name, width) in enumerate(DESCRIPTOR.items()))}
"""Lowest bit and width of each field of a descriptor."""
