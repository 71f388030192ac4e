"""The top: the base die of a stack, for some of its pseudo-channels."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.descriptor_layouts import ELSEWHERE
from hdl.dma.stream_path import HOST_IN, HOST_OUT
from hdl.host.axi import AxiSignature
from hdl.host.axi_lite import AxiLiteSignature
from hdl.host.register_block import RegisterBlock, interrupt
from hdl.host.registers import RegisterBus
from hdl.layouts import BEAT_WIDTH, CommandSignature, result_layout
from hdl.pseudo_channel import PseudoChannel
from hdl.shared import Shared
from model.spec.base_die import BaseDieSpec
from model.spec.registers import CHANNEL_BLOCKS, IDENTIFIER, die_map

EVENTS = ("attended", "moved", "refused", "erred", "announced")
"""What pseudo-channels report, in the order of :data:`model.spec.registers.INTERRUPTS`."""


class BaseDie(wiring.Component):
    """Pseudo-channels, the registers of all of them behind one bus, and one interrupt.

    Pseudo-channels share no data path: each has a memory port, host streams and attention streams
    of its own, as it has in a stack. Latencies are those of the units.

    Parameters
    ----------
    spec : BaseDieSpec

    Members
    -------
    bus : ``In(AxiLiteSignature)``
        Registers (docs/registers.md).
    axi : array of ``In(AxiSignature)``
        A memory port for each pseudo-channel.
    host_in, host_out : arrays of ``In(stream)``, ``Out(stream)``
        The host's side of moves.
    query, result : arrays of ``In(stream)``, ``Out(stream)``
        Of attentions that registers start.
    elsewhere : array of ``Out(stream.Signature(ELSEWHERE))``
        Blocks of attention descriptors whose partial results are asked of another tier.
    commands : array of ``Out(CommandSignature)``
        The DRAM command buses, for observers.
    irq : ``Out(1)``
        An event that is enabled has happened and was not cleared.
    """

    bus: Any
    axi: Any
    host_in: Any
    host_out: Any
    query: Any
    result: Any
    elsewhere: Any
    commands: Any
    irq: Signal

    def __init__(self, spec: BaseDieSpec) -> None:
        self.spec = spec
        channels = spec.channels
        memory = AxiSignature(spec.axi_address_width, spec.axi_id_width)
        super().__init__({
            "bus": In(AxiLiteSignature(spec.space.address_width)),
            "axi": In(memory).array(channels),
            "host_in": In(stream.Signature(HOST_IN)).array(channels),
            "host_out": Out(stream.Signature(HOST_OUT)).array(channels),
            "query": In(stream.Signature(BEAT_WIDTH)).array(channels),
            "result": Out(stream.Signature(result_layout())).array(channels),
            "elsewhere": Out(stream.Signature(ELSEWHERE)).array(channels),
            "commands": Out(CommandSignature(spec.channel)).array(channels),
            "irq": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.bus = bus = RegisterBus(spec.space)
        die: Any = RegisterBlock(die_map())
        m.submodules.die = die
        connect(m, flipped(self.bus), bus.bus)
        connect(m, bus.blocks[0], die.access)
        accesses = iter(bus.blocks[1:])
        units: list[Any] = []
        for c in range(spec.channels):
            m.submodules[f"channel_{c}"] = unit = Shared("pseudo_channel", PseudoChannel, spec)
            units.append(unit)
            self._connect_channel(m, unit, c, [next(accesses) for _ in CHANNEL_BLOCKS])
        m.d.comb += [
            die.identifier.eq(IDENTIFIER), die.channels.eq(spec.channels),
            self.irq.eq(interrupt(m, die, Cat(
                reduce(or_, (getattr(unit, name) for unit in units)) for name in EVENTS))),
        ]
        return m

    def _connect_channel(self, m: Module, unit: Any, c: int, accesses: list[Any]) -> None:
        for access, name in zip(accesses, CHANNEL_BLOCKS, strict=True):
            connect(m, access, getattr(unit, name))
        for name in ("axi", "host_in", "query"):
            connect(m, flipped(getattr(self, name)[c]), getattr(unit, name))
        for name in ("host_out", "result", "elsewhere", "commands"):
            connect(m, getattr(unit, name), flipped(getattr(self, name)[c]))
        m.d.comb += unit.number.eq(c)
