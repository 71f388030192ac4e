"""Several streams into one."""

from amaranth import Module, Mux, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from model.spec.errors import require_int


class StreamShare(wiring.Component):
    """Takes a payload a clock from one of several streams, in turn; no latency.

    Parameters
    ----------
    shape : ShapeLike
        Of the payload.
    inputs : int

    Members
    -------
    i_0 and so on : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape))``
        What is shown stays until it is taken.
    """

    o: stream.Interface

    def __init__(self, shape: ShapeLike, inputs: int) -> None:
        require_int("inputs", inputs, 1, 64)
        self.inputs = inputs
        super().__init__({
            **{f"i_{n}": In(stream.Signature(shape)) for n in range(inputs)},
            "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        asks, behind, pick, last = (Signal(self.inputs, name=n)
                                    for n in ("asks", "behind", "pick", "last"))
        locked = Signal()
        ahead = asks & behind
        turn = Mux(ahead.any(), ahead, asks)
        m.d.comb += pick.eq(Mux(locked, last, turn & (~turn + 1)[:self.inputs]))
        m.d.sync += [last.eq(pick), locked.eq(self.o.valid & ~self.o.ready)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += behind.eq(~(pick | (pick - 1)[:self.inputs]))
        for n in range(self.inputs):
            port: stream.Interface = getattr(self, f"i_{n}")
            m.d.comb += [asks[n].eq(port.valid), port.ready.eq(pick[n] & self.o.ready)]
            with m.If(pick[n]):
                m.d.comb += [self.o.valid.eq(port.valid), self.o.payload.eq(port.payload)]
        return m
