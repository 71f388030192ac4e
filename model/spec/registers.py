"""The registers, block by block: hardware, documentation and benches all come from these tables."""

from dataclasses import replace

from model.spec.attention_descriptor import EngineSpec
from model.spec.dma import DmaSpec
from model.spec.register_map import (
    BLOCK_WIDTH,
    REGISTER_BYTES,
    Access,
    Field,
    RegisterMap,
    RegisterSpace,
    RegisterSpec,
    flags,
)
from model.spec.slice import SliceSpec
from model.spec.unit_registers import descriptors_map, dma_map, joins_map, translator_map

ADDRESS_WIDTH = BLOCK_WIDTH
"""Bits of a byte address of a slice, which has one block."""

IDENTIFIER = int.from_bytes(b"TSK1", "big")
WAVES_MAX = 512
"""Entries of the wave table: the most waves of one attention."""

COUNTERS = {
    "attend_cycles": "clocks of the last attention, from start to its last result beat",
    "dma_cycles": "clocks of the last block move, from start to its last write in the array",
    "activates": "ACT commands",
    "row_passes": "ACT_ALL commands, one a row pass",
    "column_reads": "RD commands",
    "column_writes": "WR commands",
    "macs": "MAC_ALL commands",
    "register_transfers": "REG_WR and REG_RD commands",
    "refreshes": "REF and REF_ALL commands",
    "row_hits": "accesses that found their row open",
    "row_misses": "accesses that found their bank closed",
    "row_conflicts": "accesses that found another row open",
}
"""Performance counters, in the order of their registers."""

ERRORS = {
    "bad_attention": "the attention was refused: context 0, too long, or a shape not built",
    "bad_move": "the block move was refused: no such bank or row, zero rows, or an overlap",
    "nan_score": "a score was NaN; its token has the lowest weight",
    "device": "a DRAM command broke the protocol, or a PIM unit was overrun",
}
"""Bits of the error register."""

INTERRUPTS = {
    "attention": "an attention that was started has ended, or was refused",
    "dma": "the DMA engine has completed what it was told to announce, or refused something",
    "translation": "a translation fault is in the queue",
    "reliability": "the error log has a record",
    "descriptors": "an attention descriptor that counts has ended, or any has failed",
    "joins": "a join that counts has ended, or any has failed",
}
"""Sources of the interrupt, in the order of their bits."""

ERROR_KINDS = {
    "corrected": "a single flip was corrected",
    "uncorrectable": "a word could not be corrected",
    "poisoned": "a word was read that is known to be lost",
    "time_out": "a request was not answered in time",
    "parity": "an entry of a translation table had wrong parity",
    "protocol": "a DRAM command broke the protocol, or a PIM unit was overrun",
}
"""Kinds of records of the error log; a record carries the number of its kind."""


def _bank_row(meaning: str) -> tuple[Field, ...]:
    return (Field(name="row", low=0, width=16, meaning=f"first row {meaning}"),
            Field(name="bank", low=16, width=8, meaning=f"bank {meaning}, SID included"))


def _place(what: str) -> tuple[Field, ...]:
    return (Field(name="column", low=0, width=8, meaning=f"column {what}"),
            Field(name="row", low=8, width=16, meaning=f"row {what}"),
            Field(name="bank", low=24, width=8, meaning=f"bank {what}, SID included"))


