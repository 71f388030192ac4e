"""The top: one pseudo-channel of a stack with its share of the base die."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.attention_units import attention_units
from hdl.dma.register_move import Dma
from hdl.dram.channel import Channel
from hdl.host.axi_lite import AxiLiteSignature
from hdl.host.counters import EVENTS, Counters
from hdl.host.registers import Registers
from hdl.layouts import BEAT_WIDTH, CommandSignature, PortSignature, result_layout
from hdl.pim.pim_unit import pim_unit
from model.spec.registers import ADDRESS_WIDTH
from model.spec.slice import SliceSpec


class Slice(wiring.Component):
    """One pseudo-channel with PIM and capacity banks, DMA, attention units and registers.

    Software puts KV blocks into banks through ``host``, describes an attention or a block move in
    the registers, and starts it; queries go in and outputs come out as streams.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    bus : ``In(AxiLiteSignature(ADDRESS_WIDTH))``
        Registers (:mod:`model.spec.registers`).
    host : ``In(PortSignature(spec))``
        Reads and writes of the GPU.
    query : ``In(stream.Signature(256))``
        Query vectors of an attention: 16 elements a beat, head by head.
    result : ``Out(stream.Signature(result_layout()))``
        Its outputs, head by head; ``last`` on the last beat of a head.
    attend_busy, move_busy : ``Out(1)``
        An attention, a block move is under way.
    commands : ``Out(CommandSignature(spec))``
        The DRAM command buses, for observers.
    """

    bus: Any
    host: Any
    query: stream.Interface
    result: stream.Interface
    attend_busy: Signal
    move_busy: Signal
    commands: Any

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        super().__init__({
            "bus": In(AxiLiteSignature(ADDRESS_WIDTH)),
            "host": In(PortSignature(spec)),
            "query": In(stream.Signature(BEAT_WIDTH)),
            "result": Out(stream.Signature(result_layout())),
            "attend_busy": Out(1), "move_busy": Out(1),
            "commands": Out(CommandSignature(spec)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.registers = registers = Registers(spec)
        m.submodules.counters = counters = Counters()
        m.submodules.channel = channel = Channel(spec, pim_unit=pim_unit)
        m.submodules.dma = dma = Dma(spec)
        sequencer, softmax = attention_units(m, spec, channel, registers, flipped(self.result))

        connect(m, registers.bus, flipped(self.bus))
        connect(m, channel.port("gpu"), flipped(self.host))
        connect(m, sequencer.query, flipped(self.query))
        connect(m, flipped(self.commands), channel.commands)
        connect(m, channel.port("dma"), dma.port)
        m.d.comb += [
            self.attend_busy.eq(sequencer.busy), self.move_busy.eq(dma.busy),
            registers.attend_busy.eq(sequencer.busy), registers.move_busy.eq(dma.busy),
            registers.wave.eq(sequencer.entry), sequencer.wave_row.eq(registers.wave_row),
            registers.counters.eq(counters.values),
            registers.errors.bad_attention.eq(sequencer.refused),
            registers.errors.bad_move.eq(dma.bad),
            registers.errors.nan_score.eq(softmax.nan),
            registers.errors.device.eq(channel.error),

            sequencer.start.eq(registers.start_attend),

            dma.start.eq(registers.start_move),
            dma.request.source.row.eq(registers.move_source.row),
            dma.request.source.bank.eq(registers.move_source.bank),
            dma.request.destination.row.eq(registers.move_destination.row),
            dma.request.destination.bank.eq(registers.move_destination.bank),
            dma.request.rows.eq(registers.move_rows),

            counters.start_attend.eq(registers.start_attend),
            counters.start_move.eq(registers.start_move),
            counters.attend_busy.eq(sequencer.busy), counters.move_busy.eq(dma.busy),
            *(counters.events[name].eq(getattr(channel.counters, name)) for name in EVENTS),
        ]
        return m
