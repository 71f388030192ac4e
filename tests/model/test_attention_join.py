"""Joins: their bits by hand, and the golden model against float64 attention and lists by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.golden.attention import wave_parts
from model.golden.attention_descriptor import Golden, Outcome
from model.golden.attention_join import Answer, carry_out, copy_queries, refusal
from model.golden.float64_attention import exact_attention, relative_error
from model.golden.floats import DTYPES
from model.golden.merge import Part, merge
from model.golden.translator import Tables
from model.spec.attention import PimSpec, softmax_scale
from model.spec.attention_descriptor import DESCRIPTOR, EngineSpec, Opcode, Result
from model.spec.attention_join import FOREIGN, JOIN, Join
from model.spec.dma import Place
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec

SIZE = 64
SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=2, capacity_banks=1, rows=8),
                 pim=PimSpec(head_size_max=SIZE, group_max=2))
GOOD = Join(tenant=3, join=9, members=0b101, heads=2, head_size=SIZE, foreign=True,
            output=Place(16, 1, 2))


def golden() -> Golden:
    """Zeroed memory."""
    g = SPEC.geometry
    return Golden(spec=SPEC, engine=EngineSpec(), words={
        (bank, row, column): 0 for bank in g.banks for row in range(g.rows)
        for column in range(g.columns)}, tables=Tables(
            spec=TranslatorSpec(channel=SPEC), memory={}, directory_base=0, sequences=1,
            chunk_base=0, chunks=1))


def test_fields_that_attentions_have_too_lie_where_theirs_do() -> None:
    def starts(table: Any) -> dict[str, int]:
        return {name: sum(list(table.values())[:n]) for n, name in enumerate(table)}

    own, theirs = starts(JOIN), starts(DESCRIPTOR)
    shared = {"opcode", "partial", "interrupt", "tenant", "heads", "head_size", "cookie", "query",
              "output", "join"}
    assert {name: own[name] for name in shared} == {name: theirs[name] for name in shared}
    word = replace(GOOD, members=1 << 63 | 5, partial=True, interrupt=False, cookie=7).pack()
    assert [word >> low & 0xFF for low in (0, 8, 16, 40)] == [Opcode.JOIN, 0b0011, 3, 2]
    assert [word >> low & 0xFFFF_FFFF for low in (64, 96, 160, 256, 320)] == [
        5, 1 << 31, 7, Place(16, 1, 2).pack(), 9]


@pytest.mark.parametrize(("change", "result"), [
    ({}, Result.DONE), ({"opcode": Opcode.ATTEND}, Result.BAD_OPCODE),
    ({"tenant": 4}, Result.WRONG_TENANT), ({"head_size": 72}, Result.BAD_HEAD_SIZE),
    ({"head_size": 128}, Result.BAD_HEAD_SIZE), ({"heads": 0}, Result.BAD_GROUP),
    ({"heads": 3}, Result.BAD_GROUP), ({"members": 8}, Result.BAD_MEMBERS),
    ({"members": 0}, Result.DONE), ({"members": 0, "foreign": False}, Result.BAD_MEMBERS),
])
def test_each_refusal_has_its_name(change: dict[str, int], result: Result) -> None:
    assert refusal(replace(GOOD, **change), 3, SPEC.pim, 3) is result


def test_a_sequence_cut_in_three_is_attended_to_once() -> None:
    draw = np.random.default_rng(5)
    dtype = DTYPES[SPEC.pim.kv_format]
    q, k, v = (draw.standard_normal((n, SIZE)).astype(dtype) for n in (2, 96, 96))
    answers = {}
    for member, (low, high) in {0: (0, 40), 2: (40, 80), FOREIGN: (80, 96)}.items():
        blocks = -(-(high - low) // 16)
        heads = wave_parts(q, k[low:high], v[low:high], waves=[{0: n} for n in range(blocks)],
                           scale=softmax_scale(SIZE), spec=SPEC.pim)
        answers[member] = Answer([merge(head) for head in heads])
    memory = golden()
    assert carry_out(memory, GOOD, 3, 3, answers).result is Result.DONE
    got = np.frombuffer(memory.read(GOOD.output, 2 * SIZE // 16), dtype).reshape(2, -1)
    assert relative_error(got, exact_attention(q, k, v)) < 2 ** -8


def test_queries_are_copied_to_the_members_alone() -> None:
    memories = [golden() for _ in range(3)]
    query, copy = Place(16, 2, 30), Place(16, 4, 1)
    columns = SPEC.geometry.columns
    for beat in range(8):
        memories[0].words[16, 2 + (30 + beat) // columns, (30 + beat) % columns] = beat + 1
    join = replace(GOOD, broadcast=True, query=query, copy=copy)
    assert copy_queries(memories, join, 3) == Outcome()
    want = b"".join((n + 1).to_bytes(32, "little") for n in range(8))
    assert [memory.read(copy, 8) == want for memory in memories] == [True, False, True]
    assert not any(memories[1].words.values())
    for change in ({"query": Place(17, 0)}, {"copy": Place(16, 7, columns - 7)}):
        before = [dict(memory.words) for memory in memories]
        assert copy_queries(memories, replace(join, **change), 3) == Outcome(
            Result.QUERY_FAULT, detail=1)
        assert [memory.words for memory in memories] == before
    assert copy_queries(memories, replace(join, tenant=4), 3).result is Result.WRONG_TENANT
    assert copy_queries(memories, replace(join, broadcast=False, query=Place(17, 0)),
                        3) == Outcome()


def test_members_are_merged_in_their_order_and_the_lowest_failure_is_named() -> None:
    def part(m: int, value: float) -> Answer:
        return Answer([Part(m, np.float32(1), np.full(SIZE, value, np.float32))] * 2)

    def outcome(answers: dict[int, Answer]) -> tuple[Any, ...]:
        memory = golden()
        done = carry_out(memory, replace(GOOD, partial=True), 3, 3, answers)
        beat = np.frombuffer(memory.read(GOOD.output, 2)[32:], np.float32)
        return done.result, done.detail, done.entry, float(beat[0])

    # (1 + 2^24) - 2^24 is 0 in FP32: the order shows.
    big = {0: part(0, 1.0), 2: part(0, 2.0 ** 24), FOREIGN: part(0, -(2.0 ** 24))}
    assert outcome(big) == (Result.DONE, 0, 0, 0.0)
    assert outcome(dict(reversed(big.items()))) == (Result.DONE, 0, 0, 0.0)
    assert outcome({0: big[2], 2: big[FOREIGN], FOREIGN: big[0]}) == (Result.DONE, 0, 0, 1.0)
    none, bad = Answer(result=Result.ALL_ELSEWHERE), Answer(result=Result.LIST_FAULT)
    assert outcome({**big, 0: none}) == (Result.DONE, 0, 0, 0.0)
    assert outcome({0: none, 2: none, FOREIGN: none})[:2] == (Result.ALL_ELSEWHERE, 0)
    assert outcome({0: big[0], 2: bad, FOREIGN: bad}) == (
        Result.MEMBER_FAILED, Result.LIST_FAULT, 2, 0.0)
    assert outcome({0: none, 2: none, FOREIGN: bad})[2] == FOREIGN
