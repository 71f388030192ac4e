"""Assignments that drop bits without saying so, found while the designs are elaborated.

Amaranth truncates ``Signal(4).eq(wider)`` in silence, and its Verilog has explicit slices, so no
later tool can tell. Written out as ``wider[:4]`` it is a decision, and is not reported. Neither
are constants that fit, nor a one-bit step such as ``x + 1`` and ``x - taken``, whose carry counters
drop on purpose.
``python -m tools.lint_truncation`` also names the components that no design contains.
"""

import importlib
import inspect
import linecache
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from amaranth.hdl import Fragment
from amaranth.hdl._ast import Assign, Const, SwitchValue
from amaranth.lib import wiring

from tb.build import without_collection
from tb.designs import DESIGNS

ROOT = Path(__file__).resolve().parents[1]
Factory = Callable[[], wiring.Component]

ALLOWED: Mapping[tuple[str, str], str] = {
    # (file, source line without indentation): why the bits may be dropped
}


@dataclass(frozen=True, order=True)
class Truncation:
    """One assignment whose right side is wider than its left side."""

    file: str
    line: int
    to_width: int
    from_width: int

    @property
    def source(self) -> str:
        """The source line."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def key(self) -> tuple[str, str]:
        """How ``ALLOWED`` names it."""
        path = Path(self.file)
        name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
        return str(name), self.source

    def __str__(self) -> str:
        return (f"{self.key[0]}:{self.line}: {self.from_width} bits assigned to {self.to_width}: "
                f"{self.source}")


def drops_bits(value: Any, width: int) -> bool:
    """Whether assigning ``value`` to ``width`` bits loses bits that it may need."""
    if isinstance(value, Const):
        return not -(1 << width) // 2 <= value.value < 1 << width
    if isinstance(value, SwitchValue):                                    # Mux
        return any(drops_bits(branch, width) for _, branch in value.cases)
    operator, left, right = _operation(value)
    if operator in ("+", "-") and len(right) == 1:                        # a step of a counter
        return _bits(left) > width
    return _bits(value) > width


def _operation(value: Any) -> tuple[str, Any, Any]:
    operands = getattr(value, "operands", ())            # only an Operator has any
    return (value.operator, *operands) if len(operands) == 2 else ("", None, None)


def _bits(value: Any) -> int:
    """Bits that a value can need: fewer than Amaranth gives it after a constant shift."""
    operator, left, right = _operation(value)
    needed = len(value)
    if operator == "<<" and isinstance(right, Const):
        needed = _bits(left) + right.value
    elif operator == ">>" and isinstance(right, Const):
        needed = max(_bits(left) - right.value, 1)
    elif operator in ("+", "-"):
        mixed = left.shape().signed != right.shape().signed
        needed = max(_bits(left), _bits(right)) + 1 + mixed
    return min(needed, len(value))


class Recorder:
    """What was seen during the elaborations: truncations, and the classes of the components."""

    def __init__(self) -> None:
        self.truncations: set[Truncation] = set()
        self.components: set[type] = set()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Hooks Amaranth for as long as it lasts."""
        assign, construct = Assign.__init__, wiring.Component.__init__

        def record_assign(statement: Any, lhs: Any, rhs: Any, *, src_loc_at: int = 0) -> None:
            assign(statement, lhs, rhs, src_loc_at=src_loc_at + 1)
            if drops_bits(statement.rhs, len(statement.lhs)) and statement.src_loc is not None:
                file, line = statement.src_loc
                self.truncations.add(
                    Truncation(file, line, len(statement.lhs), len(statement.rhs)))

        def record_component(component: Any, *args: Any, **named: Any) -> None:
            self.components.add(type(component))
            construct(component, *args, **named)

        with (patch.object(Assign, "__init__", record_assign),
              patch.object(wiring.Component, "__init__", record_component)):
            yield

    def elaborate(self, factory: Factory) -> None:
        """Builds a design and elaborates all of it; a warning is an error."""
        with self.recording(), warnings.catch_warnings():
            warnings.simplefilter("error")
            Fragment.get(factory(), None)

    def complaints(self) -> list[str]:
        """Truncations of our own files that are not allowed, and allowances of none."""
        ours = [t for t in sorted(self.truncations) if Path(t.file).is_relative_to(ROOT / "hdl")]
        stale = set(ALLOWED) - {t.key for t in ours}
        return [str(t) for t in ours if t.key not in ALLOWED] + [
            f"tools/lint_truncation.py: ALLOWED names a line that is not there: {file}: {line}"
            for file, line in sorted(stale)]


def hardware() -> set[type]:
    """Every public component class of ``hdl``."""
    found: set[type] = set()
    for path in sorted((ROOT / "hdl").glob("**/*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(name)
        found.update(c for _, c in inspect.getmembers(module, inspect.isclass)
                     if issubclass(c, wiring.Component) and c.__module__ == name
                     and not c.__name__.startswith("_"))
    return found


def not_in_a_design(seen: set[type]) -> list[str]:
    """One line for each component that no design contains, so that nothing went unchecked."""
    return [f"{c.__module__}.{c.__name__}: in no design of tb/designs.py, so it is not checked"
            for c in sorted(hardware() - seen, key=lambda c: (c.__module__, c.__name__))]


def lint() -> list[str]:
    """Everything there is to complain about."""
    recorder = Recorder()
    with without_collection():
        for factory in DESIGNS.values():
            recorder.elaborate(factory)
    return recorder.complaints() + not_in_a_design(recorder.components)


if __name__ == "__main__":
    COMPLAINTS = lint()
    print("\n".join(COMPLAINTS), end="\n" if COMPLAINTS else "")
    sys.exit(bool(COMPLAINTS))
