"""Register files of a PIM bank unit: what is written over the bus, and what is read back."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.floating import rescale
from hdl.layouts import BEAT_WIDTH
from model.spec.attention import BLOCK_TOKENS, REGISTER_SETS, PimSpec, Register
from model.spec.formats import FP32

RESCALE_WIDTH = 16
"""Bits of the shift of one head (numerics.md, limits: a difference of two 16-bit maxima)."""


def lanes_layout(pim: PimSpec, width: int) -> data.ArrayLayout:
    """One number of ``width`` bits a lane."""
    return data.ArrayLayout(width, pim.LANES)


class OperandFile(wiring.Component):
    """QUERY, WEIGHT and RESCALE; operands of a pass one clock after its address.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    write_valid, write_register, write_address, write_data : ``In``
        Register write; the other registers are not here, and their writes are ignored.
    query_en, query_set, query_address : ``In``
        Read of the query chunk at ``head * chunks + chunk`` of a set.
    weight_en, weight_head : ``In``
        Read of the weights of a head.
    query, weight : ``Out(lanes_layout)``
        One clock after ``en``, then kept.
    rescale_head, rescale : ``In``, ``Out(16)``
        Shift of a head; combinational.
    """

    write_valid: Signal
    write_register: Signal
    write_address: Signal
    write_data: Signal
    query_en: Signal
    query_set: Signal
    query_address: Signal
    weight_en: Signal
    weight_head: Signal
    query: data.View
    weight: data.View
    rescale_head: Signal
    rescale: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        lanes = lanes_layout(pim, pim.kv_format.width)
        super().__init__({
            "write_valid": In(1), "write_register": In(Register),
            "write_address": In(pim.register_address_width), "write_data": In(BEAT_WIDTH),
            "query_en": In(1), "query_set": In(range(REGISTER_SETS)),
            "query_address": In(range(pim.group_max * pim.chunks_max)),
            "weight_en": In(1), "weight_head": In(range(pim.group_max)),
            "query": Out(lanes), "weight": Out(lanes),
            "rescale_head": In(range(pim.group_max)), "rescale": Out(RESCALE_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pim = self.pim
        lanes = lanes_layout(pim, pim.kv_format.width)
        sets = 1 << len(self.query_address)             # first address of the second set
        query = Cat(self.query_address, self.query_set)
        written = Cat(self.write_address[:len(self.query_address)], self.write_address[-1])
        for name, register, depth, read_en, read_address, read_data, write_address in (
                ("query", Register.QUERY, sets + pim.group_max * pim.chunks_max,
                 self.query_en, query, self.query, written),
                ("weight", Register.WEIGHT, pim.group_max,
                 self.weight_en, self.weight_head, self.weight, self.write_address)):
            m.submodules[name] = memory = Memory(shape=lanes, depth=depth, init=[])
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.en.eq(self.write_valid & (self.write_register == register)),
                write.addr.eq(write_address[:len(write.addr)]),
                write.data.eq(self.write_data),
                read.en.eq(read_en),
                read.addr.eq(read_address),
                read_data.eq(read.data),
            ]

        shifts = Signal(data.ArrayLayout(RESCALE_WIDTH, pim.group_max))
        with m.If(self.write_valid & (self.write_register == Register.RESCALE)):
            m.d.sync += shifts.eq(self.write_data[:len(shifts.as_value())])
        m.d.comb += self.rescale.eq(shifts[self.rescale_head])
        return m


class ScoreFile(wiring.Component):
    """Running sums of a token's scores, and SCORE: the finished ones; 16 a head.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    head : ``In``
        Head whose running sum is wanted.
    partial : ``Out(32)``
        That sum; combinational.
    en, write_head, token, last, sum : ``In``
        The new sum of a token's score; with ``last`` the score is complete. Seen in ``partial``
        one clock later.
    read_en, read_address : ``In``
        Register read, ``head * 2 + half``.
    read_data : ``Out(256)``
        Eight scores, one clock later.
    """

    head: Signal
    partial: Signal
    en: Signal
    write_head: Signal
    token: Signal
    last: Signal
    sum: Signal
    read_en: Signal
    read_address: Signal
    read_data: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        heads = range(pim.group_max)
        super().__init__({
            "head": In(heads), "partial": Out(FP32.width),
            "en": In(1), "write_head": In(heads), "token": In(range(BLOCK_TOKENS)),
            "last": In(1), "sum": In(FP32.width),
            "read_en": In(1), "read_address": In(pim.register_address_width),
            "read_data": Out(BEAT_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pim = self.pim
        m.submodules.partials = partials = Memory(shape=FP32.width, depth=pim.group_max, init=[])
        store, recall = partials.write_port(), partials.read_port(domain="comb")
        m.d.comb += [
            store.en.eq(self.en), store.addr.eq(self.write_head), store.data.eq(self.sum),
            recall.addr.eq(self.head), self.partial.eq(recall.data),
        ]

        slots = pim.SCORES_PER_BEAT
        m.submodules.scores = scores = Memory(
            shape=data.ArrayLayout(FP32.width, slots),
            depth=pim.group_max * (BLOCK_TOKENS // slots), init=[])
        write, read = scores.write_port(granularity=1), scores.read_port()
        slot_bits = (slots - 1).bit_length()
        m.d.comb += [
            write.en.eq((self.en & self.last) << self.token[:slot_bits]),
            write.addr.eq(Cat(self.token[slot_bits:], self.write_head)),
            write.data.eq(self.sum.replicate(slots)),
            read.en.eq(self.read_en),
            read.addr.eq(self.read_address[:len(read.addr)]),
            self.read_data.eq(read.data),
        ]
        return m


class OutputFile(wiring.Component):
    """OUTPUT: two sets of FP32 accumulators, rescaled on their way to the adders.

    One read port a set serves accumulation and register reads: a set reads nothing useful while
    an axpy pass of it is in flight; the other one does.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    en, set, address : ``In``
        Accumulators of a pass, ``head * chunks + chunk`` of a set.
    shift : ``In(16)``
        One clock after ``en``: how far to rescale them.
    accumulators : ``Out(lanes_layout)``
        One clock after ``en``, rescaled.
    write_en, write_set, write_address, sums : ``In``
        Their new values.
    read_en, read_address : ``In``
        Register read, ``(head * chunks + chunk) * 2 + half``, the set in the topmost bit; yields
        to ``en`` of the same set.
    read_data : ``Out(256)``
        Half of them, as they are, one clock later.
    """

    en: Signal
    set: Signal
    address: Signal
    shift: Signal
    accumulators: data.View
    write_en: Signal
    write_set: Signal
    write_address: Signal
    sums: data.View
    read_en: Signal
    read_address: Signal
    read_data: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        lanes = lanes_layout(pim, FP32.width)
        rows = range(pim.group_max * pim.chunks_max)
        super().__init__({
            "en": In(1), "set": In(range(REGISTER_SETS)), "address": In(rows),
            "shift": In(RESCALE_WIDTH),
            "accumulators": Out(lanes),
            "write_en": In(1), "write_set": In(range(REGISTER_SETS)), "write_address": In(rows),
            "sums": In(lanes),
            "read_en": In(1), "read_address": In(pim.register_address_width),
            "read_data": Out(BEAT_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pim = self.pim
        read_set, half = self.read_address[-1], Signal()
        accumulated, wanted = Signal.like(self.set), Signal.like(self.set)
        with m.If(self.en):
            m.d.sync += accumulated.eq(self.set)
        with m.If(self.read_en):
            m.d.sync += [wanted.eq(read_set), half.eq(self.read_address[0])]

        words: list[Value] = []
        accumulating: list[Value] = []              # whether accumulation caused the last read
        for number in range(REGISTER_SETS):
            m.submodules[f"outputs_{number}"] = outputs = Memory(
                shape=lanes_layout(pim, FP32.width), depth=pim.group_max * pim.chunks_max, init=[])
            write, read = outputs.write_port(), outputs.read_port()
            mine, other = Signal(), Signal()
            m.d.comb += [
                mine.eq(self.en & (self.set == number)),
                other.eq(self.read_en & (read_set == number)),
                write.en.eq(self.write_en & (self.write_set == number)),
                write.addr.eq(self.write_address),
                write.data.eq(self.sums),
                read.en.eq(mine | other),
                read.addr.eq(Mux(mine, self.address, self.read_address[1:-1])[:len(read.addr)]),
            ]
            cause = Signal(name=f"accumulating_{number}")
            with m.If(read.en):
                m.d.sync += cause.eq(mine)
            words.append(read.data.as_value())
            accumulating.append(cause)

        word = Signal(len(words[0]))
        stored = Signal(lanes_layout(pim, FP32.width))
        m.d.comb += [
            word.eq(Mux(wanted, words[1], words[0])),
            self.read_data.eq(Mux(half, word[BEAT_WIDTH:], word[:BEAT_WIDTH])),
            # A register read must not wake the adders.
            stored.eq(Mux(accumulated, Mux(accumulating[1], words[1], 0),
                          Mux(accumulating[0], words[0], 0))),
            self.accumulators.eq(Cat(rescale(stored[lane], self.shift)
                                     for lane in range(pim.LANES))),
        ]
        return m
