"""The registers of a slice, generated from the register map."""

from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.axi_lite import DATA_WIDTH, AxiLiteSignature, AxiLiteTarget
from model.spec.registers import (
    ADDRESS_WIDTH,
    COUNTERS,
    ERRORS,
    IDENTIFIER,
    REGISTER_BYTES,
    WAVES_MAX,
    Access,
    RegisterSpec,
    capabilities,
    register_map,
)
from model.spec.slice import SliceSpec

WORD_ADDRESS = slice((REGISTER_BYTES - 1).bit_length(), ADDRESS_WIDTH)


def register_layout(register: RegisterSpec) -> data.Layout:
    """The fields of a register as a layout of 32 bits."""
    return data.FlexibleLayout(DATA_WIDTH, {
        f.name: data.Field(f.width, f.low) for f in register.fields})


class Registers(wiring.Component):
    """Registers, error bits, start pulses and the wave table, behind AXI4-Lite.

    One read and one write every two clocks. Writes to read-only registers, accesses that are not
    aligned to a word and addresses without a register are refused and change nothing. Bytes whose
    strobe is 0 keep their value.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    bus : ``In(AxiLiteSignature(ADDRESS_WIDTH))``
    scale, context, move_rows : ``Out(32)``
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
        self._map = register_map()
        fields = {name: Out(register_layout(self._map[name]))
                  for name in ("shape", "move_source", "move_destination")}
        super().__init__({
            "bus": In(AxiLiteSignature(ADDRESS_WIDTH)),
            "scale": Out(DATA_WIDTH), "context": Out(DATA_WIDTH), "move_rows": Out(DATA_WIDTH),
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
        wiring.connect(m, wiring.flipped(self.bus), target.bus)
        access = target.access
        mask = Cat(bit.replicate(8) for bit in access.write_strobe)
        written = Signal(DATA_WIDTH)
        error = Signal(len(ERRORS))
        cleared = Signal(len(ERRORS))
        m.d.comb += written.eq(access.write_data & mask)
        m.d.sync += error.eq((error & ~cleared) | self.errors.as_value())

        m.submodules.waves = waves = Memory(shape=self.wave_row.shape(), depth=WAVES_MAX, init=[])
        store, fetch, show = waves.write_port(), waves.read_port(), waves.read_port(domain="comb")
        m.d.comb += [
            store.addr.eq(self._entry(access.write_address)),
            store.data.eq(written[:len(store.data)]),
            show.addr.eq(self._entry(access.read_address)),
            fetch.addr.eq(self.wave), self.wave_row.eq(fetch.data),
        ]

        with m.If(access.write & self._aligned(access.write_address)):
            with m.Switch(access.write_address[WORD_ADDRESS]):
                self._elaborate_writes(m, access, written, mask)
                with m.Case(self._word("error")):
                    m.d.comb += [access.write_ok.eq(1), cleared.eq(written[:len(ERRORS)])]
                with m.Case(*self._table()):
                    # An entry is written as a whole, and must be a row that exists.
                    good = access.write_strobe.all() & (written < self._spec.geometry.rows)
                    m.d.comb += [access.write_ok.eq(good), store.en.eq(good)]
                with m.Default():
                    m.d.comb += access.write_ok.eq(0)
        with m.If(self._aligned(access.read_address)):
            with m.Switch(access.read_address[WORD_ADDRESS]):
                self._elaborate_reads(m, access, error)
                with m.Case(*self._table()):
                    m.d.comb += [access.read_ok.eq(1), access.read_data.eq(show.data)]
                with m.Default():
                    m.d.comb += access.read_ok.eq(0)
        return m

    @staticmethod
    def _aligned(address: Value) -> Value:
        return address[:WORD_ADDRESS.start] == 0

    def _entry(self, address: Value) -> Value:
        return (address[WORD_ADDRESS] - self._word("wave_row"))[:(WAVES_MAX - 1).bit_length()]

    def _word(self, name: str) -> int:
        return self._map[name].offset // REGISTER_BYTES

    def _table(self) -> list[int]:
        return [self._word("wave_row") + i for i in range(WAVES_MAX)]

    def _writable(self) -> dict[str, Value]:
        return {r.name: Value.cast(getattr(self, r.name)) for r in self._map.registers
                if r.access is Access.RW and r.count == 1}

    def _elaborate_writes(self, m: Module, access: Any, written: Signal, mask: Value) -> None:
        ok = access.write_ok
        for name, register in self._writable().items():
            defined = self._defined(self._map[name])
            with m.Case(self._word(name)):
                m.d.comb += ok.eq(1)
                m.d.sync += register.eq((register & ~mask) | (written & defined))
        with m.Case(self._word("control")):
            m.d.comb += [ok.eq(1), self.start_attend.eq(written[0]),
                         self.start_move.eq(written[1])]

    @staticmethod
    def _defined(register: RegisterSpec) -> int:
        """Bits that exist; the others read as 0."""
        if not register.fields:
            return (1 << DATA_WIDTH) - 1
        return sum((1 << f.width) - 1 << f.low for f in register.fields)

    def _elaborate_reads(self, m: Module, access: Any, error: Signal) -> None:
        values: dict[str, Value | int] = {
            "identifier": IDENTIFIER,
            "capabilities": capabilities(self._spec),
            "control": 0,
            "status": Cat(self.attend_busy, self.move_busy),
            "error": error,
            **self._writable(),
            **{name: self.counters[name] for name in COUNTERS},
        }
        for name, value in values.items():
            with m.Case(self._word(name)):
                m.d.comb += [access.read_ok.eq(1), access.read_data.eq(value)]
