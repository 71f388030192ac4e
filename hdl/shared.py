# amaranth: UnusedElaboratable=no
# (one of the identical components is converted, the others only lend their ports)
"""Components that are converted once, however often they are used.

Amaranth writes a module for each instance. Sixteen identical PIM units of sixteen lanes would make
ten megabytes of Verilog, and take minutes to convert and to compile.
"""

from collections.abc import Callable
from typing import Any

from amaranth import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped


class SharedModules:
    """The platform of a conversion in which every :class:`Shared` component is one module.

    Attributes
    ----------
    pending : list of (str, wiring.Component)
        Module names and components that were used and are still to be converted.
    """

    def __init__(self) -> None:
        self.pending: list[tuple[str, wiring.Component]] = []
        self._parameters: dict[str, tuple[Any, ...]] = {}

    def use(self, name: str, parameters: tuple[Any, ...], component: wiring.Component) -> None:
        """Notes that a module of that name is needed; it must always mean the same component."""
        if name not in self._parameters:
            self._parameters[name] = parameters
            self.pending.append((name, component))
        elif self._parameters[name] != parameters:
            raise ValueError(f"module {name}: used with {self._parameters[name]} and {parameters}")


class Shared(wiring.Component):
    """A component with the ports and the behaviour of ``make(*parameters)``.

    Converted for :class:`SharedModules` it is an instance of a module of its own; anywhere else,
    as in Amaranth's simulator, it contains the component.

    Parameters
    ----------
    name : str
        Name of the Verilog module.
    make : callable
        Makes the component; it must have a synchronous domain.
    parameters
        What it is made from.

    Members
    -------
    Those of the component, by the same names; clock and reset are those of domain ``sync``.
    """

    def __init__(self, name: str, make: Callable[..., wiring.Component], *parameters: Any) -> None:
        self._name, self._parameters = name, parameters
        self._component: Any = make(*parameters)
        super().__init__(self._component.signature)

    def elaborate(self, platform: object) -> Module | Instance:
        if isinstance(platform, SharedModules):
            platform.use(self._name, self._parameters, self._component)
            ports: dict[str, Value] = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
            for path, member, value in self.signature.flatten(self):
                side = "i" if member.flow == In else "o"
                ports[f"{side}_{'__'.join(map(str, path))}"] = Value.cast(value)
            return Instance(self._name, **ports)
        m = Module()
        m.submodules.component = self._component
        connect(m, flipped(self), self._component)
        return m
