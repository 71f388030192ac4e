"""Who may import whom: the contracts are kept, and each of them can be broken."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hdl", "tb", "model", "runtime")
LAYERS = "tb -> (hdl | runtime) -> model"
SPECIFICATION_ONLY = "the hardware sees the specification, never the golden models nor their tools"
NO_HARDWARE = "models and runtime work without the hardware language and the simulator"
PLAIN_SPECIFICATION = "the specification computes no answers"


def checked(tree: Path) -> str:
    """What import-linter reports of a tree."""
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"], cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"}, capture_output=True,
        text=True).stdout


def test_every_contract_is_kept() -> None:
    report = checked(ROOT)
    assert "0 broken" in report, report
    for contract in (LAYERS, SPECIFICATION_ONLY, NO_HARDWARE, PLAIN_SPECIFICATION):
        assert f"{contract} KEPT" in report, report


@pytest.mark.parametrize(("package", "line", "contract"), [
    ("hdl", "import runtime", LAYERS),
    ("runtime", "import hdl", LAYERS),
    ("model", "import runtime", LAYERS),
    ("hdl", "import tb", LAYERS),
    ("hdl", "import model.golden", SPECIFICATION_ONLY),
    ("hdl", "import numpy", SPECIFICATION_ONLY),
    ("model.golden", "import amaranth", NO_HARDWARE),
    ("runtime", "import cocotb", NO_HARDWARE),
    ("model.spec", "import numpy", PLAIN_SPECIFICATION),
    ("model.spec", "import model.golden", PLAIN_SPECIFICATION),
], ids=lambda value: value if "->" not in value and len(value) < 30 else "")
def test_a_forbidden_import_breaks_its_contract(tmp_path: Path, package: str, line: str,
                                                contract: str) -> None:
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name,
                        ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / package.replace(".", "/") / "planted.py").write_text(line + "\n")
    assert f"{contract} BROKEN" in checked(tmp_path)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or "."


def test_the_hardware_imports_amaranth_and_the_specification_only() -> None:
    allowed = ("amaranth", "hdl", "model.spec", *sys.stdlib_module_names)
    wrong = [f"{path.relative_to(ROOT)}:{line}: {name}"
             for path in sorted((ROOT / "hdl").rglob("*.py")) for line, name in imports(path)
             if not any(name == root or name.startswith(root + ".") for root in allowed)]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)
