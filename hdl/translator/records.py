"""What software learns of the translator: records of faults, and counters."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.translator.layouts import block_id_layout, counters_layout, fault_layout
from model.spec.translation import COUNTERS, TranslatorSpec


class FaultQueue(wiring.Component):
    """Keeps records of refused requests in order; a record after one clock, one a clock.

    It never stops the translator, so that one tenant's faults do not stop another: a record for
    which there is no place is dropped, and `lost` says so.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    en, item : ``In(1)``, ``In(fault_layout())``
        A record.
    lost : ``Out(1)``
        The record of this clock is dropped.
    o : ``Out(stream.Signature(fault_layout()))``
        The records.
    """

    en: Signal
    item: data.View
    lost: Signal
    o: stream.Interface

    def __init__(self, spec: TranslatorSpec) -> None:
        self.depth = spec.fault_records
        super().__init__({
            "en": In(1), "item": In(fault_layout()), "lost": Out(1),
            "o": Out(stream.Signature(fault_layout())),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=fault_layout().size, depth=self.depth)
        m.d.comb += [
            fifo.w_en.eq(self.en), fifo.w_data.eq(self.item), self.lost.eq(self.en & ~fifo.w_rdy),
            self.o.valid.eq(fifo.r_rdy), self.o.payload.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
        ]
        return m


class Sampler(wiring.Component):
    """Keeps one block id until it is taken; what comes in the meantime is let go.

    A runtime that reads it now and then has a sample of the blocks in use, for one register.

    Members
    -------
    en, item : ``In(1)``, ``In(block_id_layout())``
        A block is used.
    o : ``Out(stream.Signature(block_id_layout()))``
        The first one since the last was taken.
    """

    en: Signal
    item: data.View
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__({
            "en": In(1), "item": In(block_id_layout()),
            "o": Out(stream.Signature(block_id_layout())),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(~self.o.valid):
            m.d.sync += [self.o.valid.eq(self.en), self.o.payload.eq(self.item)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m


class Counters(wiring.Component):
    """Counts events, each modulo 2**32; a count shows an event a clock later.

    Members
    -------
    events : ``In(StructLayout)``
        One bit for each counter.
    counts : ``Out(counters_layout())``
    """

    events: data.View
    counts: Any

    def __init__(self) -> None:
        super().__init__({
            "events": In(data.StructLayout(dict.fromkeys(COUNTERS, 1))),
            "counts": Out(counters_layout()),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name in COUNTERS:
            with m.If(self.events[name]):
                m.d.sync += self.counts[name].eq(self.counts[name] + 1)
        return m
