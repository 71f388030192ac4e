"""Who goes ahead of everything else."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from model.spec.errors import require_int


class Urgency(wiring.Component):
    """Lets the windows whose oldest request has waited too long go first, one after another.

    A turn lasts until the request has been served, and those behind it that hit an open row, unless
    it cannot be served any more, for a refresh or since its port does not take the answers: so each
    of ``windows`` waits for one row and ``burst`` requests of each other window at most. Could
    another window take a turn that has not begun, the row that is being opened for it would be
    closed unused. Were turns for one request each, windows that are late in one bank would open its
    rows in turn, a column each, and stay late for ever. No latency.

    Parameters
    ----------
    windows : int
    burst : int
        Requests of a turn at most.

    Members
    -------
    late : ``In(windows)``
        Windows whose oldest request has waited for the bound and can be served.
    following : ``In(windows)``
        Windows whose oldest request can be served and hits an open row.
    served : ``In(windows)``
        A request of the window is served in this clock.
    urgent : ``Out(windows)``
        The window that goes first; none if none is late nor follows one that was.
    """

    late: Signal
    following: Signal
    served: Signal
    urgent: Signal

    def __init__(self, *, windows: int, burst: int) -> None:
        require_int("windows", windows, 1, 64)
        require_int("burst", burst, 1, 64)
        self.windows, self.burst = windows, burst
        super().__init__({"late": In(windows), "following": In(windows), "served": In(windows),
                          "urgent": Out(windows)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        waits = Signal(self.windows)            # late ones whose turn has not been in this round
        passed = Signal(self.windows)
        turn = Signal(self.windows)
        stays = Signal(self.windows)
        begun = Signal()                        # a request of this turn has been served
        left, more = (Signal(range(max(2, self.burst)), name=name) for name in ("left", "more"))
        m.d.comb += [
            waits.eq(self.late & ~passed),
            stays.eq(turn & Mux(begun, self.following, self.late)),
            more.eq(Mux(begun & stays.any(), (left - 1)[:len(left)], self.burst - 1)),
        ]
        first = Mux(stays.any(), stays, Mux(waits.any(), waits, self.late))
        m.d.comb += self.urgent.eq((first & (~first + 1))[:self.windows])
        with m.If((self.urgent & self.served).any()):
            m.d.sync += [passed.eq(Mux(waits.any(), passed, 0) | self.urgent),
                         turn.eq(Mux(more.any(), self.urgent, 0)), left.eq(more), begun.eq(1)]
        with m.Else():
            m.d.sync += [turn.eq(self.urgent), begun.eq(begun & stays.any())]
            with m.If(~self.late.any()):
                m.d.sync += passed.eq(0)
        return m
