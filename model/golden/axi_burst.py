"""The transfers of an AXI4 burst, by the equations of the standard (IHI 0022, A3.4.1)."""

from dataclasses import dataclass

FIXED, INCR, WRAP = range(3)
BUS_BYTES = 32
BOUNDARY = 4096


@dataclass(frozen=True)
class AxiBurst:
    """An address transfer.

    Attributes
    ----------
    address : int
        Of the first byte.
    beats : int
        AxLEN + 1.
    size : int
        AxSIZE: a beat has 2^size bytes.
    kind : int
        AxBURST.
    """

    address: int
    beats: int
    size: int
    kind: int

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat."""
        return 1 << self.size

    @property
    def allowed(self) -> bool:
        """Whether the standard allows it on this bus."""
        if self.beat_bytes > BUS_BYTES or self.kind not in (FIXED, INCR, WRAP):
            return False
        if self.kind == FIXED:
            return self.beats <= 16
        if self.kind == WRAP:
            return self.beats in (2, 4, 8, 16) and self.address % self.beat_bytes == 0
        aligned = self.address // self.beat_bytes * self.beat_bytes
        last = aligned + self.beats * self.beat_bytes - 1
        return self.address // BOUNDARY == last // BOUNDARY

    def lanes(self) -> list[range]:
        """For every beat, the addresses of the bytes that it may transfer."""
        aligned = self.address // self.beat_bytes * self.beat_bytes
        whole = self.beats * self.beat_bytes
        wrap_boundary = self.address // whole * whole
        spans = []
        for n in range(self.beats):
            start = aligned + n * self.beat_bytes
            if self.kind == FIXED:
                start = aligned
            elif self.kind == WRAP and start >= wrap_boundary + whole:
                start -= whole
            first = self.address if n == 0 or self.kind == FIXED else start
            spans.append(range(first, start + self.beat_bytes))
        return spans
