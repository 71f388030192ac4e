"""Choices among several, one bit each."""

from amaranth import Cat, Value


def lowest(bits: Value) -> Value:
    """The lowest one of some bits, alone."""
    return (bits & (~bits + 1))[:len(bits)]


def number_of(onehot: Value) -> Value:
    """The number of the only bit that is set."""
    width = max(1, (len(onehot) - 1).bit_length())
    return Cat(Cat(onehot[i] for i in range(len(onehot)) if i >> bit & 1).any()
               for bit in range(width))
