"""The translator with its tables in the banks of a real memory channel."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dram.channel import Channel
from hdl.layouts import PortSignature
from hdl.translator.layouts import (
    TranslatorPort,
    counters_layout,
    fault_layout,
    invalidation_layout,
    tables_layout,
)
from hdl.translator.translator import Translator
from model.spec.translation import TranslatorSpec
from tb.column_recorder import ColumnRecorder


class TranslatorOnChannel(wiring.Component):
    """A translator and a host share a memory channel; the translator goes first.

    Parameters
    ----------
    spec : TranslatorSpec

    Members
    -------
    requester, invalidate, fault, tables, counters
        Of the translator.
    host : ``In(PortSignature(spec.channel))``
        The runtime's way to the tables.
    error : ``Out(1)``
        The channel's.
    """

    requester: Any
    invalidate: stream.Interface
    fault: stream.Interface
    tables: data.View
    counters: data.View
    host: Any
    error: Signal

    def __init__(self, spec: TranslatorSpec) -> None:
        self.spec = spec
        super().__init__({
            "requester": In(TranslatorPort(spec)),
            "invalidate": In(stream.Signature(invalidation_layout())),
            "fault": Out(stream.Signature(fault_layout())),
            "tables": In(tables_layout()), "counters": Out(counters_layout()),
            "host": In(PortSignature(spec.channel)), "error": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.translator = translator = Translator(self.spec)
        channel: Any = Channel(self.spec.channel, requesters=("translator", "host"),
                               pim_unit=ColumnRecorder)
        m.submodules.channel = channel
        connect(m, translator.port, channel.translator)
        connect(m, flipped(self.host), channel.host)
        connect(m, flipped(self.requester), translator.requester)
        connect(m, flipped(self.invalidate), translator.invalidate)
        connect(m, translator.fault, flipped(self.fault))
        m.d.comb += [translator.tables.eq(self.tables), translator.touched.ready.eq(1),
                     self.counters.eq(translator.counters), self.error.eq(channel.error)]
        return m
