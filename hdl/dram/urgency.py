"""Who goes ahead of everything else."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from model.spec.errors import require_int


class Urgency(wiring.Component):
    """Lets the windows whose oldest request has waited too long go first, one after another.

    The turn passes on when the request has been served, so each of ``windows`` waits for one
    request of each other window at most. No latency.

    Parameters
    ----------
    windows : int

    Members
    -------
    late : ``In(windows)``
        Windows whose oldest request has waited for the bound and can be served.
    served : ``In(windows)``
        A request of the window is served in this clock.
    urgent : ``Out(windows)``
        The window that goes first; none if none is late.
    """

    late: Signal
    served: Signal
    urgent: Signal

    def __init__(self, *, windows: int) -> None:
        require_int("windows", windows, 1, 64)
        self.windows = windows
        super().__init__({"late": In(windows), "served": In(windows), "urgent": Out(windows)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        waits = Signal(self.windows)            # late ones whose turn has not been in this round
        passed = Signal(self.windows)
        m.d.comb += waits.eq(self.late & ~passed)
        first = Mux(waits.any(), waits, self.late)
        m.d.comb += self.urgent.eq((first & (~first + 1))[:self.windows])
        with m.If((self.urgent & self.served).any()):
            m.d.sync += passed.eq(Mux(waits.any(), passed, 0) | self.urgent)
        with m.Elif(~self.late.any()):
            m.d.sync += passed.eq(0)
        return m
