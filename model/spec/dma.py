"""The DMA engine as software sees it: descriptors, completion records, settings (docs/dma.md).

A field table here is the order of the bits, lowest first; the layouts of the hardware and the
packing of the models are both made from it.
"""

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self

from model.spec.errors import SpecError, require_int
from model.spec.geometry import BEAT_BYTES, ChannelGeometry
from model.spec.translation import BLOCK_ID_WIDTHS

SEGMENT_BEATS = 32
"""Most beats that are moved as one: a row of 1 KiB."""

DESCRIPTOR_BEATS = 2
DESCRIPTOR_BYTES = DESCRIPTOR_BEATS * BEAT_BYTES

LIST_ENTRIES = 8
"""Places in one beat of a list, 32 bits each."""

INTERLEAVE_MAX = 4
"""A region lies over at most 2**4 banks: those of a SID."""

RING_LOG2_MAX = 12
"""Most descriptors of a ring, as a power of two."""


class Opcode(enum.IntEnum):
    """What a descriptor asks for; zeroed memory is not a descriptor."""

    NONE = 0
    MOVE = 1


class Kind(enum.IntEnum):
    """Where one side of a move lies."""

    REGION = 0      # elements follow each other
    STRIDED = 1     # elements begin `stride` beats after each other
    LIST = 2        # elements lie at the places of a list in memory
    HOST = 3        # the stream of the host port
    BLOCK = 4       # one KV block; the translator says where


class Convert(enum.IntEnum):
    """What happens to the data on their way."""

    NONE = 0
    QUANTISE = 1
    DEQUANTISE = 2


class Result(enum.IntEnum):
    """How a descriptor ended."""

    DONE = 0
    BAD_OPCODE = 1          # not a descriptor, or reserved bits are set
    BAD_KIND = 2            # sides, interleave or conversion that do not go together
    BAD_LENGTH = 3          # nothing to move, or sides of different lengths
    BAD_PLACE = 4           # a bank or row that does not exist
    OVERLAP = 5             # source and destination have rows in common
    RING_FAULT = 6          # the descriptor could not be read
    LIST_FAULT = 7          # a list could not be read
    READ_FAULT = 8          # the source could not be read
    WRITE_FAULT = 9         # the memory channel refused a write
    BUFFER_FAULT = 10       # a word was spoiled in the engine's buffer
    TRANSLATION_FAULT = 11  # detail: the translator's code
    COMMIT_FAULT = 12       # the translator refused to make the block visible; detail: its code
    CONVERT_FAULT = 13      # detail: the quantiser's status
    HOST_LENGTH = 14        # the host's packet was shorter or longer than the move
    ABORTED = 15


PLACE: Mapping[str, int] = {"column": 8, "row": 16, "bank": 8}
"""A place in the pseudo-channel as software writes it, 32 bits."""

DESCRIPTOR: Mapping[str, int] = {
    "opcode": 8,
    "source_kind": 4, "destination_kind": 4,
    "source_interleave": 4, "destination_interleave": 4,
    "convert": 4, "format": 4,
    "interrupt": 1,
    "reserved_flags": 7,
    "elements": 16,
    "beats": 16,                    # of an element at the source
    "destination_beats": 16,        # of an element at the destination
    "cookie": 32,                   # returned in the completion record
    "source": 32, "destination": 32,            # places; of the list with Kind.LIST
    "source_stride": 24, "destination_stride": 24,      # beats, with Kind.STRIDED
    "reserved": 24,
    "block": 128,                   # with Kind.BLOCK: what the translator is asked
    "reserved_block": 128,
}
"""Fields of a descriptor of two beats and their bits, the lowest first."""

BLOCK: Mapping[str, int] = {
    **BLOCK_ID_WIDTHS,
    "source_tier": 2, "destination_tier": 2,    # model.spec.translation.Tier
    "keep": 1,                      # the source's copy stays valid: the block is in both tiers
    "reserved": 128 - 5 - sum(BLOCK_ID_WIDTHS.values()),
}
"""Field ``block`` of a descriptor."""

