"""Blocks in any order of banks, put together to waves."""

from functools import reduce
from operator import and_, or_

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.attention.descriptor_layouts import pim_block_layout
from hdl.attention.wave import wave_layout
from model.spec.attention_descriptor import EngineSpec
from model.spec.slice import SliceSpec


class WaveBuilder(wiring.Component):
    """A queue for each bank; a wave takes the first block of every one that has any.

    It does when all have one, when the next block finds its queue full, or after the last block: so
    the waves depend on the blocks alone, not on when they come. One wave is held back until it is
    known whether it is the last one.

    Parameters
    ----------
    spec : SliceSpec
    engine : EngineSpec

    Members
    -------
    i : ``In(stream.Signature(pim_block_layout(spec)))``
    abandon : ``In(1)``
        For one clock: the attention fails. What has not left is forgotten, but for a last wave.
    end : ``In(1)``
        No further block comes; until ``done``.
    done : ``Out(1)``
        All has left; in the next clock a further attention may begin.
    begin : ``Out(1)``, may_begin : ``In(1)``
        The first wave leaves; it waits for permission.
    begun : ``Out(1)``
        It has left.
    o : ``Out(stream.Signature(wave_layout(spec)))``
        The waves, without their register set. What is shown may be withdrawn.
    """

    i: stream.Interface
    abandon: Signal
    end: Signal
    done: Signal
    begin: Signal
    may_begin: Signal
    begun: Signal
    o: stream.Interface

    def __init__(self, spec: SliceSpec, engine: EngineSpec) -> None:
        self.spec, self.engine = spec, engine
        super().__init__({
            "i": In(stream.Signature(pim_block_layout(spec))),
            "abandon": In(1), "end": In(1), "done": Out(1),
            "begin": Out(1), "may_begin": In(1), "begun": Out(1),
            "o": Out(stream.Signature(wave_layout(spec))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        banks = self.spec.geometry.pim_banks
        held, holds = Signal(wave_layout(self.spec)), Signal()
        complete, take, leaves, left = (Signal(name=n)
                                        for n in ("complete", "take", "leaves", "left"))
        queues = self._queues(m, take)
        some = Cat(queue.r_rdy for queue in queues)
        full = Cat(~queue.w_rdy for queue in queues).bit_select(self.i.p.bank, 1)
        m.d.comb += [
            left.eq(some.any()),
            complete.eq(some.all() | (self.i.valid & full) | (self.end & left)),
            take.eq(complete & (~holds | leaves) & ~self.abandon),
            self.i.ready.eq(~full & ~self.abandon),
            self.o.payload.eq(held), self.o.p.last.eq(self.end & ~left),
            self.o.p.first.eq(~self.begun),
            self.o.valid.eq(holds & (complete | self.end) & (self.begun | self.may_begin)
                            & ~self.abandon),
            leaves.eq(self.o.valid & self.o.ready),
            self.begin.eq(leaves & ~self.begun),
            self.done.eq(self.end & ~left & (~holds | leaves)),
        ]
        with m.If(take):
            m.d.sync += [holds.eq(1), *self._collect(m, held, queues)]
        with m.Elif(leaves | (self.abandon & ~self.begun)):
            m.d.sync += holds.eq(0)
        with m.If(self.done):
            m.d.sync += self.begun.eq(0)
        with m.Elif(self.begin):
            m.d.sync += self.begun.eq(1)
        assert len(queues) == banks
        return m

    def _queues(self, m: Module, take: Signal) -> list[SyncFIFO]:
        queues = []
        for bank in range(self.spec.geometry.pim_banks):
            queue = SyncFIFO(width=pim_block_layout(self.spec).size,
                             depth=self.engine.bank_blocks)
            m.submodules[f"bank_{bank}"] = ResetInserter(self.abandon)(queue)
            m.d.comb += [
                queue.w_data.eq(self.i.payload.as_value()), queue.r_en.eq(take),
                queue.w_en.eq(self.i.valid & self.i.ready & (self.i.p.bank == bank)),
            ]
            queues.append(queue)
        return queues

    def _collect(self, m: Module, held: data.View, queues: list[SyncFIFO]) -> list:
        """The wave of the first blocks; with one row for all if they agree."""
        heads = [data.View(pim_block_layout(self.spec), queue.r_data) for queue in queues]
        agree = reduce(and_, (queue.r_rdy & (head.row == heads[0].row)
                              for queue, head in zip(queues, heads, strict=True)))
        return [
            held.uniform.eq(agree),
            held.append.eq(reduce(or_, (Mux(queue.r_rdy & head.append.valid,
                                            head.append.as_value(), 0)
                                        for queue, head in zip(queues, heads, strict=True)))),
            *(held.rows[bank].eq(head.row) for bank, head in enumerate(heads)),
            *(held.tokens[bank].eq(Mux(queue.r_rdy, head.tokens, 0))
              for bank, (queue, head) in enumerate(zip(queues, heads, strict=True))),
        ]