def register_map() -> RegisterMap:
    """The registers of a slice: attention, and moves of whole rows."""
    ro, rw = Access.RO, Access.RW
    registers = [
        RegisterSpec(name="identifier", offset=0x000, access=ro, meaning="the letters TSK1"),
        RegisterSpec(
            name="capabilities", offset=0x004, access=ro, meaning="what was built", fields=(
                Field(name="pim_banks", low=0, width=8, meaning="banks with a PIM unit"),
                Field(name="capacity_banks", low=8, width=8, meaning="plain banks"),
                Field(name="chunks_max", low=16, width=8, meaning="largest head size / 16"),
                Field(name="group_max", low=24, width=8, meaning="most query heads a KV head"))),
        RegisterSpec(
            name="control", offset=0x008, access=Access.W1S, meaning="starts", fields=flags({
                "attend": "start an attention", "move": "start a block move"})),
        RegisterSpec(
            name="status", offset=0x00C, access=ro, meaning="what runs", fields=flags({
                "attend_busy": "an attention runs", "move_busy": "a block move runs"})),
        RegisterSpec(name="error", offset=0x010, access=Access.W1C, meaning="what went wrong",
                     fields=flags(ERRORS)),
        RegisterSpec(name="scale", offset=0x014, access=rw,
                     meaning="log2(e) / sqrt(head size) as binary32"),
        RegisterSpec(name="context", offset=0x018, access=rw, meaning="tokens to attend to"),
        RegisterSpec(
            name="shape", offset=0x01C, access=rw, meaning="of the attention", fields=(
                Field(name="last_chunk", low=0, width=8, meaning="head size / 16 - 1"),
                Field(name="last_head", low=8, width=8, meaning="query heads - 1"),
                Field(name="partial", low=16, width=1,
                      meaning="1: the result is (m, l, o), not normalised"),
                Field(name="format", low=20, width=3,
                      meaning="how K and V are stored, as StoredFormat: 0 as 16-bit numbers, "
                              "1 as mxint8, 2 as mxfp8_e4m3"))),
        RegisterSpec(name="move_source", offset=0x020, access=rw, meaning="block to move",
                     fields=_bank_row("to read")),
        RegisterSpec(name="move_destination", offset=0x024, access=rw, meaning="where it goes",
                     fields=_bank_row("to write")),
        RegisterSpec(name="move_rows", offset=0x028, access=rw, meaning="rows to move"),
        RegisterSpec(name="first_wave", offset=0x02C, access=rw,
                     meaning="entry of the wave table at which the attention begins"),
        *(RegisterSpec(name=name, offset=0x080 + REGISTER_BYTES * i, access=ro, meaning=meaning)
          for i, (name, meaning) in enumerate(COUNTERS.items())),
        RegisterSpec(name="wave_row", offset=0x100, access=rw, count=WAVES_MAX, memory=True,
                     meaning="first row of the blocks of a wave, in every PIM bank"),
    ]
    return RegisterMap(registers=tuple(registers))


def attention_map() -> RegisterMap:
    """The registers of a base die's attention units: those of a slice without the moves."""
    moves = ("move", "move_busy", "bad_move")
    return RegisterMap(registers=tuple(
        replace(register, fields=tuple(f for f in register.fields if f.name not in moves))
        for register in register_map().registers
        if not register.name.startswith("move_") and register.name != "dma_cycles"))


def capabilities(spec: SliceSpec) -> int:
    """Value of the capabilities register."""
    return register_map()["capabilities"].pack(
        pim_banks=spec.geometry.pim_banks, capacity_banks=spec.geometry.capacity_banks,
        chunks_max=spec.pim.chunks_max, group_max=spec.pim.group_max)


def die_map() -> RegisterMap:
    """The registers of the whole base die: what it is, and its interrupt."""
    return RegisterMap(registers=(
        RegisterSpec(name="identifier", offset=0x000, access=Access.RO,
                     meaning="the letters TSK1"),
        RegisterSpec(name="channels", offset=0x004, access=Access.RO,
                     meaning="pseudo-channels of the die"),
        RegisterSpec(name="scratch", offset=0x008, access=Access.RW,
                     meaning="for software; the hardware does not look at it"),
        *interrupt_registers(0x010, INTERRUPTS),
    ))


def interrupt_registers(offset: int, sources: dict[str, str]) -> tuple[RegisterSpec, ...]:
    """The registers of an interrupt (:func:`hdl.host.register_block.interrupt`), three in a row."""
    return (
        RegisterSpec(name="interrupt_status", offset=offset, access=Access.W1C,
                     meaning="what has happened since it was cleared", fields=flags(sources)),
        RegisterSpec(name="interrupt_enable", offset=offset + 4, access=Access.RW,
                     meaning="what raises the interrupt", fields=flags(sources)),
        RegisterSpec(name="interrupt_test", offset=offset + 8, access=Access.W1S,
                     meaning="sets bits of the status, for tests of software",
                     fields=flags(sources)),
    )


