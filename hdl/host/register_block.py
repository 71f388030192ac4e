"""Registers made from their description: one component for every block of a register map."""

from collections.abc import Mapping
from typing import Any

from amaranth import Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.host.axi_lite import DATA_WIDTH, AccessSignature, Response
from model.spec.errors import SpecError
from model.spec.register_map import (
    BLOCK_WIDTH,
    REGISTER_BYTES,
    Access,
    RegisterMap,
    RegisterSpec,
)

WORD_SHIFT = (REGISTER_BYTES - 1).bit_length()


def register_layout(register: RegisterSpec) -> Any:
    """The fields of a register as a layout of 32 bits; a number if it has none."""
    if not register.fields:
        return unsigned(DATA_WIDTH)
    return data.FlexibleLayout(DATA_WIDTH, {
        f.name: data.Field(f.width, f.low) for f in register.fields})


def _ports(register: RegisterSpec) -> dict[str, Any]:
    name, shape = register.name, register_layout(register)
    many = data.ArrayLayout(shape, register.count) if register.count > 1 else shape
    if register.memory:
        return {name: Out(shape), f"{name}_index": In(range(register.count))}
    match register.access:
        case Access.RO:
            return {name: In(many)}
        case Access.RW:
            return {name: Out(many), **({f"{name}_rung": Out(1)} if register.doorbell else {})}
        case Access.W1C:
            return {name: Out(shape), f"{name}_set": In(shape)}
        case Access.W1S:
            return {name: Out(shape)}


