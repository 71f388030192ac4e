"""The registers of the units of a pseudo-channel: DMA engine, translator, descriptor engine."""

from dataclasses import replace

from model.spec.attention_descriptor import RING_SETTINGS, EngineSpec
from model.spec.dma import INTERRUPT_SETTINGS, PLACE, SETTINGS, DmaSpec
from model.spec.register_map import (
    REGISTER_BYTES,
    Access,
    Field,
    RegisterMap,
    RegisterSpec,
    flags,
)
from model.spec.translation import BLOCK_ID_WIDTHS, COUNTERS, TABLES_WIDTHS

DMA_CHANNEL_BASE, DMA_CHANNEL_BYTES = 0x100, 0x20
RING_BASE, RING_BYTES = 0x100, 0x20
BUFFER_FLIP_WORDS = 9
"""Registers of 32 bits for a beat of the buffer and its check bits."""

LOW_NAMES, HIGH_NAMES = ("block", "head_group", "layer"), ("sequence", "tenant")
"""Fields of a block id in its two registers."""

SETUP = ("ring_log2", "enable", "stop_on_error", "priority", "weight")
SHARE = ("rate", "burst")
"""Settings of a DMA channel, by register, beside its two places."""

RING_SETUP = ("ring_log2", "enable", "tenant")
"""Settings of a ring of attention descriptors beside its two places."""

MEANINGS = {
    "column": "column", "row": "row", "bank": "bank, SID included",
    "ring_log2": "descriptors of the ring, as a power of two",
    "enable": "descriptors are started; cleared, the channel drains",
    "stop_on_error": "a failure stops the channel until it is resumed",
    "priority": "a higher one always goes first",
    "weight": "share among channels of the same priority; 0 counts as 1",
    "rate": "256ths of a beat a clock; 0: no cap",
    "burst": "beats that may be moved at once after a pause, if there is a cap",
    "count": "completions that raise the interrupt; 0 counts as 1",
    "timeout": "clocks after the first of them that raise it; 0: none",
    "stopped": "until it is resumed",
    "bad_doorbell": "a doorbell asked for more than the ring holds",
    "lost_record": "a completion record could not be written",
    "block": "block of 16 tokens", "head_group": "KV head", "layer": "layer",
    "sequence": "sequence", "tenant": "tenant",
}


def _fields(widths: dict[str, int]) -> tuple[Field, ...]:
    fields, low = [], 0
    for name, width in widths.items():
        fields.append(Field(name=name, low=low, width=width, meaning=MEANINGS[name]))
        low += width
    return tuple(fields)


def _bits(channels: int, meaning: str) -> tuple[Field, ...]:
    return tuple(Field(name=f"channel_{i}", low=i, width=1, meaning=meaning)
                 for i in range(channels))


def _block(prefix: str, offset: int, access: Access, meaning: str) -> tuple[RegisterSpec, ...]:
    return tuple(
        RegisterSpec(name=f"{prefix}_{half}", offset=offset + REGISTER_BYTES * i, access=access,
                     meaning=meaning, fields=_fields({n: BLOCK_ID_WIDTHS[n] for n in names}))
        for i, (half, names) in enumerate((("low", LOW_NAMES), ("high", HIGH_NAMES))))


def _ring(i: int, base: int, setup: dict[str, int], meaning: str,
          flaws: dict[str, int]) -> list[RegisterSpec]:
    """A ring of descriptors; ``flaws``: bits of its status, besides the first."""
    return [
        RegisterSpec(name=f"ring_{i}", offset=base, access=Access.RW, fields=_fields(dict(PLACE)),
                     meaning="where the descriptors lie"),
        RegisterSpec(name=f"records_{i}", offset=base + 4, access=Access.RW,
                     fields=_fields(dict(PLACE)), meaning="where completion records go"),
        RegisterSpec(name=f"setup_{i}", offset=base + 8, access=Access.RW, fields=_fields(setup),
                     meaning=meaning),
        RegisterSpec(name=f"doorbell_{i}", offset=base + 16, access=Access.RW, doorbell=True,
                     meaning="descriptors before this index are ready", fields=(
                         Field(name="tail", low=0, width=16, meaning="index"),)),
        RegisterSpec(name=f"status_{i}", offset=base + 20, access=Access.RO,
                     meaning="what it does", fields=(
            Field(name="busy", low=0, width=1, meaning="descriptors are under way"),
            *(Field(name=name, low=low, width=1, meaning=MEANINGS[name])
              for name, low in flaws.items()),
            Field(name="head", low=16, width=16,
                  meaning="descriptors before this index are done"))),
    ]


