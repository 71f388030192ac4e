"""An AXI4 port with a real memory channel behind it."""

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from hdl.dram.channel import Channel
from hdl.host.axi import AxiSignature
from hdl.host.axi_memory import AxiMemory
from model.spec.slice import SliceSpec
from tb.column_recorder import ColumnRecorder


class AxiChannelDut(wiring.Component):
    """The port is the channel's only requester that asks for anything.

    Parameters
    ----------
    spec : SliceSpec
    order : tuple of str

    Members
    -------
    axi : ``In(AxiSignature(...))``
    """

    axi: Any

    def __init__(self, spec: SliceSpec, order: tuple[str, ...]) -> None:
        self.spec = spec
        self.memory = AxiMemory(spec, order=order)
        super().__init__({"axi": In(AxiSignature(self.memory.map.width, self.memory.id_width))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = self.memory
        channel: Any = Channel(self.spec, pim_unit=ColumnRecorder)
        m.submodules.channel = channel
        connect(m, flipped(self.axi), self.memory.axi)
        connect(m, self.memory.port, channel.gpu)
        return m
