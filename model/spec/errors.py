"""The one way a user's mistake is reported: what, where, and what was expected."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the user's input. Its text is one line; the command line exits with status 2."""


class SpecError(UserError, ValueError):
    """A specification that cannot be built.

    Parameters
    ----------
    parameter : str
        Name of the offending parameter.
    value : object
        What was given.
    expected : str
        What would have been accepted.
    """

    def __init__(self, parameter: str, value: object, expected: str) -> None:
        self.parameter, self.value, self.expected = parameter, value, expected
        super().__init__(f"{parameter}: expected {expected}, not {value!r}")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """An error for a name that is not in a catalogue, with the nearest valid one."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return UserError(f"{kind}: expected one of {', '.join(names)}, not {name!r}{hint}")


def require_int(parameter: str, value: object, low: int, high: int) -> None:
    """Raises :class:`SpecError` unless ``value`` is an integer in ``low..high`` (both included)."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SpecError(parameter, value, f"an integer in {low}..{high}")
