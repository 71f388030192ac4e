"""Says whether a descriptor makes sense, before anything is read for it."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.descriptor_layouts import DESCRIPTOR_LAYOUT, chunks_of
from model.spec.attention import BLOCK_TOKENS, KvLayout, PimSpec
from model.spec.attention_descriptor import EngineSpec, Opcode, Result
from model.spec.formats import FP32
from model.spec.mx import StoredFormat

TOKEN_BITS = (BLOCK_TOKENS - 1).bit_length()


class DescriptorCheck(wiring.Component):
    """No latency.

    Parameters
    ----------
    pim : PimSpec
    engine : EngineSpec

    Members
    -------
    descriptor, faulty, tenant : ``In``
        What was fetched; it could not be read; whose ring it lies in.
    result : ``Out(Result)``
        ``DONE``, or why it is refused.
    """

    descriptor: data.View
    faulty: Signal
    tenant: Signal
    result: Signal

    def __init__(self, pim: PimSpec, engine: EngineSpec) -> None:
        self.pim, self.engine = pim, engine
        super().__init__({
            "descriptor": In(DESCRIPTOR_LAYOUT), "faulty": In(1), "tenant": In(8),
            "result": Out(Result)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.descriptor
        chunks = chunks_of(d.head_size)
        exponent = d.scale[FP32.fraction_bits:-1]
        whole, part = d.context[TOKEN_BITS:], d.context[:TOKEN_BITS].any()
        refusals = {
            Result.RING_FAULT: self.faulty,
            Result.BAD_OPCODE: ((d.opcode != Opcode.ATTEND) | d.reserved.any()
                                | d.reserved_list.any()),
            Result.WRONG_TENANT: d.tenant != self.tenant,
            Result.BAD_FLAGS: ((~d.resident & ~d.partial)
                               | (d.append & (d.format != StoredFormat.WIDE))),
            Result.BAD_HEAD_SIZE: (d.head_size[:4].any() | (chunks < KvLayout.SMALLEST_CHUNKS)
                                   | (chunks > self.pim.chunks_max)),
            Result.BAD_GROUP: (d.heads == 0) | (d.heads > self.pim.group_max),
            Result.BAD_FORMAT: ~Cat(d.format == f for f in self.engine.formats).any(),
            Result.BAD_SCALE: d.scale[-1] | ~exponent.any() | exponent.all(),
            Result.NO_BLOCKS: d.blocks == 0,
            Result.NO_CONTEXT: d.context == 0,
            Result.BAD_CONTEXT: whole + part != d.blocks,
        }
        for result, refused in reversed(refusals.items()):      # the last one wins
            with m.If(refused):
                m.d.comb += self.result.eq(result)
        return m
