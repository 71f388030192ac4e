"""Prints docs/registers.md from the register map: ``python -m tools.register_table``."""

from collections.abc import Iterator

from model.spec.registers import (
    BLOCK_WIDTH,
    CHANNEL_BLOCKS,
    DIE_BLOCKS,
    REGISTER_BYTES,
    Access,
    RegisterMap,
    RegisterSpec,
    base_die_space,
    register_map,
)

HEAD = """\
# Registers

Generated from `model/spec/registers.py`: change the map there, then run
`python -m tools.register_table > docs/registers.md`.

Registers of {bits} bits behind AXI4-Lite, in blocks with a window of {window} bytes each. A slice
has the block `slice` alone; a base die has those marked "once" and then, channel by channel, the
others. `RegisterAccess` in `model/register_access.py` reaches them as `"block.register"`, such
as `"reliability_0.log_kind"`. Carried out are:

{accesses}

Everything else changes nothing. Where there is no register the answer is DECERR. It is SLVERR for
an access that is not aligned to a register, a write of less than all four bytes, a write to a
register that is read only, and a value that a register refuses. Bits without a name read as 0.
"""


def lines(space: dict[str, RegisterMap]) -> Iterator[str]:
    """The page of some blocks, line by line."""
    bits = 8 * REGISTER_BYTES
    accesses = "\n".join(f"- `{access.name}`: {access.value}" for access in Access)
    yield HEAD.format(window=1 << BLOCK_WIDTH, bits=bits, accesses=accesses)
    yield from windows()
    for block, registers in space.items():
        yield f"\n## Block `{block}`\n"
        yield from table(registers)


def windows() -> Iterator[str]:
    """Where the blocks of a base die with two channels lie."""
    yield "| base | block of a base die with two channels | there is |"
    yield "| --- | --- | --- |"
    space = base_die_space(2)
    for name in space.blocks:
        often = "once" if name in DIE_BLOCKS else "one a channel"
        yield f"| 0x{space.base(name):05X} | `{name}` | {often} |"


def table(registers: RegisterMap) -> Iterator[str]:
    """The registers of a block, and the fields of each."""
    yield "| offset | register | access | meaning |"
    yield "| --- | --- | --- | --- |"
    for register in registers.registers:
        yield (f"| {_offsets(registers, register)} | `{_name(register)}` | {register.access.name} "
               f"| {register.meaning} |")
    for register in registers.registers:
        if register.fields:
            yield f"\n### `{register.name}`\n"
            yield "| bits | field | meaning |"
            yield "| --- | --- | --- |"
            for field in register.fields:
                high = field.low + field.width - 1
                span = f"{high}:{field.low}" if field.width > 1 else f"{field.low}"
                yield f"| {span} | `{field.name}` | {field.meaning} |"


def _name(register: RegisterSpec) -> str:
    return register.name if register.count == 1 else f"{register.name}[{register.count}]"


def _offsets(registers: RegisterMap, register: RegisterSpec) -> str:
    addresses = registers.addresses(register)
    first, last = f"0x{addresses[0]:03X}", f"0x{addresses[-1]:03X}"
    return first if first == last else f"{first} to {last}"


def main() -> None:
    """Prints the page."""
    blocks = {name: make() for name, make in (*DIE_BLOCKS.items(), *CHANNEL_BLOCKS.items(),
                                               ("slice", register_map))}
    print("\n".join(lines(blocks)))


if __name__ == "__main__":
    main()
