# amaranth: UnusedElaboratable=no
"""A new token on its way into the rows of passes: which passes wait for it, and what is written."""

from dataclasses import replace
from typing import Any

import pytest
from amaranth import Module

from hdl.attention.pass_issuer import PassIssuer
from hdl.attention.token_writer import TokenWriter, token_layout
from hdl.attention.wave import Progress, wave_layout
from hdl.dram.pass_sequencer import PassSequencer
from hdl.layouts import BEAT_WIDTH, AttentionShape, row_pass_layout
from model.spec.attention import MacMode
from model.spec.geometry import ChannelGeometry
from tb.designs import SMALL
from tests.hdl.simulation import simulate

SPEC = replace(SMALL, geometry=ChannelGeometry(pim_banks=2, capacity_banks=1, rows=32,
                                               row_bytes=256),
               pim=replace(SMALL.pim, head_size_max=80))
"""Eight columns a row, so that the columns of a token with five may begin in one row and end in
the next."""


FAULTS: dict[str, Any] = {
    "values_are_keys": lambda u, m: u.register.p.data.eq(m.submodules.keys.r_data[:BEAT_WIDTH]),
    "columns_wait_for_no_pass": lambda u, m: u.register.valid.eq(m.submodules.keys.r_rdy),
    "no_column_is_the_last": lambda u, m: u.register.p.ends.eq(0),
    "all_go_to_bank_0": lambda u, m: u.register.p.mask.eq(1),
}
"""Of the token writer: what is added to it."""


class Faulty(TokenWriter):
    """With one of the faults, or without."""

    fault = ""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        if self.fault:
            m.d.comb += FAULTS[self.fault](self, m)
        return m


def column(n: int, *, value: int, ends: int) -> Any:
    """Column n of a token."""
    return token_layout(SPEC).const(
        {"data": 100 * value + n, "value": value, "bank": 1, "column": n, "ends": ends})


def test_columns_are_offered_to_the_passes_that_wait_for_them_row_by_row() -> None:
    dut, offered = Faulty(SPEC), list[list[tuple[int, ...]]]()

    async def bench(ctx: Any) -> None:
        for value in range(2):
            for n in range(5):
                ctx.set(dut.token.payload, column(n, value=value, ends=n in (1, 4)))
                ctx.set(dut.token.valid, 1)
                assert ctx.get(dut.token.ready)
                await ctx.tick()
        ctx.set(dut.token.valid, 0)
        ctx.set(dut.register.ready, 1)
        for _ in range(3):
            await ctx.tick()
            assert not ctx.get(dut.register.valid), "no pass waits"
        for value in (0, 0, 1, 1):
            ctx.set(dut.appends_value, value)
            ctx.set(dut.appends, 1)
            row: list[tuple[int, ...]] = []
            while not row or not row[-1][-1]:
                p = dut.register.p
                assert ctx.get(dut.register.valid) and ctx.get(p.write) and ctx.get(p.column)
                row.append(tuple(ctx.get(getattr(p, name))
                                 for name in ("mask", "address", "data", "ends")))
                await ctx.tick()
            offered.append(row)
            ctx.set(dut.appends, 0)
            await ctx.tick()

    simulate(dut, bench)
    assert offered == [
        [(2, n, 100 * value + n, int(n in (1, 4))) for n in columns]
        for value in range(2) for columns in ((0, 1), (2, 3, 4))]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_bench_of_the_writer_finds(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Faulty, "fault", fault)
    with pytest.raises(AssertionError):
        test_columns_are_offered_to_the_passes_that_wait_for_them_row_by_row()


@pytest.mark.parametrize(("chunks", "first", "last"), [(4, 5, 5), (5, 3, 4), (5, 0, 0)])
def test_those_passes_wait_whose_rows_the_token_is_in(chunks: int, first: int, last: int) -> None:
    dut, rows = PassIssuer(SPEC), 2 * chunks
    passes: list[tuple[int, int, int]] = []

    async def bench(ctx: Any) -> None:
        wave = wave_layout(SPEC).const({
            "tokens": [16, 16], "last": 1,
            "append": {"valid": 1, "first": first, "last": last}})
        ctx.set(dut.shape, AttentionShape(SPEC.pim).const({"last_chunk": chunks - 1}))
        ctx.set(dut.progress, Progress().const({"latched": 1, "weighted": 1}))
        for waves in (dut.keys, dut.values):
            ctx.set(waves.payload, wave)
            ctx.set(waves.valid, 1)
        ctx.set(dut.row_pass.ready, 1)
        while len(passes) < 2 * rows:
            if ctx.get(dut.row_pass.valid):
                p = dut.row_pass.p
                passes.append((int(ctx.get(p.mode) == MacMode.AXPY), ctx.get(p.row),
                               ctx.get(p.append)))
                ctx.set(dut.pass_done, 1)
            await ctx.tick()
            ctx.set(dut.pass_done, 0)

    simulate(dut, bench)
    assert passes == [(value, rows * value + n, int(first <= n <= last))
                      for value in range(2) for n in range(rows)]


@pytest.mark.parametrize("append", [0, 1])
def test_no_column_is_multiplied_before_the_token_is_written(append: int) -> None:
    dut = PassSequencer(SPEC)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.closed, 1)
        ctx.set(dut.i.payload, row_pass_layout(SPEC).const({"append": append, "last_column": 3}))
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        while not ctx.get(dut.activate):
            await ctx.tick()
        ctx.set(dut.issued_activate, 1)
        await ctx.tick()
        ctx.set(dut.issued_activate, 0)
        for _ in range(4):
            assert (ctx.get(dut.appends), ctx.get(dut.mac)) == (append, 1 - append)
            await ctx.tick()
        ctx.set(dut.appended, 1)
        await ctx.tick()
        assert (ctx.get(dut.appends), ctx.get(dut.mac)) == (0, 1)

    simulate(dut, bench)
