"""Address translation by reading the tables, one word after another, and a writer of tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from model.spec.errors import SpecError, require_int
from model.spec.geometry import BEAT_BYTES
from model.spec.mx import StoredFormat
from model.spec.translation import (
    BLOCK_ID_WIDTHS,
    BLOCK_WORD,
    CHUNK_WORD,
    RESIDENCY_WIDTHS,
    SEGMENTS,
    SEQUENCE_WORD,
    Access,
    Fault,
    TableWord,
    Tier,
    TranslatorSpec,
)

LANE_BYTES = 8


def pack(word: TableWord, values: Mapping[str, int]) -> bytes:
    """An entry as it lies in memory, parity included."""
    number = 0
    for name, value in values.items():
        offset, width = word.fields[name]
        require_int(name, value, 0, (1 << width) - 1)
        number |= value << offset
    entry = bytearray(number.to_bytes(BEAT_BYTES, "little"))
    for last in range(LANE_BYTES - 1, BEAT_BYTES, LANE_BYTES):
        ones = sum(byte.bit_count() for byte in entry[last - LANE_BYTES + 1:last + 1])
        entry[last] |= (ones & 1) << 7
    return bytes(entry)


def unpack(word: TableWord, entry: bytes) -> dict[str, int]:
    """The fields of an entry."""
    number = int.from_bytes(entry, "little")
    return {name: number >> offset & (1 << width) - 1
            for name, (offset, width) in word.fields.items()}


def parity_holds(entry: bytes) -> bool:
    """Every 8 bytes have an even number of ones."""
    return not any(int.from_bytes(entry[low:low + LANE_BYTES], "little").bit_count() & 1
                   for low in range(0, BEAT_BYTES, LANE_BYTES))


@dataclass(frozen=True, order=True, kw_only=True)
class BlockId:
    """Which block; see BLOCK_ID_WIDTHS."""

    tenant: int
    sequence: int
    layer: int = 0
    head_group: int = 0
    block: int = 0

    def __post_init__(self) -> None:
        for name, width in BLOCK_ID_WIDTHS.items():
            require_int(name, getattr(self, name), 0, (1 << width) - 1)


@dataclass(frozen=True, kw_only=True)
class Residency:
    """The residency word; see RESIDENCY_WIDTHS."""

    pim: bool = False
    capacity: bool = False
    in_flight: bool = False
    to: Tier = Tier.PIM
    poisoned: bool = False
    pim_format: StoredFormat = StoredFormat.WIDE
    capacity_format: StoredFormat = StoredFormat.WIDE

    def as_int(self) -> int:
        """The word."""
        word, offset = 0, 0
        for name, width in RESIDENCY_WIDTHS.items():
            word |= int(getattr(self, name)) << offset
            offset += width
        return word

    @classmethod
    def from_int(cls, word: int) -> "Residency":
        """What a word says."""
        values = {}
        for part in fields(cls):
            width = RESIDENCY_WIDTHS[part.name]
            values[part.name] = type(part.default)(word & (1 << width) - 1)
            word >>= width
        return cls(**values)

    def has(self, tier: Tier) -> bool:
        """The copy may be read."""
        return self.pim if tier is Tier.PIM else self.capacity

    def resolve(self, tier: Tier) -> Tier:
        """The tier that ANY means."""
        if tier is not Tier.ANY:
            return tier
        return Tier.PIM if self.pim else Tier.CAPACITY


@dataclass(frozen=True, order=True, kw_only=True)
class Place:
    """A word of the stack."""

    channel: int
    bank: int
    row: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Translation:
    """The answer to a lookup; without a place if there is a fault."""

    fault: Fault
    tier: Tier = Tier.PIM
    place: Place | None = None
    residency: Residency = field(default_factory=Residency)


class _Refused(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(kw_only=True)
class Tables:
    """The tables of a stack in memory: written as a runtime would, read as the hardware must.

    Attributes
    ----------
    spec : TranslatorSpec
    memory : dict
        Word address -> its 32 bytes. A word that is not there cannot be read.
    directory_base, sequences, chunk_base, chunks : int
        Where directory and chunk table begin, and their entries.
    """

    spec: TranslatorSpec
    memory: dict[int, bytes]
    directory_base: int
    sequences: int
    chunk_base: int
    chunks: int

    def put_sequence(self, sequence: int, *, tenant: int, layers: int, head_groups: int,
                     segments: tuple[int, ...]) -> int:
        """Enters a sequence, whose segments begin at these words; returns the entry's address."""
        require_int("layers", layers, 1, 1 << BLOCK_ID_WIDTHS["layer"])
        require_int("head_groups", head_groups, 1, 1 << BLOCK_ID_WIDTHS["head_group"])
        if len(segments) > SEGMENTS:
            raise SpecError("segments", len(segments), f"at most {SEGMENTS}")
        return self._put(self.directory_base + sequence, SEQUENCE_WORD, {
            "valid": 1, "tenant": tenant, "last_layer": layers - 1,
            "last_head_group": head_groups - 1, "stride": layers * head_groups,
            "segments": len(segments),
            **{f"segment_{n}": base for n, base in enumerate(segments)}})

    def put_chunk(self, chunk: int, *, tenant: int, channel: int, bank: int, row: int,
                  rows: int) -> int:
        """Allocates rows of a bank (SID included) to a chunk; returns the entry's address."""
        sid, inside = divmod(bank, self.spec.channel.geometry.banks_per_sid)
        return self._put(self.chunk_base + chunk, CHUNK_WORD, {
            "valid": 1, "tenant": tenant, "channel": channel, "sid": sid, "bank": inside,
            "row": row, "rows": rows})

    def put_block(self, block: BlockId, residency: Residency, *, readable: bool = True,
                  writable: bool = False, pim: tuple[int, int] | None = None,
                  capacity: tuple[int, int] | None = None) -> int:
        """Enters a block whose copies have these (chunk, offset); returns the entry's address.

        The sequence must be there.
        """
        values = {"valid": 1, "readable": int(readable), "writable": int(writable),
                  "residency": residency.as_int()}
        for tier, copy in (("pim", pim), ("capacity", capacity)):
            if copy is not None:
                values |= {f"{tier}_assigned": 1, f"{tier}_chunk": copy[0],
                           f"{tier}_offset": copy[1]}
        try:
            address = self.block_address(block)
        except _Refused as refused:
            raise SpecError("block", block, f"an id with a table entry, which this one has not "
                                            f"({refused.fault.name})") from None
        return self._put(address, BLOCK_WORD, values)

    def _put(self, address: int, word: TableWord, values: Mapping[str, int]) -> int:
        self.memory[address] = pack(word, values)
        return address

    def _read(self, address: int, word: TableWord) -> dict[str, int]:
        if address not in self.memory:
            raise _Refused(Fault.TABLE_MEMORY)
        if not parity_holds(self.memory[address]):
            raise _Refused(Fault.TABLE_PARITY)
        entry = unpack(word, self.memory[address])
        if not entry["valid"]:
            raise _Refused(Fault.UNMAPPED)
        return entry

    def block_address(self, block: BlockId) -> int:
        """Word address of a block's entry."""
        if block.sequence >= self.sequences:
            raise _Refused(Fault.UNMAPPED)
        entry = self._read(self.directory_base + block.sequence, SEQUENCE_WORD)
        if entry["tenant"] != block.tenant:
            raise _Refused(Fault.WRONG_TENANT)
        if block.layer > entry["last_layer"] or block.head_group > entry["last_head_group"]:
            raise _Refused(Fault.UNMAPPED)
        for segment in range(entry["segments"]):
            first = self.spec.segment_start(segment)
            if first <= block.block < self.spec.segment_start(segment + 1):
                return (entry[f"segment_{segment}"] + (block.block - first) * entry["stride"]
                        + block.layer * (entry["last_head_group"] + 1) + block.head_group)
        raise _Refused(Fault.UNMAPPED)

    def _place(self, block: BlockId, entry: Mapping[str, int], tier: Tier) -> Place:
        name, g = tier.name.lower(), self.spec.channel.geometry
        if not entry[f"{name}_assigned"] or entry[f"{name}_chunk"] >= self.chunks:
            raise _Refused(Fault.UNMAPPED)
        chunk = self._read(self.chunk_base + entry[f"{name}_chunk"], CHUNK_WORD)
        if chunk["tenant"] != block.tenant:
            raise _Refused(Fault.WRONG_TENANT)
        rows, column = divmod(entry[f"{name}_offset"], g.columns)
        if rows >= chunk["rows"]:
            raise _Refused(Fault.UNMAPPED)
        sid, banks = self.spec.tier_banks(tier)
        place = Place(channel=chunk["channel"], bank=sid * g.banks_per_sid + chunk["bank"],
                      row=chunk["row"] + rows, column=column)
        if (chunk["sid"] != sid or chunk["bank"] >= banks or place.row >= g.rows
                or place.channel >= self.spec.pseudo_channels):
            raise _Refused(Fault.BAD_PLACE)
        return place

    def translate(self, block: BlockId, tier: Tier, access: Access) -> Translation:
        """What a lookup has to be answered with."""
        try:
            entry = self._read(self.block_address(block), BLOCK_WORD)
            if ((access is Access.READ and not entry["readable"])
                    or (access is Access.WRITE and not entry["writable"])):
                raise _Refused(Fault.NO_PERMISSION)
        except _Refused as refused:
            return Translation(fault=refused.fault)
        residency = Residency.from_int(entry["residency"])
        tier = residency.resolve(tier)
        if access is Access.FILL:
            awaited = residency.in_flight and residency.to is tier
            fault = Fault.NONE if awaited else Fault.NOT_RESIDENT
        elif residency.poisoned:
            fault = Fault.POISONED
        elif not residency.has(tier):
            fault = Fault.NOT_RESIDENT
        elif access is Access.WRITE and (residency.in_flight
                                         or (residency.pim and residency.capacity)):
            fault = Fault.NOT_WRITABLE
        else:
            fault = Fault.NONE
        if fault is not Fault.NONE:
            return Translation(fault=fault, residency=residency)
        try:
            place = self._place(block, entry, tier)
        except _Refused as refused:
            return Translation(fault=refused.fault)
        return Translation(fault=Fault.NONE, tier=tier, place=place, residency=residency)

    def commit(self, block: BlockId, expected: Residency,
               residency: Residency) -> tuple[Fault, bool, Residency]:
        """Replaces an expected residency word; returns fault, whether it was done, what was found.
        """
        try:
            address = self.block_address(block)
            entry = self._read(address, BLOCK_WORD)
        except _Refused as refused:
            return refused.fault, False, Residency()
        found = Residency.from_int(entry["residency"])
        if found == expected:
            self._put(address, BLOCK_WORD, {**entry, "residency": residency.as_int()})
        return Fault.NONE, found == expected, found

    def copy(self) -> "Tables":
        """The same tables in a memory of their own."""
        return replace(self, memory=dict(self.memory))
