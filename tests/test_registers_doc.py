"""The page of the registers says what the register map says."""

import subprocess
import sys
from pathlib import Path

from model.spec.registers import (
    CHANNEL_BLOCKS,
    DIE_BLOCKS,
    Access,
    Field,
    RegisterMap,
    RegisterSpec,
)
from tools.register_table import table

ROOT = Path(__file__).resolve().parents[1]


def test_the_committed_page_is_what_the_tool_prints() -> None:
    printed = subprocess.run([sys.executable, "-m", "tools.register_table"], cwd=ROOT, check=True,
                             capture_output=True, text=True).stdout
    assert printed == (ROOT / "docs" / "registers.md").read_text(), (
        "run python -m tools.register_table > docs/registers.md")


def test_every_register_and_every_field_has_its_row() -> None:
    page = (ROOT / "docs" / "registers.md").read_text()
    for name, make in (*DIE_BLOCKS.items(), *CHANNEL_BLOCKS.items()):
        section = page.split(f"\n## Block `{name}`\n")[1].split("\n## ")[0].splitlines()
        for register in make().registers:
            assert sum(f"0x{register.offset:03X}" in row and f"| `{register.name}" in row
                       for row in section) == 1, register.name
            for field in register.fields:
                assert any(f"| `{field.name}` | {field.meaning} |" in row
                           for row in section), field.name


def test_a_table_worked_by_hand() -> None:
    fields = (Field(name="wide", low=4, width=3, meaning="three bits"),
              Field(name="flag", low=7, width=1, meaning="one bit"))
    page = "\n".join(table(RegisterMap(registers=(
        RegisterSpec(name="mode", offset=0x10, access=Access.RW, meaning="how", fields=fields),
        RegisterSpec(name="list", offset=0x20, access=Access.RO, meaning="what", count=3)))))
    assert page == """\
| offset | register | access | meaning |
| --- | --- | --- | --- |
| 0x010 | `mode` | RW | how |
| 0x020 to 0x028 | `list[3]` | RO | what |

### `mode`

| bits | field | meaning |
| --- | --- | --- |
| 6:4 | `wide` | three bits |
| 7 | `flag` | one bit |"""
