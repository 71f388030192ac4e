"""The attention units of a pseudo-channel, connected to its memory channel."""

from typing import Any

from amaranth import Module, Value
from amaranth.lib.wiring import connect

from hdl.attention.attention_sequencer import AttentionSequencer
from hdl.attention.merge import Merge
from hdl.attention.softmax import Softmax
from model.spec.slice import SliceSpec


def attention_units(m: Module, spec: SliceSpec, channel: Any, registers: Any,
                    result: Any, ordered_result: Any = None
                    ) -> tuple[AttentionSequencer, Softmax]:
    """Adds sequencer, softmax and merge unit, as submodules of these names, and connects them.

    Parameters
    ----------
    m : Module
    spec : SliceSpec
    channel : component
        With ports ``pim`` and ``shape``, as those of :class:`~hdl.dram.channel.Channel`.
    registers : component
        With the values of ``context``, ``shape``, ``scale`` and ``first_wave``.
    result : stream
        Where outputs go.
    ordered_result : stream, optional
        Where those of attentions go that come through ``order``.

    Returns
    -------
    tuple
        The sequencer, whose ``start``, queries, ``order`` and wave table are left to be connected,
        and the softmax unit, of which ``nan`` is.
    """
    m.submodules.sequencer = sequencer = AttentionSequencer(spec)
    m.submodules.softmax = softmax = Softmax(spec.pim)
    m.submodules.merge = merge = Merge(spec.pim)
    if ordered_result is None:
        connect(m, merge.result, result)
    else:
        _sort(m, merge.result, (result, ordered_result), sequencer.ordered)
    connect(m, channel.pim, sequencer.pim)
    connect(m, softmax.score, sequencer.score)
    connect(m, softmax.rescale, sequencer.rescale)
    connect(m, softmax.weight, sequencer.weight)
    connect(m, merge.part, sequencer.part)
    for unit in (channel, softmax, merge):
        m.d.comb += unit.shape.eq(sequencer.shape)
    request, first_wave = sequencer.request, registers.first_wave
    m.d.comb += [
        request.context.eq(registers.context),
        request.last_chunk.eq(registers.shape.last_chunk),
        request.last_head.eq(registers.shape.last_head),
        request.partial.eq(registers.shape.partial),
        request.format.eq(registers.shape.format),
        request.scale.eq(registers.scale),
        request.first_wave.eq(first_wave[:len(request.first_wave)]),
        sequencer.state.eq(softmax.state), sequencer.settled.eq(softmax.settled),
        sequencer.head_done.eq(merge.result.valid & merge.result.ready & merge.result.p.last),
        softmax.scale.eq(sequencer.scale),
        merge.partial.eq(sequencer.partial),
    ]
    return sequencer, softmax


def _sort(m: Module, source: Any, sinks: tuple[Any, Any], choice: Value) -> None:
    """Each beat to the sink of its number."""
    for number, sink in enumerate(sinks):
        chosen = choice == number
        m.d.comb += [sink.payload.eq(source.payload), sink.valid.eq(source.valid & chosen)]
        with m.If(chosen):
            m.d.comb += source.ready.eq(sink.ready)
