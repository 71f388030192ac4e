"""Counts of elements that were not merely rounded."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.quantiser.layouts import counts_layout, flags_layout
from model.spec.mx import QuantiserSpec

REGIONS = 16
"""Regions under way at most: as many as it takes for regions of one block not to wait."""


class Tally(wiring.Component):
    """Adds up flags over a region; the sums are offered two clocks after its last ones.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    en, flags : ``In(1)``, ``In(flags_layout)``
        Of half a block.
    last, misplaced : ``In(1)``
        The last half of a region; whether its input's ``last`` was elsewhere.
    o : ``Out(stream.Signature(counts_layout))``
        Sums; ``REGIONS`` of them may wait.
    """

    en: Signal
    flags: data.View
    last: Signal
    misplaced: Signal
    o: stream.Interface

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "en": In(1), "flags": In(flags_layout()), "last": In(1), "misplaced": In(1),
            "o": Out(stream.Signature(counts_layout(spec))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = counts_layout(self.spec)
        m.submodules.fifo = fifo = SyncFIFO(width=layout.size, depth=REGIONS)
        en, last, misplaced = Signal(), Signal(), Signal()
        m.d.sync += [en.eq(self.en), last.eq(self.last), misplaced.eq(self.misplaced)]
        total = Signal(layout)
        m.d.comb += total.misplaced.eq(misplaced)
        for name in ("saturated", "nan", "flushed"):
            flags, field = self.flags[name], total[name]
            some = Signal(range(len(flags) + 1), name=f"some_{name}")
            sum_ = Signal(len(field), name=f"sum_{name}")
            m.d.sync += some.eq(_population(flags))
            m.d.comb += field.eq((sum_ + some)[:len(field)])
            with m.If(en):
                m.d.sync += sum_.eq(Mux(last, 0, field))
        m.d.comb += [
            fifo.w_en.eq(en & last), fifo.w_data.eq(total),
            self.o.valid.eq(fifo.r_rdy), Cat(self.o.payload).eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
        ]
        return m


def _population(bits: Value) -> Value:
    if len(bits) == 1:
        return bits
    half = len(bits) // 2
    return _population(bits[:half]) + _population(bits[half:])
