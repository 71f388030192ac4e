"""What an attention descriptor does to memory: fetch, translate, append, attend, write, one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.golden.attention import StoredKv, block_parts, wave_parts
from model.golden.dma import Words, exists
from model.golden.floats import DTYPES
from model.golden.merge import Part, finalize, merge
from model.golden.translator import BlockId, Tables, Translation
from model.spec.attention import (
    BLOCK_TOKENS,
    HEAD_SIZE_MIN,
    QUANTISED_HEADS,
    KvLayout,
    PimSpec,
    QuantisedKvLayout,
)
from model.spec.attention_descriptor import (
    LIST_ENTRY,
    Descriptor,
    EngineSpec,
    Opcode,
    Result,
    blocks_of,
)
from model.spec.attention_join import Join
from model.spec.dma import LIST_ENTRIES, Place, place_in_region, unpack
from model.spec.geometry import BEAT_BYTES, ChannelGeometry
from model.spec.mx import StoredFormat
from model.spec.slice import SliceSpec
from model.spec.translation import Access, Fault, Tier

SCALE_MIN, SCALE_END = 0x0080_0000, 0x7F80_0000
"""Bits of the smallest normal FP32 number, and of infinity."""

Block = tuple[int, int]
"""PIM bank and first row."""


@dataclass
class Outcome:
    """What became of a descriptor.

    Attributes
    ----------
    result : Result
    detail, entry : int
        As in the completion record.
    elsewhere : list of int
        Entries of the list that are asked of another tier.
    waves : list of dict
        For each wave bank -> number of the block among ``blocks``.
    blocks : list of Block
        Blocks that take part, in the order of the list.
    tokens : list of int
        Their valid tokens.
    parts : list of Part
        What goes to the join, if the descriptor is of one: of every head, or nothing.
    """

    result: Result = Result.DONE
    detail: int = 0
    entry: int = 0
    elsewhere: list[int] = field(default_factory=list)
    waves: list[dict[int, int]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)


def waves_of(banks: Sequence[int], *, pim_banks: int, depth: int) -> list[dict[int, int]]:
    """Distributes blocks, given by their banks, over waves of at most one block a bank.

    Every bank has a queue of ``depth`` blocks. A wave takes the first block of every queue: when
    none is empty, when the next block finds its queue full, or when there are no more blocks.
    """
    queues: dict[int, list[int]] = {bank: [] for bank in range(pim_banks)}
    waves: list[dict[int, int]] = []

    def leave() -> None:
        waves.append({bank: queue.pop(0) for bank, queue in queues.items() if queue})

    for number, bank in enumerate(banks):
        if len(queues[bank]) == depth:
            leave()
        queues[bank].append(number)
        if all(queues.values()):
            leave()
    while any(queues.values()):
        leave()
    return waves


def refusal(descriptor: Descriptor, tenant: int, pim: PimSpec,
            join: Join | None = None) -> Result:
    """Why a descriptor is refused before anything is read for it; ``DONE`` if it is not.

    ``join`` is the one that it names, if that is open for it.
    """
    d = descriptor
    known = {int(StoredFormat.WIDE): 16} | {
        int(fmt.code): QUANTISED_HEADS for fmt in pim.quantised}
    size_fits = (d.head_size % known.get(d.format, 16) == 0
                 and HEAD_SIZE_MIN <= d.head_size <= pim.head_size_max)
    for result, applies in (
            (Result.BAD_OPCODE, d.opcode != Opcode.ATTEND),
            (Result.WRONG_TENANT, d.tenant != tenant),
            (Result.BAD_FLAGS, ((not d.resident or d.joined) and not d.partial)
                or (d.append and d.format != StoredFormat.WIDE)),
            (Result.BAD_HEAD_SIZE, not size_fits),
            (Result.BAD_GROUP, not 1 <= d.heads <= pim.group_max),
            (Result.BAD_FORMAT, d.format not in known),
            (Result.BAD_SCALE, not SCALE_MIN <= d.scale < SCALE_END),
            (Result.NO_BLOCKS, d.blocks == 0),
            (Result.NO_CONTEXT, d.context == 0),
            (Result.BAD_CONTEXT, d.blocks != blocks_of(d.context)),
            (Result.BAD_JOIN, join is not None
                and (d.heads, d.head_size) != (join.heads, join.head_size))):
        if applies:
            return result
    return Result.DONE


@dataclass(frozen=True, kw_only=True)
class Golden:
    """The engine with its memory and tables.

    Attributes
    ----------
    spec : SliceSpec
    engine : EngineSpec
    words : dict
        Memory of the pseudo-channel: changed.
    tables : Tables
        Of the translator.
    pseudo_channel : int
        Number of the engine's.
    """

    spec: SliceSpec
    engine: EngineSpec
    words: Words
    tables: Tables
    pseudo_channel: int = 0

    @property
    def geometry(self) -> ChannelGeometry:
        """Of the channel."""
        return self.spec.geometry

    def _at(self, start: Place, beat: int) -> tuple[int, int, int] | None:
        place = place_in_region(self.geometry, start, 0, beat)
        return (place.bank, place.row, place.column) if exists(self.geometry, place) else None

    def read(self, start: Place, beats: int) -> bytes:
        """Consecutive beats from a place; none if one of them does not exist."""
        found = [self._at(start, beat) for beat in range(beats)]
        if None in found:
            return b""
        return b"".join(self.words[place].to_bytes(BEAT_BYTES, "little")
                        for place in found if place is not None)

    def write(self, start: Place, content: bytes) -> bool:
        """Writes consecutive beats; whether all exist."""
        found = [self._at(start, beat) for beat in range(len(content) // BEAT_BYTES)]
        if None in found:
            return False
        for number, place in enumerate(found):
            assert place is not None
            self.words[place] = int.from_bytes(
                content[number * BEAT_BYTES:(number + 1) * BEAT_BYTES], "little")
        return True

    def entries(self, d: Descriptor) -> list[dict[str, int]]:
        """The block list as far as it can be read."""
        raw = b"".join(self.read(d.list, n + 1)[-BEAT_BYTES:]
                       for n in range(-(-d.blocks // LIST_ENTRIES)))
        return [unpack(LIST_ENTRY, int.from_bytes(raw[4 * n:4 * n + 4], "little"))
                for n in range(min(d.blocks, len(raw) // 4))]

    def find(self, d: Descriptor, tenant: int, join: Join | None = None) -> Outcome:
        """Which blocks take part in which wave, or why none does."""
        outcome = Outcome(refusal(d, tenant, self.spec.pim, join))
        if outcome.result is not Result.DONE:
            return outcome
        entries = self.entries(d)
        for number, entry in enumerate(entries):
            tail = number == d.blocks - 1
            answer = self.tables.translate(
                BlockId(tenant=tenant, layer=d.layer, head_group=d.head_group, **entry),
                Tier.PIM, Access.WRITE if tail and d.append else Access.READ)
            if (answer.fault is Fault.NOT_RESIDENT and not d.resident
                    and not (tail and d.append)):
                outcome.elsewhere.append(number)
                continue
            outcome.result, outcome.detail = self._judge(d, answer)
            if outcome.result is not Result.DONE:
                outcome.entry = number
                return outcome
            assert answer.place is not None
            outcome.blocks.append((answer.place.bank, answer.place.row))
            outcome.tokens.append((d.context - 1) % BLOCK_TOKENS + 1 if tail else BLOCK_TOKENS)
        if len(entries) < d.blocks:
            outcome.result = Result.LIST_FAULT
        elif not outcome.blocks:
            outcome.result = Result.ALL_ELSEWHERE
        outcome.waves = waves_of([bank for bank, _ in outcome.blocks],
                                 pim_banks=self.geometry.pim_banks,
                                 depth=self.engine.bank_blocks)
        return outcome

    def _judge(self, d: Descriptor, answer: Translation) -> tuple[Result, int]:
        if answer.fault is Fault.NOT_RESIDENT:
            return Result.NOT_RESIDENT, answer.fault
        if answer.fault is not Fault.NONE:
            return Result.TRANSLATION_FAULT, answer.fault
        place = answer.place
        assert place is not None
        if answer.residency.pim_format != d.format:
            return Result.MIXED_FORMAT, answer.residency.pim_format
        layout = KvLayout if d.format == StoredFormat.WIDE else QuantisedKvLayout
        rows = layout(head_size=d.head_size, columns=self.geometry.columns).rows
        if (place.channel != self.pseudo_channel or place.column
                or place.row + rows > self.geometry.rows):
            return Result.BAD_PLACE, 0
        return Result.DONE, 0

    def carry_out(self, d: Descriptor, tenant: int, join: Join | None = None) -> Outcome:
        """Everything that a descriptor does to memory, but for its completion record."""
        outcome = self.find(d, tenant, join)
        if outcome.result is not Result.DONE:
            return outcome
        layout = KvLayout(head_size=d.head_size, columns=self.geometry.columns)
        queries = self.read(d.query, d.heads * layout.chunks)
        if d.append and not self.append(d, layout, outcome):
            outcome.result, outcome.detail = Result.APPEND_FAULT, 1
        elif not queries:
            outcome.result, outcome.detail = Result.QUERY_FAULT, 1
        else:
            parts = self.parts(d, layout, outcome, queries)
            if d.joined:
                outcome.parts = parts
            elif not self.write(d.output, output_bytes(d.partial, parts, self.spec.pim)):
                outcome.result, outcome.detail = Result.OUTPUT_FAULT, 1
        return outcome

    def append(self, d: Descriptor, layout: KvLayout, outcome: Outcome) -> bool:
        """Writes the new token's K and V to the last block; whether they could be read."""
        token = self.read(d.token, 2 * layout.chunks)
        if not token:
            return False
        bank, row = outcome.blocks[-1]
        for beat in range(2 * layout.chunks):
            value, chunk = divmod(beat, layout.chunks)
            offset, column = layout.position(
                value=bool(value), token=outcome.tokens[-1] - 1, chunk=chunk)
            self.words[bank, row + offset, column] = int.from_bytes(
                token[beat * BEAT_BYTES:(beat + 1) * BEAT_BYTES], "little")
        return True

    def parts(self, d: Descriptor, layout: KvLayout, outcome: Outcome,
              queries: bytes) -> list[Part]:
        """The merged (m, l, o) of every head."""
        dtype = DTYPES[self.spec.pim.kv_format]
        q = np.frombuffer(queries, dtype).reshape(d.heads, d.head_size)
        scale = float(np.uint32(d.scale).view(np.float32))
        if d.format != StoredFormat.WIDE:
            stored_k, stored_v = self._stored(d, outcome.blocks)
            heads = block_parts(q, stored_k, stored_v, scale=scale, tokens=outcome.tokens,
                                waves=outcome.waves, spec=self.spec.pim)
            return [merge(head) for head in heads]
        # The golden attention wants the block that is not full at the end; so does the list,
        # unless that block is elsewhere.
        k, v = (np.concatenate([self._half(block, tokens, layout, value)
                                for block, tokens in zip(outcome.blocks, outcome.tokens,
                                                         strict=True)])
                for value in (False, True))
        heads = wave_parts(q, k, v, waves=outcome.waves, scale=scale, spec=self.spec.pim)
        return [merge(head) for head in heads]

    def _stored(self, d: Descriptor, blocks: Sequence[Block]) -> list[StoredKv]:
        """K and V of blocks in the format of the descriptor."""
        layout = QuantisedKvLayout(head_size=d.head_size, columns=self.geometry.columns)
        elements, scales = (np.frombuffer(b"".join(
            self.words[bank, row + n // layout.columns, n % layout.columns].to_bytes(
                BEAT_BYTES, "little") for bank, row in blocks for n in range(first, first + count)),
            np.uint8).astype(np.int64).reshape(len(blocks), 2, BLOCK_TOKENS, -1)
            for first, count in ((0, 2 * layout.half_columns), (
                2 * layout.half_rows * layout.columns, layout.scale_columns)))
        fmt, = (fmt for fmt in self.spec.pim.quantised if fmt.code == d.format)
        return [StoredKv(fmt, elements[:, half], scales[:, half]) for half in range(2)]

    def _half(self, block: Block, tokens: int, layout: KvLayout,
              value: bool) -> NDArray[np.generic]:
        raw = b""
        for token in range(tokens):
            for chunk in range(layout.chunks):
                offset, column = layout.position(value=value, token=token, chunk=chunk)
                raw += self.words[block[0], block[1] + offset, column].to_bytes(
                    BEAT_BYTES, "little")
        return np.frombuffer(raw, DTYPES[self.spec.pim.kv_format]).reshape(tokens, -1)


