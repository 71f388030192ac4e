"""Says whether a descriptor makes sense, before anything is read for it."""

from amaranth import Array, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.attention.descriptor_layouts import DESCRIPTOR_LAYOUT, chunks_of
from hdl.attention.wave_source import quantised_block_rows
from model.spec.attention import BLOCK_TOKENS, KvLayout
from model.spec.attention_descriptor import Opcode, Result
from model.spec.formats import FP32
from model.spec.mx import StoredFormat
from model.spec.slice import SliceSpec

TOKEN_BITS = (BLOCK_TOKENS - 1).bit_length()


class DescriptorCheck(wiring.Component):
    """No latency.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    descriptor, faulty, tenant : ``In``
        What was fetched; it could not be read; whose ring it lies in.
    misfit : ``In(1)``
        Its join does not fit.
    result : ``Out(Result)``
        ``DONE``, or why it is refused.
    """

    descriptor: data.View
    faulty: Signal
    tenant: Signal
    misfit: Signal
    result: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        super().__init__({
            "descriptor": In(DESCRIPTOR_LAYOUT), "faulty": In(1), "tenant": In(8),
            "misfit": In(1), "result": Out(Result)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d, pim = self.descriptor, self.spec.pim
        chunks, quantised = chunks_of(d.head_size), Signal()
        codes = [fmt.code for fmt in pim.quantised]
        wide = d.format == StoredFormat.WIDE
        if codes:           # a head that cannot be quantised has no rows
            stored = Array([0, *quantised_block_rows(self.spec)])
            m.d.comb += quantised.eq(d.format.matches(*codes))
            unstored = quantised & (stored[chunks] == 0)
        else:
            unstored = Const(0, 1)
        exponent = d.scale[FP32.fraction_bits:-1]
        whole, part = d.context[TOKEN_BITS:], d.context[:TOKEN_BITS].any()
        refusals = {
            Result.RING_FAULT: self.faulty,
            Result.BAD_OPCODE: ((d.opcode != Opcode.ATTEND) | d.reserved.any()
                                | d.reserved_list.any()),
            Result.WRONG_TENANT: d.tenant != self.tenant,
            Result.BAD_FLAGS: (((~d.resident | d.joined) & ~d.partial)
                               | (d.append & ~wide)),
            Result.BAD_HEAD_SIZE: (d.head_size[:4].any() | (chunks < KvLayout.SMALLEST_CHUNKS)
                                   | (chunks > pim.chunks_max) | unstored),
            Result.BAD_GROUP: (d.heads == 0) | (d.heads > pim.group_max),
            Result.BAD_FORMAT: ~wide & ~quantised,
            Result.BAD_SCALE: d.scale[-1] | ~exponent.any() | exponent.all(),
            Result.NO_BLOCKS: d.blocks == 0,
            Result.NO_CONTEXT: d.context == 0,
            Result.BAD_CONTEXT: whole + part != d.blocks,
            Result.BAD_JOIN: self.misfit,
        }
        for result, refused in reversed(refusals.items()):      # the last one wins
            with m.If(refused):
                m.d.comb += self.result.eq(result)
        return m
