"""Files and functions that a reader can take in, and classes that say what they promise."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("hdl", "tb", "model", "runtime", "tests", "tools", "docs")
GENERATED = {ROOT / "docs" / "registers.md"}
FILE_LINES = 400
ELABORATE_LINES = 80


def files() -> list[Path]:
    """Everything that was written by hand."""
    inside = [p for folder in FOLDERS for p in (ROOT / folder).rglob("*")
              if p.suffix in (".py", ".md", ".j2", ".html", ".sh")]
    written = [p for p in inside if p not in GENERATED]
    return sorted([*written, *ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"])


def hardware() -> Iterator[tuple[Path, ast.ClassDef]]:
    """Every public class of ``hdl``."""
    for path in sorted((ROOT / "hdl").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield path.relative_to(ROOT), node


def refuse(offenders: list[str], *, of: int) -> None:
    """Fails with one line for each offender, and if nothing was looked at."""
    assert of > 0
    if offenders:
        pytest.fail("\n".join(offenders), pytrace=False)


def test_no_file_is_longer_than_the_limit() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in files()}
    long = [f"{path.relative_to(ROOT)}: {n} lines, at most {FILE_LINES}"
            for path, n in lengths.items() if n > FILE_LINES]
    refuse(long, of=len(lengths))


def test_no_elaborate_is_longer_than_the_limit() -> None:
    lengths = {(path, node.lineno): (node.end_lineno or 0) - node.lineno + 1
               for path in (ROOT / "hdl").rglob("*.py")
               for node in ast.walk(ast.parse(path.read_text()))
               if isinstance(node, ast.FunctionDef) and node.name == "elaborate"}
    long = [f"{path.relative_to(ROOT)}:{line}: elaborate() has {n} lines, at most {ELABORATE_LINES}"
            for (path, line), n in sorted(lengths.items()) if n > ELABORATE_LINES]
    refuse(long, of=len(lengths))


def test_every_public_class_of_the_hardware_states_its_contract() -> None:
    missing = []
    for path, node in hardware():
        text = ast.get_docstring(node) or ""
        component = any(ast.unparse(base).split(".")[-1] == "Component" for base in node.bases)
        if not text:
            missing.append(f"{path}:{node.lineno}: {node.name} has no docstring")
        elif component and "Members\n-------" not in text:
            missing.append(f"{path}:{node.lineno}: {node.name} does not list its Members")
    refuse(missing, of=sum(1 for _ in hardware()))
