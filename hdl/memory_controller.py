"""Everything of a pseudo-channel that has to do with memory: channel, tables, moves, errors."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dma.engine import DmaEngine
from hdl.dma.stream_path import HOST_IN, HOST_OUT
from hdl.dram.channel import SCRUBBER, Channel, CounterSignature
from hdl.dram.dram_device import PimUnit
from hdl.host.axi_lite import AccessSignature
from hdl.host.register_block import RegisterBlock
from hdl.host.unit_registers import connect_dma, connect_translator
from hdl.layouts import AttentionShape, CommandSignature, PimPortSignature, PortSignature
from hdl.pim.pim_unit import pim_unit
from hdl.reliability.port_watch import PortWatch, watch_port
from hdl.reliability.reliability import KIND, Reliability
from hdl.translator.layouts import TranslatorPort
from hdl.translator.translator import Translator
from hdl.translator.translator_share import TranslatorShare
from model.spec.base_die import BaseDieSpec
from model.spec.register_map import BLOCK_WIDTH
from model.spec.translation import Fault
from model.spec.unit_registers import dma_map, translator_map

WATCHED = ("gpu", "walk", "attend", "dma")
"""Requesters, in order of priority; behind them comes the scrubber, which nothing waits for."""

REQUESTERS = (*WATCHED, SCRUBBER)


class MemoryController(wiring.Component):
    """The memory channel of a pseudo-channel with all that uses it; only connections.

    Parameters
    ----------
    spec : BaseDieSpec
    pim_unit : callable
        Makes the PIM unit of a bank.

    Members
    -------
    reliability, dma, translator : ``In(AccessSignature(BLOCK_WIDTH))``
        Registers of these units.
    gpu, attend : ``In(PortSignature)``
        Reads and writes of the GPU, and of the attention descriptor engine.
    blocks : ``In(TranslatorPort)``
        The descriptor engine's share of the translator.
    pim, shape : ``In(PimPortSignature)``, ``In(AttentionShape)``
        Of the attention units.
    host_in, host_out : ``In(stream)``, ``Out(stream)``
        The host's side of moves.
    number : ``In(8)``
        Of this pseudo-channel in the stack.
    commands, counters : ``Out``
        Of the channel.
    moved, refused, erred : ``Out(1)``
        The DMA engine wants attention; a translation fault, an error is recorded.
    device_error : ``Out(1)``
        For one clock: a DRAM command broke the protocol, or a PIM unit was overrun.
    """

    reliability: Any
    dma: Any
    translator: Any
    gpu: Any
    attend: Any
    blocks: Any
    pim: Any
    shape: data.View
    host_in: stream.Interface
    host_out: stream.Interface
    number: Signal
    commands: Any
    counters: Any
    moved: Signal
    refused: Signal
    erred: Signal
    device_error: Signal

    def __init__(self, spec: BaseDieSpec, pim_unit: PimUnit = pim_unit) -> None:
        self.spec, self.pim_unit = spec, pim_unit
        channel = spec.channel
        super().__init__({
            **{name: In(AccessSignature(BLOCK_WIDTH))
               for name in ("reliability", "dma", "translator")},
            "gpu": In(PortSignature(channel)), "attend": In(PortSignature(channel)),
            "blocks": In(TranslatorPort(spec.translator)), "pim": In(PimPortSignature(channel)),
            "shape": In(AttentionShape(channel.pim)),
            "host_in": In(stream.Signature(HOST_IN)), "host_out": Out(stream.Signature(HOST_OUT)),
            "number": In(8), "commands": Out(CommandSignature(channel)),
            "counters": Out(CounterSignature()),
            "moved": Out(1), "refused": Out(1), "erred": Out(1), "device_error": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.channel = channel = Channel(
            spec.channel, requesters=REQUESTERS, pim_unit=self.pim_unit)
        m.submodules.walker = translator = Translator(spec.translator)
        m.submodules.engine = engine = DmaEngine(
            spec.channel, spec.dma, translator=spec.translator, quantiser=spec.quantiser)
        m.submodules.upkeep = upkeep = Reliability(
            spec.channel, ports=len(REQUESTERS), sources=len(WATCHED) + 2, depth=spec.log_records)

        share: Any = TranslatorShare(spec.translator, units=2)
        m.submodules.share = share
        connect(m, flipped(self.gpu), channel.port("gpu"))
        connect(m, flipped(self.attend), channel.port("attend"))
        connect(m, translator.port, channel.port("walk"))
        connect(m, engine.port, channel.port("dma"))
        connect(m, upkeep.port, channel.port(SCRUBBER))
        connect(m, upkeep.upkeep, channel.upkeep)
        connect(m, engine.translator, share.i_0)
        connect(m, flipped(self.blocks), share.i_1)
        connect(m, share.o, translator.requester)
        connect(m, flipped(self.pim), channel.pim)
        connect(m, flipped(self.host_in), engine.host_in)
        connect(m, engine.host_out, flipped(self.host_out))
        connect(m, channel.commands, flipped(self.commands))
        connect(m, channel.counters, flipped(self.counters))
        m.d.comb += [
            channel.shape.eq(self.shape), engine.pseudo_channel.eq(self.number),
            self.moved.eq(engine.irq), self.refused.eq(translator.fault.valid),
            self.erred.eq(upkeep.event), self.device_error.eq(channel.error),
        ]
        self._registers(m, engine, translator, upkeep)
        self._reports(m, channel, translator, upkeep)
        return m

    def _registers(self, m: Module, engine: DmaEngine, translator: Translator,
                   upkeep: Reliability) -> None:
        dma: Any = RegisterBlock(dma_map(self.spec.dma.channels))
        tables: Any = RegisterBlock(translator_map())
        m.submodules.dma_registers, m.submodules.walker_registers = dma, tables
        connect(m, flipped(self.dma), dma.access)
        connect(m, flipped(self.translator), tables.access)
        connect(m, flipped(self.reliability), upkeep.access)
        connect_dma(m, dma, engine)
        connect_translator(m, tables, translator)

    def _reports(self, m: Module, channel: Any, translator: Translator,
                 upkeep: Reliability) -> None:
        """Errors for the log, besides those of words."""
        valid: list[Value] = []
        for n, name in enumerate(WATCHED):
            m.submodules[f"watch_{name}"] = watch = PortWatch(limit=self.spec.watchdog_clocks)
            watch_port(m, watch, channel.port(name))
            valid.append(watch.expired)
            m.d.comb += [upkeep.reports[n].kind.eq(KIND["time_out"]),
                         upkeep.reports[n].info.eq(watch.expired_tag)]
        # The translator answers at most one lookup and one commit a clock.
        looked_up, committed = translator.requester.translation, translator.requester.committed
        odd = [Signal(name=f"odd_{i}") for i in range(2)]
        parity, protocol = (upkeep.reports[len(WATCHED) + n] for n in range(2))
        m.d.comb += [
            *(bit.eq(answer.valid & answer.ready & (answer.p.fault == Fault.TABLE_PARITY))
              for bit, answer in zip(odd, (looked_up, committed), strict=True)),
            parity.kind.eq(KIND["parity"]),
            parity.info.eq(Mux(odd[0], looked_up.p.tag, committed.p.tag)),
            protocol.kind.eq(KIND["protocol"]),
            upkeep.report_valid.eq(Cat(*valid, Cat(odd).any(), channel.error)),
        ]
