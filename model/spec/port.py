"""The memory port of a pseudo-channel: what hardware and models agree on."""

import enum

TAG_WIDTH = 8
"""Bits of the tag that a request carries and its response returns."""


class Status(enum.IntEnum):
    """What became of an access."""

    OK = 0
    NO_SUCH_BANK = 1        # bank or row do not exist: nothing was read or written
    UNCORRECTABLE = 2       # the word read has errors that cannot be corrected: do not use it
