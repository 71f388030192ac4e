"""One line of ``build/bench.json``."""

from collections.abc import Callable
from dataclasses import dataclass

from model.spec.errors import SpecError

Progress = Callable[[str], None]
"""Told in a few words what is being measured."""


@dataclass(frozen=True)
class Figure:
    """A measured value and what physics, or a requirement, allows at most.

    Attributes
    ----------
    name : str
        Dotted, such as ``"dram.stream_read"``; unique.
    value : float
        What was measured.
    unit : str
        Of value and bound, such as ``"clocks"`` or ``"beats/clock"``.
    bound : float or None
        The best possible value; None if there is none.
    lower_is_better : bool
        Clocks and seconds: the ratio is bound / value then, so that 1 is always the best.
    """

    name: str
    value: float
    unit: str
    bound: float | None = None
    lower_is_better: bool = False

    def __post_init__(self) -> None:
        if self.bound is not None and self.bound <= 0:
            raise SpecError(f"{self.name}.bound", self.bound, "more than 0, or None")

    @property
    def ratio(self) -> float | None:
        """Share of the bound that is reached; None without a bound."""
        if self.bound is None or (self.lower_is_better and self.value == 0):
            return None
        return self.bound / self.value if self.lower_is_better else self.value / self.bound

    def as_dict(self) -> dict[str, object]:
        """The line as JSON has it."""
        return {"name": self.name, "value": self.value, "unit": self.unit, "bound": self.bound,
                "ratio": self.ratio}
