"""Elements of a 16-bit format to codes of any quantised format."""

from typing import Any

from amaranth import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.floating import Unpacked, shift_right_sticky
from hdl.quantiser.layouts import (
    CODE_WIDTH,
    EXPONENT,
    GRID_WIDTH,
    SCALE_WIDTH,
    THRESHOLDS,
    Settings,
    flags_layout,
)
from hdl.quantiser.scale_finder import normalised, scale_nan
from hdl.shared import Shared
from model.spec.formats import BF16
from model.spec.mx import LANES, MXINT8, QuantiserSpec, StoredFormat

KEPT = MXINT8.mantissa_bits + 1
"""Most significand bits of an element."""


class Grid(data.StructLayout):
    """The steps that the elements of a block are rounded to.

    Members
    -------
    bad : 1
        The block's scale is NaN.
    base : EXPONENT
        Of the smallest normal element; of INT4: of eight scales.
    narrower : range(KEPT)
        By how many bits significands are narrower than ``KEPT``.
    settings : Settings
    thresholds : array
        INT4: (2 k - 1) times the scale's significand, k = 1 .. 7.
    """

    def __init__(self) -> None:
        super().__init__({
            "bad": 1, "base": EXPONENT, "narrower": range(KEPT), "settings": Settings(),
            "thresholds": data.ArrayLayout(GRID_WIDTH, THRESHOLDS),
        })


class EncoderLane(wiring.Component):
    """One element to its code; three clocks, one a clock.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    step : ``In(1)``
        The pipeline moves.
    element : ``In(16)``
    shift_grid, round_grid : ``In(Grid)``
        Of the element that is in the second and third clock.
    code : ``Out(8)``
        Bits above the format's are 0.
    saturated, nan, flushed : ``Out(1)``
        As counted (model.golden.quantiser.Counts).
    """

    step: Signal
    element: Signal
    shift_grid: data.View
    round_grid: data.View
    code: Signal
    saturated: Signal
    nan: Signal
    flushed: Signal

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "step": In(1), "element": In(spec.wide.width),
            "shift_grid": In(Grid()), "round_grid": In(Grid()),
            "code": Out(CODE_WIDTH), "saturated": Out(1), "nan": Out(1), "flushed": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wide = self.spec.wide

        x = Unpacked(wide, self.element)
        exponent, significand = normalised(m, wide, x)
        shape = data.StructLayout({"sign": 1, "zero": 1, "special": 1})
        first, second = Signal(shape), Signal(shape)
        x_exponent, x_significand = Signal(EXPONENT), Signal(len(significand))

        # Second clock. Elements above the smallest normal one count in steps of their own, which
        # the exponent field says; those below are shifted right.
        above, normal = Signal(signed(EXPONENT.width + 1)), Signal()
        distance = Signal(EXPONENT.width + 1)
        field, laid = Signal(CODE_WIDTH - 1), Signal(GRID_WIDTH + 1)
        grid = self.shift_grid
        m.d.comb += [
            above.eq(x_exponent - grid.base), normal.eq(~first.zero & (above >= 0)),
            distance.eq((Mux(above < 0, -above, 0) + grid.narrower)[:len(distance)]),
        ]
        with m.If(self.step):
            m.d.sync += [
                first.sign.eq(x.sign), first.zero.eq(x.zero), first.special.eq(x.inf | x.nan),
                x_exponent.eq(exponent), x_significand.eq(significand),
                second.eq(first),
                field.eq(Mux(normal, self._field(m, above, grid.settings.format), 0)),
                laid.eq(shift_right_sticky(
                    Cat(C(0, GRID_WIDTH - len(x_significand)), x_significand), distance)),
            ]

        # Third.
        magnitude, beyond, vanished = Signal(CODE_WIDTH), Signal(), Signal()
        self._round(m, field, laid, magnitude)
        m.d.comb += vanished.eq(~magnitude.any() & ~second.zero)
        with m.If(self.step):
            m.d.sync += [
                self.nan.eq(second.special), self.saturated.eq(beyond & ~self.round_grid.bad),
                self.flushed.eq(vanished & ~self.round_grid.bad),
            ]
            self._pack(m, second.sign, magnitude, beyond)
            with m.If(self.round_grid.bad):
                m.d.sync += self.code.eq(0)
        return m

    def _field(self, m: Module, above: Value, format_: Value) -> Value:
        field = Signal(CODE_WIDTH - 1, name="field_wanted")
        with m.Switch(format_):
            for fmt in self.spec.formats:
                if not fmt.twos_complement:
                    with m.Case(fmt.code):
                        width = fmt.bits - 1 - fmt.mantissa_bits
                        m.d.comb += field.eq(Cat(C(0, fmt.mantissa_bits), above[:width]))
        return field

    def _round(self, m: Module, field: Value, laid: Value, magnitude: Signal) -> None:
        """The magnitude code, not yet saturated."""
        settings = self.round_grid.settings
        low = len(laid) - KEPT
        guard, rest = laid[low - 1], laid[:low - 1].any()
        up = guard & (settings.half_away | rest | laid[low])
        passed = []
        for k, threshold in enumerate(self.round_grid.thresholds, start=1):
            middle = Cat(C(0, 1), threshold)
            # A tie goes up to an even code, or away.
            passed.append((laid > middle) | (laid == middle) & (settings.half_away | (k % 2 == 0)))
        with m.If(settings.format == StoredFormat.INT4):
            m.d.comb += magnitude.eq(sum(passed[1:], passed[0])[:len(magnitude)])
        with m.Else():
            m.d.comb += magnitude.eq((field + laid[low:] + up)[:len(magnitude)])

    def _pack(self, m: Module, sign: Value, magnitude: Value, beyond: Signal) -> None:
        settings = self.round_grid.settings
        with m.Switch(settings.format):
            for fmt in self.spec.formats:
                with m.Case(fmt.code):
                    special = fmt.infinity or fmt.nan
                    limit = fmt.largest if special is None else Mux(
                        settings.overflow, special, fmt.largest)
                    kept = Mux(beyond, limit, magnitude)[:fmt.bits - 1]
                    negative = -Cat(kept, C(0, 1)) if fmt.twos_complement else Cat(kept, C(1, 1))
                    m.d.comb += beyond.eq(magnitude > fmt.largest)
                    m.d.sync += self.code.eq(Mux(sign, negative, kept)[:fmt.bits])


