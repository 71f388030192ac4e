"""Finds what a user names: built in, installed by another package, or ``module:Class``."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast

from model.spec.errors import UserError, unknown_name

ENTRY_POINTS = "tokenstack.{kind}"
"""Group of entry points under which other packages offer their own, such as
``tokenstack.eviction``."""


Made = TypeVar("Made", bound=Callable[..., Any])


def find(kind: str, name: str, built_in: Mapping[str, Made], needs: Sequence[str]) -> Made:
    """The object of that name.

    Parameters
    ----------
    kind : str
        What is looked for, as the user knows it (``"eviction"``); also names the group.
    name : str
        A built-in name, which nothing can take over; the name of an entry point; or
        ``module:Class`` with a module that can be imported from here.
    built_in : mapping
        What needs no search.
    needs : sequence of str
        What an object of it must have: the members of its protocol.
    """
    if name in built_in:
        return built_in[name]
    if ":" in name:
        return cast(Made, _load(kind, name, EntryPoint(name=name, value=name, group=""), needs))
    offered = entry_points(group=ENTRY_POINTS.format(kind=kind))
    found = {point.value: point for point in offered if point.name == name}
    if len(found) > 1:
        raise UserError(f"{kind}: expected {name!r} from one package, not from "
                        f"{' and '.join(sorted(found))}")
    for point in found.values():
        return cast(Made, _load(kind, name, point, needs))
    raise unknown_name(kind, name, {*built_in, *offered.names})


def _load(kind: str, name: str, point: EntryPoint, needs: Sequence[str]) -> Callable[..., Any]:
    if "" not in sys.path:
        sys.path.append("")     # as `python -m` does: the folder that the command is given in
    importlib.invalidate_caches()
    try:
        made = point.load()
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise UserError(f"{kind}: expected {name!r} to be a class that can be imported as "
                        f"module:Class ({error})") from None
    if not callable(made):
        raise UserError(f"{kind}: expected {name!r} to be a class, not {made!r}")
    try:
        one = made()
    except TypeError as error:
        raise UserError(f"{kind}: expected {name!r} to be made without arguments "
                        f"({error})") from None
    lacking = [member for member in needs if not hasattr(one, member)]
    if lacking:
        raise UserError(f"{kind}: expected {name!r} to have {', '.join(needs)}, "
                        f"not to lack {', '.join(lacking)}")
    return made
