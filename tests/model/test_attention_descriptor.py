"""The golden model of attention descriptors against lists and records worked out by hand."""

from dataclasses import replace
from typing import Any

import pytest

from model.golden.attention_descriptor import Outcome, completion, refusal, waves_of
from model.spec.attention import PimSpec
from model.spec.attention_descriptor import (
    Descriptor,
    EngineSpec,
    Opcode,
    Result,
    blocks_of,
)
from model.spec.dma import Place
from model.spec.errors import SpecError
from model.spec.mx import MXFP8_E4M3, StoredFormat

GOOD = Descriptor(tenant=3, heads=2, head_size=64, context=33, blocks=3, scale=0x3F80_0000,
                  list=Place(16, 1, 2), query=Place(17, 3), output=Place(18, 4))


@pytest.mark.parametrize(("banks", "waves"), [
    ([0, 1, 2, 0], [{0: 0, 1: 1, 2: 2}, {0: 3}]),
    ([2, 1, 0, 0, 1], [{2: 0, 1: 1, 0: 2}, {0: 3, 1: 4}]),
    # A list sorted by banks: the queues hold two of each, so only the third of bank 0 is alone.
    ([0, 0, 1, 1, 2, 2], [{0: 0, 1: 2, 2: 4}, {0: 1, 1: 3, 2: 5}]),
    ([0, 0, 0, 1, 2], [{0: 0}, {0: 1, 1: 3, 2: 4}, {0: 2}]),
    ([1], [{1: 0}]),
    ([], []),
])
def test_waves_take_the_first_block_of_every_bank(banks: list[int],
                                                  waves: list[dict[int, int]]) -> None:
    assert waves_of(banks, pim_banks=3, depth=2) == waves


@pytest.mark.parametrize(("change", "result"), [
    ({}, Result.DONE), ({"opcode": Opcode.NONE}, Result.BAD_OPCODE),
    ({"tenant": 4}, Result.WRONG_TENANT), ({"resident": False}, Result.BAD_FLAGS),
    ({"resident": False, "partial": True}, Result.DONE), ({"joined": True}, Result.BAD_FLAGS),
    ({"joined": True, "partial": True}, Result.DONE),
    ({"append": True, "format": StoredFormat.MXINT8}, Result.BAD_FLAGS),
    ({"head_size": 72}, Result.BAD_HEAD_SIZE), ({"head_size": 48}, Result.BAD_HEAD_SIZE),
    ({"head_size": 256}, Result.BAD_HEAD_SIZE), ({"heads": 0}, Result.BAD_GROUP),
    ({"heads": 9}, Result.BAD_GROUP), ({"format": StoredFormat.INT4}, Result.BAD_FORMAT),
    ({"scale": 0x7F80_0000}, Result.BAD_SCALE), ({"scale": 0x007F_FFFF}, Result.BAD_SCALE),
    ({"blocks": 0, "context": 0}, Result.NO_BLOCKS), ({"context": 0}, Result.NO_CONTEXT),
    ({"context": 32}, Result.BAD_CONTEXT), ({"context": 49}, Result.BAD_CONTEXT),
    ({"context": 48}, Result.DONE),
])
def test_each_refusal_has_its_name(change: dict[str, int], result: Result) -> None:
    assert refusal(replace(GOOD, **change), 3, PimSpec()) is result


@pytest.mark.parametrize(("change", "result"), [
    ({"format": StoredFormat.MXFP8_E4M3}, Result.DONE),
    ({"format": StoredFormat.MXFP8_E4M3, "head_size": 80}, Result.BAD_HEAD_SIZE),
    ({"head_size": 80}, Result.DONE), ({"format": StoredFormat.MXINT8}, Result.BAD_FORMAT),
])
def test_what_is_multiplied_in_place_is_not_refused(change: dict[str, int],
                                                    result: Result) -> None:
    pim = PimSpec(quantised=(MXFP8_E4M3,))
    assert refusal(replace(GOOD, **change), 3, pim) is result


def test_descriptors_lie_in_memory_as_documented() -> None:
    low, high = GOOD.pack() & (1 << 256) - 1, GOOD.pack() >> 256
    assert low & 0xFFFF == 1 | 1 << 10 | 1 << 11            # opcode, resident, interrupt
    assert low >> 16 & 0xFF == 3 and low >> 40 & 0xFF == 2 and low >> 48 & 0xFFFF == 64
    assert low >> 64 & 0xFFFF_FFFF == 33 and low >> 96 & 0xFFFF == 3
    assert low >> 192 & 0xFFFF_FFFF == 2 | 1 << 8 | 16 << 24
    assert high & 0xFFFF_FFFF == 4 << 8 | 18 << 24
    with pytest.raises(SpecError, match="heads"):
        replace(GOOD, heads=256).pack()


def test_records_name_the_entry_that_failed() -> None:
    outcome = Outcome(Result.TRANSLATION_FAULT, detail=2, entry=1, elsewhere=[0])
    record = completion({"cookie": 7}, 5, 2, outcome,
                        [{"block": 9, "sequence": 1}, {"block": 8, "sequence": 4}])
    assert (record["index"], record["lap"], record["entry"], record["block"],
            record["sequence"], record["elsewhere"]) == (5, 0, 1, 8, 4, 1)


@pytest.mark.parametrize(("name", "value"), [("jobs", 3), ("jobs", 8), ("rings", 9),
                                             ("lookups", 1), ("bank_blocks", 0)])
def test_engines_that_cannot_be_built_are_refused(name: str, value: int) -> None:
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(SpecError, match=name):
        EngineSpec(**wrong)


def test_contexts_take_whole_blocks() -> None:
    assert [blocks_of(n) for n in (0, 1, 16, 17)] == [0, 1, 1, 2]
