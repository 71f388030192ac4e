"""A pseudo-channel of a base die: memory, attention units, and the host's port to it."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.attention.attention_units import attention_units
from hdl.attention.descriptor_engine import DescriptorEngine
from hdl.attention.descriptor_layouts import (
    ELSEWHERE,
    JOIN_BITS,
    MEMBER_PART,
    TAG,
    Source,
    board_layout,
)
from hdl.dma.port_share import StreamShare
from hdl.dma.stream_path import HOST_IN, HOST_OUT
from hdl.host.axi import AxiSignature
from hdl.host.axi_lite import AccessSignature
from hdl.host.axi_memory import AxiMemory
from hdl.host.counters import EVENTS, Counters
from hdl.host.register_block import RegisterBlock
from hdl.host.unit_registers import connect_descriptors
from hdl.layouts import (
    BEAT_WIDTH,
    CommandSignature,
    PortSignature,
    request_layout,
    result_layout,
)
from hdl.memory_controller import MemoryController
from model.spec.base_die import BaseDieSpec
from model.spec.register_map import BLOCK_WIDTH
from model.spec.registers import CHANNEL_BLOCKS, COUNTERS, IDENTIFIER, attention_map, capabilities
from model.spec.unit_registers import descriptors_map


class PseudoChannel(wiring.Component):
    """Memory controller, attention units and AXI4 port of a pseudo-channel; only connections.

    Parameters
    ----------
    spec : BaseDieSpec

    Members
    -------
    attention, reliability, dma, translator, descriptors : ``In(AccessSignature(BLOCK_WIDTH))``
        Registers, a port for each of ``CHANNEL_BLOCKS``.
    axi : ``In(AxiSignature)``
        Reads and writes of the GPU (:class:`~hdl.host.axi_memory.AxiMemory`).
    query, result : ``In(stream)``, ``Out(stream)``
        Of attentions that registers start, as in :class:`~hdl.slice.Slice`.
    elsewhere : ``Out(stream.Signature(ELSEWHERE))``
        Blocks of descriptors whose partial results are asked of another tier.
    board, claim, claimed, part : ``In``, ``Out``, ``Out``, ``Out(stream.Signature(MEMBER_PART))``
        To the join engine of the die (:class:`~hdl.attention.descriptor_engine.DescriptorEngine`).
    joins : ``In(PortSignature(spec))``
        A port of that engine to this memory; it shares the descriptor engine's, and gets answers
        whose tags are of source ``JOIN``.
    host_in, host_out : ``In(stream)``, ``Out(stream)``
        The host's side of moves.
    number : ``In(8)``
        Of this pseudo-channel in the stack.
    attended, moved, refused, erred, announced : ``Out(1)``
        What the die's interrupt is made from, in the order of ``INTERRUPTS``.
    commands : ``Out(CommandSignature)``
        The DRAM command buses, for observers.
    """

    attention: Any
    descriptors: Any
    axi: Any
    query: stream.Interface
    result: stream.Interface
    elsewhere: stream.Interface
    board: data.View
    claim: Signal
    claimed: Signal
    part: stream.Interface
    joins: Any
    host_in: stream.Interface
    host_out: stream.Interface
    number: Signal
    attended: Signal
    moved: Signal
    refused: Signal
    erred: Signal
    announced: Signal
    commands: Any

    def __init__(self, spec: BaseDieSpec) -> None:
        self.spec = spec
        super().__init__({
            **{name: In(AccessSignature(BLOCK_WIDTH)) for name in CHANNEL_BLOCKS},
            "axi": In(AxiSignature(spec.axi_address_width, spec.axi_id_width)),
            "query": In(stream.Signature(BEAT_WIDTH)),
            "result": Out(stream.Signature(result_layout())),
            "elsewhere": Out(stream.Signature(ELSEWHERE)),
            "board": In(board_layout(spec.engine)), "claim": Out(1), "claimed": Out(JOIN_BITS),
            "part": Out(stream.Signature(MEMBER_PART)), "joins": In(PortSignature(spec.channel)),
            "host_in": In(stream.Signature(HOST_IN)), "host_out": Out(stream.Signature(HOST_OUT)),
            "number": In(8),
            **{name: Out(1) for name in ("attended", "moved", "refused", "erred", "announced")},
            "commands": Out(CommandSignature(spec.channel)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = MemoryController(self.spec)
        m.submodules.gpu = gpu = AxiMemory(
            self.spec.channel, id_width=self.spec.axi_id_width)
        block: Any = RegisterBlock(
            attention_map(), limits={"wave_row": self.spec.channel.geometry.rows})
        m.submodules.attention_registers = block
        connect(m, flipped(self.axi), gpu.axi)
        connect(m, gpu.port, memory.gpu)
        connect(m, flipped(self.attention), block.access)
        for name in ("reliability", "dma", "translator", "host_in"):
            connect(m, flipped(getattr(self, name)), getattr(memory, name))
        connect(m, memory.host_out, flipped(self.host_out))
        connect(m, memory.commands, flipped(self.commands))
        m.d.comb += [memory.number.eq(self.number), self.moved.eq(memory.moved),
                     self.refused.eq(memory.refused), self.erred.eq(memory.erred)]
        engine = self._descriptors(m, memory)
        sequencer, softmax = attention_units(
            m, self.spec.channel, memory, block, flipped(self.result), engine.result)
        connect(m, flipped(self.query), sequencer.query)
        connect(m, engine.query, sequencer.ordered_query)
        connect(m, engine.order, sequencer.order)
        connect(m, engine.waves, sequencer.waves)
        connect(m, engine.token, sequencer.token)
        self._attend(m, memory, block, sequencer, softmax)
        return m

    def _descriptors(self, m: Module, memory: Any) -> DescriptorEngine:
        """The engine of attention descriptors, with its registers, at the memory."""
        spec = self.spec
        m.submodules.descriptors = engine = DescriptorEngine(
            spec.channel, spec.engine, translator=spec.translator)
        block: Any = RegisterBlock(descriptors_map(spec.engine.rings))
        m.submodules.descriptor_registers = block
        connect(m, flipped(self.descriptors), block.access)
        connect_descriptors(m, block, engine)
        connect(m, engine.translator, memory.blocks)
        connect(m, engine.elsewhere, flipped(self.elsewhere))
        connect(m, engine.part, flipped(self.part))
        m.d.comb += [
            engine.pseudo_channel.eq(self.number), self.announced.eq(engine.announced),
            engine.board.eq(self.board), self.claim.eq(engine.claim),
            self.claimed.eq(engine.claimed),
        ]
        self._share(m, engine.port, memory.attend)
        return engine

    def _share(self, m: Module, own: Any, memory: Any) -> None:
        """One port of the memory for the descriptor engine and the die's join engine."""
        share: Any = StreamShare(request_layout(self.spec.channel), 2)
        m.submodules.attend_share = share
        connect(m, own.request, share.i_0)
        connect(m, flipped(self.joins.request), share.i_1)
        connect(m, share.o, memory.request)
        answer = memory.response
        foreign = data.View(TAG, answer.p.tag).source == Source.JOIN
        m.d.comb += answer.ready.eq(Mux(foreign, self.joins.response.ready, own.response.ready))
        for port, mine in ((own, ~foreign), (self.joins, foreign)):
            m.d.comb += [port.response.payload.eq(answer.payload),
                         port.response.valid.eq(answer.valid & mine)]

    def _attend(self, m: Module, memory: Any, block: Any, sequencer: Any, softmax: Any) -> None:
        m.submodules.counters = counters = Counters()
        m.d.comb += [
            sequencer.start.eq(block.control.attend),
            self.attended.eq(sequencer.ended | sequencer.refused),
            block.identifier.eq(IDENTIFIER),
            Value.cast(block.capabilities).eq(capabilities(self.spec.channel)),
            block.status.attend_busy.eq(sequencer.busy),
            Value.cast(block.error_set).eq(Cat(
                sequencer.refused, 0, softmax.nan, memory.device_error)),
            block.wave_row_index.eq(sequencer.entry),
            sequencer.wave_row.eq(block.wave_row[:len(sequencer.wave_row)]),
            counters.start_attend.eq(block.control.attend),
            counters.attend_busy.eq(sequencer.busy),
            *(counters.events[name].eq(getattr(memory.counters, name)) for name in EVENTS),
            *(getattr(block, name).eq(counters.values[name]) for name in COUNTERS
              if name != "dma_cycles"),
        ]
