"""Where the beats of a region lie: arithmetic of places, and which of them exist."""

from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from hdl.dma.layouts import PLACE_LAYOUT
from model.spec.dma import INTERLEAVE_MAX, bank_spread
from model.spec.geometry import ChannelGeometry

POSITION_BITS = 24
"""Bits of a beat's number in its region, counted from column 0 of its first row."""


def column_bits(geometry: ChannelGeometry) -> int:
    """Bits of a position that are the column."""
    return (geometry.columns - 1).bit_length()


def bank_flips(geometry: ChannelGeometry, row: Value) -> Value:
    """What the low bits of a row's number in its region flip in the bank number."""
    return reduce(or_, (Mux(row[i], Const(flip, geometry.bank_width), 0)
                        for i, flip in enumerate(bank_spread(geometry)[:INTERLEAVE_MAX])))


def in_turn(row: Value, interleave: Value) -> Value:
    """The low bits of a row's number that choose among the banks of its region."""
    ones = (1 << INTERLEAVE_MAX) - 1
    return (row[:INTERLEAVE_MAX] & ~(Const(ones, 2 * INTERLEAVE_MAX) << interleave)
            )[:INTERLEAVE_MAX]


def bank_exists(geometry: ChannelGeometry, bank: Value) -> Value:
    """Whether there is a bank of that number."""
    known = sum(1 << number for number in geometry.banks)
    return Const(known, 1 << len(bank)).bit_select(bank, 1)


def region_exists(m: Module, geometry: ChannelGeometry, start: data.View, interleave: Value,
                  last: Value) -> Value:
    """Whether every beat from ``start`` to position ``last`` of its region exists."""
    last_row = Signal(len(last), name="last_row")
    m.d.comb += last_row.eq(last >> column_bits(geometry))
    missing = []
    for turn in range(1 << INTERLEAVE_MAX):
        row = Const(turn, INTERLEAVE_MAX)
        bank = Signal(len(start.bank), name=f"bank_{turn}")
        m.d.comb += bank.eq(start.bank ^ bank_flips(geometry, row))
        used = (in_turn(row, interleave) == turn) & (last_row >= turn)
        missing.append(used & ~bank_exists(geometry, bank))
    rows = start.row + (last_row >> interleave)
    return ((start.column < geometry.columns) & (interleave <= INTERLEAVE_MAX)
            & (rows < geometry.rows) & ~Cat(missing).any())


def line_place(geometry: ChannelGeometry, start: data.View,
               beat: Value) -> tuple[dict[str, Value], Value]:
    """Where beat ``beat`` of a ring or a list lies that begins at ``start``; whether it exists."""
    bits = column_bits(geometry)
    position = start.column + beat
    row = start.row + (position >> bits)
    known = ((row < geometry.rows) & (start.column < geometry.columns)
             & bank_exists(geometry, start.bank))
    rows = (geometry.rows - 1).bit_length()
    return {"column": position[:bits], "row": row[:rows],
            "bank": start.bank[:geometry.bank_width]}, known


def software_place(spot: data.View) -> data.View:
    """A place of the memory port as software writes it."""
    return data.View(PLACE_LAYOUT, Cat(
        (spot.column | Const(0, PLACE_LAYOUT["column"].width)),
        (spot.row | Const(0, PLACE_LAYOUT["row"].width)),
        (spot.bank | Const(0, PLACE_LAYOUT["bank"].width))))
