"""AXI4-Lite: the signature, the protocol side of a target, and the way to blocks of registers."""

from collections.abc import Sequence
from typing import Any

from amaranth import Module, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from model.spec.errors import SpecError, require_int

DATA_WIDTH = 32


class Response(enum.Enum, shape=2):
    """AXI response codes."""

    OKAY = 0
    EXOKAY = 1          # never answered: no exclusive accesses
    SLVERR = 2
    DECERR = 3


class AxiLiteSignature(wiring.Signature):
    """AXI4-Lite with 32-bit data, seen from the manager; member names as in the standard.

    Parameters
    ----------
    address_width : int
        Bits of a byte address.
    """

    def __init__(self, address_width: int) -> None:
        super().__init__({
            "awaddr": Out(address_width), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
            "wdata": Out(DATA_WIDTH), "wstrb": Out(DATA_WIDTH // 8), "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(Response), "bvalid": In(1), "bready": Out(1),
            "araddr": Out(address_width), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
            "rdata": In(DATA_WIDTH), "rresp": In(Response), "rvalid": In(1), "rready": Out(1),
        })


class AccessSignature(wiring.Signature):
    """Register accesses, each answered in the clock in which it is shown.

    Members
    -------
    write, write_address, write_data, write_strobe : ``Out``
        While ``write`` is 1 a write is carried out.
    write_response : ``In(Response)``
        What became of it; unless OKAY, nothing has changed.
    read, read_address : ``Out``
    read_data, read_response : ``In``
        Answer to the read; data of one that is not allowed are 0.
    """

    def __init__(self, address_width: int) -> None:
        super().__init__({
            "write": Out(1), "write_address": Out(address_width), "write_data": Out(DATA_WIDTH),
            "write_strobe": Out(DATA_WIDTH // 8), "write_response": In(Response),
            "read": Out(1), "read_address": Out(address_width),
            "read_data": In(DATA_WIDTH), "read_response": In(Response),
        })


class AccessRouter(wiring.Component):
    """Hands register accesses to the block whose window they hit, in the same clock.

    An access to a window that no block has answers DECERR.

    Parameters
    ----------
    windows : sequence of int
        Number of each block's window.
    address_width : int
        Bits of a byte address.
    block_width : int
        Bits of a byte address within a window.

    Members
    -------
    access : ``In(AccessSignature(address_width))``
    blocks : array of ``Out(AccessSignature(block_width))``
        In the order of ``windows``.
    """

    access: Any
    blocks: Any

    def __init__(self, windows: Sequence[int], address_width: int, block_width: int) -> None:
        self.windows, self.block_width = tuple(windows), block_width
        if len(set(self.windows)) != len(self.windows):
            raise SpecError("windows", self.windows, "a window of its own for every block")
        for window in self.windows:
            require_int("window", window, 0, (1 << address_width - block_width) - 1)
        super().__init__({
            "access": In(AccessSignature(address_width)),
            "blocks": Out(AccessSignature(block_width)).array(len(self.windows)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        access, width = self.access, self.block_width
        m.d.comb += [access.write_response.eq(Response.DECERR),
                     access.read_response.eq(Response.DECERR)]
        for block, window in zip(self.blocks, self.windows, strict=True):
            m.d.comb += [
                block.write_address.eq(access.write_address[:width]),
                block.write_data.eq(access.write_data),
                block.write_strobe.eq(access.write_strobe),
                block.read_address.eq(access.read_address[:width]),
            ]
            with m.If(access.write_address[width:] == window):
                m.d.comb += [block.write.eq(access.write),
                             access.write_response.eq(block.write_response)]
            with m.If(access.read_address[width:] == window):
                m.d.comb += [block.read.eq(access.read), access.read_data.eq(block.read_data),
                             access.read_response.eq(block.read_response)]
        return m


class AxiLiteTarget(wiring.Component):
    """Turns AXI4-Lite into register accesses: one write and one read every two clocks.

    Address and data of a write may come in any order.

    Parameters
    ----------
    address_width : int
        Bits of a byte address.

    Members
    -------
    bus : ``In(AxiLiteSignature(address_width))``
    access : ``Out(AccessSignature(address_width))``
    """

    bus: Any
    access: Any

    def __init__(self, address_width: int) -> None:
        super().__init__({
            "bus": In(AxiLiteSignature(address_width)),
            "access": Out(AccessSignature(address_width)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._elaborate_write(m)
        self._elaborate_read(m)
        return m

    def _elaborate_write(self, m: Module) -> None:
        bus, access = self.bus, self.access
        have_address, have_data = Signal(), Signal()
        m.d.comb += [bus.awready.eq(~have_address), bus.wready.eq(~have_data)]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [have_address.eq(1), access.write_address.eq(bus.awaddr)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [have_data.eq(1), access.write_data.eq(bus.wdata),
                         access.write_strobe.eq(bus.wstrb)]
        with m.If(bus.bvalid & bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(have_address & have_data & ~bus.bvalid):
            m.d.comb += access.write.eq(1)
            m.d.sync += [have_address.eq(0), have_data.eq(0), bus.bvalid.eq(1),
                         bus.bresp.eq(access.write_response)]

    def _elaborate_read(self, m: Module) -> None:
        bus, access = self.bus, self.access
        m.d.comb += [
            bus.arready.eq(~bus.rvalid),
            access.read.eq(bus.arvalid & bus.arready),
            access.read_address.eq(bus.araddr),
        ]
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        with m.If(access.read):
            m.d.sync += [bus.rvalid.eq(1), bus.rdata.eq(access.read_data),
                         bus.rresp.eq(access.read_response)]
