"""Which of several places was taken first."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class AgeOrder(wiring.Component):
    """Remembers the order in which places were taken; one clock late.

    Parameters
    ----------
    places : int

    Members
    -------
    taken : ``In(places)``
        One place at most is taken in this clock; it becomes the youngest.
    used : ``In(places)``
        Places in use, which are older than the one taken.
    older : ``Out(places)`` for each place, ``older_0`` and so on
        Places that were taken before this one and are still in use, or have been.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        super().__init__({
            "taken": In(places), "used": In(places),
            **{f"older_{i}": Out(places) for i in range(places)}})

    taken: Signal
    used: Signal

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for place in range(self.places):
            older: Signal = getattr(self, f"older_{place}")
            with m.If(self.taken[place]):
                m.d.sync += older.eq(self.used & ~self.taken)
            with m.Else():
                m.d.sync += older.eq(older & ~self.taken)
        return m

    def oldest(self, asking: Value) -> Value:
        """The one of ``asking`` that was taken first, as one bit."""
        return Cat(asking[i] & ~(asking & getattr(self, f"older_{i}")).any()
                   for i in range(self.places))
