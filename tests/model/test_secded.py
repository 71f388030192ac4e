"""The (72,64) code: its matrix by its inventor's rules, its answers for every flip and pair."""

import random
from itertools import combinations

import numpy as np
import pytest

from model.golden.secded import (
    CODE_BITS,
    PARITY,
    bits,
    decode,
    encode,
    nearest,
    number,
    poison_mark,
    syndrome,
)
from model.spec.geometry import BEAT_BYTES
from model.spec.secded import CHECK_BITS, DATA_COLUMNS, WORD_BITS, WORDS, covered

RNG = random.Random(72)
BEAT = 8 * BEAT_BYTES


def test_the_matrix_is_one_of_hsiaos() -> None:
    """Distinct odd columns and 216 ones, 27 in every row: the minimum that his table gives."""
    columns = {tuple(column) for column in PARITY.T}
    assert len(columns) == CODE_BITS == 72
    assert all(sum(column) % 2 for column in columns)
    assert PARITY.sum() == 216
    assert set(PARITY.sum(axis=1)) == {27}


def test_check_bits_worked_by_hand() -> None:
    """Bit 0 is covered by check bits 0, 1, 2; bit 63 by the last rotation, 7 and 0 to 3."""
    assert DATA_COLUMNS[0] == 0b111 and DATA_COLUMNS[63] == 0b10001111
    assert encode(1) == 0b111
    assert encode(1 << 63) == 0b10001111
    assert encode(1 << 63 | 1) == 0b10001000
    assert encode(1 << 64 * 3) == 0b111 << 8 * 3
    assert encode(0) == 0
    assert len(covered(0)) == 26


def test_every_single_flip_is_corrected_and_every_double_flip_found() -> None:
    """On random code words; the code is linear, so the word plays no role."""
    data = bits(RNG.getrandbits(WORD_BITS), WORD_BITS)
    clean = np.concatenate([data, bits(encode(number(data)), CHECK_BITS)])
    assert not syndrome(clean).any()
    for i in range(CODE_BITS):
        broken = clean.copy()
        broken[i] ^= 1
        answer = nearest(broken)
        assert answer is not None and answer[1] == 1 and (answer[0] == clean).all(), i
    for i, j in combinations(range(CODE_BITS), 2):
        broken = clean.copy()
        broken[[i, j]] ^= 1
        assert nearest(broken) is None, (i, j)


def test_words_of_a_beat_are_independent() -> None:
    beat = RNG.getrandbits(BEAT)
    check = encode(beat)
    assert decode(beat, check).syndrome == 0
    one_each = sum(1 << WORD_BITS * w + 7 * w for w in range(WORDS))
    answer = decode(beat ^ one_each, check)
    assert (answer.data, answer.corrected, answer.uncorrectable) == (beat, 0b1111, 0)
    answer = decode(beat ^ 0b11 << WORD_BITS, check ^ 1)
    assert (answer.data, answer.corrected, answer.uncorrectable) == (
        beat ^ 0b11 << WORD_BITS, 0b0001, 0b0010)


@pytest.mark.parametrize("flips", [0, 1, 2])
def test_poison_survives_flips(flips: int) -> None:
    beat = RNG.getrandbits(BEAT)
    check = encode(beat, poison=True)
    assert check == encode(beat) ^ poison_mark()
    for _ in range(100):
        data, stored = beat, check
        for bit in RNG.sample(range(BEAT + WORDS * CHECK_BITS), flips):
            if bit < BEAT:
                data ^= 1 << bit
            else:
                stored ^= 1 << bit - BEAT
        answer = decode(data, stored)
        assert answer.uncorrectable
        assert answer.poisoned == (flips == 0)
