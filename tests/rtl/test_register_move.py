"""Block moves started by registers, on both simulators, and mutants that their bench kills."""

from pathlib import Path

import pytest

from hdl.dma.register_move import Dma
from tb.bench_register_move import SPEC
from tb.build import SIMULATORS, BenchFailure, simulate
from tests.rtl.mutants import Mutant, mutated

BENCH = "tb.bench_register_move"
MODULE = "hdl.dma.register_move"


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_blocks_move_whole(tmp_path: Path, simulator: str) -> None:
    simulate(Dma(SPEC), BENCH, tmp_path, simulator=simulator, seed=5)


@pytest.mark.parametrize("mutant", [
    Mutant(MODULE, "return (rows != 0) & inside(source) & inside(destination) & apart",
           "return (rows != 0) & apart", "impossible_moves"),
    Mutant(MODULE, "& inside(destination) & apart", "& inside(destination)", "impossible_moves"),
    Mutant(MODULE, "begin.eq(self.start & ~self.busy & legal)", "begin.eq(self.start & legal)",
           "a_start_while_busy"),
    Mutant(MODULE, "over.eq(self._all_written(m, mover) & (failed | source.done))",
           "over.eq(source.done)", "blocks_arrive_whole"),
    Mutant(MODULE, "mover.failed.eq(failed)", "mover.failed.eq(0)", "an_access_that_fails"),
], ids=["places", "overlap", "restart", "early", "failed"])
def test_the_bench_kills(tmp_path: Path, mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = mutated(mutant, [MODULE], monkeypatch)
    with pytest.raises(BenchFailure, match=mutant.seen_by):
        simulate(unit.Dma(SPEC), BENCH, tmp_path, simulator="icarus")