class HalfEncoder(wiring.Component):
    """Half a block to codes: ``LATENCY`` clocks, 16 elements a clock.

    Parameters
    ----------
    spec : QuantiserSpec

    Members
    -------
    step : ``In(1)``
        The pipeline moves.
    beat, scale, settings : ``In``
        16 elements, the scale of their block as it is stored, and what to make of them.
    codes : ``Out(ArrayLayout(8, 16))``
    flags : ``Out(flags_layout)``
        With the codes.
    """

    LATENCY = 3

    step: Signal
    beat: data.View
    scale: Signal
    settings: data.View
    codes: data.View
    flags: data.View

    def __init__(self, spec: QuantiserSpec) -> None:
        self.spec = spec
        super().__init__({
            "step": In(1), "beat": In(data.ArrayLayout(spec.wide.width, LANES)),
            "scale": In(SCALE_WIDTH), "settings": In(Settings()),
            "codes": Out(data.ArrayLayout(CODE_WIDTH, LANES)), "flags": Out(flags_layout()),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        grid, shift_grid, round_grid = Signal(Grid()), Signal(Grid()), Signal(Grid())
        self._grid(m, grid)
        with m.If(self.step):
            m.d.sync += [shift_grid.eq(grid), round_grid.eq(shift_grid)]
        lanes: list[Any] = [Shared(f"encoder_lane_{self.spec.wide.name}", EncoderLane, self.spec)
                            for _ in range(LANES)]
        for number, lane in enumerate(lanes):
            m.submodules[f"lane_{number}"] = lane
            m.d.comb += [
                lane.step.eq(self.step), lane.element.eq(self.beat[number]),
                lane.shift_grid.eq(shift_grid), lane.round_grid.eq(round_grid),
            ]
        m.d.comb += [
            self.codes.as_value().eq(Cat(lane.code for lane in lanes)),
            self.flags.saturated.eq(Cat(lane.saturated for lane in lanes)),
            self.flags.nan.eq(Cat(lane.nan for lane in lanes)),
            self.flags.flushed.eq(Cat(lane.flushed for lane in lanes)),
        ]
        return m

    def _grid(self, m: Module, grid: data.View) -> None:
        m.d.comb += grid.settings.eq(self.settings)
        with m.Switch(self.settings.format):
            for fmt in self.spec.formats:
                with m.Case(fmt.code):
                    m.d.comb += grid.bad.eq(self.scale[:fmt.scale_bits] == scale_nan(fmt.code))
                    if fmt.scale_bits == SCALE_WIDTH:
                        scale = Unpacked(BF16, self.scale)
                        m.d.comb += grid.base.eq(scale.exponent + 3)
                        m.d.comb += [
                            threshold.eq(((2 * k - 1) * scale.significand)[:GRID_WIDTH])
                            for k, threshold in enumerate(grid.thresholds, start=1)]
                    else:
                        m.d.comb += [grid.base.eq(self.scale[:8] + fmt.exponent_min),
                                     grid.narrower.eq(KEPT - 1 - fmt.mantissa_bits)]
