"""Floating-point formats, as numbers of bits."""

from dataclasses import dataclass

from model.spec.errors import unknown_name


@dataclass(frozen=True, kw_only=True)
class FloatFormat:
    """An IEEE-754-like binary format: sign, biased exponent, fraction; subnormals, Inf and NaN.

    Attributes
    ----------
    name : str
        The name used in tables and on the command line.
    exponent_bits, fraction_bits : int
        Widths of the two fields.
    signed : bool
        Whether a sign adds one bit.
    """

    name: str
    exponent_bits: int
    fraction_bits: int
    signed: bool = True

    @property
    def width(self) -> int:
        """Bits of one element."""
        return self.signed + self.exponent_bits + self.fraction_bits

    @property
    def bias(self) -> int:
        """Exponent bias."""
        return (1 << self.exponent_bits - 1) - 1

    @property
    def exponent_min(self) -> int:
        """Unbiased exponent of the smallest normal number."""
        return 1 - self.bias


BF16 = FloatFormat(name="bf16", exponent_bits=8, fraction_bits=7)
FP16 = FloatFormat(name="fp16", exponent_bits=5, fraction_bits=10)
FP32 = FloatFormat(name="fp32", exponent_bits=8, fraction_bits=23)

KV_FORMATS = {f.name: f for f in (BF16, FP16)}
"""Formats that keys and values may be stored in."""


def weight_format(kv: FloatFormat) -> FloatFormat:
    """As wide as ``kv``, for numbers that are never negative: the sign's bit is one of fraction."""
    return FloatFormat(name=f"{kv.name}_weight", exponent_bits=kv.exponent_bits,
                       fraction_bits=kv.fraction_bits + 1, signed=False)


def kv_format(name: str) -> FloatFormat:
    """The KV format of that name; :class:`~model.spec.errors.UserError` if there is none."""
    if name not in KV_FORMATS:
        raise unknown_name("format", name, KV_FORMATS)
    return KV_FORMATS[name]