class RegisterBlock(wiring.Component):
    """The registers of a block; an access is answered in its clock, a write shows one clock later.

    A write is carried out if it is whole: aligned, with all four strobes, to a register that may
    be written, with a value below its limit. Otherwise it answers SLVERR, as a read that is not
    aligned does, and DECERR where there is no register; nothing changes then.

    Parameters
    ----------
    registers : RegisterMap
    limits : mapping of str to int
        Registers that refuse values from this one on.

    Members
    -------
    access : ``In(AccessSignature(BLOCK_WIDTH))``
    <register> : ``In`` (RO) or ``Out`` of its fields, an array of them if there are several
        RW: its value. W1C: its bits. W1S: for one clock, what was written.
    <register>_set : ``In``, W1C only
        A 1 sets the bit; stronger than clearing it in the same clock.
    <register>_rung : ``Out(1)``, doorbells only
        For one clock, when the new value shows.
    <register>_index : ``In``, memories only
        Entry that <register> shows one clock later.
    """

    access: Any

    def __init__(self, registers: RegisterMap, *,
                 limits: Mapping[str, int] | None = None) -> None:
        self.registers, self.limits = registers, dict(limits or {})
        for name in self.limits:
            if registers[name].access is not Access.RW:
                raise SpecError(f"limit of {name}", registers[name].access.name, "an RW register")
        ports: dict[str, Any] = {"access": In(AccessSignature(BLOCK_WIDTH))}
        for register in registers.registers:
            for name, port in _ports(register).items():
                if name in ports:
                    raise SpecError("register", name, "a name that no other port has")
                ports[name] = port
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        access = self.access
        write_word, read_word = (Signal(BLOCK_WIDTH - WORD_SHIFT, name=f"{side}_word")
                                 for side in ("write", "read"))
        whole, aligned = Signal(), Signal()
        m.d.comb += [
            write_word.eq(access.write_address[WORD_SHIFT:]),
            read_word.eq(access.read_address[WORD_SHIFT:]),
            whole.eq((access.write_address[:WORD_SHIFT] == 0) & access.write_strobe.all()),
            aligned.eq(access.read_address[:WORD_SHIFT] == 0),
        ]
        shown = {r.name: self._elaborate_register(m, r, access.write & whole, write_word)
                 for r in self.registers.registers}
        with m.Switch(write_word):
            for register in self.registers.registers:
                with m.Case(*self._words(register)):
                    allowed = whole & self._below_limit(register)
                    if register.access is Access.RO:
                        allowed = Const(0, 1)
                    m.d.comb += access.write_response.eq(
                        Cat(Const(0, 1), ~allowed))         # OKAY or SLVERR
            with m.Default():
                m.d.comb += access.write_response.eq(Response.DECERR)
        with m.Switch(read_word):
            for register in self.registers.registers:
                for entry, word in enumerate(self._words(register)):
                    with m.Case(word):
                        m.d.comb += access.read_response.eq(Cat(Const(0, 1), ~aligned))
                        with m.If(aligned):
                            m.d.comb += access.read_data.eq(shown[register.name][entry])
            with m.Default():
                m.d.comb += access.read_response.eq(Response.DECERR)
        return m

    @staticmethod
    def _words(register: RegisterSpec) -> range:
        first = register.offset // REGISTER_BYTES
        return range(first, first + register.count)

    def _below_limit(self, register: RegisterSpec) -> Value:
        limit = self.limits.get(register.name)
        return Const(1, 1) if limit is None else self.access.write_data < limit

    def _elaborate_register(self, m: Module, register: RegisterSpec, whole: Value,
                            word: Signal) -> list[Value]:
        """What a read shows of every entry."""
        if register.memory:
            return self._elaborate_memory(m, register, whole, word)
        port = Value.cast(getattr(self, register.name))
        if register.access is Access.RO:
            return [port.word_select(i, DATA_WIDTH) & register.defined
                    for i in range(register.count)]
        hits = Signal(register.count, name=f"{register.name}_hit")
        written = Signal(DATA_WIDTH, name=f"{register.name}_written")
        m.d.comb += [
            hits.eq(Cat((whole & (word == entry) & self._below_limit(register))
                        for entry in self._words(register))),
            written.eq(self.access.write_data & register.defined),
        ]
        match register.access:
            case Access.RW:
                return self._elaborate_values(m, register, hits, written)
            case Access.W1C:
                bits = Signal(DATA_WIDTH, name=f"{register.name}_bits", init=register.init)
                raised = Value.cast(getattr(self, f"{register.name}_set")) & register.defined
                cleared = written & hits.replicate(DATA_WIDTH)
                m.d.sync += bits.eq((bits & ~cleared) | raised)
                m.d.comb += port.eq(bits)
                return [bits]
            case _:
                m.d.comb += port.eq(written & hits.replicate(DATA_WIDTH))
                return [Const(0, DATA_WIDTH)]

    def _elaborate_values(self, m: Module, register: RegisterSpec, hits: Signal,
                          written: Signal) -> list[Value]:
        values = []
        for entry in range(register.count):
            value = Signal(DATA_WIDTH, name=f"{register.name}_value_{entry}", init=register.init)
            with m.If(hits[entry]):
                m.d.sync += value.eq(written)
            values.append(value)
        m.d.comb += Value.cast(getattr(self, register.name)).eq(Cat(values))
        if register.doorbell:
            m.d.sync += getattr(self, f"{register.name}_rung").eq(hits.any())
        return values

    def _elaborate_memory(self, m: Module, register: RegisterSpec, whole: Value,
                          word: Signal) -> list[Value]:
        limit = self.limits.get(register.name)
        shape = range(limit) if limit else unsigned(DATA_WIDTH)
        array = Memory(shape=shape, depth=register.count, init=[])
        m.submodules[register.name] = array
        store, fetch, show = array.write_port(), array.read_port(), array.read_port(domain="comb")
        words = self._words(register)
        inside = (word >= words.start) & (word < words.stop)
        number = Value.cast(getattr(self, register.name))
        m.d.comb += [
            store.addr.eq((word - words.start)[:len(store.addr)]),
            store.data.eq((self.access.write_data & register.defined)[:len(store.data)]),
            store.en.eq(whole & inside & self._below_limit(register)),
            show.addr.eq((self.access.read_address[WORD_SHIFT:] - words.start)[:len(show.addr)]),
            fetch.addr.eq(getattr(self, f"{register.name}_index")),
            number.eq(fetch.data),
        ]
        return [show.data] * register.count


def interrupt(m: Module, block: Any, events: Value) -> Value:
    """Connects the interrupt of a block (:func:`model.spec.registers.interrupt_registers`).

    Parameters
    ----------
    m : Module
    block : RegisterBlock
    events : Value
        One bit a source. While it is 1 its bit of the status cannot be cleared.

    Returns
    -------
    Value
        The interrupt: 1 while a bit is set in both status and enable.
    """
    m.d.comb += Value.cast(block.interrupt_status_set).eq(
        events | Value.cast(block.interrupt_test))
    return (Value.cast(block.interrupt_status) & Value.cast(block.interrupt_enable)).any()
