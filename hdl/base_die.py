"""The top: the base die of a stack, for some of its pseudo-channels."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.descriptor_layouts import ELSEWHERE, FOREIGN_PART
from hdl.attention.join_engine import JoinEngine
from hdl.dma.stream_path import HOST_IN, HOST_OUT
from hdl.host.axi import AxiSignature
from hdl.host.axi_lite import AxiLiteSignature
from hdl.host.register_block import RegisterBlock, interrupt
from hdl.host.registers import RegisterBus
from hdl.host.unit_registers import connect_joins
from hdl.layouts import BEAT_WIDTH, CommandSignature, result_layout
from hdl.pseudo_channel import PseudoChannel
from hdl.shared import Shared
from model.spec.base_die import BaseDieSpec
from model.spec.registers import CHANNEL_BLOCKS, DIE_BLOCKS, IDENTIFIER, die_map
from model.spec.unit_registers import joins_map

EVENTS = ("attended", "moved", "refused", "erred", "announced")
"""What pseudo-channels report, in the order of :data:`model.spec.registers.INTERRUPTS`; behind them
comes what the join engine does."""


class BaseDie(wiring.Component):
    """Pseudo-channels, the registers of all of them behind one bus, and one interrupt.

    Each pseudo-channel has a memory port, host streams and attention streams of its own, as it has
    in a stack; only parts of joins go from all of them to one engine, and queries from there to all
    of them. Latencies are those of the units.

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
    foreign : ``In(stream.Signature(FOREIGN_PART))``
        Its answers, and any other parts of open joins from outside; ready, but
        for a few clocks when one has broken off.
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
    foreign: stream.Interface
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
            "foreign": In(stream.Signature(FOREIGN_PART)),
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
        joins = self._joins(m, bus.blocks[1])
        accesses = iter(bus.blocks[len(DIE_BLOCKS):])
        units: list[Any] = []
        for c in range(spec.channels):
            m.submodules[f"channel_{c}"] = unit = Shared("pseudo_channel", PseudoChannel, spec)
            units.append(unit)
            self._connect_channel(m, unit, c, [next(accesses) for _ in CHANNEL_BLOCKS])
            self._connect_joins(m, joins, unit, c)
        m.d.comb += [
            die.identifier.eq(IDENTIFIER), die.channels.eq(spec.channels),
            self.irq.eq(interrupt(m, die, Cat(
                *(reduce(or_, (getattr(unit, name) for unit in units)) for name in EVENTS),
                joins.announced))),
        ]
        return m

    def _joins(self, m: Module, access: Any) -> Any:
        """The join engine with its registers."""
        spec = self.spec
        m.submodules.joins = joins = JoinEngine(spec.channel, spec.engine, channels=spec.channels)
        block: Any = RegisterBlock(joins_map(spec.engine.rings))
        m.submodules.join_registers = block
        connect(m, access, block.access)
        connect_joins(m, block, joins)
        connect(m, flipped(self.foreign), joins.foreign)
        return joins

    def _connect_joins(self, m: Module, joins: Any, unit: Any, c: int) -> None:
        connect(m, unit.part, getattr(joins, f"part_{c}"))
        m.d.comb += [
            unit.board.eq(getattr(joins, f"board_{c}")),
            getattr(joins, f"claim_{c}").eq(unit.claim),
            getattr(joins, f"claimed_{c}").eq(unit.claimed)]
        connect(m, getattr(joins, f"copies_{c}") if c else joins.port, unit.joins)

    def _connect_channel(self, m: Module, unit: Any, c: int, accesses: list[Any]) -> None:
        for access, name in zip(accesses, CHANNEL_BLOCKS, strict=True):
            connect(m, access, getattr(unit, name))
        for name in ("axi", "host_in", "query"):
            connect(m, flipped(getattr(self, name)[c]), getattr(unit, name))
        for name in ("host_out", "result", "elsewhere", "commands"):
            connect(m, getattr(unit, name), flipped(getattr(self, name)[c]))
        m.d.comb += unit.number.eq(c)
