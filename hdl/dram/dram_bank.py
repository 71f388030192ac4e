"""One DRAM bank: its array, its open row, and a check that it is used as a DRAM must be."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.reliability.layouts import STORED_WIDTH
from model.spec.geometry import ChannelGeometry


class DramBank(wiring.Component):
    """Reads or writes a column of the open row; read data come one clock later and stay.

    A column has 256 bits of data and 32 check bits, of which the bank knows nothing.

    The command side sees commands when they are issued, the data side when their data are due.

    Parameters
    ----------
    geometry : ChannelGeometry
        Rows and columns.

    Members
    -------
    activate, precharge, refresh : ``In(1)``
        Row command to this bank in this clock.
    row : ``In(range(rows))``
        With ``activate``: the row.
    access : ``In(1)``
        Column command to this bank in this clock.
    read_enable, read_column, read_data
        Data side of a read.
    write_enable, write_column, write_data
        Data side of a write.
    violation : ``Out(1)``
        ACT to an open bank, refresh of an open bank, or a column command to a closed one.
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
        self.geometry = geometry
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
        m.submodules.array = array = Memory(
            shape=STORED_WIDTH, depth=self.geometry.rows * self.geometry.columns, init=[])
        read, write = array.read_port(), array.write_port()

        is_open, open_row = Signal(), Signal.like(self.row)
        with m.If(self.activate):
            m.d.sync += [is_open.eq(1), open_row.eq(self.row)]
        with m.Elif(self.precharge):
            m.d.sync += is_open.eq(0)

        m.d.comb += [
            self.violation.eq((self.activate | self.refresh) & is_open | self.access & ~is_open),
            read.en.eq(self.read_enable),
            read.addr.eq(Cat(self.read_column, open_row)),
            self.read_data.eq(read.data),
            write.en.eq(self.write_enable),
            write.addr.eq(Cat(self.write_column, open_row)),
            write.data.eq(self.write_data),
        ]
        return m
