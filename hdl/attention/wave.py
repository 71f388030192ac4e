"""Waves on their way through the attention sequencer, and how far each role has come."""

from collections.abc import Sequence
from functools import reduce
from operator import and_
from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from model.spec.attention import BLOCK_TOKENS, ROW_LATCHES, KvLayout
from model.spec.slice import SliceSpec

WAVES_IN_FLIGHT = ROW_LATCHES
"""Waves between the first and the last role; each has the rows of its blocks in a latch."""

COUNT_BITS = 4
"""Bits of a wave counter: enough to tell apart all waves in flight."""


def append_layout(spec: SliceSpec) -> data.StructLayout:
    """Which rows of its K, and of its V, a new token is written to; perhaps none."""
    rows = range(KvLayout.rows_for(BLOCK_TOKENS * spec.pim.chunks_max, spec.geometry.columns))
    return data.StructLayout({"valid": 1, "first": rows, "last": rows})


def wave_layout(spec: SliceSpec) -> data.StructLayout:
    """One wave: at most one block of KV in each PIM bank."""
    g = spec.geometry
    return data.StructLayout({
        "rows": data.ArrayLayout(range(g.rows), g.pim_banks),            # first row of the block
        "tokens": data.ArrayLayout(range(BLOCK_TOKENS + 1), g.pim_banks),   # valid; 0: no block
        "uniform": 1,                        # all rows are the same
        "first": 1, "last": 1,               # wave of its attention
        "set": 1,                            # of QUERY, OUTPUT and softmax state that it uses
        "append": append_layout(spec),
    })


def wave_mask(wave: Any) -> Value:
    """The banks that hold a block of the wave, one bit each."""
    return Cat(wave.tokens[bank] != 0 for bank in range(len(wave.tokens)))


def lead(ahead: Value, behind: Value) -> Value:
    """Waves by which one counter is ahead of another."""
    return (ahead - behind)[:COUNT_BITS]


def passed(counter: Value, wave: Value) -> Value:
    """Whether a role that may be behind or ahead has finished the wave of that number."""
    ahead = lead(counter, wave)
    return ahead.any() & ~ahead[-1]


class Progress(data.StructLayout):
    """How many waves each role has finished, modulo 16; what the roles wait for."""

    def __init__(self) -> None:
        super().__init__({
            "latched": COUNT_BITS,      # the banks know the rows of their blocks
            "scored": COUNT_BITS,       # K passes done: scores lie in the PIM units
            "read": COUNT_BITS,         # scores handed to the softmax unit
            "settled": COUNT_BITS,      # the softmax state holds what they add to it
            "weighted": COUNT_BITS,     # weights lie in the PIM units
            "summed": COUNT_BITS,       # V passes done: outputs are accumulated
        })


class WaveFork(wiring.Component):
    """Hands every wave to each role, in order; a wave in, a wave out to each role a clock.

    Parameters
    ----------
    spec : SliceSpec
    roles : sequence of str
        Names of the outputs.

    Members
    -------
    i : ``In(stream.Signature(wave_layout(spec)))``
    <role> : ``Out(stream.Signature(wave_layout(spec)))``
        Each role takes waves at its own pace; the slowest stops the input when
        ``WAVES_IN_FLIGHT`` waves wait for it.
    """

    i: stream.Interface

    def __init__(self, spec: SliceSpec, roles: Sequence[str]) -> None:
        self._spec, self._roles = spec, tuple(roles)
        signature = stream.Signature(wave_layout(spec))
        super().__init__({"i": In(signature), **{role: Out(signature) for role in roles}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        queues = []
        for role in self._roles:
            m.submodules[role] = queue = SyncFIFO(
                width=wave_layout(self._spec).size, depth=WAVES_IN_FLIGHT)
            out = getattr(self, role)
            m.d.comb += [
                queue.w_data.eq(self.i.payload.as_value()),
                queue.w_en.eq(self.i.valid & self.i.ready),
                out.payload.as_value().eq(queue.r_data),
                out.valid.eq(queue.r_rdy), queue.r_en.eq(out.ready),
            ]
            queues.append(queue)
        m.d.comb += self.i.ready.eq(reduce(and_, (queue.w_rdy for queue in queues)))
        return m


class BankWalk(wiring.Component):
    """Goes over the banks of a mask, lowest first; round after round.

    Parameters
    ----------
    banks : int

    Members
    -------
    mask : ``In(banks)``
        Not 0; constant for a round.
    advance : ``In(1)``
        Goes to the next bank, after the last one to the first.
    bank : ``Out``, one_hot : ``Out(banks)``
        Where it is.
    last : ``Out(1)``
        No bank of the mask comes after it.
    """

    mask: Signal
    advance: Signal
    bank: Signal
    one_hot: Signal
    last: Signal

    def __init__(self, banks: int) -> None:
        super().__init__({
            "mask": In(banks), "advance": In(1),
            "bank": Out(range(banks)), "one_hot": Out(banks), "last": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        done = Signal.like(self.mask)
        left = Signal.like(self.mask)
        m.d.comb += [
            left.eq(self.mask & ~done),
            self.one_hot.eq((left & (~left + 1))[:len(left)]),       # the lowest bit
            self.last.eq(left == self.one_hot),
        ]
        for bank in range(len(self.mask)):
            with m.If(self.one_hot[bank]):
                m.d.comb += self.bank.eq(bank)
        with m.If(self.advance):
            m.d.sync += done.eq(Value.cast(done | self.one_hot) & (~self.last).replicate(len(done)))
        return m
