"""Descriptions of registers that cannot be are refused; those that can are reached by name."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from model.register_access import RegisterAccess
from model.spec.errors import SpecError
from model.spec.register_map import Access, Field, RegisterMap, RegisterSpace, RegisterSpec
from model.spec.registers import base_die_space, die_map, register_map, space


def register(**changes: Any) -> RegisterSpec:
    """A register with a field, and with some changes."""
    fields = (Field(name="f", low=4, width=4, meaning=""),)
    plain = RegisterSpec(name="r", offset=0, access=Access.RW, meaning="", fields=fields)
    return replace(plain, **changes)


IMPOSSIBLE: list[tuple[Callable[[], object], str]] = [
    (lambda: register(access=Access.W1C, count=2), "register r: expected an array to be RO or RW"),
    (lambda: register(access=Access.RO, doorbell=True), "expected a single RW register to ring it"),
    (lambda: register(memory=True), "expected an RW array, 0 after reset"),
    (lambda: register(fields=(Field(name="f", low=30, width=3, meaning=""),)),
     "r.f: expected bits of its own in 31..0, not 30"),
    (lambda: register(fields=2 * (Field(name="f", low=3, width=1, meaning=""),)),
     "r.f: expected bits of its own"),
    (lambda: RegisterMap(registers=(register(offset=2),)), "expected an address of its own, not 2"),
    (lambda: RegisterMap(registers=(register(), register(offset=4))), "a name of its own"),
    (lambda: RegisterMap(registers=(register(offset=4092, count=2),)), "not 4096"),
    (lambda: RegisterSpace(blocks={"a": die_map(), "b": die_map()}, windows={"a": 1, "b": 1}),
     "one window a block"),
    (lambda: die_map()["nothing"], "register: expected one of identifier, channels"),
    (lambda: register().field("g"), "register r: expected one of f, not 'g'"),
    (lambda: space({"die": die_map()}).find("dye.scratch"), "expected one of die, not 'dye'"),
]


@pytest.mark.parametrize(("make", "message"), IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
def test_what_cannot_be_described_is_refused_in_one_line(make: Callable[[], object],
                                                         message: str) -> None:
    with pytest.raises(SpecError) as refusal:
        make()
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


class Words:
    """A transport over a dictionary."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}

    async def read(self, address: int) -> int:
        return self.words.get(address, 0)

    async def write(self, address: int, value: int) -> None:
        self.words[address] = value


def test_registers_are_reached_by_name_index_and_field() -> None:
    words = Words()
    access = RegisterAccess(space({"die": die_map(), "attention": register_map()}), words)

    async def use() -> None:
        await access["attention.shape"].set(last_chunk=7, last_head=3)
        await access["attention.shape"].update(last_head=1, partial=1)
        await access["attention.wave_row"].write(99, 5)
        assert await access["attention.shape"].fields() == {
            "last_chunk": 7, "last_head": 1, "partial": 1, "format": 0}
        with pytest.raises(SpecError, match="index of wave_row: expected less than 512, not 512"):
            await access["attention.wave_row"].read(512)
        with pytest.raises(SpecError, match="an integer of 8 bits, not 256"):
            await access["attention.shape"].set(last_head=256)

    asyncio.run(use())
    assert words.words == {0x1000 + 0x1C: 0x1_01_07, 0x1000 + 0x100 + 20: 99}


def test_a_base_die_has_its_own_block_first_and_then_those_of_each_channel() -> None:
    blocks = base_die_space(2)
    assert blocks.base("die") == 0
    assert blocks.find("attention_0.identifier")[0] < blocks.find("attention_1.identifier")[0]
    assert len({blocks.base(name) for name in blocks.blocks}) == len(blocks.blocks)
    assert blocks.address_width >= 12 + (len(blocks.blocks) - 1).bit_length()
