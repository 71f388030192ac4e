"""Which columns may be served, which rows closed, while another port wants the bank."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from hdl.dram.eligibility import Eligibility
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from tests.rtl.mutants import Mutant, mutated

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=2, capacity_banks=2, rows=4))
A, B, BOTH, BANKS = 0b0100, 0b1000, 0b1100, 0b1111
READS = (0, 2)
"""Windows of reads of the first and of the second port."""


def show_columns(unit: Any) -> None:
    """The second port hits rows of banks A and B; the first one wants A."""
    async def bench(ctx: Any) -> None:
        ctx.set(unit.ready.rd, BANKS)
        ctx.set(unit.ready.pre, BANKS)
        ctx.set(unit.open, BANKS)
        for window in READS:
            ctx.set(unit.oldest[window], A)

        def columns(first_hits: int, second_hits: int, urgent: int = 0,
                    credit: int = 0b11) -> tuple[int, int]:
            ctx.set(unit.credit, credit)
            ctx.set(unit.wanted[0], A)
            ctx.set(unit.hits[0], first_hits)
            ctx.set(unit.wanted[2], BOTH)
            ctx.set(unit.hits[2], second_hits)
            ctx.set(unit.urgent, urgent)
            first, second = (ctx.get(unit.columns_ok[window]) for window in READS)
            return first & BOTH, second & BOTH

        assert columns(A, BOTH) == (BOTH, BOTH)
        assert columns(0, BOTH) == (BOTH, B)            # A is to be closed for the first port
        assert ctx.get(unit.precharges_ok[0]) & A
        assert columns(A, 0) == (BOTH, BOTH)            # what later ports want keeps nobody
        assert columns(0, BOTH, urgent=1 << 2) == (B, BOTH)
        assert columns(0, BOTH, urgent=1 << 0) == (BOTH, B)
        assert columns(0, BOTH, credit=0b10) == (0, BOTH)       # who is stalled keeps nobody
        columns(A, 0)
        assert ctx.get(unit.precharges_ok[2]) & BOTH == B
        columns(A, 0, credit=0b10)
        assert ctx.get(unit.precharges_ok[2]) & BOTH == BOTH

    simulator = Simulator(unit)
    simulator.add_testbench(bench)
    simulator.run()


def test_hits_of_later_ports_do_not_put_off_a_precharge() -> None:
    show_columns(Eligibility(SPEC, ports=2))


MUTANTS = {
    "hits of later ports go on": ("& ~contested, 0)),", ", 0)),"),
    "later ports count too": ("for e in earlier[:-1])", "for e in range(writes, 4, 2))"),
    "hits are contested too": ("self.wanted[e] & ~self.hits[e]", "self.wanted[e]"),
    "not even an urgent one": ("for e in earlier[:-1]) & ~first", "for e in earlier[:-1])"),
    "who is stalled keeps columns": (
        "Mux(self.credit[e // 2], self.wanted[e] & ~self.hits[e], 0)",
        "self.wanted[e] & ~self.hits[e]"),
    "who is stalled keeps rows open": (
        "Mux(self.credit[e // 2], self.hits[e], 0)", "self.hits[e]"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = Mutant("hdl.dram.eligibility", *MUTANTS[name], "")
    unit = mutated(mutant, [mutant.module], monkeypatch)
    with pytest.raises(AssertionError):
        show_columns(unit.Eligibility(SPEC, ports=2))
