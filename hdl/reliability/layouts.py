"""Layouts that the units of reliability share."""

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH
from model.spec.geometry import ChannelGeometry
from model.spec.port import TAG_WIDTH
from model.spec.registers import ERROR_KINDS
from model.spec.secded import BEAT_CHECK_BITS

STORED_WIDTH = BEAT_WIDTH + BEAT_CHECK_BITS
"""Bits of a word as it is stored: data, then check bits."""

TIME_WIDTH = 32


def place_layout(geometry: ChannelGeometry) -> data.StructLayout:
    """A word of 32 bytes."""
    return data.StructLayout({"column": range(geometry.columns), "row": range(geometry.rows),
                              "bank": geometry.bank_width})


def error_layout(geometry: ChannelGeometry) -> data.StructLayout:
    """What a source of errors says of one."""
    return data.StructLayout({
        "kind": range(len(ERROR_KINDS)),     # place in model.spec.registers.ERROR_KINDS
        "info": TAG_WIDTH,                   # tag of the request, if there is one
        "place": place_layout(geometry),     # 0 if it is about no word
        "syndrome": BEAT_CHECK_BITS,
    })


def flaw_layout(geometry: ChannelGeometry, ports: int) -> data.StructLayout:
    """What was wrong with a word that was read."""
    return data.StructLayout({
        "reader": ports,                     # one bit: the port that reads it
        "place": place_layout(geometry),
        "uncorrectable": 1,                  # 0: it was corrected
        "poisoned": 1,                       # uncorrectable, and known to be since before
        "syndrome": BEAT_CHECK_BITS,
    })


class UpkeepSignature(wiring.Signature):
    """What a memory channel and its reliability unit tell each other, seen from the unit.

    Members
    -------
    flaw, flawed : ``In``
        Something was wrong with the word that a port has read in this clock.
    strike, strike_place, strike_flips : ``Out``, struck : ``In(1)``
        Bits to flip in the next word read from a place; that has happened.
    place : ``Out``, write_poison : ``Out(1)``, write_flips : ``Out(288)``
        The scrubber's word; how its write differs from others.
    annulled : ``In(1)``
        Its write is void, as another port has written the word since the scrubber read it.
    """

    def __init__(self, geometry: ChannelGeometry, ports: int) -> None:
        place = place_layout(geometry)
        super().__init__({
            "flaw": In(flaw_layout(geometry, ports)), "flawed": In(1),
            "strike": Out(1), "strike_place": Out(place), "strike_flips": Out(STORED_WIDTH),
            "struck": In(1),
            "place": Out(place), "write_poison": Out(1), "write_flips": Out(STORED_WIDTH),
            "annulled": In(1),
        })
