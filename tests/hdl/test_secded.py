"""SECDED in hardware: every flip and pair of flips of every word, against linear algebra."""
# amaranth: UnusedElaboratable=no

import random
from itertools import combinations
from typing import Any

import pytest
from amaranth.lib import wiring
from amaranth.sim import Simulator

from hdl.reliability.secded import SecdedDecoder, SecdedEncoder
from model.golden.secded import CODE_BITS, decode, encode
from model.spec.geometry import BEAT_BYTES
from model.spec.secded import CHECK_BITS, WORD_BITS, WORDS
from tests.rtl.mutants import Mutant, mutated

BEAT = 8 * BEAT_BYTES
MODULE = "hdl.reliability.secded"


def simulate(component: wiring.Component, bench: Any) -> None:
    """Runs a bench on a combinational component."""
    simulator = Simulator(component)
    simulator.add_testbench(bench)
    simulator.run()


def spread(patterns: list[int]) -> tuple[int, int]:
    """Flips of data and check bits of a beat from a 72-bit pattern for each word."""
    data = sum((p & (1 << WORD_BITS) - 1) << WORD_BITS * w for w, p in enumerate(patterns))
    check = sum(p >> WORD_BITS << CHECK_BITS * w for w, p in enumerate(patterns))
    return data, check


def encode_everything(encoder: Any) -> None:
    """Compares the encoder on every unit vector and on random beats."""
    rng = random.Random(1)
    beats = [0, (1 << BEAT) - 1, *(1 << i for i in range(BEAT)),
             *(rng.getrandbits(BEAT) for _ in range(50))]

    async def bench(ctx: Any) -> None:
        for poison in (False, True):
            for beat in beats:
                ctx.set(encoder.data, beat)
                ctx.set(encoder.poison, poison)
                assert ctx.get(encoder.check) == encode(beat, poison=poison), hex(beat)

    simulate(encoder, bench)


def decode_everything(decoder: Any) -> None:
    """Compares the decoder on every flip and pair of each word, each word with another one."""
    rng = random.Random(2)
    patterns = [0, *(1 << i for i in range(CODE_BITS)),
                *(1 << i | 1 << j for i, j in combinations(range(CODE_BITS), 2))]
    orders = [rng.sample(patterns, len(patterns)) for _ in range(WORDS)]
    beat = rng.getrandbits(BEAT)
    sound = encode(beat)
    count = {"clean": 0, "corrected": 0, "uncorrectable": 0}

    async def bench(ctx: Any) -> None:
        for words in zip(*orders, strict=True):
            data_flips, check_flips = spread(list(words))
            ctx.set(decoder.data, beat ^ data_flips)
            ctx.set(decoder.check, sound ^ check_flips)
            for w, pattern in enumerate(words):
                flips = pattern.bit_count()
                got = ctx.get(decoder.decoded) >> WORD_BITS * w & (1 << WORD_BITS) - 1
                want = (beat ^ (data_flips if flips == 2 else 0)) >> WORD_BITS * w
                assert got == want & (1 << WORD_BITS) - 1, (w, hex(pattern))
                assert ctx.get(decoder.corrected) >> w & 1 == (flips == 1), (w, hex(pattern))
                assert ctx.get(decoder.uncorrectable) >> w & 1 == (flips == 2), (w, hex(pattern))
                count[("clean", "corrected", "uncorrectable")[flips]] += 1

    simulate(decoder, bench)
    assert count == {"clean": WORDS, "corrected": WORDS * 72, "uncorrectable": WORDS * 2556}


def decode_noise(decoder: Any) -> None:
    """Compares every output with the golden model on words with any number of flips."""
    rng = random.Random(3)

    async def bench(ctx: Any) -> None:
        for flips in (*range(12), *range(12)):
            for poison in (False, True):
                beat = rng.getrandbits(BEAT)
                check = encode(beat, poison=poison)
                for bit in rng.sample(range(BEAT), flips):
                    beat ^= 1 << bit
                want = decode(beat, check)
                ctx.set(decoder.data, beat)
                ctx.set(decoder.check, check)
                got = {name: ctx.get(getattr(decoder, name)) for name in (
                    "decoded", "corrected", "uncorrectable", "syndrome", "poisoned")}
                assert got == {"decoded": want.data, "corrected": want.corrected,
                               "uncorrectable": want.uncorrectable, "syndrome": want.syndrome,
                               "poisoned": want.poisoned}

    simulate(decoder, bench)


def test_check_bits_of_every_unit_vector_and_of_random_beats() -> None:
    encode_everything(SecdedEncoder())


def test_every_single_flip_is_corrected_and_every_double_flip_found() -> None:
    decode_everything(SecdedDecoder())


def test_any_number_of_flips_is_judged_as_the_golden_model_does() -> None:
    decode_noise(SecdedDecoder())


@pytest.mark.parametrize("mutant", [
    Mutant(MODULE, "for i in covered(bit)", "for i in covered(bit)[1:]", "encode"),
    Mutant(MODULE, "self.poison & (POISON >> bit & 1)", "self.poison & (bit == 0)", "encode"),
    Mutant(MODULE, "self.data ^ Cat(flips)", "self.data ^ Cat(reversed(flips))", "decode"),
    Mutant(MODULE, "one = flip.any() | check_flip.any()", "one = flip.any()", "decode"),
    Mutant(MODULE, "syndrome.any() & ~one", "syndrome.any() & ~syndrome.xor()", "noise"),
    Mutant(MODULE, "self.syndrome == mark", "self.uncorrectable.all()", "noise"),
], ids=lambda mutant: mutant.good)
def test_a_mutant_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = mutated(mutant, [MODULE], monkeypatch)
    encoder, decoder = unit.SecdedEncoder(), unit.SecdedDecoder()
    with pytest.raises(AssertionError):
        {"encode": lambda: encode_everything(encoder), "decode": lambda: decode_everything(decoder),
         "noise": lambda: decode_noise(decoder)}[mutant.seen_by]()
