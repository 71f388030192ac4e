"""Check bits of a beat, and what they say of one that was read; both combinational."""

from functools import reduce
from operator import xor

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH
from model.spec.secded import (
    BEAT_CHECK_BITS,
    CHECK_BITS,
    CHECK_COLUMNS,
    DATA_COLUMNS,
    POISON,
    WORD_BITS,
    WORDS,
    covered,
)


class SecdedEncoder(wiring.Component):
    """Check bits of a beat in the same clock: (72,64), four words a beat (model.spec.secded).

    Members
    -------
    data : ``In(256)``
    poison : ``In(1)``
        The content is known to be lost: whoever reads it shall be told.
    check : ``Out(32)``
        Stored beside the data.
    """

    data: Signal
    poison: Signal
    check: Signal

    def __init__(self) -> None:
        super().__init__({
            "data": In(BEAT_WIDTH), "poison": In(1), "check": Out(BEAT_CHECK_BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for w in range(WORDS):
            word = self.data.word_select(w, WORD_BITS)
            parities = Cat(reduce(xor, (word[i] for i in covered(bit)))
                           for bit in range(CHECK_BITS))
            mark = Cat(self.poison & (POISON >> bit & 1) for bit in range(CHECK_BITS))
            m.d.comb += self.check.word_select(w, CHECK_BITS).eq(parities ^ mark)
        return m


class SecdedDecoder(wiring.Component):
    """Corrects one flip in each word of a beat and finds two, in the same clock.

    Three flips and more in one word may look like one, as with every such code.

    Members
    -------
    data, check : ``In(256)``, ``In(32)``
        As read.
    decoded : ``Out(256)``
        The beat, corrected; words that cannot be corrected are as read.
    corrected, uncorrectable : ``Out(4)``
        A bit for every word: one flip, in data or check bits; more than one, or poison.
    poisoned : ``Out(1)``
        Every word bears the mark of poison and no flip besides.
    syndrome : ``Out(32)``
        Of all words; 0 if nothing is wrong.
    """

    data: Signal
    check: Signal
    decoded: Signal
    corrected: Signal
    uncorrectable: Signal
    poisoned: Signal
    syndrome: Signal

    def __init__(self) -> None:
        super().__init__({
            "data": In(BEAT_WIDTH), "check": In(BEAT_CHECK_BITS),
            "decoded": Out(BEAT_WIDTH), "corrected": Out(WORDS), "uncorrectable": Out(WORDS),
            "poisoned": Out(1), "syndrome": Out(BEAT_CHECK_BITS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.encoder = encoder = SecdedEncoder()
        flips, corrected, uncorrectable = [], [], []
        m.d.comb += [encoder.data.eq(self.data), self.syndrome.eq(encoder.check ^ self.check)]
        for w in range(WORDS):
            syndrome = self.syndrome.word_select(w, CHECK_BITS)
            flip = Cat(syndrome == column for column in DATA_COLUMNS)
            check_flip = Cat(syndrome == column for column in CHECK_COLUMNS)
            one = flip.any() | check_flip.any()
            flips.append(flip)
            corrected.append(one)
            uncorrectable.append(syndrome.any() & ~one)
        mark = sum(POISON << CHECK_BITS * w for w in range(WORDS))
        m.d.comb += [
            self.decoded.eq(self.data ^ Cat(flips)),
            self.corrected.eq(Cat(corrected)),
            self.uncorrectable.eq(Cat(uncorrectable)),
            self.poisoned.eq(self.syndrome == mark),
        ]
        return m