def reliability_map() -> RegisterMap:
    """The registers of a channel's error log, injection and scrubbing."""
    ro, rw, start = Access.RO, Access.RW, Access.W1S
    kinds = tuple(ERROR_KINDS)
    numbered = ", ".join(f"{i} {kind}" for i, kind in enumerate(kinds))
    return RegisterMap(registers=(
        RegisterSpec(name="log_level", offset=0x000, access=ro, meaning="records in the log"),
        RegisterSpec(name="log_lost", offset=0x004, access=ro,
                     meaning="records that found the log full"),
        RegisterSpec(name="log_kind", offset=0x008, access=ro, meaning="the oldest record",
                     fields=(Field(name="kind", low=0, width=8, meaning=numbered),
                             Field(name="info", low=8, width=8,
                                   meaning="tag of the request, or 0"))),
        RegisterSpec(name="log_place", offset=0x00C, access=ro, fields=_place("of the word"),
                     meaning="where; 0 if the record is of no word"),
        RegisterSpec(name="log_syndrome", offset=0x010, access=ro,
                     meaning="syndromes of the four words, 8 bits each"),
        RegisterSpec(name="log_time", offset=0x014, access=ro,
                     meaning="clocks since reset, modulo 2^32"),
        RegisterSpec(name="log_control", offset=0x018, access=start, meaning="of the log",
                     fields=flags({"pop": "removes the oldest record",
                                   "clear_counts": "counts and `log_lost` become 0"})),
        *(RegisterSpec(name=f"count_{kind}", offset=0x020 + REGISTER_BYTES * i, access=ro,
                       meaning=f"times that {meaning}")
          for i, (kind, meaning) in enumerate(ERROR_KINDS.items())),
        RegisterSpec(name="count_scrubbed", offset=0x040, access=ro,
                     meaning="words that were written back corrected"),
        RegisterSpec(name="scrub_interval", offset=0x044, access=rw,
                     meaning="clocks of rest between two words of the background walk; 0: no walk"),
        RegisterSpec(name="inject_place", offset=0x080, access=rw, fields=_place("to be hit"),
                     meaning="target of the next injection"),
        RegisterSpec(name="inject_data", offset=0x084, access=rw, count=8,
                     meaning="data bits to flip, the lowest first"),
        RegisterSpec(name="inject_check", offset=0x0A4, access=rw,
                     meaning="check bits to flip"),
        RegisterSpec(name="inject_control", offset=0x0A8, access=start, meaning="injects",
                     fields=flags({"stored": "flips the bits of the stored word",
                                   "in_flight": "flips them in the next read of the word, once"})),
        RegisterSpec(name="inject_status", offset=0x0AC, access=ro, meaning="of the injection",
                     fields=flags({"stored_busy": "the stored word has not been flipped yet",
                                   "in_flight_armed": "the word has not been read yet"})),
    ))


def space(blocks: dict[str, RegisterMap]) -> RegisterSpace:
    """Blocks in consecutive windows of 4 KiB, in the order given."""
    return RegisterSpace(blocks=blocks, windows={name: i for i, name in enumerate(blocks)})


DIE_BLOCKS = {"die": die_map, "joins": joins_map}
"""Blocks that a base die has once, in front of those of its channels."""

CHANNEL_BLOCKS = {"attention": attention_map, "reliability": reliability_map, "dma": dma_map,
                  "translator": translator_map, "descriptors": descriptors_map}
"""Blocks that every pseudo-channel has; a unit with registers adds its own here."""


def base_die_space(channels: int, dma_channels: int = DmaSpec().channels,
                   rings: int = EngineSpec().rings) -> RegisterSpace:
    """Everything that software sees of a base die; channel c's blocks are named ``unit_c``."""
    blocks = {name: make() for name, make in DIE_BLOCKS.items()} | {"joins": joins_map(rings)}
    for channel in range(channels):
        own = {name: make() for name, make in CHANNEL_BLOCKS.items()} | {
            "dma": dma_map(dma_channels), "descriptors": descriptors_map(rings)}
        blocks |= {f"{name}_{channel}": block for name, block in own.items()}
    return space(blocks)


__all__ = [
    "ADDRESS_WIDTH", "BLOCK_WIDTH", "CHANNEL_BLOCKS", "COUNTERS", "DIE_BLOCKS", "ERRORS",
    "ERROR_KINDS", "IDENTIFIER", "INTERRUPTS", "REGISTER_BYTES", "WAVES_MAX", "Access", "Field",
    "RegisterMap", "RegisterSpace", "RegisterSpec", "attention_map", "base_die_space",
    "capabilities", "die_map", "flags", "interrupt_registers", "register_map", "reliability_map",
    "space",
]
