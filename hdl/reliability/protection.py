"""SECDED on the data path of a memory channel, with a place to flip bits on purpose."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH
from hdl.reliability.layouts import STORED_WIDTH, flaw_layout, place_layout
from hdl.reliability.secded import SecdedDecoder, SecdedEncoder
from model.spec.errors import require_int
from model.spec.geometry import ChannelGeometry
from model.spec.port import Status


class Protection(wiring.Component):
    """Encodes what is written and decodes what is read, both in the same clock.

    Parameters
    ----------
    geometry : ChannelGeometry
    ports : int
        Ports that may read.

    Members
    -------
    write_data : ``In(256)``, write_poison : ``In(1)``, write_flips : ``In(288)``
        A word on its way into the array; whether it is to be marked as lost; bits to flip after it
        has been encoded.
    stored : ``Out(288)``
        What goes into the array: data, then check bits.
    read : ``In(288)``, reader : ``In(ports)``, place : ``In(place_layout(geometry))``
        A word as it comes from the array; one bit, if it is for a port; where it lay.
    strike, strike_place, strike_flips : ``In``
        While ``strike`` is 1, a word that is read from that place has these bits flipped.
    struck : ``Out(1)``
        That happens in this clock.
    word : ``Out(256)``, status : ``Out(Status)``
        The word, corrected; 0 and ``UNCORRECTABLE`` if it cannot be.
    flaw : ``Out(flaw_layout(geometry, ports))``, flawed : ``Out(1)``
        Something was wrong with the word that a port reads in this clock.
    """

    write_data: Signal
    write_poison: Signal
    write_flips: Signal
    stored: Signal
    read: Signal
    reader: Signal
    place: data.View
    strike: Signal
    strike_place: data.View
    strike_flips: Signal
    struck: Signal
    word: Signal
    status: data.View
    flaw: data.View
    flawed: Signal

    def __init__(self, geometry: ChannelGeometry, *, ports: int) -> None:
        require_int("ports", ports, 1, 16)
        place = place_layout(geometry)
        super().__init__({
            "write_data": In(BEAT_WIDTH), "write_poison": In(1), "write_flips": In(STORED_WIDTH),
            "stored": Out(STORED_WIDTH),
            "read": In(STORED_WIDTH), "reader": In(ports), "place": In(place),
            "strike": In(1), "strike_place": In(place), "strike_flips": In(STORED_WIDTH),
            "struck": Out(1),
            "word": Out(BEAT_WIDTH), "status": Out(Status),
            "flaw": Out(flaw_layout(geometry, ports)), "flawed": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.encoder = encoder = SecdedEncoder()
        m.submodules.decoder = decoder = SecdedDecoder()
        arrived, lost = Signal(STORED_WIDTH), Signal()
        m.d.comb += [
            encoder.data.eq(self.write_data), encoder.poison.eq(self.write_poison),
            self.stored.eq(Cat(self.write_data, encoder.check) ^ self.write_flips),

            self.struck.eq(self.strike & self.reader.any()
                           & (self.place.as_value() == self.strike_place.as_value())),
            arrived.eq(self.read ^ Mux(self.struck, self.strike_flips, 0)),
            decoder.data.eq(arrived[:BEAT_WIDTH]), decoder.check.eq(arrived[BEAT_WIDTH:]),
            lost.eq(decoder.uncorrectable.any()),
            self.word.eq(Mux(lost, 0, decoder.decoded)),
            self.status.eq(Mux(lost, Status.UNCORRECTABLE, Status.OK)),

            self.flawed.eq(self.reader.any() & decoder.syndrome.any()),
            self.flaw.reader.eq(self.reader), self.flaw.place.eq(self.place),
            self.flaw.uncorrectable.eq(lost), self.flaw.poisoned.eq(decoder.poisoned),
            self.flaw.syndrome.eq(decoder.syndrome),
        ]
        return m
