"""When banks are refreshed."""

from functools import reduce
from operator import or_

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from model.spec.errors import SpecError
from model.spec.slice import SliceSpec

POSTPONED_MAX = 8
"""Refreshes of a bank that may be outstanding at once; JEDEC lets a controller postpone eight."""


PATIENCE = 6
"""Outstanding refreshes from which on later ports may wait for one when the bus has been turned;
with one more any moment is right at which nobody wants the unit."""

PERIOD, RECENT = 32, 4
"""A unit has just been let go if nobody wanted it for a period of clocks, but somebody did in one
of the three before that. Shorter pauses occur in a stream, when the bus turns round."""


def refresh_step(spec: SliceSpec) -> int:
    """Clocks from one unit's turn to the next; :class:`SpecError` if there are none."""
    units = 1 + spec.geometry.capacity_banks
    if spec.timing.refresh_interval < units:
        raise SpecError(f"timing {spec.timing.name}.nREFI", spec.timing.nREFI,
                        f"at least one clock for each of {units} refresh units")
    return spec.timing.refresh_interval // units


class Refresh(wiring.Component):
    """Asks for one refresh of each unit every tREFI: each capacity bank, and the PIM banks as one.

    The units take turns, so that their refreshes are spread over tREFI. A refresh is asked for
    when nobody wants the unit: if it has just been let go, since who has left a bank will not be
    back so soon; if the whole channel is idle; or if seven are outstanding. After eight postponed
    ones it is asked for all the same, and then stands until it is carried out; before, it is
    withdrawn when somebody wants the unit who need not wait for the bus to turn. One unit is
    refreshed at a time, and its banks are to be left alone by everybody else meanwhile.

    Where reads and writes take turns on the bus, refreshes pass while others wait for their turn:
    when a drain of writes begins, those of units that nobody wants; and when either direction
    begins, if six are outstanding, those of units that only requests of the other one want, but
    none of the first port. Nobody else is taken then for having left a bank.

    Parameters
    ----------
    spec : SliceSpec
        Geometry and tREFI.

    Members
    -------
    wanted : ``In(banks)``
        Slots that a requester, a row pass or an attention wants.
    resting : ``In(banks)``
        Those of them that only requests of other ports than the first want, and only such as the
        present direction keeps waiting.
    turned, writing : ``In(1)``
        The bus has been turned lately; the present direction is that of writes.
    issued : ``In(1)``
        The refresh asked for is issued in this clock.
    valid : ``Out(1)``
        A refresh is asked for.
    slots : ``Out(banks)``
        Banks of the unit; 0 unless ``valid``.
    all : ``Out(1)``
        With ``valid``: it is the PIM banks' turn, by ``REF_ALL``.
    """

    wanted: Signal
    resting: Signal
    turned: Signal
    writing: Signal
    issued: Signal
    valid: Signal
    slots: Signal
    all: Signal

    def __init__(self, spec: SliceSpec) -> None:
        banks = len(spec.geometry.banks)
        pim = spec.geometry.pim_banks
        self.units = [(1 << pim) - 1, *(1 << slot for slot in range(pim, banks))]
        self.step = refresh_step(spec)
        super().__init__({
            "wanted": In(banks), "resting": In(banks), "turned": In(1), "writing": In(1),
            "issued": In(1),
            "valid": Out(1), "slots": Out(banks), "all": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = Signal(range(self.step))
        turn = Signal(range(len(self.units)))
        tick = Signal()
        m.d.comb += tick.eq(count == self.step - 1)
        m.d.sync += count.eq(Mux(tick, 0, count + 1)[:len(count)])
        with m.If(tick):
            m.d.sync += turn.eq(Mux(turn == len(self.units) - 1, 0, turn + 1)[:len(turn)])

        unit = Signal(range(len(self.units)))
        forced, idle = Signal(len(self.units)), Signal(len(self.units))
        needed = Signal.like(self.wanted)
        m.d.comb += needed.eq(self.wanted & ~self.resting)
        calm, drains = ~self.resting.any(), self.turned & self.writing
        left = self._left(m)
        for index, slots in enumerate(self.units):
            pending = Signal(range(POSTPONED_MAX + 2), name=f"pending_{index}")
            due = tick & (turn == index)
            done = self.issued & (unit == index)
            with m.If(due & ~done & (pending != POSTPONED_MAX + 1)):
                m.d.sync += pending.eq(pending + 1)
            with m.Elif(done & ~due):
                m.d.sync += pending.eq(pending - 1)
            many = pending > PATIENCE
            m.d.comb += [
                forced[index].eq(pending >= POSTPONED_MAX),
                idle[index].eq(
                    (pending != 0) & ~(self.wanted & slots).any()
                    & (left[index] & calm | drains | many | ~self.wanted.any())
                    | (pending >= PATIENCE) & self.turned & ~(needed & slots).any()),
            ]

        chosen = Signal(len(self.units))
        m.d.comb += chosen.eq(Mux(forced.any(), forced, idle))
        with m.If(self.valid):
            m.d.comb += [self.slots.eq(Array(self.units)[unit]), self.all.eq(unit == 0)]
        awaited = (needed & self.slots).any()
        with m.If(self.valid & (self.issued | awaited & ~forced.bit_select(unit, 1))):
            m.d.sync += self.valid.eq(0)
        with m.If(~self.valid & chosen.any()):
            first = chosen & (~chosen + 1)[:len(chosen)]
            m.d.sync += [self.valid.eq(1), unit.eq(Cat(
                reduce(or_, (first[i] for i in range(len(self.units)) if i >> bit & 1), 0)
                for bit in range(len(unit))))]
        return m

    def _left(self, m: Module) -> Value:
        """Units that were wanted a short while ago and are not now; by periods, not clocks."""
        touched = Signal(len(self.units))
        lately = [Signal(len(self.units), name=f"touched_{n}_ago") for n in range(1, RECENT + 1)]
        count = Signal(range(PERIOD))
        wanted = Cat((self.wanted & slots).any() for slots in self.units)
        m.d.sync += [count.eq(Mux(count == PERIOD - 1, 0, count + 1)[:len(count)]),
                     touched.eq(touched | wanted)]
        with m.If(count == 0):
            m.d.sync += touched.eq(wanted)
            m.d.sync += [old.eq(new) for old, new in zip(lately, [touched, *lately[:-1]],
                                                         strict=True)]
        return ~touched & ~lately[0] & reduce(or_, lately[1:])
