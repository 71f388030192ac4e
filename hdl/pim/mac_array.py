"""The sixteen multipliers and sixteen adders of a PIM bank unit, shared by both modes."""

from dataclasses import replace
from typing import Any

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.floating import Adder, Product
from hdl.pim.quantised import SCALE_WIDTH, scaled
from hdl.pim.register_files import lanes_layout
from hdl.shared import Shared
from model.spec.attention import BLOCK_TOKENS, MacMode, PimSpec
from model.spec.formats import FP32


class LaneArray(wiring.Component):
    """Sixteen products of a column with a query chunk, or with one weight; one clock.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    en, mode, token : ``In``
        A pass.
    scale_en, scale : ``In(1)``, ``In(8)``
        Whether the column is quantised; its scale, which multiplies the weight in axpy mode.
    column, query, weight : ``In(lanes_layout)``
        Its operands: in dot mode lane by lane, in axpy mode the weight of ``token`` in all lanes.
    products : ``Out(lanes_layout)``
        FP32. A weight of 0 gives +0 whatever the column holds.
    """

    en: Signal
    mode: Signal
    token: Signal
    scale_en: Signal
    scale: Signal
    column: data.View
    query: data.View
    weight: data.View
    products: data.View

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        lanes = lanes_layout(pim, pim.kv_format.width)       # as wide as weights
        super().__init__({
            "en": In(1), "mode": In(MacMode), "token": In(range(BLOCK_TOKENS)),
            "scale_en": In(1), "scale": In(SCALE_WIDTH),
            "column": In(lanes), "query": In(lanes), "weight": In(lanes),
            "products": Out(lanes_layout(pim, FP32.width)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axpy = self.mode == MacMode.AXPY
        kv, fmt = self.pim.kv_format, self.pim.weight_format
        weight = Signal(fmt.width)
        weightless = Signal()
        m.d.comb += [
            weight.eq(self.weight[self.token]),
            weightless.eq(axpy & ~weight.any()),
        ]
        if self.pim.quantised:
            product = Signal.like(weight)
            m.d.comb += product.eq(scaled(fmt, weight, self.scale))
            with m.If(self.scale_en):
                m.d.comb += weightless.eq(axpy & (~weight.any() | ~product.any()))
            weight = Mux(self.scale_en, product, weight)
        # Queries have a sign, weights one bit of fraction more.
        factor = replace(kv, name=f"{kv.name}_factor", fraction_bits=fmt.fraction_bits)
        products: list[Any] = [
            Shared(f"product_{kv.name}", Product, factor, kv) for _ in range(self.pim.LANES)]
        for lane, unit in enumerate(products):
            m.submodules[f"product_{lane}"] = unit
            m.d.comb += [
                unit.en.eq(self.en),
                unit.clear.eq(weightless),
                unit.a.eq(Mux(axpy, weight, Cat(C(0, 1), self.query[lane]))),
                unit.b.eq(self.column[lane]),
            ]
        m.d.comb += self.products.eq(Cat(product.o for product in products))
        return m


class AdderArray(wiring.Component):
    """Sixteen adders: a tree of fifteen and an accumulator, or one a lane.

    Two clocks from ``products`` to ``sums``; ten, of which eight in the tree, to ``score``.

    Parameters
    ----------
    pim : PimSpec

    Members
    -------
    mode : ``In(MacMode)``
        Mode of the products; must not change while sums of the other mode are under way.
    en : ``In(6)``
        Per adder latency after the products of a pass: levels 0 to 3 of the tree and the
        accumulator in dot mode; the topmost bit all adders in axpy mode.
    products, accumulators : ``In(lanes_layout)``
        Addends in axpy mode; in dot mode ``products`` go into the tree.
    partial : ``In(32)``
        Second addend of the accumulator in dot mode.
    tree : ``Out(32)``
        In dot mode the sum of the tree, eight clocks after its products.
    block_en, block : ``In(1)``, ``In(32)``
        In dot mode, what goes into the accumulator instead of the sum of the tree.
    sums : ``Out(lanes_layout)``
        In axpy mode ``products + accumulators``, lane by lane.
    score : ``Out(32)``
        In dot mode the sum of the tree plus ``partial``.
    """

    mode: Signal
    en: data.View
    products: data.View
    accumulators: data.View
    partial: Signal
    tree: Signal
    block_en: Signal
    block: Signal
    sums: data.View
    score: Signal

    def __init__(self, pim: PimSpec) -> None:
        self.pim = pim
        lanes = lanes_layout(pim, FP32.width)
        self.levels = (pim.LANES - 1).bit_length()
        super().__init__({
            "mode": In(MacMode),
            "en": In(data.StructLayout({"levels": self.levels, "score": 1, "lanes": 1})),
            "products": In(lanes), "accumulators": In(lanes), "partial": In(FP32.width),
            "tree": Out(FP32.width), "block_en": In(1), "block": In(FP32.width),
            "sums": Out(lanes), "score": Out(FP32.width),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        adders: list[Any] = [Shared("adder", Adder) for _ in range(self.pim.LANES)]
        for lane, adder in enumerate(adders):
            m.submodules[f"adder_{lane}"] = adder
        m.d.comb += [self.sums.eq(Cat(adder.o for adder in adders)), self.score.eq(adders[-1].o)]

        # In dot mode: what each adder adds, and when. A level takes neighbours of the one before.
        dot: list[tuple[Value, Value, Value]] = []
        level = [Value.cast(self.products[lane]) for lane in range(self.pim.LANES)]
        for depth in range(self.levels):
            outputs = adders[len(dot):len(dot) + len(level) // 2]
            dot += [(self.en.levels[depth], a, b)
                    for a, b in zip(level[::2], level[1::2], strict=True)]
            level = [adder.o for adder in outputs]
        m.d.comb += self.tree.eq(level[0])
        dot.append((self.en.score, Mux(self.block_en, self.block, level[0]), self.partial))

        for lane, (adder, (en, a, b)) in enumerate(zip(adders, dot, strict=True)):
            with m.If(self.mode == MacMode.DOT):
                m.d.comb += [adder.en.eq(en), adder.a.eq(a), adder.b.eq(b)]
            with m.Else():
                m.d.comb += [adder.en.eq(self.en.lanes), adder.a.eq(self.products[lane]),
                             adder.b.eq(self.accumulators[lane])]
        return m