COMPLETION: Mapping[str, int] = {
    "cookie": 32,
    "index": 16,                    # of the descriptor, counted since the channel was reset
    "lap": 1,                       # flips with every lap of the ring: this record is new
    "reserved_flags": 7,
    "result": 8,
    "detail": 8,                    # see Result
    "place": 32,                    # where it went wrong, if it was in memory
    "reserved": 152,
}
"""Fields of a completion record of one beat and their bits, the lowest first."""

for _name, _table, _beats in (("DESCRIPTOR", DESCRIPTOR, DESCRIPTOR_BEATS),
                              ("COMPLETION", COMPLETION, 1)):
    if sum(_table.values()) != 8 * BEAT_BYTES * _beats:
        raise SpecError(_name, sum(_table.values()), f"{8 * BEAT_BYTES * _beats} bits")


def pack(table: Mapping[str, int], values: Mapping[str, int]) -> int:
    """Bits of a record; :class:`SpecError` if a value does not fit its field."""
    word = low = 0
    for name, width in table.items():
        value = values.get(name, 0)
        if not 0 <= value < 1 << width:
            raise SpecError(name, value, f"an integer of {width} bits")
        word |= value << low
        low += width
    return word


def unpack(table: Mapping[str, int], word: int) -> dict[str, int]:
    """Fields of a record."""
    values, low = {}, 0
    for name, width in table.items():
        values[name] = word >> low & (1 << width) - 1
        low += width
    return values


