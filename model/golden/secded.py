"""The (72,64) code as linear algebra over GF(2), on whole beats as Python integers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.spec.secded import (
    BEAT_CHECK_BITS,
    CHECK_BITS,
    CHECK_COLUMNS,
    DATA_COLUMNS,
    POISON,
    WORD_BITS,
    WORDS,
)

Bits = npt.NDArray[np.uint8]
CODE_BITS = WORD_BITS + CHECK_BITS


def bits(value: int, width: int) -> Bits:
    """The bits of an integer, the lowest first."""
    return np.array([value >> i & 1 for i in range(width)], dtype=np.uint8)


def number(vector: Bits) -> int:
    """The integer with these bits."""
    return sum(1 << i for i, bit in enumerate(vector) if bit)


PARITY = np.stack([bits(c, CHECK_BITS) for c in (*DATA_COLUMNS, *CHECK_COLUMNS)], axis=1)
"""The parity-check matrix: code words are the vectors (data, check) that it maps to zero."""


def syndrome(code_word: Bits) -> Bits:
    """What the parity-check matrix makes of a word as read."""
    return (PARITY.astype(np.int64) @ code_word.astype(np.int64) % 2).astype(np.uint8)


def nearest(word: Bits) -> tuple[Bits, int] | None:
    """The only code word within one flip of ``word`` and its distance; None if there is none.

    Found by trying all of them, not by looking the syndrome up.
    """
    if not syndrome(word).any():
        return word, 0
    flipped = word ^ np.eye(CODE_BITS, dtype=np.uint8)
    found = np.flatnonzero(~(flipped.astype(np.int64) @ PARITY.T.astype(np.int64) % 2).any(axis=1))
    return (flipped[found[0]], 1) if len(found) else None


@dataclass(frozen=True)
class Decoded:
    """What is known of a beat that was read.

    Attributes
    ----------
    data : int
        The beat, flips corrected; words that cannot be corrected are as read.
    corrected, uncorrectable : int
        A bit for every word.
    syndrome : int
        Of all words, as the check bits lie.
    """

    data: int
    corrected: int
    uncorrectable: int
    syndrome: int

    @property
    def poisoned(self) -> bool:
        """Every word bears the mark of poison and no flip besides."""
        return self.syndrome == poison_mark()


def poison_mark() -> int:
    """The mark of poison over a beat's check bits."""
    return sum(POISON << CHECK_BITS * w for w in range(WORDS))


def encode(beat: int, *, poison: bool = False) -> int:
    """Check bits of a beat."""
    check = 0
    for w in range(WORDS):
        data = bits(beat >> WORD_BITS * w & (1 << WORD_BITS) - 1, WORD_BITS)
        # H (d, c) = A d + c = 0, hence c = A d
        padded = np.concatenate([data, np.zeros(CHECK_BITS, dtype=np.uint8)])
        check |= number(syndrome(padded)) << CHECK_BITS * w
    return check ^ poison_mark() if poison else check


def decode(beat: int, check: int) -> Decoded:
    """What a beat and its check bits, as read, stand for."""
    data = corrected = uncorrectable = marks = 0
    for w in range(WORDS):
        word = np.concatenate([bits(beat >> WORD_BITS * w, WORD_BITS),
                               bits(check >> CHECK_BITS * w, CHECK_BITS)])
        marks |= number(syndrome(word)) << CHECK_BITS * w
        answer = nearest(word)
        sound, distance = answer if answer else (word, 0)
        data |= number(sound[:WORD_BITS]) << WORD_BITS * w
        corrected |= distance << w
        uncorrectable |= (answer is None) << w
    assert marks < 1 << BEAT_CHECK_BITS
    return Decoded(data, corrected, uncorrectable, marks)
