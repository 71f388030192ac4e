"""A queue whose places are reserved before the items exist."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from model.spec.errors import require_int


class ReservedQueue(wiring.Component):
    """Lets a pipeline without back-pressure end in a stream: an item a clock, after one clock.

    Who feeds the pipeline reserves a place for what will come out of it, and only if there is
    ``room``; so the pipeline itself never stalls and nothing is lost.

    Parameters
    ----------
    layout : data.StructLayout
        What an item is.
    depth : int
        Places, at least 2.

    Members
    -------
    room : ``Out(1)``
        A place is free.
    reserve : ``In(1)``
        Takes one; only with ``room``.
    en, item : ``In(1)``, ``In(layout)``
        An item for which a place was reserved.
    o : ``Out(stream.Signature(layout))``
        The items in order.
    empty : ``Out(1)``
        Nothing is reserved, nothing waits.
    """

    room: Signal
    reserve: Signal
    en: Signal
    item: data.View
    o: stream.Interface
    empty: Signal

    def __init__(self, layout: data.StructLayout, *, depth: int) -> None:
        require_int("depth", depth, 2, 1 << 10)
        self.layout, self.depth = layout, depth
        super().__init__({
            "room": Out(1), "reserve": In(1),
            "en": In(1), "item": In(layout),
            "o": Out(stream.Signature(layout)),
            "empty": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=self.layout.size, depth=self.depth)
        taken = Signal(range(self.depth + 1))
        leaves = self.o.valid & self.o.ready
        m.d.comb += [
            fifo.w_en.eq(self.en), fifo.w_data.eq(self.item),
            self.o.valid.eq(fifo.r_rdy), self.o.payload.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
            self.room.eq(taken != self.depth), self.empty.eq(taken == 0),
        ]
        with m.If(self.reserve & ~leaves):
            m.d.sync += taken.eq(taken + 1)
        with m.Elif(leaves & ~self.reserve):
            m.d.sync += taken.eq(taken - 1)
        return m
