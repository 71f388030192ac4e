"""Prints docs/registers.md from the register map: ``python -m tools.register_table``."""

from collections.abc import Iterator

from model.spec.registers import (
    ADDRESS_WIDTH,
    REGISTER_BYTES,
    Access,
    RegisterMap,
    RegisterSpec,
    register_map,
)

HEAD = """\
# Registers of a slice

Generated from `model/spec/registers.py`: change the map there, then run
`python -m tools.register_table > docs/registers.md`.

A window of {window} bytes behind AXI4-Lite, made of registers of {bits} bits. Carried out are:

{accesses}

Everything else is answered with SLVERR and changes nothing: an access that is not aligned to a
register, an address without a register, a write to one that is read only. A write changes the bytes
whose strobe is set. Bits without a name read as 0.
"""


def lines(registers: RegisterMap) -> Iterator[str]:
    """The page, line by line."""
    bits = 8 * REGISTER_BYTES
    accesses = "\n".join(f"- `{access.name}`: {access.value}" for access in Access)
    yield HEAD.format(window=1 << ADDRESS_WIDTH, bits=bits, accesses=accesses)
    yield "| offset | register | access | meaning |"
    yield "| --- | --- | --- | --- |"
    for register in registers.registers:
        yield (f"| {_offsets(registers, register)} | `{_name(register)}` | {register.access.name} "
               f"| {register.meaning} |")
    for register in registers.registers:
        if register.fields:
            yield f"\n## `{register.name}`\n"
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
    print("\n".join(lines(register_map())))


if __name__ == "__main__":
    main()
