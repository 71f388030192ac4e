"""Faults planted in units of a design, all in one build: a port says which of them acts.

A build takes far longer than a run. Where a fault is one assignment, all of them fit into one
simulator; :mod:`tests.rtl.mutants` edits the source instead, with a build for each.
"""

from collections.abc import Callable, Sequence
from typing import Any

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from model.spec.attention import Register

Plant = Callable[[Any, Module], None]
"""Makes a fault in a unit: the last assignment in its module wins."""


class PlantedFaults:
    """Numbers faults from 1 on, and builds what contains them.

    Parameters
    ----------
    faults : sequence of (type, Plant)
        The unit that each is planted in, and how.
    """

    def __init__(self, faults: Sequence[tuple[type, Plant]]) -> None:
        self._faults = list(faults)
        self._active = Signal(range(len(self._faults) + 1), name="active_fault")

    def faulty(self, unit: type) -> Any:
        """The unit with its faults, to be put in the place of the real one."""
        base: Any = unit
        faults, active = self._faults, self._active

        class Faulty(base):
            def elaborate(self, platform: object) -> Module:
                m = super().elaborate(platform)
                for number, (planted, plant) in enumerate(faults, start=1):
                    if planted is unit:
                        with m.If(active == number):
                            plant(self, m)
                return m
        return Faulty

    def selectable(self, design: wiring.Component) -> wiring.Component:
        """The design with one more port: the fault whose number stands at ``fault_number`` acts.

        It must contain what :meth:`faulty` has made.
        """
        return _Selectable(design, self._active)


def faulty_pim_unit(unit: type, faults: Sequence[Callable[[Any], None]]) -> Any:
    """A PIM unit with the fault whose number was written to SCORE, which ignores writes; 0: none.

    Its bench writes registers anyway, so it needs no port for that.
    """
    base: Any = unit

    class Faulty(base):
        def elaborate(self, platform: object) -> Module:
            m = super().elaborate(platform)
            fault, bank = Signal(range(len(faults) + 1)), self.bank
            with m.If(bank.write_valid & (bank.write_register == Register.SCORE)):
                m.d.sync += fault.eq(bank.write_data[:len(fault)])
            for number, plant in enumerate(faults, start=1):
                with m.If(fault == number):
                    plant(m)
            return m
    return Faulty


class _Selectable(wiring.Component):
    fault_number: Signal

    def __init__(self, design: Any, active: Signal) -> None:
        self._design, self._active = design, active
        super().__init__({**dict(design.signature.members), "fault_number": In(len(active))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = self._design
        m.d.comb += self._active.eq(self.fault_number)
        for name, member in self._design.signature.members.items():
            inside, outside = getattr(self._design, name), getattr(self, name)
            if member.is_signature:
                connect(m, inside, flipped(outside))
            else:
                m.d.comb += inside.eq(outside) if member.flow == In else outside.eq(inside)
        return m
