"""A new token's K and V into the rows that row passes have opened."""

from amaranth import Array, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH, register_request_layout
from model.spec.slice import SliceSpec

TOKENS_READY = 2
"""Tokens that wait for the passes of their waves."""


def token_layout(spec: SliceSpec) -> data.StructLayout:
    """A column of a new token, and where it belongs."""
    g = spec.geometry
    return data.StructLayout({
        "data": BEAT_WIDTH,
        "value": 1,                          # of V
        "bank": range(max(g.pim_banks, 2)),
        "column": range(g.columns),
        "ends": 1,                           # the last one of its row
    })


class TokenWriter(wiring.Component):
    """Writes the columns of a row when a pass has opened it and waits for them.

    That spares the bank a row cycle of its own for K, and one for V, in which all others would have
    to rest. A column every tCCDL; the pass goes on when tWTRL has passed.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    token : ``In(stream.Signature(token_layout(spec)))``
        K, then V, of one token after another, in the order of their waves. All of a token must have
        been taken before its wave is handed to the sequencer.
    appends, appends_value : ``In(1)``
        A pass waits; over values.
    register : ``Out(stream.Signature(register_request_layout(spec)))``
    """

    token: stream.Interface
    appends: Signal
    appends_value: Signal
    register: stream.Interface

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        super().__init__({
            "token": In(stream.Signature(token_layout(spec))),
            "appends": In(1), "appends_value": In(1),
            "register": Out(stream.Signature(register_request_layout(spec))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout, out = token_layout(self.spec), self.register.p
        queues = []
        for value, name in enumerate(("keys", "values")):
            m.submodules[name] = queue = SyncFIFO(
                width=layout.size, depth=TOKENS_READY * self.spec.pim.chunks_max)
            mine = self.token.p.value == value
            m.d.comb += [
                queue.w_data.eq(self.token.payload.as_value()),
                queue.w_en.eq(self.token.valid & mine),
                queue.r_en.eq(self.register.valid & self.register.ready
                              & (self.appends_value == value)),
            ]
            with m.If(mine):
                m.d.comb += self.token.ready.eq(queue.w_rdy)
            queues.append(queue)
        column = Signal(layout)
        m.d.comb += [
            column.eq(Array(queue.r_data for queue in queues)[self.appends_value]),
            self.register.valid.eq(self.appends & Array(
                queue.r_rdy for queue in queues)[self.appends_value]),
            out.write.eq(1), out.column.eq(1), out.ends.eq(column.ends),
            out.mask.eq((1 << column.bank)[:len(out.mask)]), out.address.eq(column.column),
            out.data.eq(column.data),
        ]
        return m
