"""A memory channel with one port that takes a trace, and all that is seen of it in one word."""


from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.dram.channel import Channel
from model.spec.port import TAG_WIDTH
from model.spec.slice import SliceSpec
from model.spec.timing import Command
from tb.bare_bank import BareBank
from tb.column_recorder import ColumnRecorder


def access_layout(spec: SliceSpec) -> data.StructLayout:
    """One access of the trace."""
    g = spec.geometry
    return data.StructLayout({"write": 1, "bank": g.bank_width, "row": range(g.rows),
                              "column": range(g.columns)})


def sight_layout(spec: SliceSpec) -> data.StructLayout:
    """What is seen in a clock: one signal, since reading signals is what takes a bench its time."""
    g = spec.geometry
    return data.StructLayout({
        "row_command": Command, "row_bank": g.bank_width, "row": range(g.rows),
        "column_command": Command, "column_bank": g.bank_width, "column": range(g.columns),
        "accepted": 1,                      # the access that is offered is taken in this clock
        "answered": 1, "tag": TAG_WIDTH,    # an answer
        "hit": 1, "miss": 1, "conflict": 1,
        "error": 1,
    })


class TracedChannel(wiring.Component):
    """A channel of bare banks whose requests are numbered, modulo 256, in the order of the trace.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    i : ``In(stream.Signature(access_layout(spec)))``
        Accesses, as many a clock as the channel takes.
    sight : ``Out(sight_layout(spec))``
        What happens in this clock.
    """

    i: stream.Interface
    sight: data.View

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        super().__init__({"i": In(stream.Signature(access_layout(spec))),
                          "sight": Out(sight_layout(spec))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.channel = channel = Channel(
            self.spec, requesters=("trace",), pim_unit=ColumnRecorder, bank_unit=BareBank)
        port = channel.port("trace")
        request, sight, access = port.request, self.sight, self.i.p
        tag = Signal(TAG_WIDTH)
        accepted = request.valid & request.ready
        with m.If(accepted):
            m.d.sync += tag.eq(tag + 1)
        m.d.comb += [
            request.valid.eq(self.i.valid), self.i.ready.eq(request.ready),
            request.p.tag.eq(tag), request.p.write.eq(access.write),
            request.p.bank.eq(access.bank), request.p.row.eq(access.row),
            request.p.column.eq(access.column),
            port.response.ready.eq(1),
            sight.accepted.eq(accepted),
            sight.answered.eq(port.response.valid), sight.tag.eq(port.response.p.tag),
            sight.hit.eq(channel.counters.row_hits), sight.miss.eq(channel.counters.row_misses),
            sight.conflict.eq(channel.counters.row_conflicts), sight.error.eq(channel.error),
        ]
        for bus, name in ((channel.commands.row, "row"), (channel.commands.column, "column")):
            m.d.comb += [sight[f"{name}_command"].eq(bus.command),
                         sight[f"{name}_bank"].eq(bus.bank)]
        m.d.comb += [sight.row.eq(channel.commands.row.row),
                     sight.column.eq(channel.commands.column.column)]
        return m
