"""A byte memory that remembers only what was written, and shows where two images differ."""

from collections.abc import Iterator

from model.spec.geometry import BEAT_BYTES, ChannelGeometry

PAGE = 1 << 10


class Memory:
    """Bytes at any address from 0 on; what was never written reads as ``fill``.

    Parameters
    ----------
    fill : int
        Byte that an untouched address holds.
    """

    def __init__(self, fill: int = 0) -> None:
        if not 0 <= fill <= 255:
            raise ValueError(f"fill: expected a byte, not {fill!r}")
        self.fill = fill
        self._pages: dict[int, bytearray] = {}

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes from ``address`` on."""
        return b"".join(
            bytes(self._pages[page][low:high]) if page in self._pages
            else bytes([self.fill]) * (high - low)
            for page, low, high in _pieces(address, size))

    def write(self, address: int, content: bytes) -> None:
        """Stores ``content`` from ``address`` on."""
        done = 0
        for page, low, high in _pieces(address, len(content)):
            stored = self._pages.setdefault(page, bytearray([self.fill]) * PAGE)
            stored[low:high] = content[done:done + high - low]
            done += high - low

    def paint(self, address: int, size: int, pattern: int = 0xA5) -> None:
        """Fills a region with bytes that depend on the address, to be found unharmed later.

        Neighbouring bytes and equal offsets in different pages differ, so that data which moved
        by any amount is seen.
        """
        self.write(address, bytes(
            (pattern ^ a ^ a >> 8 ^ a >> 16) * 0x9D & 0xFF for a in range(address, address + size)))

    def copy(self) -> "Memory":
        """An independent image of the same content."""
        image = Memory(self.fill)
        image._pages = {page: bytearray(stored) for page, stored in self._pages.items()}
        return image

    def differences(self, other: "Memory") -> list[int]:
        """Addresses at which the two images differ, in order."""
        found = []
        for page in sorted(self._pages.keys() | other._pages.keys()):
            mine, theirs = self.read(page * PAGE, PAGE), other.read(page * PAGE, PAGE)
            if mine != theirs:
                found += [page * PAGE + i for i in range(PAGE) if mine[i] != theirs[i]]
        return found

    def assert_equals(self, want: "Memory") -> None:
        """Raises :class:`AssertionError` with a hexdump around the first difference."""
        wrong = self.differences(want)
        if wrong:
            start = wrong[0] // 16 * 16
            raise AssertionError(
                f"{len(wrong)} bytes differ, the first at {wrong[0]:#x}\n"
                f"got\n{self.hexdump(start, 64)}\nwant\n{want.hexdump(start, 64)}")

    def hexdump(self, address: int, size: int) -> str:
        """Lines of 16 bytes, each with its address."""
        return "\n".join(f"{a:08x}  {self.read(a, min(16, address + size - a)).hex(' ')}"
                         for a in range(address, address + size, 16))


def _pieces(address: int, size: int) -> Iterator[tuple[int, int, int]]:
    """(page, first byte, end) of each page that a region touches."""
    if address < 0 or size < 0:
        raise ValueError(f"expected an address and a size of at least 0, not {address}, {size}")
    while size:
        page, low = divmod(address, PAGE)
        high = min(PAGE, low + size)
        yield page, low, high
        address, size = address + high - low, size - (high - low)


def column_address(geometry: ChannelGeometry, bank: int, row: int, column: int) -> int:
    """Where a column lies in a memory image: banks one after another, rows within each."""
    return ((bank * geometry.rows + row) * geometry.columns + column) * BEAT_BYTES
