"""Codes and scales to columns of memory, and columns to codes."""

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.layouts import BEAT_WIDTH
from hdl.quantiser.layouts import CODE_WIDTH, SCALE_WIDTH
from model.spec.mx import FORMAT_OF, LANES, QuantiserSpec, StoredFormat

WORD = 32
"""Half a block of 4, 6 or 8-bit elements is 2, 3 or 4 of these."""

COLUMN_WORDS = BEAT_WIDTH // WORD
HALF_WORDS = LANES * CODE_WIDTH // WORD
HELD_WORDS = COLUMN_WORDS - 1
"""Words that wait for a column to become full, or that are left of one, at most."""


def half_words(spec: QuantiserSpec, m: Module, format_: Value) -> Value:
    """Words of half a block."""
    words = Signal(range(HALF_WORDS + 1), name="half_words")
    with m.Switch(format_):
        for fmt in spec.formats:
            with m.Case(fmt.code):
                m.d.comb += words.eq(LANES * fmt.bits // WORD)
    return words


def column_layout() -> data.StructLayout:
    """A column of elements or of scales; the last one of its kind in the region."""
    return data.StructLayout({"data": BEAT_WIDTH, "last": 1})


class ColumnPacker(wiring.Component):
    """Codes to columns of elements without gaps; combinational, half a block a clock.

    A region's last column is filled with zeros. Where the last half reaches into a further column,
    that one follows in the next clock with ``step``, while half a block may be taken.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    step : ``In(1)``
        What is offered is taken, on both sides.
    valid, codes, format, last : ``In``
        Half a block; the last of the region.
    column_valid, column : ``Out(1)``, ``Out(column_layout)``
        A column.
    """

    step: Signal
    valid: Signal
    codes: data.View
    format: Signal
    last: Signal
    column_valid: Signal
    column: data.View

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "step": In(1), "valid": In(1), "codes": In(data.ArrayLayout(CODE_WIDTH, LANES)),
            "format": In(StoredFormat), "last": In(1),
            "column_valid": Out(1), "column": Out(column_layout()),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half = Signal(HALF_WORDS * WORD)
        with m.Switch(self.format):
            for fmt in self.spec.formats:
                with m.Case(fmt.code):
                    m.d.comb += half.eq(Cat(self.codes[n][:fmt.bits] for n in range(LANES)))

        held, fill = Signal(HELD_WORDS * WORD), Signal(range(COLUMN_WORDS))
        spilt, spill = Signal(), Signal(HALF_WORDS * WORD)
        together = Signal((HELD_WORDS + HALF_WORDS) * WORD)
        level = Signal(range(HELD_WORDS + HALF_WORDS + 1))
        full, over = Signal(), Signal()
        m.d.comb += [
            together.eq(held | (half << Cat(C(0, 5), fill))[:len(together)]),
            level.eq(fill + half_words(self.spec, m, self.format)),
            full.eq(level >= COLUMN_WORDS),
            over.eq(level > COLUMN_WORDS),
            self.column_valid.eq(spilt | self.valid & (full | self.last)),
            self.column.data.eq(Mux(spilt, spill, together[:BEAT_WIDTH])),
            self.column.last.eq(spilt | self.last & ~over),
        ]
        with m.If(self.step):
            m.d.sync += spilt.eq(0)
        with m.If(self.step & self.valid):
            m.d.sync += [
                spilt.eq(self.last & over), spill.eq(together[BEAT_WIDTH:][:len(spill)]),
                held.eq(Mux(self.last, 0, Mux(full, together[BEAT_WIDTH:],
                                              together[:len(held)]))),
                fill.eq(Mux(self.last, 0, level)[:len(fill)]),        # modulo a column
            ]
        return m


class ScaleGather(wiring.Component):
    """Scales to columns without gaps; combinational, a scale a clock.

    Members
    -------
    valid, scale, wide, last : ``In``
        A scale; whether it has 16 bits instead of 8; the last of the region.
    column_valid, column : ``Out(1)``, ``Out(column_layout)``
        A column, taken when it is offered.
    """

    valid: Signal
    scale: Signal
    wide: Signal
    last: Signal
    column_valid: Signal
    column: data.View

    def __init__(self) -> None:
        super().__init__({
            "valid": In(1), "scale": In(SCALE_WIDTH), "wide": In(1), "last": In(1),
            "column_valid": Out(1), "column": Out(column_layout()),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held, byte = Signal(BEAT_WIDTH), Signal(range(BEAT_WIDTH // 8))
        together = Signal(BEAT_WIDTH)
        full = Signal()
        m.d.comb += [
            together.eq(held | (Mux(self.wide, self.scale, self.scale[:8]) << Cat(C(0, 3), byte))
                        [:BEAT_WIDTH]),
            full.eq(Mux(self.wide, byte[1:].all(), byte.all())),
            self.column_valid.eq(self.valid & (full | self.last)),
            self.column.data.eq(together), self.column.last.eq(self.last),
        ]
        with m.If(self.valid):
            m.d.sync += [held.eq(Mux(self.column_valid, 0, together)),
                         byte.eq(Mux(self.column_valid, 0,
                                     byte + Mux(self.wide, 2, 1))[:len(byte)])]
        return m


class ColumnUnpacker(wiring.Component):
    """Columns of elements to codes; combinational, half a block a clock.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    step : ``In(1)``
        Half a block is taken; only with ``valid``.
    format, last : ``In``
        Of this half; it is the region's last: what is left of the column is padding.
    column_valid, column : ``In(1)``, ``In(256)``
        The next column.
    pop : ``Out(1)``
        It is used up.
    valid, codes : ``Out(1)``, ``Out(ArrayLayout(8, 16))``
        Half a block; bits above the format's are 0.
    """

    step: Signal
    format: Signal
    last: Signal
    column_valid: Signal
    column: Signal
    pop: Signal
    valid: Signal
    codes: data.View

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "step": In(1), "format": In(StoredFormat), "last": In(1),
            "column_valid": In(1), "column": In(BEAT_WIDTH), "pop": Out(1),
            "valid": Out(1), "codes": Out(data.ArrayLayout(CODE_WIDTH, LANES)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = half_words(self.spec, m, self.format)
        held, fill = Signal(HELD_WORDS * WORD), Signal(range(COLUMN_WORDS))
        together = Signal((COLUMN_WORDS + HALF_WORDS - 2) * WORD)
        needed = Signal()
        m.d.comb += [
            # Fewer words than a half has, so two at most, are left when a column is needed.
            needed.eq(fill < words),
            together.eq(Mux(needed, held | (self.column << Cat(C(0, 5), fill[:2])), held)
                        [:len(together)]),
            self.valid.eq(self.column_valid | ~needed),
            self.pop.eq(needed & self.step),
        ]
        with m.If(self.step):
            m.d.sync += [
                held.eq(Mux(self.last, 0, together >> Cat(C(0, 5), words))[:len(held)]),
                fill.eq(Mux(self.last, 0, fill - words)[:len(fill)]),     # modulo a column
            ]
        with m.Switch(self.format):
            for fmt in self.spec.formats:
                with m.Case(fmt.code):
                    m.d.comb += [self.codes[n].eq(together.word_select(n, fmt.bits))
                                 for n in range(LANES)]
        return m


class ScaleSpread(wiring.Component):
    """Columns of scales to scales; combinational, a scale a clock.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    step, format, last : ``In``
        A scale is used up; the format it has; it is the last of its region.
    column : ``In(256)``
        The next column.
    pop : ``Out(1)``
        It is used up.
    scale : ``Out(16)``
        The next scale of it.
    """

    step: Signal
    format: Signal
    last: Signal
    column: Signal
    pop: Signal
    scale: Signal

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "step": In(1), "format": In(StoredFormat), "last": In(1), "column": In(BEAT_WIDTH),
            "pop": Out(1), "scale": Out(SCALE_WIDTH),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number, full, narrow = Signal(range(BEAT_WIDTH // 8)), Signal(), Signal()
        pairs = BEAT_WIDTH // SCALE_WIDTH
        m.d.comb += [
            narrow.eq(narrow_scale(self.spec, self.format)),
            full.eq(Mux(narrow, number.all(), number == pairs - 1)),
            self.scale.eq(Mux(narrow, self.column.word_select(number, 8),
                              self.column.word_select(number[:-1], SCALE_WIDTH))),
            self.pop.eq(self.step & (full | self.last)),
        ]
        with m.If(self.step):
            m.d.sync += number.eq(Mux(self.pop, 0, number + 1)[:len(number)])
        return m


def narrow_scale(spec: QuantiserSpec, format_: Value) -> Value:
    """Whether scales of that format have 8 bits."""
    wide = [code for code, fmt in FORMAT_OF.items() if fmt.scale_bits == SCALE_WIDTH
            and fmt in spec.formats]
    return ~format_.matches(*wide) if wide else C(1)
