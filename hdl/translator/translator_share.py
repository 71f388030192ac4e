"""One translator for several units."""

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dma.port_share import StreamShare
from hdl.translator.layouts import TranslatorPort
from model.spec.errors import require_int
from model.spec.translation import REQUESTER_WIDTH, TranslatorSpec


class TranslatorShare(wiring.Component):
    """Takes lookups, and commits, of the units in turn; numbers them, and sorts the answers.

    No latency. A unit that does not take an answer holds up the answers behind it.

    Parameters
    ----------
    spec : TranslatorSpec
    units : int
        The number of a unit is its ``requester`` in the translator's fault records.

    Members
    -------
    i_0 and so on : ``In(TranslatorPort(spec))``
    o : ``Out(TranslatorPort(spec))``
    """

    o: Any

    def __init__(self, spec: TranslatorSpec, *, units: int) -> None:
        require_int("units", units, 1, 1 << REQUESTER_WIDTH)
        self.units = units
        super().__init__({
            **{f"i_{n}": In(TranslatorPort(spec)) for n in range(units)},
            "o": Out(TranslatorPort(spec))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for question, answer in (("lookup", "translation"), ("commit", "committed")):
            asked, answered = getattr(self.o, question), getattr(self.o, answer)
            share = StreamShare(asked.payload.shape(), self.units)
            m.submodules[question] = share
            connect(m, share.o, flipped(asked))
            for n in range(self.units):
                unit: Any = getattr(self, f"i_{n}")
                asks, way, told = (getattr(unit, question), getattr(share, f"i_{n}"),
                                   getattr(unit, answer))
                m.d.comb += [
                    way.valid.eq(asks.valid), asks.ready.eq(way.ready),
                    way.payload.eq(asks.payload), way.p.requester.eq(n),
                    told.payload.eq(answered.payload),
                    told.valid.eq(answered.valid & (answered.p.requester == n)),
                ]
                with m.If(answered.p.requester == n):
                    m.d.comb += answered.ready.eq(told.ready)
        return m
