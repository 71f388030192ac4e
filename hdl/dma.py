"""The DMA engine of the base die: moves a KV block from one bank to another."""

from typing import Any

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH, PortSignature
from model.spec.slice import SliceSpec

ROWS_AHEAD = 2
"""Rows that are read ahead of writing, hence rows of the buffer."""


class MoveRequest(data.StructLayout):
    """A block move as software describes it; any value may be given."""

    def __init__(self) -> None:
        place = data.StructLayout({"row": 16, "bank": 8})
        super().__init__({"source": place, "destination": place, "rows": 32})


class Dma(wiring.Component):
    """Copies ``rows`` whole rows from one bank to another, reading up to two rows ahead.

    Reads and writes go a row at a time through one port of the memory channel, in the order
    R0 R1 W0 R2 W1 ..., so a read's latency is hidden behind the next row. The move ends when the
    last write is in the array. The source is never written.

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
        For one clock: the request was refused, or the channel refused an access.
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
        g = self._spec.geometry
        request, response = self.port.request, self.port.response
        # Beats; a row is a power of two of them, so the upper bits count rows.
        beats = range(g.rows * g.columns + 1)
        read, received, written, acked, total = (
            Signal(beats, name=n) for n in ("read", "received", "written", "acked", "total"))
        writing, fire = Signal(), Signal()
        move = Signal(MoveRequest())          # registers may be written while the move runs
        m.d.comb += [
            fire.eq(request.valid & request.ready),
            self.busy.eq(acked != total),
            response.ready.eq(1),
        ]

        with m.If(self.start & ~self.busy):
            with m.If(self._legal()):
                m.d.sync += [counter.eq(0) for counter in (read, received, written, acked, writing)]
                m.d.sync += [total.eq((self.request.rows * g.columns)[:len(total)]),
                             move.eq(self.request)]
            with m.Else():
                m.d.comb += self.bad.eq(1)
        with m.If(fire):
            with m.If(writing):
                m.d.sync += written.eq(written + 1)
            with m.Else():
                m.d.sync += read.eq(read + 1)
            self._elaborate_turns(m, read, written, total, writing)
        with m.If(response.valid):
            m.d.comb += self.bad.eq(response.p.error)
            with m.If(response.p.write):
                m.d.sync += acked.eq(acked + 1)
            with m.Else():
                m.d.sync += received.eq(received + 1)

        loaded = self._elaborate_buffer(m, received, written, fire & writing)
        m.d.comb += request.valid.eq(self.busy & Mux(writing, loaded, read != total))
        self._elaborate_address(m, move, Mux(writing, written, read), writing)
        return m

    def _elaborate_turns(self, m: Module, read: Signal, written: Signal, total: Signal,
                         writing: Signal) -> None:
        """At the end of a row: read the next one if there is one and room for it, else write."""
        column_bits = (self._spec.geometry.columns - 1).bit_length()
        read_next, written_next = Signal.like(read), Signal.like(written)
        m.d.comb += [
            read_next.eq(read + ~writing),
            written_next.eq(written + writing),
        ]
        moved = Mux(writing, written_next, read_next)
        with m.If(moved[:column_bits] == 0):
            ahead = Signal.like(read)
            m.d.comb += ahead.eq((read_next - written_next)[:len(ahead)])
            room = (ahead >> column_bits) < ROWS_AHEAD
            m.d.sync += writing.eq((read_next == total) | ~room)

    def _elaborate_buffer(self, m: Module, received: Signal, written: Signal,
                          taken: Value) -> Value:
        """Stores what arrives, shows what is to be written next; returns whether it is there."""
        depth = ROWS_AHEAD * self._spec.geometry.columns
        m.submodules.buffer = buffer = Memory(shape=BEAT_WIDTH, depth=depth, init=[])
        store, fetch = buffer.write_port(), buffer.read_port()
        upcoming, loaded = Signal.like(written), Signal()
        response = self.port.response
        m.d.comb += [
            upcoming.eq(written + taken),
            store.addr.eq(received[:len(store.addr)]),
            store.data.eq(response.p.data),
            store.en.eq(response.valid & ~response.p.write),
            fetch.addr.eq(upcoming[:len(fetch.addr)]),
            # A read shows no data: a stalled request must not change as answers come in.
            self.port.request.p.data.eq(Mux(self.port.request.p.write, fetch.data, 0)),
        ]
        m.d.sync += loaded.eq(received > upcoming)
        return loaded

    def _elaborate_address(self, m: Module, move: data.View, beat: Value, writing: Signal) -> None:
        column_bits = (self._spec.geometry.columns - 1).bit_length()
        request = self.port.request.p
        place = move.source.shape()(
            Mux(writing, move.destination.as_value(), move.source.as_value()))
        m.d.comb += [
            request.write.eq(writing),
            request.bank.eq(place.bank[:len(request.bank)]),
            request.row.eq((place.row + (beat >> column_bits))[:len(request.row)]),
            request.column.eq(beat[:column_bits]),
        ]

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
