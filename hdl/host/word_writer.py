"""Words of which all bytes, some or none are written: as accesses to whole words of a memory."""

from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.host.axi import check_slots, word_layout
from hdl.host.axi_lite import Response
from hdl.layouts import BEAT_WIDTH
from model.spec.address_map import OFFSET_BITS


class Step(enum.Enum, shape=2):
    """Where a word that is written in part is."""

    IDLE = 0
    READING = 1          # its old bytes are under way
    MERGED = 2           # it is whole, and waits to be written


def store_layout(address_width: int, info_width: int, partials: int) -> data.StructLayout:
    """An access of the writing half."""
    return data.StructLayout({
        "write": 1,                              # 0: the old bytes of a partial word are read
        "word": address_width - OFFSET_BITS, "data": BEAT_WIDTH,
        "info": info_width,
        "partial": range(partials),              # which partial word, with a read
    })


class WordWriter(wiring.Component):
    """Writes words; one that is written in part is read, merged and written back.

    Whole words pass at one a clock, a clock later. A partial word takes one of ``partials`` places
    while its old bytes are read; later words pass it unless they are the same word, so writes to a
    word keep their order. What *other* ports of the memory write to such a word between its read
    and its write is lost.

    Parameters
    ----------
    address_width, info_width : int
    partials : int
        Words that are being merged at a time; a power of two.

    Members
    -------
    i : ``In(stream.Signature(word_layout(...)))``
    o : ``Out(stream.Signature(store_layout(...)))``
        The memory keeps the order of accesses to one word.
    old_valid, old_index, old_data, old_response : ``In``
        The old bytes of a partial word. Unless the response is OKAY the word is not written.
    failed, failed_info : ``Out``
        For one clock: a word is given up because its old bytes were not OKAY.
    passed, waits : ``Out(1)``
        A word is taken from ``i``; it will be written or given up.
    """

    i: stream.Interface
    o: stream.Interface
    old_valid: Signal
    old_index: Signal
    old_data: Signal
    old_response: Any
    failed: Signal
    failed_info: Signal
    passed: Signal
    waits: Signal

    def __init__(self, address_width: int, info_width: int, *, partials: int = 4) -> None:
        check_slots("partials", partials)
        self.partials = partials
        self.word = word_layout(address_width, info_width)
        self.access = store_layout(address_width, info_width, partials)
        super().__init__({
            "i": In(stream.Signature(self.word)), "o": Out(stream.Signature(self.access)),
            "old_valid": In(1), "old_index": In(range(partials)), "old_data": In(BEAT_WIDTH),
            "old_response": In(Response),
            "failed": Out(1), "failed_info": Out(info_width),
            "passed": Out(1), "waits": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word = self.i.p
        steps = [Signal(Step, name=f"step_{n}") for n in range(self.partials)]
        held = [Signal(self.word, name=f"held_{n}") for n in range(self.partials)]
        merged = Cat(step == Step.MERGED for step in steps)
        idle = Cat(step == Step.IDLE for step in steps)
        chosen, place = _lowest(m, merged, "chosen"), _lowest(m, idle, "place")
        whole, none, meets = Signal(), Signal(), Signal()
        m.d.comb += [
            whole.eq(word.strobe.all()), none.eq(word.refused | (word.strobe == 0)),
            meets.eq(Cat((step != Step.IDLE) & (old.word == word.word)
                         for step, old in zip(steps, held, strict=True)).any()),
        ]

        access, load = Signal(self.access), Signal()
        room = ~self.o.valid | self.o.ready
        m.d.comb += self.o.payload.eq(access)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(room & merged.any()):
            m.d.comb += load.eq(1)
        with m.Elif(self.i.valid & (none | (room & ~meets & (whole | idle.any())))):
            m.d.comb += [self.i.ready.eq(1), load.eq(~none), self.waits.eq(~none)]
        m.d.comb += self.passed.eq(self.i.valid & self.i.ready)
        with m.If(load):
            m.d.sync += [
                self.o.valid.eq(1), access.write.eq(whole), access.word.eq(word.word),
                access.data.eq(word.data), access.info.eq(word.info), access.partial.eq(place),
            ]
        self._elaborate_partials(m, steps, held, access, (room, merged, chosen),
                                 (self.passed & ~none & ~whole, place))
        return m

    def _elaborate_partials(self, m: Module, steps: list[Any], held: list[Any], access: Any,
                            leaving: tuple[Value, Value, Value],
                            entering: tuple[Value, Value]) -> None:
        word = self.i.p
        room, merged, chosen = leaving
        enters, place = entering
        okay = self.old_response == Response.OKAY
        for n, (step, old) in enumerate(zip(steps, held, strict=True)):
            mine = self.old_valid & (self.old_index == n)
            keep = Cat(bit.replicate(8) for bit in old.strobe)
            with m.If(enters & (place == n)):
                m.d.sync += [step.eq(Step.READING), old.eq(word)]
            with m.If(mine & okay):
                m.d.sync += [step.eq(Step.MERGED),
                             old.data.eq((old.data & keep) | (self.old_data & ~keep))]
            with m.If(mine & ~okay):
                m.d.sync += step.eq(Step.IDLE)
                m.d.comb += self.failed_info.eq(old.info)
            with m.If(room & merged.any() & (chosen == n)):
                m.d.sync += [
                    step.eq(Step.IDLE), access.write.eq(1), access.word.eq(old.word),
                    access.data.eq(old.data), access.info.eq(old.info),
                ]
        m.d.comb += self.failed.eq(self.old_valid & ~okay)


def _lowest(m: Module, bits: Value, name: str) -> Signal:
    """The number of the lowest 1."""
    number = Signal(range(len(bits)), name=name)
    for n in reversed(range(len(bits))):
        with m.If(bits[n]):
            m.d.comb += number.eq(n)
    return number
