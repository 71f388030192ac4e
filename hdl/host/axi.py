"""AXI4: the signature of a memory port, and the layouts that its parts exchange."""

from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hdl.host.axi_lite import Response
from hdl.layouts import BEAT_WIDTH
from model.spec.address_map import OFFSET_BITS
from model.spec.errors import SpecError, require_int
from model.spec.geometry import BEAT_BYTES
from model.spec.port import TAG_WIDTH, Status

LENGTH_WIDTH, SIZE_WIDTH = 8, 3
SIZE_MAX = OFFSET_BITS
"""Largest AxSIZE: 2^5 bytes, the width of the bus."""

BOUNDARY_WIDTH = 12
"""A burst stays within 4 KiB (IHI 0022, A3.4.1)."""


SLOT_WIDTH = TAG_WIDTH - 2
"""Bits of a tag that name a slot; the others say of what."""


class Burst(enum.Enum, shape=2):
    """AxBURST."""

    FIXED = 0
    INCR = 1
    WRAP = 2
    RESERVED = 3


RESPONSE_OF = {Status.OK: Response.OKAY, Status.NO_SUCH_BANK: Response.DECERR,
               Status.UNCORRECTABLE: Response.SLVERR}
"""What AXI says of what the memory channel says."""


class AxiSignature(wiring.Signature):
    """AXI4 with 256-bit data, seen from the manager; member names as in the standard.

    Parameters
    ----------
    address_width, id_width : int
        Bits of a byte address and of an ID.
    """

    def __init__(self, address_width: int, id_width: int) -> None:
        def address_channel(c: str) -> dict[str, wiring.Member]:
            return {
                f"{c}id": Out(id_width), f"{c}addr": Out(address_width),
                f"{c}len": Out(LENGTH_WIDTH), f"{c}size": Out(SIZE_WIDTH), f"{c}burst": Out(Burst),
                f"{c}lock": Out(1), f"{c}cache": Out(4), f"{c}prot": Out(3),
                f"{c}valid": Out(1), f"{c}ready": In(1),
            }

        super().__init__({
            **address_channel("aw"),
            "wdata": Out(BEAT_WIDTH), "wstrb": Out(BEAT_BYTES), "wlast": Out(1),
            "wvalid": Out(1), "wready": In(1),
            "bid": In(id_width), "bresp": In(Response), "bvalid": In(1), "bready": Out(1),
            **address_channel("ar"),
            "rid": In(id_width), "rdata": In(BEAT_WIDTH), "rresp": In(Response),
            "rlast": In(1), "rvalid": In(1), "rready": Out(1),
        })


def check_slots(parameter: str, slots: int) -> None:
    """Raises :class:`SpecError` unless a number of slots is a power of two that fits a tag."""
    require_int(parameter, slots, 1, 1 << SLOT_WIDTH)
    if slots & slots - 1:
        raise SpecError(parameter, slots, "a power of two")


def burst_layout(address_width: int, info_width: int) -> data.StructLayout:
    """One AW or AR transfer."""
    return data.StructLayout({
        "info": info_width,              # goes with every beat
        "address": address_width,
        "length": LENGTH_WIDTH, "size": SIZE_WIDTH, "burst": Burst,
    })


def beat_layout(address_width: int, info_width: int) -> data.StructLayout:
    """One beat of a burst, as its address says."""
    return data.StructLayout({
        "info": info_width,
        "word": address_width - OFFSET_BITS,     # the 32 bytes that it lies in
        "first_of_word": 1, "last_of_word": 1,   # neighbouring beats lie in other words
        "last": 1,                               # of the burst
        "refused": 1,                            # the burst is not allowed
    })


def word_layout(address_width: int, info_width: int) -> data.StructLayout:
    """What the beats of a write that lie in one word write together."""
    return data.StructLayout({
        "info": info_width,
        "word": address_width - OFFSET_BITS,
        "data": BEAT_WIDTH, "strobe": BEAT_BYTES,
        "last": 1,                               # of the burst
        "refused": 1,                            # not to be written
    })
