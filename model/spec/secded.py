"""The code that protects a stored beat: which check bits cover which data bits.

Four words of 64 bits a beat, each with 8 check bits: the usual (72,64) code. Every column of its
parity-check matrix has an odd number of ones (M. Y. Hsiao, "A Class of Optimal Minimum
Odd-weight-column SEC-DED Codes", IBM J. Res. Develop. 14(4), 1970), so that two flips always leave
an even syndrome, which no single flip does. The 64 columns of the data are the 56 of weight 3 and
8 of weight 5; with the rotations of 00011111 for the latter every check bit covers 26 data bits,
the least that the longest XOR tree can have.
"""

from itertools import combinations

from model.spec.geometry import BEAT_BYTES

WORD_BITS = 64
"""Data bits that share check bits."""

CHECK_BITS = 8
"""Check bits of a word."""

WORDS = 8 * BEAT_BYTES // WORD_BITS
"""Words of a beat."""

BEAT_CHECK_BITS = WORDS * CHECK_BITS
"""Check bits of a beat; those of word 0 are the lowest."""

POISON = 0b11
"""What is added (XOR) to the check bits of every word of a beat whose content is known to be lost.

An even syndrome, so every word of the beat reads as uncorrectable. One flip can make at most one
of the words look sound; the other three still tell.
"""


def _columns() -> tuple[int, ...]:
    ones = (1 << CHECK_BITS) - 1
    light = [sum(1 << bit for bit in bits) for bits in combinations(range(CHECK_BITS), 3)]
    heavy = [(0b11111 << turn | 0b11111 >> CHECK_BITS - turn) & ones for turn in range(CHECK_BITS)]
    return (*light, *heavy)


DATA_COLUMNS = _columns()
"""For every data bit of a word, the check bits that cover it."""

CHECK_COLUMNS = tuple(1 << bit for bit in range(CHECK_BITS))
"""For every check bit of a word, the syndrome that its flip leaves."""


def covered(check_bit: int) -> tuple[int, ...]:
    """The data bits that a check bit is the parity of."""
    return tuple(i for i, column in enumerate(DATA_COLUMNS) if column >> check_bit & 1)
