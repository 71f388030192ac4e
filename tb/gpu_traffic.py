"""A GPU that reads at random, in hardware, so that long measurements are quick."""

from typing import Any

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.layouts import PortSignature
from model.spec.port import TAG_WIDTH
from model.spec.slice import SliceSpec

QUEUE = 256
"""Reads that may wait before the port, so that the load does not depend on what is served."""

RUN_LOG2 = 3
"""Reads that follow each other in a row, as a power of two: 256 bytes, two sectors of a GPU."""


class GpuTraffic(wiring.Component):
    """Offers reads by the toss of a coin in every clock, and counts how long each one took.

    Runs of eight neighbouring columns, each in a random row of a random bank. The time of a read
    begins when the coin falls, whether the port takes it then or not.

    Parameters
    ----------
    spec : SliceSpec
    banks : tuple of int
        Where it reads.

    Members
    -------
    offer, counting : ``In(16)``, ``In(1)``
        Probability in 65536ths; whether answers count.
    beats : ``Out(32)``
    latency_at, latency_count : ``In(10)``, ``Out(32)``
    port : ``Out(PortSignature(spec))``
    """

    offer: Signal
    counting: Signal
    beats: Signal
    latency_at: Signal
    latency_count: Signal
    port: Any

    def __init__(self, spec: SliceSpec, *, banks: tuple[int, ...]) -> None:
        self.spec, self.banks = spec, banks
        super().__init__({
            "offer": In(16), "counting": In(1), "beats": Out(32),
            "latency_at": In(10), "latency_count": Out(32), "port": Out(PortSignature(spec))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.spec.geometry
        coin = Signal(32, init=0x1234_5678)
        draw = Signal(32, init=0x9E37_79B9)
        for state, taps in ((coin, (13, 17, 5)), (draw, (7, 9, 8))):
            m.d.sync += state.eq(_xorshift(m, state, taps))
        now = Signal(20)
        m.d.sync += now.eq(now + 1)
        m.submodules.queue = queue = SyncFIFO(width=len(now), depth=QUEUE)
        request, response = self.port.request, self.port.response
        m.d.comb += [
            queue.w_en.eq(coin[8:24] < self.offer), queue.w_data.eq(now),
        ]
        # Tags of reads under way, each with the clock in which its coin fell.
        m.submodules.born = born = Memory(shape=len(now), depth=1 << TAG_WIDTH, init=[])
        store, fetch = born.write_port(), born.read_port(domain="comb")
        busy = Signal(1 << TAG_WIDTH)
        tag = Signal(TAG_WIDTH)
        step = Signal(RUN_LOG2)
        where = Signal(len(draw))
        bank = Array(Const(number, g.bank_width) for number in self.banks)
        columns = (g.columns - 1).bit_length()
        place = Mux(step == 0, draw, where)
        held = Signal.like(place)
        offered = Signal()
        steady = Mux(offered, held, place)
        m.d.comb += [
            request.valid.eq(queue.r_rdy & ~busy.bit_select(tag, 1)),
            request.p.tag.eq(tag),
            request.p.bank.eq(bank[(steady[:8] * len(self.banks)) >> 8]),
            request.p.row.eq(steady[8:8 + len(request.p.row)]),
            request.p.column.eq(Cat(step, steady[24:24 + columns - RUN_LOG2])),
            queue.r_en.eq(request.valid & request.ready),
            response.ready.eq(1),
            store.en.eq(queue.r_en), store.addr.eq(tag), store.data.eq(queue.r_data),
            fetch.addr.eq(response.p.tag),
        ]
        m.d.sync += [held.eq(steady), offered.eq(request.valid & ~request.ready)]
        with m.If(queue.r_en):
            m.d.sync += [
                busy.bit_select(tag, 1).eq(1), tag.eq(tag + 1),
                step.eq(step + 1), where.eq(steady)]
        with m.If(response.valid):
            m.d.sync += busy.bit_select(response.p.tag, 1).eq(0)
        self._count(m, (now - fetch.data)[:len(now)])
        return m

    def _count(self, m: Module, took: Any) -> None:
        """A histogram of one read a clock."""
        answered = Signal()
        at = Signal(len(self.latency_at))
        last = (1 << len(at)) - 1
        m.d.sync += [answered.eq(self.port.response.valid & self.counting),
                     at.eq(Mux(took > last, last, took)[:len(at)])]
        m.submodules.histogram = memory = Memory(shape=32, depth=last + 1, init=[])
        store, fetch = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            fetch.addr.eq(Mux(answered, at, self.latency_at)), self.latency_count.eq(fetch.data),
            store.addr.eq(at), store.data.eq(fetch.data + 1), store.en.eq(answered),
        ]
        with m.If(answered):
            m.d.sync += self.beats.eq(self.beats + 1)


def _xorshift(m: Module, state: Signal, taps: tuple[int, int, int]) -> Signal:
    """Marsaglia's generator of 32 bits."""
    a, b, c = taps
    steps = [Signal(32, name=f"{state.name}_{i}") for i in range(3)]
    m.d.comb += [
        steps[0].eq((state ^ (state << a))[:32]), steps[1].eq(steps[0] ^ (steps[0] >> b)),
        steps[2].eq((steps[1] ^ (steps[1] << c))[:32])]
    return steps[2]