def part_header(part: Part) -> bytes:
    """First beat of a partial result: m in 16 bits, then l."""
    word = (part.m & 0xFFFF) | int(np.float32(part.l).view(np.uint32)) << 16
    return word.to_bytes(BEAT_BYTES, "little")


def output_bytes(partial: bool, parts: Sequence[Part], pim: PimSpec) -> bytes:
    """What lies at the output's place afterwards, head by head."""
    if partial:
        return b"".join(part_header(part) + part.o.astype(np.float32).tobytes()
                        for part in parts)
    return b"".join(finalize(part, pim.kv_format).tobytes() for part in parts)


def completion(d: Mapping[str, int], index: int, ring_log2: int,
               outcome: Outcome, entries: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The completion record; ``entries`` of the list as far as they could be read."""
    at_entry = outcome.result in (Result.TRANSLATION_FAULT, Result.NOT_RESIDENT,
                                  Result.MIXED_FORMAT, Result.BAD_PLACE)
    where = entries[outcome.entry] if at_entry else {"block": 0, "sequence": 0}
    return {"cookie": d["cookie"], "index": index & 0xFFFF, "lap": ~(index >> ring_log2) & 1,
            "reserved_flags": 0, "result": outcome.result, "detail": outcome.detail,
            "entry": outcome.entry, **where, "elsewhere": len(outcome.elsewhere), "reserved": 0}
