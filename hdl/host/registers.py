"""The registers of a slice, and of any set of blocks, behind AXI4-Lite."""

from typing import Any

from amaranth import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.host.axi_lite import (
    DATA_WIDTH,
    AccessRouter,
    AccessSignature,
    AxiLiteSignature,
    AxiLiteTarget,
)
from hdl.host.register_block import RegisterBlock, register_layout
from model.spec.register_map import BLOCK_WIDTH, RegisterSpace
from model.spec.registers import (
    ADDRESS_WIDTH,
    COUNTERS,
    ERRORS,
    IDENTIFIER,
    WAVES_MAX,
    capabilities,
    register_map,
)
from model.spec.slice import SliceSpec


class RegisterBus(wiring.Component):
    """One AXI4-Lite port for all blocks of a register space: a write and a read every two clocks.

    Parameters
    ----------
    space : RegisterSpace

    Members
    -------
    bus : ``In(AxiLiteSignature(space.address_width))``
    blocks : array of ``Out(AccessSignature(BLOCK_WIDTH))``
        To a :class:`~hdl.host.register_block.RegisterBlock` each, in the order of ``space.blocks``.
    """

    bus: Any
    blocks: Any

    def __init__(self, space: RegisterSpace) -> None:
        self.space = space
        super().__init__({
            "bus": In(AxiLiteSignature(space.address_width)),
            "blocks": Out(AccessSignature(BLOCK_WIDTH)).array(len(space.blocks)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        space = self.space
        m.submodules.target = target = AxiLiteTarget(space.address_width)
        m.submodules.router = router = AccessRouter(
            [space.windows[name] for name in space.blocks], space.address_width, BLOCK_WIDTH)
        wiring.connect(m, wiring.flipped(self.bus), target.bus)
        wiring.connect(m, target.access, router.access)
        for mine, inner in zip(self.blocks, router.blocks, strict=True):
            wiring.connect(m, inner, wiring.flipped(mine))
        return m


class Registers(wiring.Component):
    """The registers of a slice behind AXI4-Lite: one read and one write every two clocks.

    Accesses that the map does not allow are refused and change nothing
    (:class:`~hdl.host.register_block.RegisterBlock`).

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    bus : ``In(AxiLiteSignature(ADDRESS_WIDTH))``
    scale, context, first_wave, move_rows : ``Out(32)``
    shape, move_source, move_destination : ``Out`` of the register's fields
    start_attend, start_move : ``Out(1)``
        For one clock, when written.
    attend_busy, move_busy : ``In(1)``
    errors : ``In`` of one bit for each of ``ERRORS``
        A 1 sets the error bit until it is cleared.
    counters : ``In`` of 32 bits for each of ``COUNTERS``
    wave : ``In``, wave_row : ``Out``
        Entry of the wave table, one clock after its number.
    """

    bus: Any
    scale: Signal
    first_wave: Signal
    context: Signal
    move_rows: Signal
    shape: data.View
    move_source: data.View
    move_destination: data.View
    start_attend: Signal
    start_move: Signal
    attend_busy: Signal
    move_busy: Signal
    errors: data.View
    counters: data.View
    wave: Signal
    wave_row: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        registers = register_map()
        fields = {name: Out(register_layout(registers[name]))
                  for name in ("shape", "move_source", "move_destination")}
        super().__init__({
            "bus": In(AxiLiteSignature(ADDRESS_WIDTH)),
            "scale": Out(DATA_WIDTH), "context": Out(DATA_WIDTH), "move_rows": Out(DATA_WIDTH),
            "first_wave": Out(DATA_WIDTH),
            **fields,
            "start_attend": Out(1), "start_move": Out(1),
            "attend_busy": In(1), "move_busy": In(1),
            "errors": In(data.StructLayout(dict.fromkeys(ERRORS, 1))),
            "counters": In(data.StructLayout(dict.fromkeys(COUNTERS, DATA_WIDTH))),
            "wave": In(range(WAVES_MAX)), "wave_row": Out(range(spec.geometry.rows)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.target = target = AxiLiteTarget(ADDRESS_WIDTH)
        block: Any = RegisterBlock(register_map(), limits={"wave_row": self._spec.geometry.rows})
        m.submodules.block = block
        wiring.connect(m, wiring.flipped(self.bus), target.bus)
        wiring.connect(m, target.access, block.access)
        error = Signal(len(ERRORS))         # under this name for waveforms
        m.d.comb += [
            block.identifier.eq(IDENTIFIER),
            Value.cast(block.capabilities).eq(capabilities(self._spec)),
            self.start_attend.eq(block.control.attend), self.start_move.eq(block.control.move),
            block.status.attend_busy.eq(self.attend_busy),
            block.status.move_busy.eq(self.move_busy),
            *(block.error_set[name].eq(self.errors[name]) for name in ERRORS),
            error.eq(Value.cast(block.error)[:len(ERRORS)]),
            *(getattr(self, name).eq(getattr(block, name)) for name in (
                "scale", "context", "first_wave", "shape", "move_source", "move_destination",
                "move_rows")),
            *(getattr(block, name).eq(self.counters[name]) for name in COUNTERS),
            block.wave_row_index.eq(self.wave),
            self.wave_row.eq(block.wave_row[:len(self.wave_row)]),
        ]
        return m
