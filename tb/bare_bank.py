"""A DRAM bank without an array, for runs in which only time counts."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.reliability.layouts import STORED_WIDTH
from model.spec.geometry import ChannelGeometry


class BareBank(wiring.Component):
    """A :class:`~hdl.dram.dram_bank.DramBank` that is never read: a trace has no data.

    16,384 rows of 1 KiB in each of 32 banks would be half a gigabyte. It still watches over its
    use as the real one does; words read are 0.

    Parameters
    ----------
    geometry : ChannelGeometry
        Rows and columns.

    Members
    -------
    Those of :class:`~hdl.dram.dram_bank.DramBank`.
    """

    activate: Signal
    precharge: Signal
    refresh: Signal
    row: Signal
    access: Signal
    read_enable: Signal
    read_column: Signal
    read_data: Signal
    write_enable: Signal
    write_column: Signal
    write_data: Signal
    violation: Signal

    def __init__(self, geometry: ChannelGeometry) -> None:
        columns = range(geometry.columns)
        super().__init__({
            "activate": In(1), "precharge": In(1), "refresh": In(1),
            "row": In(range(geometry.rows)), "access": In(1),
            "read_enable": In(1), "read_column": In(columns), "read_data": Out(STORED_WIDTH),
            "write_enable": In(1), "write_column": In(columns), "write_data": In(STORED_WIDTH),
            "violation": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        is_open = Signal()
        with m.If(self.activate):
            m.d.sync += is_open.eq(1)
        with m.Elif(self.precharge):
            m.d.sync += is_open.eq(0)
        m.d.comb += self.violation.eq(
            (self.activate | self.refresh) & is_open | self.access & ~is_open)
        return m
