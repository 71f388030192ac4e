"""Accesses that press one limit of a pseudo-channel each."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, count, islice

from model.spec.addressing import Place
from model.spec.geometry import ChannelGeometry
from tb.replay import Access

SID_ROUNDS = 16
"""Times that conflicts go round the banks of one SID before the other's turn."""


def places(geometry: ChannelGeometry) -> list[tuple[int, int, int]]:
    """(SID, bank group, bank) of every bank; neighbours in the list lie in different groups."""
    per_group = geometry.banks_per_sid // geometry.bank_groups
    return [(sid, group, bank) for sid in (0, 1) for bank in range(per_group)
            for group in range(geometry.bank_groups)]


def streaming(geometry: ChannelGeometry) -> Iterator[Place]:
    """Whole rows of all banks, two banks of different groups at a time."""
    banks = places(geometry)
    for row in count():
        for pair in zip(banks[::2], banks[1::2], strict=True):
            for column in range(geometry.columns):
                for sid, group, bank in pair:
                    yield Place(0, sid, group, bank, row % geometry.rows, column)


def stream(geometry: ChannelGeometry, length: int, *, write: bool) -> list[Access]:
    """Reads or writes of whole rows, all banks in turn."""
    return [Access(write, place) for place in islice(streaming(geometry), length)]


def all_bank_conflicts(geometry: ChannelGeometry, length: int) -> list[Access]:
    """Reads, each of a row of its own, of all banks in turn.

    The turn passes over the banks of one SID sixteen times, then over the other's, so that the PIM
    banks, which are refreshed together, are left alone for long enough once in a while.
    """
    banks = places(geometry)
    half = len(banks) // 2

    def access(n: int) -> Access:
        phase, turn = divmod(n, SID_ROUNDS * half)
        row = (phase // 2 * SID_ROUNDS + turn // half) % geometry.rows
        return Access(False, Place(0, *banks[phase % 2 * half + turn % half], row, n % 7))

    return [access(n) for n in range(length)]


def one_bank_conflicts(geometry: ChannelGeometry, length: int) -> list[Access]:
    """Reads of a capacity bank, each of another row."""
    bank = places(geometry)[-1]
    return [Access(False, Place(0, *bank, n % geometry.rows, n % 7)) for n in range(length)]


def mix(geometry: ChannelGeometry, length: int) -> list[Access]:
    """Two reads and a write in turn: blocks are read, and smaller ones written in their place.

    A block is a row of two banks. While it is read, the result of the one before, half as large as
    when data are quantised, is written into another row of the banks of that one.
    """
    reads = streaming(geometry)
    behind = 2 * geometry.columns
    half = (place for place in streaming(geometry) if place.column < geometry.columns // 2)
    last = places(geometry)[-2:]
    first = [Place(0, *last[n % 2], geometry.rows // 2 - 1, n // 2) for n in range(behind // 2)]
    writes = chain(first, (replace(place, row=(place.row + geometry.rows // 2) % geometry.rows)
                           for place in half))
    return [Access(True, next(writes)) if n % 3 == 2 else Access(False, next(reads))
            for n in range(length)]
