"""Small parts of the translator, exhaustively, in Amaranth's own simulator."""

from collections.abc import Callable

import pytest
from amaranth import Cat, Module, Signal, Value
from amaranth.sim import Simulator

from hdl.translator.layouts import odd_lanes, residency_layout, table_word_layout
from hdl.translator.one_hot import lowest, number_of
from model.golden.translator import Residency, pack
from model.spec.translation import (
    BLOCK_WORD,
    CHUNK_WORD,
    SEQUENCE_WORD,
    TableWord,
    TranslatorSpec,
)


def compute(width: int, function: Callable[[Signal], Value], inputs: list[int]) -> list[int]:
    """What combinational logic makes of each input."""
    i = Signal(width)
    made = function(i)
    o = Signal(len(made))
    m = Module()
    m.d.comb += o.eq(made)
    outputs: list[int] = []

    async def bench(context) -> None:
        for value in inputs:
            context.set(i, value)
            await context.delay(1e-9)
            outputs.append(context.get(o))
    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return outputs


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_the_lowest_one_and_its_number(width: int) -> None:
    inputs = list(range(1 << width))
    assert compute(width, lowest, inputs) == [n & -n for n in inputs]
    ones = [1 << n for n in range(width)]
    assert compute(width, number_of, ones) == list(range(width))


@pytest.mark.parametrize("sets", [1, 2, 16])
def test_the_set_of_a_block_is_that_of_the_specification(sets: int) -> None:
    spec = TranslatorSpec(tlb_entries=2 * sets, tlb_ways=2)
    ids = [0, (1 << 56) - 1, *(1 << n for n in range(56)), 0x123456789ABCDE]
    assert compute(56, spec.tlb_set, ids) == [spec.tlb_set(n) for n in ids]
    assert {spec.tlb_set(n) for n in range(64)} == set(range(sets))


@pytest.mark.parametrize("word", [SEQUENCE_WORD, BLOCK_WORD, CHUNK_WORD])
def test_hardware_and_bytes_have_the_same_fields(word: TableWord) -> None:
    layout = table_word_layout(word)
    for name, (_, width) in word.fields.items():
        for value in (1, (1 << width) - 1):
            number = int.from_bytes(pack(word, {name: value}), "little")
            assert layout.from_bits(number)[name] == value


def test_any_flipped_bit_makes_its_lane_odd() -> None:
    good = int.from_bytes(pack(BLOCK_WORD, {"valid": 1, "pim_chunk": 0xABCDE}), "little")
    flipped = compute(256, lambda word: Cat(odd_lanes(word)),
                      [good, *(good ^ 1 << bit for bit in range(256))])
    assert flipped == [0, *(1 << bit // 64 for bit in range(256))]


def test_residency_words_agree_bit_by_bit() -> None:
    for word in range(1 << 11):
        assert residency_layout().const(vars(Residency.from_int(word))).as_bits() == word
