"""Block moves that software starts through registers, one at a time."""

from typing import Any

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dma.address_walker import AddressWalker
from hdl.dma.mover import Mover
from hdl.layouts import PortSignature
from model.spec.dma import DmaSpec
from model.spec.slice import SliceSpec

REGISTER_DMA = DmaSpec(channels=1, jobs=2, slots=8, read_lanes=4)
"""The buffer of this mover: eight rows, as many as a KV block of 128 elements a head."""


class MoveRequest(data.StructLayout):
    """A block move as software describes it; any value may be given."""

    def __init__(self) -> None:
        place = data.StructLayout({"row": 16, "bank": 8})
        super().__init__({"source": place, "destination": place, "rows": 32})


class Dma(wiring.Component):
    """Copies ``rows`` whole rows from one bank to another through the buffer of a mover.

    The first read is asked for six clocks after the start. The move ends when the last write is in
    the array. The source is never written.

    Refused (``bad``, nothing read or written): a bank or row that does not exist, zero rows, source
    and destination that overlap. A start while busy is ignored.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    start, request : ``In(1)``, ``In(MoveRequest())``
    port : ``Out(PortSignature(spec))``
    busy : ``Out(1)``
    bad : ``Out(1)``
        For one clock: the request was refused, or an access failed, which ends the move.
    """

    start: Signal
    request: data.View
    port: Any
    busy: Signal
    bad: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        super().__init__({
            "start": In(1), "request": In(MoveRequest()),
            "port": Out(PortSignature(spec)),
            "busy": Out(1), "bad": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.mover = mover = Mover(self._spec, REGISTER_DMA)
        walkers = {side: AddressWalker(self._spec) for side in ("source", "destination")}
        begin, legal, over, trouble, failed = (Signal(name=n) for n in (
            "begin", "legal", "over", "trouble", "failed"))
        source, destination = walkers["source"], walkers["destination"]
        run = Signal.like(source.run)
        connect(m, mover.port, flipped(self.port))
        m.d.comb += [
            legal.eq(self._legal()),
            begin.eq(self.start & ~self.busy & legal),
            trouble.eq(mover.events.fault_valid | mover.events.spoiled_valid),
            self.bad.eq((self.start & ~self.busy & ~legal) | trouble),
            mover.failed.eq(failed),
            run.eq(Mux(source.run < destination.run, source.run, destination.run)),
            mover.offer.eq(self.busy & ~failed & source.valid & destination.valid),
            mover.segment.reads.eq(1), mover.segment.writes.eq(1),
            mover.segment.beats.eq(run), mover.segment.source.eq(source.spot),
            mover.segment.destination.eq(destination.spot),
            over.eq(self._all_written(m, mover) & (failed | source.done)),
        ]
        for side, walker in walkers.items():
            m.submodules[side] = walker
            m.d.comb += [walker.load.eq(begin), walker.take.eq(Mux(mover.accept, run, 0)),
                         *self._walk(walker.walk, self.request[side])]
        with m.If(begin):
            m.d.sync += [self.busy.eq(1), failed.eq(0)]
        with m.Elif(over):
            m.d.sync += self.busy.eq(0)
        with m.If(trouble):
            m.d.sync += failed.eq(1)
        return m

    def _walk(self, walk: data.View, place: data.View) -> list[Any]:
        columns = self._spec.geometry.columns
        return [walk.place.bank.eq(place.bank), walk.place.row.eq(place.row),
                walk.elements.eq(self.request.rows[:len(walk.elements)]),
                walk.beats.eq(columns), walk.stride.eq(columns)]

    def _all_written(self, m: Module, mover: Mover) -> Value:
        """Nothing is in the buffer, and nothing on its way from there to memory."""
        events = mover.events
        count = Signal(range(4 * REGISTER_DMA.buffer_beats))
        more = mover.accept + events.issued_valid
        fewer = events.ended_valid + events.acked_valid + events.spoiled_valid
        m.d.sync += count.eq((count + more - fewer)[:len(count)])
        return count == 0

    def _legal(self) -> Value:
        geometry = self._spec.geometry
        rows = self.request.rows
        source, destination = self.request.source, self.request.destination

        def inside(place: data.View) -> Value:
            exists = Value.cast(0)
            for bank in geometry.banks:
                exists |= place.bank == bank
            return exists & (place.row + rows <= geometry.rows)

        apart = ((source.bank != destination.bank)
                 | (source.row + rows <= destination.row)
                 | (destination.row + rows <= source.row))
        return (rows != 0) & inside(source) & inside(destination) & apart