@dataclass(frozen=True, order=True)
class Place:
    """A column of a bank."""

    bank: int
    row: int
    column: int = 0

    def pack(self) -> int:
        """As descriptors and lists hold it."""
        return pack(PLACE, vars(self))

    @classmethod
    def unpack(cls, word: int) -> Self:
        """From what descriptors and lists hold."""
        return cls(**unpack(PLACE, word))


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a move.

    Attributes
    ----------
    kind : Kind
    place : Place
        Where the region begins, the first element, or the list.
    interleave : int
        The region, or each element of a list, lies over ``2**interleave`` banks (:func:`spread`).
    stride : int
        Beats from one element to the next, with ``Kind.STRIDED``.
    """

    kind: Kind = Kind.REGION
    place: Place = Place(0, 0)
    interleave: int = 0
    stride: int = 0


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """One move.

    Attributes
    ----------
    source, destination : Side
    elements : int
        Elements, 1 with ``Kind.BLOCK``.
    beats : int
        Of an element at the source.
    destination_beats : int or None
        Of an element at the destination; None: as many.
    convert : Convert
    format : int
        :class:`model.spec.mx.StoredFormat` to be made or to be read.
    block : int
        With ``Kind.BLOCK``: the packed question to the translator.
    cookie : int
        Any value.
    interrupt : bool
        Whether its end counts for the interrupt. Failures always do.
    """

    source: Side
    destination: Side
    elements: int = 1
    beats: int = SEGMENT_BEATS
    destination_beats: int | None = None
    convert: Convert = Convert.NONE
    format: int = 0
    block: int = 0
    cookie: int = 0
    interrupt: bool = True

    def pack(self) -> int:
        """The 512 bits that lie in the ring, the lower beat first."""
        out = self.beats if self.destination_beats is None else self.destination_beats
        return pack(DESCRIPTOR, {
            "opcode": Opcode.MOVE,
            "source_kind": self.source.kind, "destination_kind": self.destination.kind,
            "source_interleave": self.source.interleave,
            "destination_interleave": self.destination.interleave,
            "convert": self.convert, "format": self.format, "interrupt": int(self.interrupt),
            "elements": self.elements, "beats": self.beats, "destination_beats": out,
            "cookie": self.cookie, "block": self.block,
            "source": self.source.place.pack(), "destination": self.destination.place.pack(),
            "source_stride": self.source.stride,
            "destination_stride": self.destination.stride,
        })


def bank_spread(geometry: ChannelGeometry) -> tuple[int, ...]:
    """What each bit of a row's number in its region flips in the bank number.

    Lowest first: the bits of the bank group, then those of the bank in its group. So neighbouring
    rows of a region lie in different bank groups.
    """
    group = geometry.banks_per_sid // geometry.bank_groups
    bits = [group << i for i in range((geometry.bank_groups - 1).bit_length())]
    return (*bits, *(1 << i for i in range((group - 1).bit_length())))


def place_in_region(geometry: ChannelGeometry, start: Place, interleave: int,
                    offset: int) -> Place:
    """Where beat ``offset`` of a region lies that begins at ``start``.

    Consecutive rows of the region lie in ``2**interleave`` banks in turn, and those in the same
    bank in consecutive rows of it.
    """
    row, column = divmod(start.column + offset, geometry.columns)
    bank = start.bank
    for bit, flip in enumerate(bank_spread(geometry)[:interleave]):
        if row >> bit & 1:
            bank ^= flip
    return Place(bank, start.row + (row >> interleave), column)


@dataclass(frozen=True, kw_only=True)
class DmaSpec:
    """Parameters of a DMA engine.

    Attributes
    ----------
    channels : int
        Descriptor rings.
    slots : int
        Segments of the buffer, of ``SEGMENT_BEATS`` beats each.
    jobs : int
        Descriptors of one channel that may be under way, a power of two.
    read_lanes, write_lanes : int
        Segments that are read, or written, at a time; at most as many as there are slots.
    lane_requests : int
        Unanswered reads of one segment, so that a bank in refresh does not fill the memory
        channel's queue. While writes wait, at most a lane's share of the channel's window.
    lane_writes : int
        Unacknowledged writes of a lane, for the same reason.
    """

    channels: int = 4
    slots: int = 24
    jobs: int = 8
    read_lanes: int = 10
    write_lanes: int = 4
    lane_requests: int = 8
    lane_writes: int = 16

    def __post_init__(self) -> None:
        require_int("channels", self.channels, 1, 8)
        require_int("slots", self.slots, 4, 32)
        require_int("jobs", self.jobs, 2, 8)
        if self.jobs & self.jobs - 1:
            raise SpecError("jobs", self.jobs, "a power of two")
        require_int("read_lanes", self.read_lanes, 1, self.slots)
        require_int("write_lanes", self.write_lanes, 1, min(self.slots, 8))
        require_int("lane_requests", self.lane_requests, 1, SEGMENT_BEATS)
        require_int("lane_writes", self.lane_writes, 1, SEGMENT_BEATS)

    @property
    def buffer_beats(self) -> int:
        """Beats that the buffer holds."""
        return self.slots * SEGMENT_BEATS

    def as_dict(self) -> dict[str, object]:
        """Plain data for provenance records."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ChannelSettings:
    """What software sets for a channel, in the order of the hardware's bits.

    Attributes
    ----------
    ring, records : Place
        Descriptor ring and completion records; rows of one bank that follow each other. Record i
        belongs to descriptor i.
    ring_log2 : int
        Descriptors of the ring, as a power of two.
    enable : bool
        Descriptors are started. Cleared, what was started is finished: the channel drains.
    stop_on_error : bool
        After a failure nothing more is started until the channel is resumed; else the failed
        descriptor is skipped.
    priority : int
        0 to 3; a higher one always goes first.
    weight : int
        Share among channels of the same priority, 1 to 15; 0 counts as 1.
    rate : int
        Cap: 256ths of a beat moved a clock; 0 for none.
    burst : int
        Beats that a channel may move at once after a pause, if it is capped.
    """

    ring: Place = field(default_factory=lambda: Place(0, 0))
    records: Place = field(default_factory=lambda: Place(0, 0))
    ring_log2: int = 4
    enable: bool = True
    stop_on_error: bool = False
    priority: int = 0
    weight: int = 1
    rate: int = 0
    burst: int = 2 * SEGMENT_BEATS

    def pack(self) -> int:
        """Bits in the order of :data:`SETTINGS`."""
        return pack(SETTINGS, {**vars(self), "ring": self.ring.pack(),
                               "records": self.records.pack()})


SETTINGS: Mapping[str, int] = {
    "ring": 32, "records": 32, "ring_log2": 4, "enable": 1, "stop_on_error": 1, "priority": 2,
    "weight": 4, "rate": 8, "burst": 16,
}
"""Fields of :class:`ChannelSettings` and their bits, the lowest first."""

INTERRUPT_SETTINGS: Mapping[str, int] = {"count": 8, "timeout": 16}
"""Coalescing: completions, and clocks after the first of them, that raise the interrupt; whichever
comes first. A count of 0 counts as 1; a time-out of 0 is none."""