def dma_map(channels: int = DmaSpec().channels) -> RegisterMap:
    """The registers of a DMA engine: what its channels share, then 32 bytes for each channel."""
    ro, rw, start = Access.RO, Access.RW, Access.W1S
    registers = [
        RegisterSpec(name="abort", offset=0x000, access=start, meaning="gives up what has begun",
                     fields=_bits(channels, "of this channel")),
        RegisterSpec(name="resume", offset=0x004, access=start, meaning="goes on after a stop",
                     fields=_bits(channels, "this channel")),
        RegisterSpec(name="clear", offset=0x008, access=start, meaning="clears the interrupt",
                     fields=_bits(channels, "of this channel")),
        RegisterSpec(name="pending", offset=0x00C, access=ro, meaning="who raises the interrupt",
                     fields=_bits(channels, "this channel")),
        RegisterSpec(name="coalescing", offset=0x010, access=rw, meaning="of the interrupt",
                     fields=_fields(dict(INTERRUPT_SETTINGS))),
        RegisterSpec(name="corrected", offset=0x014, access=ro,
                     meaning="clocks with a corrected flip in the buffer"),
        RegisterSpec(name="buffer_flips", offset=0x020, access=rw, count=BUFFER_FLIP_WORDS,
                     meaning="for tests: bits of a beat, then check bits, that are flipped in "
                             "whatever enters the buffer"),
    ]
    for i in range(channels):
        base = DMA_CHANNEL_BASE + DMA_CHANNEL_BYTES * i
        registers += [
            *_ring(i, base, {n: SETTINGS[n] for n in SETUP}, "of the channel",
                   {"stopped": 1, "bad_doorbell": 2, "lost_record": 3}),
            RegisterSpec(name=f"share_{i}", offset=base + 12, access=rw,
                         fields=_fields({n: SETTINGS[n] for n in SHARE}), meaning="its cap"),
        ]
    return RegisterMap(registers=tuple(sorted(registers, key=lambda register: register.offset)))


def translator_map() -> RegisterMap:
    """The registers of a translator: tables, invalidation, fault queue, sample, counters."""
    ro, rw = Access.RO, Access.RW
    tables = {"directory_base": "word address of the directory of sequences",
              "sequences": "entries of it", "chunk_base": "word address of the chunk table",
              "chunks": "entries of it"}
    return RegisterMap(registers=(
        *(RegisterSpec(name=name, offset=REGISTER_BYTES * i, access=rw, meaning=meaning, fields=(
            Field(name="value", low=0, width=TABLES_WIDTHS[name], meaning=meaning),))
          for i, (name, meaning) in enumerate(tables.items())),
        *_block("block", 0x010, rw, "whom an invalidation is about"),
        RegisterSpec(name="invalidate", offset=0x018, access=rw, doorbell=True,
                     meaning="written, starts an invalidation; not while one is under way", fields=(
                         Field(name="scope", low=0, width=2,
                               meaning="0 block, 1 sequence, 2 tenant, 3 all"),)),
        RegisterSpec(name="status", offset=0x01C, access=ro, meaning="what there is", fields=(
            Field(name="invalidating", low=0, width=1, meaning="an invalidation is under way"),
            Field(name="fault", low=1, width=1, meaning="the fault queue has a record"),
            Field(name="touched", low=2, width=1, meaning="there is a sample of a block in use"))),
        RegisterSpec(name="fault_kind", offset=0x020, access=ro, meaning="the oldest record; or 0",
                     fields=(
            Field(name="cause", low=0, width=8, meaning="model.spec.translation.Fault"),
            Field(name="commit", low=8, width=1, meaning="of a commit, not of a lookup"),
            Field(name="tier", low=9, width=2, meaning="0 PIM, 1 capacity, 2 any"),
            Field(name="access", low=11, width=2, meaning="0 read, 1 write, 2 fill"),
            Field(name="requester", low=13, width=3, meaning="who asked"),
            Field(name="tag", low=16, width=8, meaning="its tag"))),
        *_block("fault", 0x024, ro, "the block of the oldest record; or 0"),
        *_block("touched", 0x02C, ro, "the sample; or 0"),
        RegisterSpec(name="take", offset=0x034, access=Access.W1S, meaning="removes", fields=(
            Field(name="fault", low=0, width=1, meaning="the oldest record"),
            Field(name="touched", low=1, width=1, meaning="the sample"))),
        *(RegisterSpec(name=name, offset=0x040 + REGISTER_BYTES * i, access=ro, meaning=meaning)
          for i, (name, meaning) in enumerate(COUNTERS.items())),
    ))


def joins_map(rings: int = EngineSpec().rings) -> RegisterMap:
    """The registers of a die's join engine: those of a descriptor engine, and two more."""
    base = descriptors_map(rings).registers
    events = base[0]
    stray = Field(name="stray", low=len(events.fields), width=1,
                  meaning="a beat that no join awaits came and was dropped")
    cancel = RegisterSpec(
        name="cancel", offset=0x004, access=Access.W1S, meaning="gives up waiting", fields=flags({
            "unbegun": "open joins do not wait for a member that has not begun its part"}))
    return RegisterMap(registers=(
        replace(events, fields=(*events.fields, stray)), cancel, *base[1:]))


def descriptors_map(rings: int = EngineSpec().rings) -> RegisterMap:
    """The registers of an attention descriptor engine: its events, then 32 bytes for each ring."""
    registers = [
        RegisterSpec(name="events", offset=0x000, access=Access.W1C,
                     meaning="what has happened since it was cleared", fields=flags({
                         "announced": "a record is in memory that counts for the interrupt",
                         "failed": "one of them is of a failure",
                         "lost_record": MEANINGS["lost_record"]})),
    ]
    for i in range(rings):
        base = RING_BASE + RING_BYTES * i
        registers += _ring(i, base, {n: RING_SETTINGS[n] for n in RING_SETUP},
                           "of the ring; `enable` alone may change while it is busy",
                           {"bad_doorbell": 2})
    return RegisterMap(registers=tuple(registers))
