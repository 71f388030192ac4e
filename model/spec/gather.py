"""Parameters of the gather/broadcast network over the pseudo-channels of a stack."""

from dataclasses import dataclass, field

from model.spec.attention import PimSpec
from model.spec.errors import require_int


@dataclass(frozen=True, kw_only=True)
class GatherSpec:
    """Groups of pseudo-channels whose partial results one merge unit joins.

    Attributes
    ----------
    channels : int
        Pseudo-channels, 1 to 64, and perhaps a source outside; a group is any subset of them.
    slots : int
        Heads that may be in flight: each has room for a part of every channel.
    tag_width : int
        Bits by which a head is known outside.
    pim : PimSpec
        Largest head.
    """

    channels: int = 4
    slots: int = 4
    tag_width: int = 8
    pim: PimSpec = field(default_factory=PimSpec)

    def __post_init__(self) -> None:
        require_int("channels", self.channels, 1, 65)
        require_int("slots", self.slots, 1, 64)
        require_int("tag_width", self.tag_width, 1, 32)

    @property
    def beat_bits(self) -> int:
        """Bits of a beat's number in a part: its header and two beats a chunk."""
        return (2 * self.pim.chunks_max).bit_length()
