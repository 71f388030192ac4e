"""What a memory behind an AXI4 port must hold and answer, byte by byte."""

import random

from cocotbext.axi import AxiResp

from model.golden.axi_burst import BUS_BYTES, FIXED, INCR, WRAP, AxiBurst
from model.spec.address_map import AddressMap
from tb.axi_driver import Issued
from tb.bench import Bench
from tb.port_agent import Place

Beats = list[tuple[int, int]]
"""Data and strobes of each beat."""

ALL_BYTES = (1 << BUS_BYTES) - 1


class AxiImage:
    """A memory image, written in the order of the bursts, and the answers that follow from it.

    Parameters
    ----------
    tb : Bench
    addresses : AddressMap
    memory : dict
        Word of every place that exists; copied.
    """

    def __init__(self, tb: Bench, addresses: AddressMap, memory: dict[Place, int]) -> None:
        self.tb, self.addresses, self.memory = tb, addresses, dict(memory)
        self.poisoned: set[Place] = set()
        self.places = sorted(self.memory)

    def places_of(self, burst: AxiBurst) -> set[Place]:
        """Where a burst goes."""
        return {self.addresses.place(span.start) for span in burst.lanes()}

    def write(self, burst: AxiBurst, beats: Beats) -> AxiResp:
        """Carries out a write; what must be answered."""
        if not burst.allowed:
            return AxiResp.SLVERR
        answers = {AxiResp.OKAY}
        for place, word, strobe in self._words(burst, beats):
            if not strobe:
                continue
            if place not in self.memory:
                answers.add(AxiResp.DECERR)
            elif place in self.poisoned and strobe != ALL_BYTES:
                answers.add(AxiResp.SLVERR)
            else:
                mask = sum(0xFF << 8 * i for i in range(BUS_BYTES) if strobe >> i & 1)
                self.memory[place] = (self.memory[place] & ~mask) | (word & mask)
                self.poisoned.discard(place)
        return max(answers, key=int)

    def _words(self, burst: AxiBurst, beats: Beats) -> list[tuple[Place, int, int]]:
        """What neighbouring beats in one word write together."""
        words: list[tuple[Place, int, int]] = []
        for span, (data, strobe) in zip(burst.lanes(), beats, strict=True):
            place = self.addresses.place(span.start)
            if words and words[-1][0] == place:
                _, before, written = words.pop()
                mask = sum(0xFF << 8 * i for i in range(BUS_BYTES) if strobe >> i & 1)
                data, strobe = (before & ~mask) | (data & mask), strobe | written
            words.append((place, data, strobe))
        return words

    def check_read(self, issued: Issued) -> None:
        """Compares the beats of a read with the image as it is now."""
        burst = issued.burst
        for beat, span in enumerate(burst.lanes()):
            place = self.addresses.place(span.start)
            want = (AxiResp.SLVERR if not burst.allowed or place in self.poisoned
                    else AxiResp.DECERR if place not in self.memory else AxiResp.OKAY)
            self.tb.check(issued.responses[beat], want, f"answer to beat {beat} of {burst}")
            if want == AxiResp.OKAY:
                word = self.memory[place].to_bytes(BUS_BYTES, "little")
                got = bytes(issued.byte(beat, address) for address in span)
                first = span.start % BUS_BYTES
                self.tb.check(got, word[first:first + len(span)], f"beat {beat} of {burst}")


class BurstMaker:
    """Random bursts and what they write.

    Parameters
    ----------
    rng : random.Random
    image : AxiImage
    """

    def __init__(self, rng: random.Random, image: AxiImage) -> None:
        self.rng, self.image = rng, image

    def burst(self, *, places: list[Place] | None = None, longest: int = 16) -> AxiBurst:
        """An allowed burst that starts in one of the places (any that exist, by default)."""
        rng = self.rng
        while True:
            bank, row, column = rng.choice(places or self.image.places)
            kind, size = rng.choice((FIXED, INCR, INCR, WRAP)), rng.choice((0, 1, 2, 3, 4, 5, 5, 5))
            address = self.image.addresses.address(bank, row, column) + rng.randrange(BUS_BYTES)
            if kind == WRAP or rng.random() < 0.3:
                address -= address % (1 << size)
            beats = rng.choice((2, 4, 8, 16)) if kind == WRAP else rng.randint(1, longest)
            made = AxiBurst(address, beats, size, kind)
            if made.allowed:
                return made

    def beats(self, burst: AxiBurst, *, full: float = 0.6) -> Beats:
        """Data on all lanes, and strobes on those that the burst may use: all, some or none."""
        rng, made = self.rng, []
        for span in burst.lanes():
            strobe = sum(1 << address % BUS_BYTES for address in span)
            if rng.random() >= full:
                strobe &= rng.getrandbits(BUS_BYTES) if rng.random() < 0.8 else 0
            made.append((rng.getrandbits(8 * BUS_BYTES), strobe))
        return made
