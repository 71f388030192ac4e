"""Walks the waves of an attention: which blocks each one holds."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from model.spec.attention import BLOCK_TOKENS
from model.spec.registers import WAVES_MAX
from model.spec.slice import SliceSpec


def wave_tokens(spec: SliceSpec) -> int:
    """Tokens of a full wave: one block in every PIM bank."""
    return BLOCK_TOKENS * spec.geometry.pim_banks


def context_range(spec: SliceSpec) -> range:
    """Contexts that the wave table can hold, and 0."""
    return range(WAVES_MAX * wave_tokens(spec) + 1)


class WaveCursor(wiring.Component):
    """The wave that a role of the sequencer is at; moves on the clock after ``advance``.

    Parameters
    ----------
    spec : SliceSpec

    Members
    -------
    load, context : ``In``
        Goes to wave 0 of an attention to so many tokens.
    advance : ``In(1)``
        Goes to the next wave.
    wave : ``Out``
        Its number.
    tokens : ``Out``
        Tokens from the first one of this wave to the end of the context; 0 behind the last wave.
    active, last : ``Out(1)``
        There is such a wave; it is the last one.
    last_block : ``Out``
        The last block of this wave, hence the last PIM bank that takes part.
    mask : ``Out(pim_banks)``
        PIM banks that take part.
    """

    load: Signal
    context: Signal
    advance: Signal
    wave: Signal
    tokens: Signal
    active: Signal
    last: Signal
    last_block: Signal
    mask: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self._spec = spec
        banks = spec.geometry.pim_banks
        super().__init__({
            "load": In(1), "context": In(context_range(spec)), "advance": In(1),
            "wave": Out(range(WAVES_MAX + 1)), "tokens": Out(context_range(spec)),
            "active": Out(1), "last": Out(1),
            "last_block": Out(range(banks)), "mask": Out(banks),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        banks, full = self._spec.geometry.pim_banks, wave_tokens(self._spec)
        m.d.comb += [
            self.active.eq(self.tokens != 0),
            self.last.eq(self.active & (self.tokens <= full)),
            self.mask.eq(Cat(self.tokens > BLOCK_TOKENS * bank for bank in range(banks))),
            self.last_block.eq(Mux(
                self.tokens >= full, banks - 1,
                ((self.tokens - 1) >> (BLOCK_TOKENS - 1).bit_length())[:len(self.last_block)])),
        ]
        with m.If(self.load):
            m.d.sync += [self.wave.eq(0), self.tokens.eq(self.context)]
        with m.Elif(self.advance):
            m.d.sync += self.wave.eq(self.wave + 1)
            m.d.sync += self.tokens.eq(Mux(self.tokens > full, (self.tokens - full)[:len(
                self.tokens)], 0))
        return m
