"""Mutants: hardware made from edited source, which a bench must notice."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest


@dataclass(frozen=True)
class Mutant:
    """One edit of the hardware's source.

    Attributes
    ----------
    module : str
        Where.
    good, bad : str
        A text that occurs exactly once, and what stands in its place.
    seen_by : str
        Regular expression of the bench's tests that must see it.
    """

    module: str
    good: str
    bad: str
    seen_by: str


def mutated(mutant: Mutant, chain: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The last module of ``chain``, built from sources of which one is edited.

    Parameters
    ----------
    mutant : Mutant
    chain : sequence of str
        Modules to be built anew, in the order of their imports.
    monkeypatch : pytest.MonkeyPatch
        Puts the real modules back.
    """
    unit = ModuleType("nothing")
    for name in chain:
        found = importlib.util.find_spec(name)
        assert found is not None and found.origin is not None
        source = Path(found.origin).read_text()
        if name == mutant.module:
            assert source.count(mutant.good) == 1, f"{name} has changed: {mutant.good!r}"
            source = source.replace(mutant.good, mutant.bad)
        unit = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, unit)
        exec(compile(source, found.origin, "exec"), unit.__dict__)
    return unit
