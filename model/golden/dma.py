"""What a descriptor does to memory: the same as moving its elements one after another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from model.spec.dma import (
    INTERLEAVE_MAX,
    LIST_ENTRIES,
    PLACE,
    Convert,
    Descriptor,
    Kind,
    Place,
    Result,
    Side,
    bank_spread,
    place_in_region,
)
from model.spec.geometry import ChannelGeometry

Words = dict[tuple[int, int, int], int]
"""Word of every (bank, row, column) that exists."""

Element = tuple[Place, list[Place]]
"""Where an element, or the region that it is in, begins, and its places; none at the host."""

REGIONS = (Kind.REGION, Kind.STRIDED, Kind.BLOCK)

Converter = Callable[[Sequence[int]], list[int]]
"""Beats of an element to the beats of the converted one."""


@dataclass
class Outcome:
    """What became of a descriptor.

    Attributes
    ----------
    result : Result
    place : Place or None
        Where it went wrong.
    sent : list of int
        Beats that went to the host.
    """

    result: Result = Result.DONE
    place: Place | None = None
    sent: list[int] = field(default_factory=list)


def exists(geometry: ChannelGeometry, place: Place) -> bool:
    """Whether there is such a column."""
    return (place.bank in geometry.banks and place.row < geometry.rows
            and place.column < geometry.columns)


def element_places(geometry: ChannelGeometry, side: Side, start: Place, offset: int,
                   beats: int) -> list[Place]:
    """Places of an element that begins ``offset`` beats after ``start``."""
    return [place_in_region(geometry, start, side.interleave, offset + n) for n in range(beats)]


def list_entries(geometry: ChannelGeometry, words: Words, side: Side, elements: int) -> list[Place]:
    """The places that a list in memory names."""
    entries = []
    for n in range(elements):
        beat, lane = divmod(n, LIST_ENTRIES)
        where = place_in_region(geometry, side.place, 0, beat)
        word = words[where.bank, where.row, where.column]
        width = sum(PLACE.values())
        entries.append(Place.unpack(word >> width * lane & (1 << width) - 1))
    return entries


def carry_out(geometry: ChannelGeometry, words: Words, move: Descriptor, *,
              received: Sequence[int] = (), converter: Converter | None = None,
              resolved: tuple[Place, Place] | None = None) -> Outcome:
    """Moves what a descriptor asks for, in ``words``.

    Parameters
    ----------
    geometry : ChannelGeometry
    words : dict
        Memory; changed.
    move : Descriptor
    received : sequence of int
        The host's packet, with ``Kind.HOST``.
    converter : callable
        What the quantiser does to an element.
    resolved : pair of Place
        The translator's places of source and destination, with ``Kind.BLOCK``.
    """
    out = move.beats if move.destination_beats is None else move.destination_beats
    if refusal := _refusal(move, out):
        return Outcome(refusal)
    sides = []
    for number, (side, beats) in enumerate(((move.source, move.beats), (move.destination, out))):
        if side.kind is Kind.BLOCK:
            assert resolved is not None
            side = Side(place=resolved[number])
        sides.append((side, _elements(geometry, words, side, move.elements, beats)))
    # Regions are looked at as a whole before anything moves; the source first.
    for side, found in sides:
        if side.kind in REGIONS and not all(_whole(geometry, element) for element in found):
            return Outcome(Result.BAD_PLACE, side.place)
    if _overlap(geometry, sides):
        return Outcome(Result.OVERLAP, sides[1][0].place)
    outcome, packet = Outcome(), list(received)
    for source, destination in zip(sides[0][1], sides[1][1], strict=True):
        for start, places in (source, destination):
            if places and not _whole(geometry, (start, places)):
                return Outcome(Result.BAD_PLACE, start, outcome.sent)
        if move.source.kind is Kind.HOST:
            beats, packet = packet[:move.beats], packet[move.beats:]
        else:
            beats = [words[p.bank, p.row, p.column] for p in source[1]]
        if move.convert is not Convert.NONE:
            assert converter is not None
            beats = converter(beats)
        if move.destination.kind is Kind.HOST:
            outcome.sent += beats
        else:
            for p, word in zip(destination[1], beats, strict=True):
                words[p.bank, p.row, p.column] = word
    return outcome


def _refusal(move: Descriptor, out: int) -> Result | None:
    sides = (move.source, move.destination)
    hosts = [side.kind is Kind.HOST for side in sides]
    if all(hosts) or any(side.interleave > INTERLEAVE_MAX for side in sides):
        return Result.BAD_KIND
    if any(side.kind is Kind.BLOCK and side.interleave for side in sides):
        return Result.BAD_KIND
    if 0 in (move.elements, move.beats, out):
        return Result.BAD_LENGTH
    if any(side.kind is Kind.BLOCK for side in sides) and move.elements != 1:
        return Result.BAD_LENGTH
    if move.convert is Convert.NONE and move.beats != out:
        return Result.BAD_LENGTH
    return None


def _elements(geometry: ChannelGeometry, words: Words, side: Side, elements: int,
              beats: int) -> list[Element]:
    if side.kind is Kind.HOST:
        return [(side.place, [])] * elements
    if side.kind is Kind.LIST:
        return [(start, element_places(geometry, side, start, 0, beats))
                for start in list_entries(geometry, words, side, elements)]
    step = side.stride if side.kind is Kind.STRIDED else beats
    return [(side.place, element_places(geometry, side, side.place, n * step, beats))
            for n in range(elements)]


def _whole(geometry: ChannelGeometry, element: Element) -> bool:
    start, places = element
    return exists(geometry, start) and all(exists(geometry, place) for place in places)


def _overlap(geometry: ChannelGeometry, sides: list[tuple[Side, list[Element]]]) -> bool:
    """Whether two regions have rows in common: of any bank over which they are laid."""
    bounds = []
    for side, found in sides:
        if side.kind not in REGIONS:
            return False
        rows = [place.row for _, places in found for place in places]
        banks = {side.place.bank}
        for flip in bank_spread(geometry)[:side.interleave]:
            banks |= {bank ^ flip for bank in banks}
        bounds.append((min(rows), max(rows), banks))
    (low, high, banks), (other_low, other_high, other_banks) = bounds
    return low <= other_high and other_low <= high and bool(banks & other_banks)
