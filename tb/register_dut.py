"""A register space with every kind of register, for the bench of the register bus."""

from typing import Any

from amaranth import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.host.axi_lite import AxiLiteSignature
from hdl.host.register_block import RegisterBlock, interrupt
from hdl.host.registers import RegisterBus
from model.spec.register_map import Access, Field, RegisterMap, RegisterSpace, RegisterSpec
from model.spec.registers import INTERRUPTS, die_map, reliability_map

LIMIT = 1000
"""First value that `bounded` and `rows` refuse."""

KINDS = RegisterMap(registers=(
    RegisterSpec(name="number", offset=0x000, access=Access.RW, meaning="", init=0xCAFE),
    RegisterSpec(name="fielded", offset=0x004, access=Access.RW, meaning="", fields=(
        Field(name="low", low=1, width=4, meaning=""),
        Field(name="high", low=28, width=4, meaning=""))),
    RegisterSpec(name="bell", offset=0x008, access=Access.RW, meaning="", doorbell=True),
    RegisterSpec(name="bounded", offset=0x010, access=Access.RW, meaning=""),
    RegisterSpec(name="many", offset=0x020, access=Access.RW, meaning="", count=3, init=7),
    RegisterSpec(name="rows", offset=0x040, access=Access.RW, meaning="", count=8, memory=True),
    RegisterSpec(name="shown", offset=0x080, access=Access.RO, meaning=""),
    RegisterSpec(name="shown_many", offset=0x090, access=Access.RO, meaning="", count=2),
    RegisterSpec(name="start", offset=0x0A0, access=Access.W1S, meaning="", fields=(
        Field(name="a", low=0, width=1, meaning=""), Field(name="b", low=4, width=1, meaning=""))),
    RegisterSpec(name="sticky", offset=0xFFC, access=Access.W1C, meaning="", fields=(
        Field(name="all", low=0, width=8, meaning=""),)),
))

SPACE = RegisterSpace(
    blocks={"kinds": KINDS, "die": die_map(), "reliability": reliability_map()},
    windows={"kinds": 0, "die": 2, "reliability": 5})
"""Windows 1, 3, 4, 6 and 7 are empty."""

OUTPUTS = ("number", "bell", "bell_rung", "bounded", "many", "rows", "start", "fielded")
INPUTS = ("rows_index", "shown", "shown_many", "sticky_set")


class RegisterDut(wiring.Component):
    """Three blocks behind one bus; the ports of the first, and the interrupt of the second.

    Members
    -------
    bus : ``In(AxiLiteSignature(SPACE.address_width))``
    events : ``In`` of one bit for each of ``INTERRUPTS``
    irq : ``Out(1)``
    others : ``In`` and ``Out``
        Ports of the registers of ``KINDS``.
    """

    bus: Any
    events: Signal
    irq: Signal

    def __init__(self) -> None:
        self.kinds: Any = RegisterBlock(KINDS, limits={"bounded": LIMIT, "rows": LIMIT})
        super().__init__({
            "bus": In(AxiLiteSignature(SPACE.address_width)),
            "events": In(len(INTERRUPTS)), "irq": Out(1),
            **{name: Out(Value.cast(getattr(self.kinds, name)).shape()) for name in OUTPUTS},
            **{name: In(Value.cast(getattr(self.kinds, name)).shape()) for name in INPUTS},
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bus = bus = RegisterBus(SPACE)
        m.submodules.kinds = self.kinds
        die: Any = RegisterBlock(die_map())
        m.submodules.die = die
        m.submodules.reliability = reliability = RegisterBlock(reliability_map())
        connect(m, flipped(self.bus), bus.bus)
        for inner, block in zip(bus.blocks, (self.kinds, die, reliability), strict=True):
            connect(m, inner, block.access)
        m.d.comb += self.irq.eq(interrupt(m, die, self.events))
        for name in OUTPUTS:
            m.d.comb += getattr(self, name).eq(Value.cast(getattr(self.kinds, name)))
        for name in INPUTS:
            m.d.comb += Value.cast(getattr(self.kinds, name)).eq(getattr(self, name))
        return m
