"""A place for KV blocks."""

from dataclasses import dataclass

WIDE = "bf16"
"""Format of KV that attention reads; what is not quantised."""


@dataclass(frozen=True, kw_only=True)
class Tier:
    """A place for KV blocks. Running requests live in the first tier of a system.

    What leaves the last tier is gone, and is computed again when it is needed.

    Attributes
    ----------
    name : str
    kv_blocks : int
        Capacity in KV blocks of the whole model, after weights, in the tier's format.
    kv_format : str
        How idle blocks are stored in it (DESIGN.md 6); quantised on the way in.
    """

    name: str
    kv_blocks: int
    kv_format: str = WIDE
