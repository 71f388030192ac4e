"""Mantissas of 2^f, correctly rounded: the contents of the weight table (docs/numerics.md, 5).

Found with integers alone: an odd number to the power 2^F tells exactly where 2^f crosses the
middle between two mantissas. No floating point takes part, so no library's `exp2` is trusted.
"""

from functools import cache

from model.spec.formats import FloatFormat


@cache
def exponent_table(fmt: FloatFormat, exponent_fraction_bits: int) -> tuple[int, ...]:
    """Fraction fields of ``2^(f / 2^F)`` for every ``f`` in ``0 .. 2^F - 1``.

    Parameters
    ----------
    fmt : FloatFormat
        Format to whose nearest number each entry is rounded, as if it were in the range [1, 2].
    exponent_fraction_bits : int
        ``F``.

    Returns
    -------
    tuple of int
        Entry ``f`` is the mantissa less its leading one, ``0 .. 2^fraction_bits``; the upper
        limit stands for 2.0 and carries into the exponent when it is added to the bits.
    """
    steps = 1 << exponent_fraction_bits
    one = 1 << fmt.fraction_bits
    table: list[int] = []
    for mantissa in range(one, 2 * one):
        first_above = _first_step(2 * mantissa + 1, fmt.fraction_bits + 1, steps)
        table += [mantissa - one] * (min(first_above, steps) - len(table))
    table += [one] * (steps - len(table))
    return tuple(table)


@cache
def first_promoted(fmt: FloatFormat, exponent_fraction_bits: int) -> int:
    """The smallest ``f`` for which half of ``2^(f / 2^F)`` rounds up to 1 among subnormals.

    A weight just below the smallest normal number is rounded with the spacing of subnormals; from
    this ``f`` on the nearest number is the smallest normal one.
    """
    return _first_step((2 << fmt.fraction_bits) - 1, fmt.fraction_bits,
                       1 << exponent_fraction_bits)


def _first_step(numerator: int, halvings: int, steps: int) -> int:
    """The smallest ``f`` with ``2^(f / steps) >= numerator / 2^halvings``."""
    return (numerator ** steps - 1).bit_length() - halvings * steps
